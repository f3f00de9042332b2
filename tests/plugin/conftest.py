"""Suites of their own: written into an empty folder and run as their users run them."""

from __future__ import annotations

from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import RunPytest, SuiteRun

    RunSuite = Callable[..., SuiteRun]

INI = """
[pytest]
filterwarnings =
    error::ResourceWarning
    error::pytest.PytestUnraisableExceptionWarning
    error::pytest.PytestUnhandledThreadExceptionWarning
"""


@pytest.fixture
def run_suite(run_pytest: RunPytest, tmp_path: Path) -> RunSuite:
    """Write a test module, and run it with these options."""

    def run(source: str, *options: str, ini: str = INI, **files: str) -> SuiteRun:
        (tmp_path / "pytest.ini").write_text(dedent(ini))
        (tmp_path / "test_suite.py").write_text(dedent(source))
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(dedent(text))
        return run_pytest(*options)

    return run
