"""Which rules can never be reached, because an earlier one answers every call that they match.

The house rule: only what is certain. A rule that merely seems covered is left alone.

Source: scenario format, "Strict" (docs/scenarios.md).
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TYPE_CHECKING

from vifsim.model import OPERATIONS
from vifsim.scenario.rule import Capacity, ExpireToken, Latency, Limit, Schedule, Stale

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vifsim.scenario.rule import Match, Rule

_UNDECIDED = (Latency, Limit, Capacity, ExpireToken, Stale)
"""Faults that let some of the calls that they match go on."""
_MOST_WALLS = 100  # rules that others are compared with, so that thousands of rules load in seconds


def shadowed(rules: Mapping[int, Rule]) -> Iterator[tuple[int, Rule]]:
    """Yield the places of rules that are never reached, each with the rule that answers first.

    Args:
        rules: by their place in the order in which they are read.
    """
    walls: dict[Match, Rule] = {}
    for place in sorted(rules):
        rule = rules[place]
        wall = next((wall for match, wall in walls.items() if covers(match, rule.match)), None)
        if wall is not None:
            yield place, wall
        elif len(walls) < _MOST_WALLS and _always_answers(rule):
            walls[rule.match] = rule


def _always_answers(rule: Rule) -> bool:
    """Return whether a rule answers each call that it matches."""
    return not isinstance(rule.fault, _UNDECIDED) and rule.schedule == Schedule()


def answers_all_in_its_windows(rule: Rule) -> bool:
    """Return whether a rule answers each call that it matches while its windows hold."""
    schedule = rule.schedule
    windows = Schedule(during=schedule.during, between=schedule.between)
    return not isinstance(rule.fault, _UNDECIDED) and schedule == windows


def covers(wide: Match, narrow: Match) -> bool:
    """Return whether it is certain that `wide` matches every call that `narrow` matches."""
    if wide.headers and not set(wide.headers) <= set(narrow.headers):
        return False
    if not _operations(narrow.operations) <= _operations(wide.operations):
        return False
    return all(
        _globs_cover(getattr(wide, field), getattr(narrow, field))
        for field in ("servers", "networks", "tenants", "methods", "paths", "agents", "addresses")
    )


@lru_cache(maxsize=256)
def _operations(globs: tuple[str, ...]) -> frozenset[str]:
    if not globs:
        return frozenset(OPERATIONS)
    return frozenset(name for name in OPERATIONS for glob in globs if fnmatchcase(name, glob))


def _globs_cover(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    if not wide:
        return True
    return bool(narrow) and all(any(_covers(glob, one) for glob in wide) for one in narrow)


def _covers(wide: str, narrow: str) -> bool:
    if wide in {"*", narrow}:
        return True
    literal = not any(character in narrow for character in "*?[")
    return literal and "[" not in wide and fnmatchcase(narrow, wide)
