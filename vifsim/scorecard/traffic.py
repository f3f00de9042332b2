"""The traffic of a run, arranged so that a rule finds what it asks for.

The house rule: everything is indexed once, in one pass; a rule looks up, it never searches.

Source: scorecard, "Definitions" (docs/scorecard.md).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vifsim.scorecard.attempts import read_attempts, rules_by_id
from vifsim.scorecard.chains import GONE_SLACK, SLACK, Chain, Lives, chains_of, slack_after

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vifsim.scenario.rule import Rule
    from vifsim.scorecard.attempts import Attempt, Run

THRESHOLDS: Mapping[str, float] = {
    "max_attempts": 10.0,
    "timeout_max": 60.0,
    "reasonable": 5.0,
    "deadline": 300.0,
    "amplification": 8.0,
    "window": 120.0,
    "polls_per_minute": 25.0,
}
"""Where the rules draw their lines. Source: scorecard, "Output" (docs/scorecard.md)."""

ATTACH = "create_virtual_interface"
DETACH = "delete_virtual_interface"
LIST = "list_virtual_interfaces"
_SERVER_READS = frozenset({LIST, "get_server", "list_addresses"})
_ALL_READS = frozenset({"list_servers", "list_servers_detail"})
_KILLED = 0.5
_CANCELLED = 0.25
_RACE = 0.05
_START = 1.0
"""Seconds within which clients that work side by side are taken to have begun."""

_WATCHDOG = 124
"""From this exit code on somebody else ended the client: timeout(1), or a signal by way of a shell.
"""


class Index:
    """Attempts in the order of their arrival, found by time."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []
        self._times: list[float] = []

    def add(self, attempt: Attempt) -> None:
        """Add one that arrived last."""
        self.attempts.append(attempt)
        self._times.append(attempt.arrived)

    def since(self, moment: float) -> Iterator[Attempt]:
        """Yield those that arrived at a moment or later."""
        for index in range(bisect_left(self._times, moment), len(self.attempts)):
            yield self.attempts[index]

    def after(self, x: Attempt, until: float = math.inf) -> Iterator[Attempt]:
        """Yield those that came after the end of an attempt and before `until`.

        A quick client's calls are closer together than stamps are exact: what was asked before the
        attempt is left out by its number.
        """
        for attempt in self.between(x.ended - slack_after(x), until):
            if attempt.seq > x.seq:
                yield attempt

    def between(self, start: float, end: float) -> Iterator[Attempt]:
        """Yield those that arrived from `start` on and before `end`."""
        for attempt in self.since(start):
            if attempt.arrived >= end:
                return
            yield attempt


