"""Checks what a simulator is given, and makes of it what it stands for.

The house rule: nothing is started or changed here; what is wrong is told with what would be right.

Source: control API, section 4 (docs/control-api.md).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from vifsim import scenario as scenarios
from vifsim.clock import SimClock
from vifsim.errors import ControlFault, UsageError
from vifsim.scenario.rule import Scenario

if TYPE_CHECKING:
    from vifsim.clock import Mode

ScenarioSource = str | os.PathLike[str] | Mapping[str, Any] | Scenario
ScenarioArgument = ScenarioSource | Sequence[ScenarioSource] | None
ClockMode = Literal["real", "scaled", "manual", "autojump"]

_NO_SPEED = "speed goes with the scaled clock"
NO_SCENARIO = Scenario(name="none")
"""What holds where nobody names one."""


def read_scenario(argument: ScenarioArgument) -> Scenario:
    """Return the scenario that a name, path, mapping or a list of these gives.

    Raises:
        UsageError: there is no such scenario, it is not sound, or two do not go together.
    """
    if argument is None:
        return NO_SCENARIO
    if isinstance(argument, str | os.PathLike | Mapping | Scenario):
        return _read_one(argument)
    if not isinstance(argument, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance] -- tests are often untyped
        raise UsageError(f"a scenario is a name, a path or a mapping, not {argument!r}")
    several = [_read_one(item) for item in argument]
    return scenarios.merge(several) if several else NO_SCENARIO


def _read_one(source: ScenarioSource) -> Scenario:
    if isinstance(source, Scenario):
        return source
    if isinstance(source, Mapping):
        return scenarios.load_mapping(source)
    if isinstance(source, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance] -- likewise
        return scenarios.load_named(os.fspath(source))
    raise UsageError(f"a scenario is a name, a path or a mapping, not {source!r}")


def checked_seed(seed: int | None) -> int | None:
    """Return a seed, or None for none.

    Raises:
        UsageError: it is no whole number, 0 or more.
    """
    if seed is not None and (type(seed) is not int or seed < 0):
        raise UsageError(f"seed {seed!r} is not a whole number, 0 or more")
    return seed


def make_clock(mode: ClockMode, speed: float, *, self_stepping: bool) -> SimClock:
    """Return a clock of a mode; `self_stepping` as `SimClock` takes it.

    Raises:
        UsageError: no such mode, or a speed that is wrong or has no scaled clock.
    """
    if mode == "autojump":
        if speed != 1:
            raise UsageError(_NO_SPEED)
        return SimClock(mode=mode)
    checked, factor = checked_mode(mode, speed, UsageError)
    return SimClock(mode=checked, speed=factor, steps_itself=self_stepping)


def checked_mode(mode: str, speed: float | None, error: Any) -> tuple[Mode, float]:
    """Return a clock's mode and speed.

    Raises:
        ControlFault, UsageError: as `error` says.
    """
    if mode not in {"real", "scaled", "manual"}:
        text = f"clock mode {mode!r} is none of real, scaled, manual"
        raise error(400, text) if error is ControlFault else error(text)
    if mode == "scaled":
        speed = 1.0 if speed is None else speed
        if not 0 < speed <= 1e6:
            text = f"speed {speed} is not above 0 and up to 1000000"
            raise error(400, text) if error is ControlFault else error(text)
        return "scaled", float(speed)
    if speed is not None and speed != 1:
        raise error(400, _NO_SPEED) if error is ControlFault else error(_NO_SPEED)
    return ("real", 1.0) if mode == "real" else ("manual", 1.0)


def seconds(by: str | float) -> float:
    """Return a duration in seconds; a number is seconds already.

    Raises:
        ControlFault: 400, not a duration.
    """
    from marshmallow import ValidationError  # noqa: PLC0415 -- slow to import

    from vifsim.scenario.durations import seconds_of  # noqa: PLC0415 -- likewise

    if isinstance(by, int | float) and not isinstance(by, bool):
        return float(by)
    try:
        return seconds_of(by)
    except ValidationError as exc:
        raise ControlFault(400, f"{by!r} is not a duration such as 30m") from exc
