"""Chains: which attempts belong to one intent, without the client's help.

The house rule: a chain is a guess, and says where it is one. What could have been another client's
attempt is marked, so that no rule condemns one client for what two did.

Source: scorecard, "Chains" (docs/scorecard.md).
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections import defaultdict
from itertools import islice, pairwise
from statistics import median
from typing import TYPE_CHECKING

from vifsim.scorecard.attempts import key_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vifsim.scorecard.attempts import Attempt

SLACK = 0.002
"""Seconds by which the stamps of two connections may be out of order."""

GONE_SLACK = 0.05
"""The same for a client that left: its new request may be read before the old one's end is seen."""

IMMEDIATE = 0.05
"""A wait below this, seconds, is no wait."""

_MOST_CANDIDATES = 64
_MOST_TOKENS = 32
_BURST = 5
_EVEN = 0.2
_APART = 5.0
_SAME_PACE = 0.2

Key = tuple[str | None, str | None, str, str]


class Chain:
    """The attempts of one intent, in their order.

    Attributes:
        attempts: at least one.
        overlapping: it began while a twin was unanswered: another actor, or a hedge.
        unclear: its attempts may be those of several actors.
        polling: it is a poll that goes on at its own pace, whatever the answers.
        may_return: for the `seq` of an attempt that could have continued several chains, the
            earliest and the latest moment at which one of them was allowed to come back.
    """

    __slots__ = ("attempts", "key", "may_return", "overlapping", "polling", "unclear")

    def __init__(self, key: Key, first: Attempt, *, overlapping: bool = False) -> None:
        self.key = key
        self.attempts = [first]
        self.overlapping = overlapping
        self.unclear = False
        self.polling = False
        self.may_return: dict[int, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self.attempts)

    @property
    def first(self) -> Attempt:
        """The first attempt."""
        return self.attempts[0]

    @property
    def last(self) -> Attempt:
        """The last attempt."""
        return self.attempts[-1]

    @property
    def steps(self) -> list[tuple[Attempt, Attempt]]:
        """Each attempt that failed and the one that followed it."""
        return list(pairwise(self.attempts))

    @property
    def own_steps(self) -> list[tuple[Attempt, Attempt]]:
        """The steps without those that an HTTP library takes by itself."""
        return [(x, y) for x, y in self.steps if not is_resend(x, y)]

    @property
    def failures(self) -> int:
        """How many attempts failed, a library's own resends not counted."""
        resent = {x.seq for x, y in self.steps if is_resend(x, y)}
        return sum(attempt.failed and attempt.seq not in resent for attempt in self.attempts)


def wait(x: Attempt, y: Attempt) -> float:
    """Return the seconds between the end of an attempt and the arrival of the next one."""
    return max(0.0, y.arrived - x.ended)


def is_resend(x: Attempt, y: Attempt) -> bool:
    """Return whether an HTTP library sent a request again by itself.

    Several libraries repeat an idempotent request at once, on a new connection, when a connection
    that was kept dies under it; the client's own code learns nothing of it.
    """
    return (
        x.kept
        and x.outcome == "server_cut"
        and x.status is None
        and x.method in {"GET", "HEAD", "PUT", "DELETE"}
        and x.conn != y.conn
        and wait(x, y) < IMMEDIATE
    )


def retry_waits(chain: Chain) -> list[float]:
    """Return the waits that the client chose itself: after transient failures, none told it."""
    return [wait(x, y) for x, y in chain.own_steps if x.transient and x.retry_after is None]


def without_leading_immediate(waits: Sequence[float]) -> list[float]:
    """Return waits without an immediate first one, which is good practice."""
    return list(waits[1:] if waits and waits[0] < IMMEDIATE else waits)


