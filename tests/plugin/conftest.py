"""Suites of their own: written into an empty folder and run as their users run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    RunSuite = Callable[..., "SuiteRun"]

INI = """
[pytest]
filterwarnings =
    error::ResourceWarning
    error::pytest.PytestUnraisableExceptionWarning
    error::pytest.PytestUnhandledThreadExceptionWarning
"""


_LIGHT = [
    option
    for name in ("cacheprovider", "schemathesis", "hypothesispytest")
    for option in ("-p", f"no:{name}")
]
"""Without the plugins that take longer to load than a suite here takes to run."""


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """What came of a run of pytest."""

    output: str
    exit_code: int

    def number(self, outcome: str) -> int:
        """Return how many tests passed, failed, or had an error."""
        found = re.findall(rf"(\d+) {outcome}", self.output.rpartition("\n=====")[2])
        return int(found[-1]) if found else 0


@pytest.fixture
def run_suite(tmp_path: Path) -> RunSuite:
    """Write a test module, and run it with these options."""

    def run(source: str, *options: str, ini: str = INI, **files: str) -> SuiteRun:
        (tmp_path / "pytest.ini").write_text(dedent(ini))
        (tmp_path / "test_suite.py").write_text(dedent(source))
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(dedent(text))
        command = [sys.executable, "-m", "pytest", *_LIGHT, *options]
        clean = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        done = subprocess.run(
            command, cwd=tmp_path, env=clean, capture_output=True, text=True, check=False
        )
        return SuiteRun(done.stderr + done.stdout.rstrip(), done.returncode)

    return run
