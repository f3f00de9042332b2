"""The picture of a plan: a timeline in blocks, then a line for each call.

The house rule: the picture is the same on a terminal and in a file, but for its colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vifsim.scenario.plan import Plan, Row, Step

_TRACK = 64
"""Columns of the timeline; the room for names comes on top."""
_NAME = 30
_TEXT = _TRACK + _NAME
_TICKS = 4

_BLOCKS = {"phase": ("█", "blue"), "sure": ("█", "red"), "perhaps": ("▒", "red")}
_BLOCKS["slow"] = ("░", "yellow")
_MARKS = {"passes": ("·", "green"), "slow": ("~", "yellow"), "fault": ("×", "bold red")}  # noqa: RUF001 -- a mark, no letter


def drawn(plan: Plan) -> Iterator[Text]:
    """Yield the lines of a plan's picture, about 100 columns wide."""
    scenario = plan.scenario
    yield Text(scenario.name, style="bold")
    if scenario.description:
        yield Text(scenario.description)
    yield from (Text(line, style="dim") for line in _terms(plan))
    yield Text()
    yield _scale(plan)
    for row in plan.rows:
        yield from _row(row, plan)
    yield _calls(plan)
    yield Text()
    yield Text(f"call {'at':>8}   {'later by':>9}   {'told':<46}rule", style="bold")
    yield from (_step(step) for step in plan.steps)


def _terms(plan: Plan) -> tuple[str, str]:
    """Return what holds for the whole plan."""
    scenario = plan.scenario
    begins = "at the first call" if scenario.start == "first_call" else "when it is loaded"
    hold = f"; injected answers are held {seconds(scenario.hold)}" if scenario.hold else ""
    calls = f"{len(plan.steps)} calls of {plan.operation}, one each {seconds(plan.every)}"
    return calls, f"seed {plan.seed}; time begins {begins}{hold}"


def _scale(plan: Plan) -> Text:
    line = " " * _NAME
    for tick in range(_TICKS + 1):
        label = seconds(plan.horizon * tick / _TICKS)
        at = _NAME + tick * _TRACK // _TICKS
        at = at - len(label) if tick == _TICKS else at
        line = f"{line[:at]:<{at}}{label}"
    return Text(line, style="dim")


def _row(row: Row, plan: Plan) -> Iterator[Text]:
    block, style = _BLOCKS[row.kind]
    column = plan.horizon / _TRACK
    middles = ((place + 0.5) * column for place in range(_TRACK))
    track = "".join(
        block if any(start <= t < end for start, end in row.spans) else " " for t in middles
    )
    yield Text.assemble(_name(row.name), (track, style))
    if row.text:
        short = row.text if len(row.text) <= _TEXT else f"{row.text[: _TEXT - 1]}…"
        yield Text(f"  {short}", style="dim")


def _name(name: str) -> str:
    short = name if len(name) < _NAME else f"{name[: _NAME - 2]}…"
    return f"{short:<{_NAME}}"


def _calls(plan: Plan) -> Text:
    track: list[str | tuple[str, str]] = [" "] * _TRACK
    for step in plan.steps:
        track[int(step.at / plan.horizon * _TRACK)] = _MARKS[step.kind]
    return Text.assemble(_name("calls"), *track)


def _step(step: Step) -> Text:
    mark, style = _MARKS[step.kind]
    later = f"+{seconds(step.delay)}" if step.delay else ""
    told = f"{step.told:<44}"
    line = Text(f"{step.number:4} {seconds(step.at):>8}   {later:>9} ")
    return line.append(f"{mark} ", style=style).append(f"{told}  ").append(step.by, style="dim")


def seconds(value: float) -> str:
    """Return a duration in the unit that reads best."""
    if value == 0:
        return "0s"
    if value < 1:
        return f"{value * 1000:.3g}ms"
    for unit, size in (("h", 3600), ("m", 60)):
        if value >= size and value % size == 0:
            return f"{value / size:g}{unit}"
    return f"{value:.4g}s"
