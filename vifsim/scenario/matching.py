"""Whether a rule has anything to say to a call: its match, what it counts by, and its windows.

The house rule: a look at facts and a time; nothing here counts or decides.

Source: scenario format, "match" and "schedule" (docs/scenarios.md).
"""

from __future__ import annotations

import math
from fnmatch import translate
from functools import lru_cache
from operator import attrgetter
from re import compile as compile_regex
from typing import TYPE_CHECKING

from vifsim.model import OPERATIONS
from vifsim.scenario.rule import ExpireToken, Stale
from vifsim.values import frozen

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from vifsim.exchange import Call, Facts
    from vifsim.scenario.rule import Chance, Fault, Flap, Match, Per, Phase, Rule

    Texts = tuple[str | None, ...]
    Kind = tuple[Texts, ...]

_KINDS_KEPT = 4096
"""Kinds of call whose rules are remembered."""


ON_A_SERVER = frozenset(
    name for name in OPERATIONS if name.endswith(("_virtual_interfaces", "_virtual_interface"))
) | {"get_server", "delete_server", "list_addresses"}
ON_A_NETWORK = frozenset(
    {"get_network", "delete_network", "create_virtual_interface", "delete_virtual_interface"}
)
_METHODS = {"create": "POST", "authenticate": "POST", "delete": "DELETE", "revoke": "DELETE"}
"""The method of an operation by its first word; the others are GET."""


Span = tuple[float, float]
"""A half-open stretch of scenario time, seconds."""

_ALWAYS: Span = (0.0, math.inf)

# ── matching ─────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    return compile_regex(translate(pattern))


def fits(text: str | None, globs: Iterable[str]) -> bool:
    """Return whether any of the globs holds for a text; none does for None."""
    return text is not None and any(_glob(pattern).match(text) for pattern in globs)


def operation_of(call: Call) -> str:
    """Return the name of the call's operation, as rules write it."""
    return call.operation or "unknown"


def _peer_address(call: Call) -> str:
    return call.peer.rpartition(":")[0]


def _agent(call: Call) -> str:
    return call.headers.get("User-Agent", "")


def _network(facts: Facts) -> str | None:
    return facts.call.network or facts.network


def _paths(facts: Facts) -> Texts:
    """Return the path as it came, and without its query."""
    path = facts.call.path
    return path, path.partition("?")[0]


_SIGHTS: Mapping[str, Callable[[Facts], Texts]] = {
    "operation": lambda facts: (operation_of(facts.call),),
    "method": lambda facts: (facts.call.method,),
    "path": _paths,
    "tenant": lambda facts: (facts.call.tenant,),
    "server": lambda facts: (facts.call.server, facts.server_name),
    "network": lambda facts: (_network(facts), facts.network_label),
    "agent": lambda facts: (_agent(facts.call),),
    "address": lambda facts: (_peer_address(facts.call),),
}
"""What a rule can ask about a call, each with the texts of which one must fit."""


def _sight(name: str) -> Callable[[Facts], Texts]:
    kind, _, header = name.partition(" ")
    return _SIGHTS[kind] if not header else lambda facts: (facts.call.headers.get(header),)


_NAMED = frozenset({"server", "network"})
"""What is asked for by name, too."""

_PLAIN: Mapping[str, tuple[str, ...]] = {
    "method": ("method",),
    "path": ("path",),
    "tenant": ("tenant",),
    "server": ("server",),
    "network": ("tenant", "network", "interface"),
}
"""What a call itself says about what a rule can ask; the names follow from it, and the world."""


_IN_CALL_KEYS = frozenset({"tenant", "server"})
"""What can be asked about that a call's key tells, as its ids do: see `call_key`.

The network is not among it: a key does not say whether it holds its id, that of an interface, or
the digest of a body.
"""


def _ids(names: Iterable[str]) -> Callable[[Call], Hashable]:
    """Return how to see all that a call itself says about what the rules ask."""
    plain = [attribute for name in names for attribute in _PLAIN.get(name, ())]
    ways: list[Callable[[Call], Hashable]] = [attrgetter(*plain)] if plain else []
    ways += [_heard(name) for name in names if name not in _PLAIN]
    if not ways:
        return lambda _: ()
    return ways[0] if len(ways) == 1 else lambda call: tuple([way(call) for way in ways])


def _heard(name: str) -> Callable[[Call], str | None]:
    """Return how to see what a call's headers or its connection say."""
    if name == "address":
        return _peer_address
    header = "User-Agent" if name == "agent" else name.partition(" ")[2]
    return lambda call: call.headers.get(header)


