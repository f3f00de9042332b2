"""That every source which the code names in the contract is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
HEADINGS = set(re.findall(r"^##+ ([0-9]+(?:\.[0-9]+)?)", PAGE, re.MULTILINE))
FILES = sorted([*ROOT.glob("vifsim/**/*.py"), *ROOT.glob("backends/**/*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_sections_that_a_module_names_exist(path: Path) -> None:
    named = re.findall(r"API contract,\s+sections? ([0-9., and to]+)", path.read_text("utf-8"))

    sections = {number for text in named for number in re.findall(r"\d+(?:\.\d+)?", text)}
    assert sections <= HEADINGS