class Traffic:
    """A run as the rules see it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rules: dict[str, Rule] = rules_by_id(run)
        self.attempts = read_attempts(run, self.rules)
        self.asked = [a for a in self.attempts if a.operation != "authenticate"]
        self.logins = [a for a in self.attempts if a.operation == "authenticate"]
        self.tolerance = run.tolerance

    # ── settings ──

    def threshold(self, name: str) -> float:
        """Return a threshold: the scenario's, else the usual one."""
        return float(self.run.scenario.expect.thresholds.get(name, THRESHOLDS[name]))

    def rule_of(self, attempt: Attempt) -> Rule | None:
        """Return the rule that decided an attempt, None where it is not known."""
        return self.rules.get(attempt.by or "")

    # ── the client's end ──

    @property
    def _client(self) -> Mapping[str, Any]:
        return self.run.client or {}

    @property
    def exit_code(self) -> int | None:
        """What the client exited with, None where nobody knows or it was ended."""
        code = self._client.get("exit_code")
        return None if code is None else int(code)

    @property
    def killed(self) -> bool:
        """Whether somebody ended the client."""
        return self._client.get("ended") in {"time_limit", "signal"}

    @cached_property
    def end(self) -> float:
        """When the client ended, in its own seconds; the last sign of it where nobody knows."""
        last = max((a.ended for a in self.attempts), default=0.0)
        at = self._client.get("at")
        if at is None or self.run.clock == "manual":
            return last
        return float(at) * self.run.simulated_second

    @cached_property
    def still_running(self) -> bool:
        """Whether calls are under way, so that what is missing may still come."""
        return self.run.client is None and any(not a.done for a in self.attempts)

    @property
    def left_open(self) -> bool:
        """Whether what the client would have done next is not known."""
        return self.killed or self.still_running

    def ended_with_client(self, attempt: Attempt) -> bool:
        """Whether an attempt was cut because the client itself ended, as far as can be told.

        A client of one thread that asked something else afterwards, or ended with an error of its
        own, had given up the attempt before.
        """
        gone = attempt.outcome == "client_gone" and self.run.client is not None
        if not gone or attempt.ended < self.end - _KILLED:
            return False
        if attempt.token in self.parallel_tokens:
            return True
        went_on = any(y.token == attempt.token for y in self.everything.after(attempt))
        return not went_on and not self._failed_alone

    def cancelled(self, x: Attempt) -> bool:
        """Whether a call was perhaps given up because of another that ended just before."""
        if x.token not in self.parallel_tokens:
            return False
        around = self.by_token[x.token or ""].between(x.ended - 60.0, x.ended)
        return any(
            y.seq != x.seq
            and y.done
            and x.ended - _CANCELLED <= y.ended <= x.ended + SLACK
            and abs(y.lasted - x.lasted) > _RACE
            for y in around
        )

    @property
    def _failed_alone(self) -> bool:
        """Whether there was one client, by its tokens, and it ended with an error of its own."""
        alone = len(self.by_token) <= 1 + len(self.logins)
        return alone and not self.killed and 0 < (self.exit_code or 0) < _WATCHDOG

    # ── chains and indexes ──

    @cached_property
    def lives(self) -> Lives:
        """When each token was in use."""
        return Lives(self.attempts)

    @cached_property
    def chains(self) -> list[Chain]:
        """The chains, by the arrival of their first attempts."""
        return chains_of(self.attempts, self.threshold("window"))

    @cached_property
    def by_server(self) -> Mapping[str, Index]:
        """The attempts on each server."""
        return _indexed((a.server, a) for a in self.asked if a.server is not None)

    @cached_property
    def by_token(self) -> Mapping[str, Index]:
        """The attempts with each token."""
        return _indexed((a.token, a) for a in self.asked if a.token is not None)

    @cached_property
    def creates(self) -> Mapping[str, Index]:
        """The creates of interfaces on each server."""
        return _indexed((a.server, a) for a in self.asked if a.operation == ATTACH and a.server)

    @cached_property
    def lists(self) -> Mapping[str, Index]:
        """The whole and sound lists of each server's interfaces."""
        return _indexed((a.server, a) for a in self.asked if is_list(a) and a.server)

    @cached_property
    def reads(self) -> Mapping[str, Index]:
        """The whole and sound reads that show the state of each server."""
        return _indexed(
            (a.server, a)
            for a in self.asked
            if a.reads and a.succeeded and a.server and a.operation in _SERVER_READS
        )

    @cached_property
    def wide_reads(self) -> Index:
        """The whole and sound lists of servers."""
        found = Index()
        for attempt in self.asked:
            if attempt.reads and attempt.succeeded and attempt.operation in _ALL_READS:
                found.add(attempt)
        return found

    @cached_property
    def everything(self) -> Index:
        """All attempts but log-ins."""
        found = Index()
        for attempt in self.asked:
            found.add(attempt)
        return found

    @cached_property
    def parallel_servers(self) -> frozenset[str]:
        """The servers on which two calls were ever under way at once."""
        return _overlapped((a.server, a) for a in self.asked if a.server is not None)

    @cached_property
    def parallel_tokens(self) -> frozenset[str]:
        """The tokens with which two calls were ever under way at once."""
        return _overlapped((a.token, a) for a in self.asked if a.token is not None)

    @cached_property
    def left(self) -> Mapping[str, Attempt]:
        """The interfaces that exist at the end, and the create that made each."""
        existing: dict[str, Attempt] = {}
        changing = [a for a in self.asked if a.took_effect is not None]
        for attempt in sorted(changing, key=lambda a: (a.took_effect or 0.0, a.seq)):
            if attempt.operation == ATTACH:
                existing |= dict.fromkeys(attempt.created, attempt)
            for gone in attempt.deleted:
                existing.pop(gone, None)
            if attempt.gone_server is not None:
                existing = {k: a for k, a in existing.items() if a.server != attempt.gone_server}
        return existing

    def reread(self, x: Attempt, y: Attempt) -> list[Attempt]:
        """Return the reads of a server's state between an attempt and the next."""
        index = self.reads.get(x.server or "")
        found = [] if index is None else list(index.after(x, y.arrived))
        return found or list(self.wide_reads.after(x, y.arrived))

    def may_be_first(self, x: Attempt, y: Attempt) -> bool:
        """Whether what looks like the repeat of `x` may be the first try of another actor.

        It may where the connection of `x` is used again later, as its own actor does, and while
        actors that overlap begin.
        """
        if x.conn == y.conn:
            return False
        began = self._first_asked[x.method, x.path, x.digest]
        side_by_side = x.server in self.parallel_servers or x.token in self.parallel_tokens
        return self._last_used[x.conn] > y.arrived or (side_by_side and y.arrived - began <= _START)

    @cached_property
    def _last_used(self) -> Mapping[int, float]:
        return {attempt.conn: attempt.arrived for attempt in self.asked}

    @cached_property
    def _first_asked(self) -> Mapping[tuple[str, str, str | None], float]:
        found: dict[tuple[str, str, str | None], float] = {}
        for x in self.asked:
            found.setdefault((x.method, x.path, x.digest), x.arrived)
        return found

    def same_actor(self, x: Attempt, y: Attempt) -> bool:
        """Whether two attempts with these tokens can be one actor's."""
        return self.lives.hands_over(x, y)


def is_list(attempt: Attempt) -> bool:
    """Return whether an attempt showed its client all interfaces of a server."""
    return attempt.operation == LIST and attempt.reads and attempt.succeeded and not attempt.spoiled


def _indexed(items: Iterable[tuple[str | None, Attempt]]) -> Mapping[str, Index]:
    found: dict[str, Index] = defaultdict(Index)
    for key, attempt in items:
        if key is not None:
            found[key].add(attempt)
    return dict(found)


def _overlapped(items: Iterable[tuple[str | None, Attempt]]) -> frozenset[str]:
    busy: dict[str, float] = {}
    found: set[str] = set()
    for key, attempt in items:
        if key is None:
            continue
        if busy.get(key, -math.inf) > attempt.arrived + SLACK:
            found.add(key)
        end = math.inf if attempt.end is None else attempt.end
        slack = GONE_SLACK if attempt.outcome == "client_gone" else 0.0
        busy[key] = max(busy.get(key, -math.inf), end - slack)
    return frozenset(found)


def seqs(attempts: Sequence[Attempt]) -> list[int]:
    """Return the journal numbers of attempts."""
    return [attempt.seq for attempt in attempts]


def first_fault(attempts: Iterable[Attempt]) -> str | None:
    """Return the first rule that decided any of the attempts."""
    return next((attempt.by for attempt in attempts if attempt.by is not None), None)