class Lives:
    """When each token is first and last seen, so that one token can hand over to another.

    Args:
        attempts: log-ins included, in the order of their arrival.
    """

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self.first: dict[str | None, float] = {}
        self.last: dict[str | None, float] = {}
        self._logins: list[float] = []
        for attempt in attempts:
            if attempt.operation == "authenticate":
                self._logins.append(attempt.arrived)
                continue
            self.first.setdefault(attempt.token, attempt.arrived)
            self.last[attempt.token] = attempt.arrived

    def hands_over(self, before: Attempt, after: Attempt) -> bool:
        """Return whether a request with one token can be the same actor's as one with another.

        It can where the first token was refused, or was never used again after a log-in.
        """
        if before.token == after.token or 401 in {before.status, after.status}:
            return True
        used_up = self.last[before.token] < after.arrived
        fresh = self.first[after.token] >= before.ended - SLACK
        return used_up and fresh and self._logged_in(before.arrived, after.arrived)

    def _logged_in(self, start: float, end: float) -> bool:
        index = bisect_left(self._logins, start)
        return index < len(self._logins) and self._logins[index] <= end


class _Waiting:
    """The chains of one key that failed and may be continued, by token, earliest failure first."""

    __slots__ = ("busy_until", "chains", "heaps", "rank")

    def __init__(self) -> None:
        self.heaps: dict[str | None, list[tuple[float, int, Chain]]] = {}
        self.chains: list[Chain] = []
        self.busy_until = -math.inf
        self.rank = 0

    def put(self, chain: Chain) -> None:
        self.rank += 1
        heap = self.heaps.pop(chain.last.token, [])
        self.heaps[chain.last.token] = heap  # the tokens of the latest failures stand last
        heapq.heappush(heap, (chain.last.ended, self.rank, chain))

    def take(self, attempt: Attempt, window: float, lives: Lives) -> Chain | None:
        """Take the chain that an attempt continues: of those it can, the one that failed first."""
        for token in self._tokens(attempt):
            heap = self.heaps.get(token, [])
            while heap and _over(heap[0][2].last, attempt, window):
                heapq.heappop(heap)
            if heap and _can_follow(heap[0][2].last, attempt, lives):
                chain = heapq.heappop(heap)[2]
                _note_candidates(chain, attempt, heap)
                return chain
            if not heap:
                self.heaps.pop(token, None)
        return None

    def _tokens(self, attempt: Attempt) -> list[str | None]:
        """Return the attempt's own token, then the latest others that it may be the heir of."""
        latest = islice(reversed(self.heaps), _MOST_TOKENS)
        return [attempt.token, *(token for token in latest if token != attempt.token)]


def _over(last: Attempt, attempt: Attempt, window: float) -> bool:
    return attempt.arrived - last.ended > max(window, (last.retry_after or 0.0) + 60.0)


def slack_after(x: Attempt) -> float:
    """Return by how much the stamp of an attempt's end may be behind the client's next call."""
    return GONE_SLACK if x.outcome == "client_gone" else SLACK


def _can_follow(last: Attempt, attempt: Attempt, lives: Lives) -> bool:
    late = last.ended > attempt.arrived + slack_after(last)
    return not late and lives.hands_over(last, attempt)


def _returns(last: Attempt) -> float:
    return last.ended + max(0.0, last.retry_after or 0.0)


def _note_candidates(
    chain: Chain, attempt: Attempt, others: list[tuple[float, int, Chain]]
) -> None:
    """Note when the chain that was chosen, and those that might have been, could come back."""
    open_others = [item[2].last for item in others[:_MOST_CANDIDATES]]
    open_others = [last for last in open_others if last.ended <= attempt.arrived + SLACK]
    if not open_others:
        return
    moments = [_returns(last) for last in (chain.last, *open_others)]
    earliest = -math.inf if len(others) > _MOST_CANDIDATES else min(moments)
    chain.may_return[attempt.seq] = (earliest, max(moments))


