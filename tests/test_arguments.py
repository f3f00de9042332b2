"""What a simulator may be given, and what it says of anything else."""

from __future__ import annotations

from typing import Any

import pytest

from vifsim.arguments import checked_mode, checked_seed, make_clock, read_scenario, seconds
from vifsim.errors import ControlFault, UsageError


def test_several_scenarios_hold_together() -> None:
    read = read_scenario(["flaky-create", "rate-limited"])

    ids = {
        rule.id for name in ("flaky-create", "rate-limited") for rule in read_scenario(name).rules
    }
    assert {rule.id for rule in read.rules} == ids


@pytest.mark.parametrize("nothing", [None, []])
def test_no_scenario_has_no_rules(nothing: Any) -> None:
    assert read_scenario(nothing).rules == ()


@pytest.mark.parametrize("wrong", [7, [7], ["flaky-create", None]])
def test_what_is_no_scenario_is_told(wrong: Any) -> None:
    with pytest.raises(UsageError, match="a name, a path or a mapping"):
        read_scenario(wrong)


@pytest.mark.parametrize("wrong", [-1, True, 1.0, "7"])
def test_a_seed_is_a_whole_number(wrong: Any) -> None:
    with pytest.raises(UsageError, match="is not a whole number"):
        checked_seed(wrong)


@pytest.mark.parametrize(
    ("mode", "speed", "text"),
    [
        ("fast", None, "none of real, scaled, manual"),
        ("scaled", 0.0, "not above 0"),
        ("scaled", float("nan"), "not above 0"),
        ("real", 2.0, "goes with the scaled clock"),
    ],
)
@pytest.mark.parametrize("error", [ControlFault, UsageError])
def test_a_clock_that_cannot_be_is_refused_as_whoever_asks_wants(
    mode: str, speed: float | None, text: str, error: type[Exception]
) -> None:
    with pytest.raises(error, match=text):
        checked_mode(mode, speed, error)


def test_a_scaled_clock_takes_its_speed() -> None:
    clock = make_clock("scaled", 60.0, self_stepping=False)

    assert (clock.mode, clock.speed) == ("scaled", 60.0)


@pytest.mark.parametrize(("by", "expected"), [("30m", 1800.0), (5, 5.0), (0.25, 0.25)])
def test_a_duration_is_a_text_with_its_unit_or_seconds(by: str | float, expected: float) -> None:
    assert seconds(by) == expected


@pytest.mark.parametrize("wrong", ["soon", True, None])
def test_what_is_no_duration_is_told(wrong: Any) -> None:
    with pytest.raises(ControlFault, match="not a duration"):
        seconds(wrong)