@frozen(kw_only=False)
class Check:
    """One thing that a rule asks: what about, and the globs of which one must fit."""

    name: str
    globs: tuple[str, ...]
    texts: Callable[[Facts], Texts]

    def holds(self, facts: Facts) -> bool:
        """Return whether the call is as asked."""
        return any(fits(text, self.globs) for text in self.texts(facts))

    def failure(self, facts: Facts) -> str:
        """Return what was found instead of what was asked for."""
        found = list(dict.fromkeys(text for text in self.texts(facts) if text))
        asked = ", ".join(self.globs)
        if not found:
            return f"the call has no {self.name}, the rule asks for {asked}"
        if self.name in _NAMED and len(found) > 1:
            told = f"{found[1]} ({found[0]})"
        else:
            told = " or ".join(found)
        return f"{self.name} is {told}, the rule asks for {asked}"


def checks_of(match: Match) -> tuple[Check, ...]:
    """Return what a match asks, in the order in which it is told."""
    asked = {
        "operation": match.operations,
        "method": match.methods,
        "path": match.paths,
        "tenant": match.tenants,
        "server": match.servers,
        "network": match.networks,
        "agent": match.agents,
        "address": match.addresses,
        **{f"header {name}": (glob,) for name, glob in match.headers},
    }
    return tuple(Check(name, globs, _sight(name)) for name, globs in asked.items() if globs)


def operations_of(rule: Rule) -> tuple[str, ...]:
    """Return the operations that a rule matches."""
    globs = rule.match.operations
    return tuple(name for name in OPERATIONS if not globs or fits(name, globs))


def method_of(operation: str) -> str:
    """Return the method of an operation; HEAD goes wherever GET does."""
    return _METHODS.get(operation.partition("_")[0], "GET")


def has_method(operation: str, globs: Sequence[str]) -> bool:
    """Return whether an operation is asked for by one of these methods."""
    if operation == "unknown":
        return True
    method = method_of(operation)
    return fits(method, globs) or (method == "GET" and fits("HEAD", globs))


# ── counting ─────────────────────────────────────────────────────────────────────────────────────


def _interface_key(facts: Facts) -> str | None:
    call = facts.call
    network = _network(facts) or call.interface
    return f"{call.server}|{network}" if call.server and network else None


_COUNT_KEYS: Mapping[Per, Callable[[Facts], str | None]] = {
    "rule": lambda _: "",
    "user": lambda facts: facts.call.user,
    "tenant": lambda facts: facts.call.tenant,
    "token": lambda facts: facts.call.token_id,
    "client": lambda facts: f"{_peer_address(facts.call)}|{_agent(facts.call)}",
    "server": lambda facts: facts.call.server,
    "interface": _interface_key,
}


def count_key(rule: Rule, facts: Facts) -> str | None:
    """Return what this call counts under, or None where the call has no such thing."""
    return _COUNT_KEYS[rule.schedule.per](facts)


def _has_a_point(fault: Fault, call: Call) -> bool:
    """Return whether a fault can do anything to a call."""
    if isinstance(fault, Stale):
        return call.method in {"GET", "HEAD"}
    return not isinstance(fault, ExpireToken) or call.token_id is not None


# ── windows ──────────────────────────────────────────────────────────────────────────────────────


def flap_is_down(flap: Flap, t: float) -> bool:
    """Return whether a square wave is down at scenario time `t`."""
    return t % (flap.up + flap.down) >= flap.up


def flap_end(flap: Flap, t: float) -> float:
    """Return when the down stretch that holds at `t` ends."""
    period = flap.up + flap.down
    return t - t % period + period


def _phases_end(phases: Sequence[Phase], t: float) -> float | None:
    """Return when the phases that hold at `t`, and those that take over, are all over."""
    end: float | None = None
    for phase in sorted(phases, key=lambda phase: phase.start):
        if phase.start <= (t if end is None else end) and t < phase.end:
            end = phase.end if end is None else max(end, phase.end)
    return end


def windows_of(rule: Rule, phases: Iterable[Phase]) -> list[Span]:
    """Return the stretches of scenario time in which a rule holds, in their order."""
    schedule = rule.schedule
    spans = [(phase.start, phase.end) for phase in phases if phase.name in schedule.during]
    between = schedule.between or _ALWAYS
    cut = [
        (max(start, between[0]), min(end, between[1]))
        for start, end in (spans if schedule.during else [_ALWAYS])
    ]
    return sorted(span for span in cut if span[0] < span[1])