class Joiner:
    """Joins attempts into chains, in the order of their arrival.

    Args:
        window: seconds within which an attempt continues a chain that failed.
        lives: of the tokens.
    """

    def __init__(self, window: float, lives: Lives) -> None:
        self._window = window
        self._lives = lives
        self._waiting: dict[Key, dict[str | None, _Waiting]] = defaultdict(dict)
        self.chains: list[Chain] = []

    def add(self, attempt: Attempt) -> None:
        """Put an attempt into the chain that it continues, or into a new one."""
        key = (attempt.op, attempt.tenant, attempt.method, key_path(attempt.path))
        by_digest = self._waiting[key]
        own = by_digest.setdefault(attempt.digest, _Waiting())
        chain = self._continued(attempt, own, by_digest)
        if chain is None:
            overlapping = own.busy_until > attempt.arrived + SLACK
            chain = Chain(key, attempt, overlapping=overlapping)
            self.chains.append(chain)
            own.chains.append(chain)
        else:
            chain.attempts.append(attempt)
        own.busy_until = max(own.busy_until, _free_at(attempt))
        if attempt.failed:
            own.put(chain)

    def _continued(
        self, attempt: Attempt, own: _Waiting, by_digest: dict[str | None, _Waiting]
    ) -> Chain | None:
        """Return the chain that an attempt continues.

        The body of a request with a dead token is never read: such a request goes with any body.
        """
        places = [own]
        if attempt.digest is None and attempt.status == 401:
            places += [place for place in by_digest.values() if place is not own]
        elif attempt.digest is not None and None in by_digest:
            places.append(by_digest[None])
        for place in places:
            taken = place.take(attempt, self._window, self._lives)
            if taken is not None:
                return taken
        return None

    def groups(self) -> Iterable[list[Chain]]:
        """Yield the chains of each key and body."""
        for by_digest in self._waiting.values():
            for place in by_digest.values():
                if place.chains:
                    yield place.chains


def _free_at(attempt: Attempt) -> float:
    """Return until when a twin of an attempt would overlap it."""
    if attempt.end is None:
        return math.inf
    return attempt.end - (GONE_SLACK if attempt.outcome == "client_gone" else 0.0)


def chains_of(attempts: Sequence[Attempt], window: float) -> list[Chain]:
    """Return the chains of a run's attempts, log-ins left out.

    Args:
        attempts: in the order of their arrival.
        window: seconds within which an attempt continues a chain that failed, or the told wait
            and a minute where that is longer.
    """
    asked = [attempt for attempt in attempts if attempt.operation != "authenticate"]
    joiner = Joiner(window, Lives(attempts))
    for attempt in asked:
        joiner.add(attempt)
    early = _opened_early(asked)
    found: list[Chain] = []
    for group in joiner.groups():
        split = _split_bursts(group)
        _mark_unclear(split, early)
        _mark_polling(split)
        found += split
    found.sort(key=lambda chain: (chain.first.arrived, chain.first.seq))
    return found


# ── several actors in one chain ──────────────────────────────────────────────────────────────────


def _split_bursts(group: list[Chain]) -> list[Chain]:
    """Split a chain that is several actors in lock step, by the rank within each burst."""
    found: list[Chain] = []
    for chain in group:
        bursts = bursts_of(chain.attempts)
        if not bursts:
            found.append(chain)
            continue
        actors: list[Chain] = []
        for burst in bursts:
            for rank, attempt in enumerate(burst):
                if rank < len(actors):
                    actors[rank].attempts.append(attempt)
                else:
                    actors.append(Chain(chain.key, attempt, overlapping=rank > 0))
        found += actors
    return found


def bursts_of(attempts: Sequence[Attempt]) -> list[list[Attempt]]:
    """Return the bursts of several actors in lock step, or none.

    One client never has two connections for one attempt, so a burst whose requests share a
    connection is one client that hurries, not several.
    """
    if len(attempts) < 2 * _BURST:
        return []
    gaps = [later.arrived - earlier.arrived for earlier, later in pairwise(attempts)]
    inner = median(gaps)
    bursts = [[attempts[0]]]
    inside = [0.0]
    between: list[float] = []
    for attempt, gap in zip(attempts[1:], gaps, strict=True):
        if gap > max(_APART * inner, IMMEDIATE):
            between.append(gap)
            bursts.append([attempt])
        else:
            inside.append(gap)
            bursts[-1].append(attempt)
    if not between or min(between) <= _APART * max(inside) or not _even(bursts):
        return []
    apart = all(len({attempt.conn for attempt in burst}) == len(burst) for burst in bursts)
    return bursts if apart and _crowded(bursts) else []


