"""The small suite that noxfile.py runs under each Python passes under this one, too."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_small_suite_passes_with_what_is_installed_here() -> None:
    quick = ("-q", "-pno:schemathesis", "-pno:hypothesispytest", "--asyncio-mode=strict")

    run = subprocess.run(
        [sys.executable, "-m", "pytest", *quick, "-c", "tests/matrix/pytest.ini", "tests/matrix"],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if "PYTEST" not in key},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "9 passed" in run.stdout


def test_the_matrix_has_each_python_that_the_package_says_it_runs_on() -> None:
    pytest.importorskip("nox", reason="nox is not installed")
    setup = (ROOT / "setup.cfg").read_text("utf-8")

    pythons: tuple[str, ...] = runpy.run_path(str(ROOT / "noxfile.py"))["PYTHONS"]

    said = [line.split()[-1] for line in setup.splitlines() if ":: Python :: 3." in line]
    assert said == list(pythons)
