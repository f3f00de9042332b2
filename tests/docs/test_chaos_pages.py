"""What the pages on verdicts list is what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vifsim.chaos.faults import KINDS
from vifsim.cli import Parser, chaos, hunt
from vifsim.scenario.schema import load_mapping
from vifsim.scorecard import CATALOGUE

DOCS = Path(__file__).parents[2] / "docs"
CHAOS = (DOCS / "chaos.md").read_text("utf-8")
SCORECARD = (DOCS / "scorecard.md").read_text("utf-8")


def test_each_rule_is_described_as_it_is() -> None:
    found = re.findall(
        r"^\| (R\d\d) \| `(\w+)` \| (\w+) \| (.*?) \| .* \|$", SCORECARD, re.MULTILINE
    )

    assert found == [
        (rule.code, rule.name, rule.severity, rule.exercised_when) for rule in CATALOGUE
    ]


def test_each_threshold_is_one_that_a_scenario_takes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d]+s?) \| ", SCORECARD, re.MULTILINE)

    for name, value in rows:
        number = value if value.endswith("s") else int(value)
        load_mapping({"version": 1, "name": "x", "expect": {"thresholds": {name: number}}})
    assert len(rows) == 7


@pytest.mark.parametrize("module", [chaos, hunt])
def test_each_flag_is_described(module: object) -> None:
    parser = Parser()
    module.add_arguments(parser)  # type: ignore[attr-defined]  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue] -- a command's module

    flags = re.findall(r"--[a-z-]{3,}", parser.format_help())

    assert [flag for flag in set(flags) - {"--help"} if flag not in CHAOS] == []


def test_each_fault_is_named() -> None:
    assert [kind.name for kind in KINDS if f"`{kind.name}`" not in CHAOS] == []