def _crowded(bursts: Sequence[Sequence[Attempt]]) -> bool:
    """Return whether the connections of each burst were open at once, or nobody knows.

    A client that makes a connection for each call has as many as a crowd, one after another, and a
    pause of the machine makes two bursts of what it sends.
    """
    lives = _seen_lives([attempt for burst in bursts for attempt in burst])
    if lives is None:
        return True
    return all(
        2 * _peak((lives[attempt.conn] for attempt in burst), slack=0.0) >= len(burst)
        for burst in bursts
    )


def _even(bursts: Sequence[Sequence[Attempt]]) -> bool:
    sizes = [len(burst) for burst in bursts]
    middle = median(sizes)
    return min(sizes) >= _BURST and all(abs(size - middle) <= _EVEN * middle for size in sizes)


def _mark_unclear(group: list[Chain], early: frozenset[int]) -> None:
    """Mark the chains of a key on which more connections were open than chains."""
    if all(len(chain) == 1 for chain in group):
        return
    spans = [(chain.first.arrived, chain.last.ended) for chain in group]
    alone = not any(chain.overlapping for chain in group)
    waiting = alone and any(
        attempt.conn in early for chain in group for attempt in chain.attempts if len(chain) > 1
    )
    if waiting or _connections_at_once(group) > _peak(spans):
        for chain in group:
            chain.unclear = True


def _opened_early(attempts: Sequence[Attempt]) -> frozenset[int]:
    """Return the connections that were open, and not yet used, while a later one was used."""
    seen: set[int] = set()
    early: set[int] = set()
    newest = 0
    for attempt in attempts:
        if attempt.conn not in seen and attempt.conn < newest:
            early.add(attempt.conn)
        seen.add(attempt.conn)
        newest = max(newest, attempt.conn)
    return frozenset(early)


def _connections_at_once(group: list[Chain]) -> int:
    """Return how many connections of a key were open at once, as far as that can be told."""
    attempts = [attempt for chain in group for attempt in chain.attempts]
    seen = _seen_lives(attempts)
    if seen is not None:
        return _peak(seen.values(), slack=0.0)
    lives: dict[int, tuple[float, float]] = {}
    for attempt in attempts:
        first, last = lives.get(attempt.conn, (attempt.arrived, attempt.ended))
        lives[attempt.conn] = (min(first, attempt.arrived), max(last, attempt.ended))
    return _peak(lives.values())


def _seen_lives(attempts: Iterable[Attempt]) -> dict[int, tuple[float, float]] | None:
    """Return from when each connection was open to the end of the last call on it.

    None where the journal does not say it. One client alone makes its next connection after the
    answer on the last: it is stamped later, however busy the machine is.
    """
    lives: dict[int, tuple[float, float]] = {}
    for attempt in attempts:
        if attempt.connected is None:
            return None
        end = math.inf if attempt.settled is None else attempt.settled
        slack = GONE_SLACK if attempt.outcome == "client_gone" else 0.0
        _, last = lives.get(attempt.conn, (0.0, -math.inf))
        lives[attempt.conn] = (attempt.connected, max(last, end - slack))
    return lives


def _peak(spans: Iterable[tuple[float, float]], *, slack: float = SLACK) -> int:
    """Return how many spans, start and end, hold at once at most; 1 where none lasts."""
    edges = sorted(
        edge
        for start, end in spans
        if end > start + slack
        for edge in ((start + slack, 1), (end, -1))
    )
    height = most = 0
    for _, step in edges:
        height += step
        most = max(most, height)
    return max(1, most)


# ── polling ──────────────────────────────────────────────────────────────────────────────────────


def _mark_polling(group: list[Chain]) -> None:
    """Mark the chains of a key that is asked at one pace, whether it answers well or not."""
    if group[0].first.method not in {"GET", "HEAD"}:
        return
    healthy = [
        later.first.arrived - earlier.last.arrived
        for earlier, later in pairwise(group)
        if earlier.last.succeeded and len(earlier) == 1
    ]
    if len(healthy) < 2:
        return
    pace = median(healthy)
    for chain in group:
        gaps = [y.arrived - x.arrived for x, y in chain.steps]
        chain.polling = not gaps or abs(median(gaps) - pace) <= _SAME_PACE * pace