@frozen(kw_only=False)
class CompiledRule:
    """A rule made ready: what it asks, its phases looked up, and whether its calls are counted."""

    rule: Rule
    checks: tuple[Check, ...]
    phases: tuple[Phase, ...]
    counts: bool

    def count_key(self, facts: Facts) -> str | None:
        """Return what a call that matches counts under, or None where the rule skips it."""
        rule = self.rule
        return count_key(rule, facts) if _has_a_point(rule.fault, facts.call) else None

    def failure(self, facts: Facts) -> str | None:
        """Return why the rule has nothing to say to a call, or None where it has."""
        for check in self.checks:
            if not check.holds(facts):
                return check.failure(facts)
        if count_key(self.rule, facts) is None:
            return f"the rule counts per {self.rule.schedule.per}, and the call has none"
        if not _has_a_point(self.rule.fault, facts.call):
            return f"{self.rule.fault.key} has no meaning for this call"
        return None

    def window_end(self, t: float) -> float | None:
        """Return when the window that holds at `t` ends, inf where there is none; None: outside."""
        end = _phases_end(self.phases, t) if self.phases else math.inf
        between = self.rule.schedule.between
        if end is None or between is None:
            return end
        return min(end, between[1]) if between[0] <= t < between[1] else None

    def chance_at(self, chance: Chance, t: float) -> float:
        """Return the probability at `t`: a straight line across the phase where it moves."""
        if not chance.moves:
            return chance.start
        phase = next(phase for phase in self.phases if phase.start <= t < phase.end)
        share = (t - phase.start) / (phase.end - phase.start)
        return chance.start + (chance.end - chance.start) * share


class Plan:
    """What the rules for one operation ask, and what is remembered of its calls.

    Calls of one kind, alike in all that the rules ask about, match the same rules. Where none
    matches, the ids of the call alone are remembered, too: it then need not be asked for the names
    behind them again. A thing that goes takes its name with it, which makes no rule match; a world
    in which an id has another name is for `forget_names`.

    Args:
        rules: that may match the operation, in the order in which they are read.

    Attributes:
        ids: how to see all that a call itself says about what the rules ask.
        untouched: the ids of calls that no rule matches.
        alike: whether a rule matches each call of the operation, whatever its ids.
        by_key: whether a call's key tells all that its ids do.
        free: by which the tally of a call key is marked where its calls are untouched; another
            object once that is forgotten.
    """

    __slots__ = (
        "_by_name",
        "_found",
        "_rules",
        "_sights",
        "alike",
        "asks_names",
        "by_key",
        "free",
        "ids",
        "untouched",
    )

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        names = dict.fromkeys(check.name for item in rules for check in item.checks)
        names.pop("operation", None)
        self._rules = rules
        self._sights = tuple(_sight(name) for name in names)
        self._found: dict[Kind, tuple[CompiledRule, ...]] = {}
        self._by_name = not _NAMED.isdisjoint(names)
        self.asks_names = self._by_name or any(_needs_names(item.rule) for item in rules)
        self.ids = _ids(names)
        self.untouched: set[Hashable] = set()
        self.alike = bool(rules) and not names
        self.by_key = _IN_CALL_KEYS.issuperset(names)
        self.free = object()

    def matching(self, facts: Facts) -> tuple[CompiledRule, ...]:
        """Return the rules that match a call, in their order."""
        kind = tuple([sight(facts) for sight in self._sights])
        found = self._found.get(kind)
        if found is None:
            if len(self._found) >= _KINDS_KEPT:
                self._found.clear()
            found = self._found[kind] = tuple(
                item for item in self._rules if all(check.holds(facts) for check in item.checks)
            )
        if not found and (facts.named or not self._by_name):
            self._leave_alone(facts.call)
        return found

    def _leave_alone(self, call: Call) -> None:
        if len(self.untouched) >= _KINDS_KEPT:
            self.forget()
        self.untouched.add(self.ids(call))

    def forget_names(self) -> None:
        """Forget what names were behind the ids."""
        if self._by_name:
            self.forget()

    def forget(self) -> None:
        """Forget which calls no rule matches."""
        self.untouched.clear()
        self.free = object()


class Matcher:
    """Finds the rules that match a call.

    Args:
        rules: in the order in which they are read.
    """

    def __init__(self, rules: Sequence[CompiledRule]) -> None:
        self._rules = rules
        self._plans: dict[str | None, Plan] = {}

    def plan(self, operation: str | None) -> Plan:
        """Return what there is to know about the calls of an operation."""
        plan = self._plans.get(operation)
        if plan is None:
            name = operation or "unknown"
            plan = self._plans[operation] = Plan(
                [
                    item
                    for item in self._rules
                    if not item.rule.match.operations or fits(name, item.rule.match.operations)
                ]
            )
        return plan

    def matching(self, facts: Facts) -> tuple[CompiledRule, ...]:
        """Return the rules that match a call, in their order."""
        return self.plan(facts.call.operation).matching(facts)

    def asks_names(self, operation: str | None) -> bool:
        """Return whether a rule for an operation wants the names behind a call's ids."""
        return self.plan(operation).asks_names

    def forget_names(self) -> None:
        """Forget what names were behind the ids: the world is another."""
        for plan in self._plans.values():
            plan.forget_names()


def _needs_names(rule: Rule) -> bool:
    return bool(rule.match.servers or rule.match.networks) or rule.schedule.per == "interface"
