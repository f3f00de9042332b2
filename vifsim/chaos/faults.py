"""The faults that are tried at each call, and schedules made of them.

The house rule: a schedule is a value; each fault of it is one rule of a scenario, which counts the
calls of one operation.

Source: scenario format, "fault: exactly one of" and "at" (docs/scenarios.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from vifsim.model import OPERATIONS
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

At = Literal["before", "after_commit"]

_PUBLIC = frozenset({"list_versions", "get_version", "list_extensions", "authenticate", "unknown"})
_READS = frozenset(name for name in OPERATIONS if name.startswith(("list_", "get_", "validate_")))
_BODILESS = frozenset(name for name in OPERATIONS if name.startswith(("delete_", "revoke_")))
_CHANGES = frozenset(OPERATIONS) - _READS - {"unknown"}
_LISTS = _READS - _PUBLIC - {"get_limits", "list_endpoints", "list_tenants", "validate_token"}


@frozen
class Kind:
    """One kind of fault.

    Attributes:
        name: short, in ids of rules and of tests.
        keys: what the rule says of it.
        words: what becomes of the call, in a story.
        wait: seconds that it costs a client which copes with it.
        placed: whether it may come before or after the effect.
        operations: those that it can befall.
    """

    name: str
    keys: Mapping[str, Any] = field(hash=False)
    words: str
    wait: float = 0.0
    placed: bool = True
    operations: frozenset[str] = frozenset(OPERATIONS) - {"unknown"}

    def places(self, operation: str) -> tuple[At, ...]:
        """Return where it can befall an operation; nowhere if it cannot.

        A call that changes nothing has no effect to be before or after.
        """
        if operation not in self.operations:
            return ()
        return ("before", "after_commit") if self.placed and operation in _CHANGES else ("before",)


_WITH_BODY = frozenset(OPERATIONS) - _BODILESS - {"unknown"}
_WITH_TOKEN = frozenset(OPERATIONS) - _PUBLIC

KINDS: tuple[Kind, ...] = (
    Kind(name="503", keys={"status": 503}, words="is answered 503"),
    Kind(name="500", keys={"status": 500}, words="is answered 500"),
    Kind(name="reset", keys={"reset": True}, words="has its connection reset"),
    Kind(name="close", keys={"close": "before_headers"}, words="is never answered: a close"),
    Kind(
        name="413",
        keys={"status": 413, "retry_after": "1s"},
        words="is answered 413, come back in 1 s",
        wait=1.0,
        placed=False,  # who is told to come back later may believe that nothing was done
    ),
    Kind(
        name="dead-token",
        keys={"expire_token": True},
        words="finds its token dead",
        placed=False,
        operations=_WITH_TOKEN,
    ),
    Kind(
        name="html",
        keys={"status": 502},
        words="is answered 502 with a page of HTML",
    ),
    Kind(
        name="truncated",
        keys={"truncate": "40%"},
        words="is answered with a body that is cut short",
        placed=False,
        operations=_WITH_BODY,
    ),
    Kind(
        name="not-json",
        keys={"corrupt": "not_json"},
        words="is answered with a body that is no JSON",
        placed=False,
        operations=_WITH_BODY,
    ),
    Kind(
        name="stale",
        keys={"stale": "2s"},
        words="shows what was there 2 s ago",
        wait=2.0,
        placed=False,
        operations=_LISTS,
    ),
    Kind(
        name="keepalive-cut",
        keys={"keepalive_cut": True},
        words="is answered, and then its connection closes in silence",
        placed=False,
    ),
    Kind(name="slow", keys={"latency": "2s"}, words="is answered 2 s late", wait=2.0),
    Kind(
        name="hang",
        keys={"hang": "forever"},
        words="is never answered: silence",
        wait=math.inf,
    ),
)
"""The kinds that are tried, the simplest first."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Site:
    """The `nth` call of an operation, counted from 1."""

    operation: str
    nth: int


@frozen
class Fault:
    """A kind of fault that befalls one call, once."""

    site: Site
    kind: Kind
    at: At = "before"

    @property
    def id(self) -> str:
        """A short name for rules and tests: `create-virtual-interface-1-503-after-commit`."""
        where = f"-{self.at}" if self.at != "before" else ""
        return f"{self.site.operation}-{self.site.nth}-{self.kind.name}{where}".replace("_", "-")

    def rule(self) -> dict[str, Any]:
        """Return it as a rule of a scenario."""
        rule = {"name": self.id, "match": self.site.operation, "nth": self.site.nth}
        if self.at != "before":
            rule["at"] = self.at
        return {**rule, **self.kind.keys}

    def __str__(self) -> str:
        """Say what befalls which call."""
        effect = "takes effect, but " if self.at == "after_commit" else ""
        return f"the {ordinal(self.site.nth)} {self.site.operation} {effect}{self.kind.words}"


Schedule = tuple[Fault, ...]


def ordinal(number: int) -> str:
    """Return a number as in "the 2nd call"."""
    if number % 100 in {11, 12, 13}:
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def faults_at(site: Site, kinds: Iterable[Kind] = KINDS) -> list[Fault]:
    """Return every fault that can befall a call, the simplest first."""
    return [
        Fault(site=site, kind=kind, at=at) for kind in kinds for at in kind.places(site.operation)
    ]


def schedule_of(*faults: Fault) -> Schedule:
    """Return faults as a schedule, in an order that does not depend on how they were found."""
    return tuple(sorted(faults, key=lambda fault: (fault.site, fault.id)))


def is_survivable(schedule: Schedule, time_limit: float) -> bool:
    """Return whether a client that copes ends well: the waits are under a quarter of its time."""
    return sum(fault.kind.wait for fault in schedule) < time_limit / 4


def scenario_of(schedule: Schedule, *, name: str, seed: int, keeps: int) -> dict[str, Any]:
    """Return a schedule as a scenario, one rule for each fault.

    A rule that is not reached does not count, so those of later calls are read first.
    """
    ordered = sorted(schedule, key=lambda fault: fault.site.nth, reverse=True)
    return {
        "version": 1,
        "name": name,
        "seed": seed,
        "hold": "20ms",
        "client": {"keeps": keeps},
        "rules": [fault.rule() for fault in ordered],
    }
