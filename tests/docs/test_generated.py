"""The pages that are made from the code are those that the code makes now."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_generated_pages_are_up_to_date() -> None:
    pages: dict[Path, str] = runpy.run_path(str(DOCS / "generate.py"))["pages"]()

    stale = [path.name for path, text in pages.items() if path.read_text("utf-8") != text]

    assert stale == []  # python docs/generate.py


def test_no_page_is_left_of_a_scenario_that_is_gone() -> None:
    pages: dict[Path, str] = runpy.run_path(str(DOCS / "generate.py"))["pages"]()

    assert {path for path in pages if path.parent.name == "scenarios"} == set(
        (DOCS / "scenarios").glob("*.md")
    )
