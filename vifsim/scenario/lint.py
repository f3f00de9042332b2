"""What a sound scenario says that its author can hardly mean.

The house rule: a finding here is a warning, never an error, and none is a guess: each says why it
holds for every client.

Source: scenario format, "Warnings" (docs/scenarios.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vifsim.errors import Problem
from vifsim.model import OPERATIONS
from vifsim.scenario.matching import (
    ON_A_NETWORK,
    ON_A_SERVER,
    flap_is_down,
    has_method,
    operations_of,
    windows_of,
)
from vifsim.scenario.rule import Limit, Stale, Status
from vifsim.scenario.shadow import answers_all_in_its_windows, covers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vifsim.scenario.matching import Span
    from vifsim.scenario.rule import Rule, Scenario, Schedule

    Statuses = Mapping[str, frozenset[int]]


def lint(scenario: Scenario, documented: Statuses) -> list[Problem]:
    """Return what can never fire, never be reached, or never be told by the real service.

    Args:
        scenario: a sound one.
        documented: the statuses that each operation may answer with.
    """
    found: list[Problem] = []
    for rule in scenario.rules:
        found += [_problem(rule, text, hint) for text, hint in _of_rule(rule, scenario, documented)]
    found += _unused_phases(scenario)
    return sorted(found, key=lambda problem: (problem.line or 0, problem.column or 0))


def _problem(rule: Rule, detail: str, hint: str) -> Problem:
    return Problem(
        detail=f"{rule.id}: {detail}",
        at=rule.id,
        line=rule.line or None,
        column=rule.column or None,
        hint=hint,
    )


def _of_rule(rule: Rule, scenario: Scenario, documented: Statuses) -> Iterator[tuple[str, str]]:
    spans = windows_of(rule, scenario.phases)
    never = _why_never(rule, spans)
    if never is not None:
        yield f"can never fire: {never[0]}", never[1]
        return
    wall = _wall(rule, spans, scenario)
    if wall is not None:
        yield (
            f"is never reached: {wall.id} answers every such call in that time",
            "move it up, or limit the other",
        )
    yield from _long_retry_after(rule, spans)
    yield from _undocumented(rule, documented)


# ── what can never fire ──


def _why_never(rule: Rule, spans: Sequence[Span]) -> tuple[str, str] | None:
    schedule = rule.schedule
    if not spans:
        return "its phases and its `between` never hold together", "widen one of them"
    if schedule.chance is not None and max(schedule.chance.start, schedule.chance.end) == 0:
        return "its chance is 0", "give a chance above 0, or leave the rule out"
    if not _some_count_holds(schedule):
        return "no number satisfies all of first, nth, every and after", "drop one of them"
    if schedule.flap is not None and not any(_is_down_within(schedule, span) for span in spans):
        return "its flap is up for as long as it holds", "lengthen the window, or begin it later"
    return _why_no_match(rule)


def _some_count_holds(schedule: Schedule) -> bool:
    after, every = schedule.after or 0, schedule.every or 1
    least = every * (after // every + 1)
    numbers = schedule.nth or (least,)
    most = math.inf if schedule.first is None else schedule.first
    return any(after < number <= most and number % every == 0 for number in numbers)


def _is_down_within(schedule: Schedule, span: Span) -> bool:
    flap = schedule.flap
    if flap is None:
        return True
    start, end = span
    period = flap.up + flap.down
    next_down = start - start % period + flap.up
    return flap_is_down(flap, start) or next_down < end


def _why_no_match(rule: Rule) -> tuple[str, str] | None:
    operations = operations_of(rule)
    match, per = rule.match, rule.schedule.per
    methods = match.methods or ("*",)
    if not any(has_method(name, methods) for name in operations):
        return f"no operation that it names is a {' or '.join(methods)}", "leave `method` out"
    if isinstance(rule.fault, Stale) and not any(has_method(op, ("GET",)) for op in operations):
        return "stale is for gets and lists", "name a list, such as list_virtual_interfaces"
    asks_server = match.servers or per in {"server", "interface"}
    if asks_server and not ON_A_SERVER.intersection(operations):
        return "it asks for a server, and no operation that it names has one", "name another"
    asks_network = match.networks or per == "interface"
    if asks_network and not ON_A_NETWORK.intersection(operations):
        return "it asks for a network, and no operation that it names has one", "name another"
    return None


# ── what is never reached ──


def _wall(rule: Rule, spans: Sequence[Span], scenario: Scenario) -> Rule | None:
    """Return an earlier rule that answers every call of a rule while that holds."""
    for other in scenario.rules:
        if other is rule:
            return None
        if answers_all_in_its_windows(other) and covers(other.match, rule.match):
            theirs = windows_of(other, scenario.phases)
            if all(any(a <= start and end <= b for a, b in theirs) for start, end in spans):
                return other
    return None


def _unused_phases(scenario: Scenario) -> Iterator[Problem]:
    used = {name for rule in scenario.rules for name in rule.schedule.during}
    for phase in scenario.phases:
        if phase.name not in used:
            yield Problem(
                detail=f"no rule is read during the phase {phase.name}",
                at=phase.name,
                hint="give a rule `during`, or leave the phase out",
            )


# ── what the service would not say ──


def _long_retry_after(rule: Rule, spans: Sequence[Span]) -> Iterator[tuple[str, str]]:
    asked = rule.retry_after
    if asked is None or asked.kind not in {"duration", "date"}:
        return
    longest = max(end - start for start, end in spans)
    if rule.schedule.flap is not None:
        longest = min(longest, rule.schedule.flap.down)
    if isinstance(rule.fault, Limit):
        longest = min(longest, rule.fault.window)
    if asked.seconds > longest:
        wait = f"its Retry-After of {asked.seconds:g} s"
        yield f"{wait} is longer than the {longest:g} s that it holds", "write `retry_after: auto`"


def _undocumented(rule: Rule, documented: Statuses) -> Iterator[tuple[str, str]]:
    if not isinstance(rule.fault, Status | Limit):
        return
    status = rule.fault.status
    operations = operations_of(rule)
    strangers = [name for name in operations if status not in documented[name]]
    everything = len(operations) == len(OPERATIONS)
    if strangers and (not everything or len(strangers) == len(operations)):
        names = "any operation" if everything else ", ".join(strangers)
        yield f"{status} is not documented for {names}", "docs/api.md, section 2.1, lists them"
