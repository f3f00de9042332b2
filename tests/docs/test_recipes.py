"""Each recipe passes as it stands on its page, in a folder that holds nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import RunPytest

PAGE = Path(__file__).parents[2] / "docs" / "recipes.md"
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)

RUNS = {
    "strict": (
        (
            "-c strict/pytest.ini strict test_with_requests.py test_with_httpx.py "
            "test_with_unittest.py test_with_async_unittest.py test_with_tls.py "
            "test_with_ready_clients.py test_with_several_clouds.py"
        ),
        15,
    ),
    "auto": ("-c auto/pytest.ini auto plugin", 2),
    "node": ("node", 1),
    "xdist": ("-n 2 xdist", 8),
}
"""What pytest is given in one run, by a name for it, and how many tests it holds."""

STRICT = (
    "-Werror::ResourceWarning",
    "-Werror::pytest.PytestUnraisableExceptionWarning",
    "-Werror::pytest.PytestUnhandledThreadExceptionWarning",
)
"""A suite that is as strict stays green."""

ELSEWHERE = {"nova"}
"""Needs a client's own environment: tests/clients runs it."""


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    """A folder with all files of the page."""
    for name, text in FILE.findall(PAGE.read_text("utf-8")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    return tmp_path


@pytest.mark.parametrize("name", RUNS)
def test_a_recipe_passes(name: str, recipes: Path, run_pytest: RunPytest) -> None:
    if name == "node" and shutil.which("node") is None:
        pytest.skip("node is not installed")
    arguments, number = RUNS[name]

    run = run_pytest(*STRICT, *arguments.split())

    assert run.exit_code == 0, run.output
    assert run.number("passed") == number


def test_no_recipe_is_left_out(recipes: Path) -> None:
    run = {argument for arguments, _ in RUNS.values() for argument in arguments.split()}

    there = {path.relative_to(recipes).parts[0] for path in recipes.rglob("test_*.py")}

    assert there - run == ELSEWHERE
