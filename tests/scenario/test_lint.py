"""What a sound scenario is warned about, and what it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vifsim.cli import main
from vifsim.http.openapi import documented_statuses
from vifsim.model import OPERATIONS
from vifsim.scenario.lint import lint
from vifsim.scenario.schema import load_mapping, load_named, shipped_names

if TYPE_CHECKING:
    from pathlib import Path

PHASES = [
    {"name": "early", "from": "0s", "for": "10s"},
    {"name": "late", "from": "20s", "for": "5s"},
]


def warnings(*rules: dict[str, Any]) -> list[str]:
    used = {"during": ["early", "late"], "chance": 0.5, "match": "get_limits", "status": 503}
    document = {"version": 1, "phases": PHASES, "rules": [*rules, {"name": "used", **used}]}
    return [problem.detail for problem in lint(load_mapping(document), documented_statuses())]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"during": "late", "between": ["0s", "20s"]}, "never hold together"),
        ({"chance": 0}, "its chance is 0"),
        ({"first": 3, "after": 3}, "no number satisfies"),
        ({"nth": [1, 2], "after": 2}, "no number satisfies"),
        ({"nth": [3, 5], "every": 2}, "no number satisfies"),
        ({"every": 5, "first": 4}, "no number satisfies"),
        ({"flap": {"up": "10s", "down": "1s"}, "during": "early"}, "its flap is up"),
        ({"match": {"operation": "create_*", "method": "GET"}}, "is a GET"),
        ({"match": {"operation": "get_limits", "server": "web-1"}}, "asks for a server"),
        ({"match": {"operation": "list_servers", "network": "public"}}, "asks for a network"),
        ({"match": "authenticate", "per": "server"}, "asks for a server"),
        ({"match": "list_virtual_interfaces", "per": "interface", "first": 1}, "for a network"),
    ],
)
def test_a_rule_that_can_never_fire_is_told(rule: dict[str, Any], reason: str) -> None:
    (warning,) = warnings({"name": "it", "status": 503, **rule})

    assert warning.startswith("it: can never fire")
    assert reason in warning


@pytest.mark.parametrize(
    "rule",
    [
        {"during": "late", "between": ["0s", "21s"]},
        {"chance": {"from": 0, "to": 0.5}, "during": "early"},
        {"first": 4, "after": 3},
        {"every": 5, "first": 5},
        {"nth": [3, 4], "every": 2, "after": 3},
        {"flap": {"up": "9s", "down": "1s"}, "during": "early"},
        {"flap": {"up": "19s", "down": "2s"}, "during": "late"},
        {"match": {"operation": "list_*", "method": "HEAD"}},
        {"match": {"server": "web-1"}},
        {"match": "delete_virtual_interface", "per": "interface"},
    ],
)
def test_a_rule_that_can_fire_is_left_alone(rule: dict[str, Any]) -> None:
    assert warnings({"name": "it", "status": 503, **rule}) == []


def test_a_stale_read_of_what_is_no_read_can_never_fire() -> None:
    (warning,) = warnings({"name": "it", "match": "create_*", "stale": "1s"})

    assert "stale is for gets and lists" in warning


def test_a_rule_within_the_window_of_one_that_answers_all_is_told() -> None:
    wall = {"name": "wall", "during": "early", "status": 503}
    behind = {"name": "behind", "between": ["2s", "9s"], "match": "create_*", "first": 1}

    (warning,) = warnings(wall, {**behind, "status": 500})

    assert warning == "behind: is never reached: wall answers every such call in that time"


@pytest.mark.parametrize(
    "wall",
    [
        {"during": "early", "first": 3, "status": 503},
        {"during": "late", "status": 503},
        {"during": "early", "latency": "1s"},
        {"during": "early", "match": "get_*", "status": 503},
    ],
)
def test_a_rule_behind_one_that_lets_some_calls_through_is_left_alone(wall: dict[str, Any]) -> None:
    behind = {"between": ["2s", "9s"], "match": "create_*", "status": 500}

    assert warnings(wall, behind) == []


@pytest.mark.parametrize(
    ("rule", "told", "held"),
    [
        ({"during": "late", "retry_after": "6s", "status": 503}, "6 s", "5 s"),
        ({"between": ["1s", "3s"], "retry_after": {"date": "1m"}, "status": 503}, "60 s", "2 s"),
        (
            {"flap": {"up": "1s", "down": "4s"}, "retry_after": "5s", "status": 503},
            "5 s",
            "4 s",
        ),
        ({"limit": "4/1m", "retry_after": "1h"}, "3600 s", "60 s"),
    ],
)
def test_a_retry_after_beyond_its_outage_is_told(
    rule: dict[str, Any], told: str, held: str
) -> None:
    (warning,) = warnings({"name": "it", "match": "create_virtual_interface", **rule})

    assert warning == f"it: its Retry-After of {told} is longer than the {held} that it holds"


def test_a_retry_after_that_ends_with_its_outage_is_left_alone() -> None:
    assert warnings({"during": "late", "retry_after": "5s", "status": 503}) == []


@pytest.mark.parametrize(
    ("match", "status", "where"),
    [
        ("list_virtual_interfaces", 409, "list_virtual_interfaces"),
        ("create_virtual_interface", 429, "create_virtual_interface"),
        ("*", 429, "any operation"),
    ],
)
def test_a_status_that_is_not_documented_is_told(match: str, status: int, where: str) -> None:
    (warning,) = warnings({"name": "it", "match": match, "first": 1, "status": status})

    assert warning == f"it: {status} is not documented for {where}"


@pytest.mark.parametrize(
    ("match", "status"),
    [("create_virtual_interface", 409), ("*", 401), ("*", 503), ("unknown", 405)],
)
def test_a_status_that_is_documented_is_left_alone(match: str, status: int) -> None:
    assert warnings({"match": match, "first": 1, "status": status}) == []


def test_a_phase_that_no_rule_uses_is_told() -> None:
    scenario = load_mapping({"version": 1, "phases": PHASES[:1]})

    (problem,) = lint(scenario, documented_statuses())

    assert problem.detail == "no rule is read during the phase early"


def test_each_operation_has_documented_statuses() -> None:
    assert documented_statuses().keys() == set(OPERATIONS)


@pytest.mark.parametrize("name", shipped_names())
def test_no_shipped_scenario_is_warned_about(name: str) -> None:
    assert lint(load_named(name), documented_statuses()) == []


def test_a_warning_has_its_place_and_leaves_the_exit_code_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text("version: 1\nrules:\n  - name: never\n    chance: 0\n    status: 503\n")

    code = main(["scenarios", "check", str(file)])

    assert code == 0
    assert capsys.readouterr().err == (
        f"{file}:3:5: warning: never: can never fire: its chance is 0 "
        "(give a chance above 0, or leave the rule out)\n"
    )
