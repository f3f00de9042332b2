"""Whether a rule has anything to say to a call: its match, what it counts by, and its windows.

The house rule: a look at facts and a time; nothing here counts or decides.

Source: scenario format, "match" and "schedule" (docs/scenarios.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from re import compile as compile_regex
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Iterable, Sequence

    from vifsim.exchange import Call, Facts
    from vifsim.scenario.rule import Chance, Flap, Phase, Rule


# ── matching ─────────────────────────────────────────────────────────────────────────────────────


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    return compile_regex(translate(pattern))


def fits(text: str | None, globs: Iterable[str]) -> bool:
    """Return whether any of the globs holds for a text; none does for None."""
    return text is not None and any(_glob(pattern).match(text) for pattern in globs)


def _anyfits(texts: Iterable[str | None], globs: Sequence[str]) -> bool:
    return any(fits(text, globs) for text in texts)


def operation_of(call: Call) -> str:
    """Return the name of the call's operation, as rules write it."""
    return call.operation or "unknown"


def _peer_address(call: Call) -> str:
    return call.peer.rpartition(":")[0]


def _agent(call: Call) -> str:
    return call.headers.get("User-Agent", "")


def _paths(call: Call) -> tuple[str, str]:
    """Return the path as it came, and without its query."""
    return call.path, call.path.partition("?")[0]


def _servers(facts: Facts) -> tuple[str | None, ...]:
    return facts.call.server, facts.server_name


def _networks(facts: Facts) -> tuple[str | None, ...]:
    return facts.call.network or facts.network, facts.network_label


Check = tuple[str, "Callable[[Facts], bool]", "Callable[[Facts], object]", tuple[str, ...]]
"""A name for the detail, the test, what was found, and the globs asked for."""


def checks_of(rule: Rule) -> list[Check]:
    """Return the tests of a rule's match, but for the operation, which the index knows."""
    match = rule.match
    found: list[Check] = []

    def add(
        name: str, globs: tuple[str, ...], of: Callable[[Facts], tuple[str | None, ...]]
    ) -> None:
        if globs:
            found.append(
                (
                    name,
                    lambda facts: _anyfits(of(facts), globs),
                    lambda facts: " or ".join(str(text) for text in of(facts) if text) or None,
                    globs,
                )
            )

    add("method", match.methods, lambda facts: (facts.call.method,))
    add("path", match.paths, lambda facts: _paths(facts.call))
    add("tenant", match.tenants, lambda facts: (facts.call.tenant,))
    add("server", match.servers, _servers)
    add("network", match.networks, _networks)
    add("agent", match.agents, lambda facts: (_agent(facts.call),))
    add("address", match.addresses, lambda facts: (_peer_address(facts.call),))
    for name, pattern in match.headers:
        add(f"header {name}", (pattern,), _header(name))
    return found


def _header(name: str) -> Callable[[Facts], tuple[str | None, ...]]:
    return lambda facts: (facts.call.headers.get(name),)


def count_key(rule: Rule, facts: Facts) -> str | None:
    """Return what this call counts under, or None where the call has no such thing."""
    call = facts.call
    network = call.network or facts.network or call.interface
    keys: dict[str, str | None] = {
        "rule": "",
        "user": call.user,
        "tenant": call.tenant,
        "token": call.token_id,
        "client": f"{_peer_address(call)}|{_agent(call)}",
        "server": call.server,
        "interface": f"{call.server}|{network}" if call.server and network else None,
    }
    return keys[rule.schedule.per]


# ── windows ──────────────────────────────────────────────────────────────────────────────────────


def flap_is_down(flap: Flap, t: float) -> bool:
    """Return whether a square wave is down at scenario time `t`."""
    return t % (flap.up + flap.down) >= flap.up


def flap_end(flap: Flap, t: float) -> float:
    """Return when the down stretch that holds at `t` ends."""
    period = flap.up + flap.down
    return t - t % period + period


@dataclass(slots=True)
class CompiledRule:
    """A rule made ready: its tests in order, and its phases looked up."""

    rule: Rule
    checks: list[Check]
    phases: tuple[Phase, ...]

    def window_end(self, t: float) -> float | None:
        """Return when the window that holds at `t` ends, inf where there is none; None: outside."""
        ends = [math.inf]
        if self.phases:
            open_now = [phase.end for phase in self.phases if phase.start <= t < phase.end]
            if not open_now:
                return None
            ends.append(max(open_now))
        between = self.rule.schedule.between
        if between is not None:
            if not between[0] <= t < between[1]:
                return None
            ends.append(between[1])
        return min(ends)

    def chance_at(self, chance: Chance, t: float) -> float:
        """Return the probability at `t`: a straight line across the phase where it moves."""
        if not chance.moves:
            return chance.start
        phase = next(phase for phase in self.phases if phase.start <= t < phase.end)
        if math.isinf(phase.end):
            return chance.start
        share = (t - phase.start) / (phase.end - phase.start)
        return chance.start + (chance.end - chance.start) * share
