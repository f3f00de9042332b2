"""R16 and R17: what many calls do to a service together.

The house rule: pairing attempts by order sorts identical actors, so single waits say nothing here;
what survives the sorting is how wide a wave of arrivals is, and how many requests it holds. A busy
machine widens a wave and a pause of it narrows one: both are judged by how late answers were.

Source: scorecard, R16 and R17 (docs/scorecard.md).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from statistics import median, quantiles
from typing import TYPE_CHECKING

from vifsim.scorecard.chains import SLACK, wait
from vifsim.scorecard.findings import evidence, failed, passed, unclear
from vifsim.scorecard.traffic import first_fault
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vifsim.scorecard.attempts import Attempt
    from vifsim.scorecard.chains import Chain
    from vifsim.scorecard.findings import Finding
    from vifsim.scorecard.traffic import Traffic

_ACTORS = 10
_SAME_TIME = 1.0
_BINS = (0.02, 0.2)
_BIN_SHARE = 0.1
_CROWDED = 0.5
_LITTLE = 0.25
_NOISE = 10.0
"""How much wider than answers are late a busy machine makes a wave of clients in lock step.

Measured in 54 waves on two cores, from just busy to with six times as much to do: up to 8.8 times.
"""

_WAVES = (2, 3, 4)
_CALM = 3.0
BUSY = "inconclusive: the machine was too busy to tell whether the clients drew apart by themselves"
_LULL = 30.0
_OUTAGE_SHARE = 0.2
_MANY = 100
_GOOD = 3


def herds_of(traffic: Traffic) -> list[list[Chain]]:
    """Return the chains of each key that were open at once, three or more actors each."""
    by_key: dict[object, list[Chain]] = defaultdict(list)
    for chain in traffic.chains:
        if len(chain) > 1 and not chain.unclear:
            by_key[chain.key, chain.first.digest].append(chain)
    herds: list[list[Chain]] = []
    for chains in by_key.values():
        herd = _together(chains)
        if any(chain.overlapping for chain in herd):
            herds.append(herd)
    return herds


def _together(chains: Sequence[Chain]) -> list[Chain]:
    """Return the most chains whose first failures ended within the same second."""
    ordered = sorted(chains, key=lambda chain: chain.first.ended)
    best: list[Chain] = []
    start = 0
    for stop, chain in enumerate(ordered):
        while chain.first.ended - ordered[start].first.ended > _SAME_TIME:
            start += 1
        if stop + 1 - start > len(best):
            best = ordered[start : stop + 1]
    return best


def width(moments: Sequence[float]) -> float:
    """Return how wide a wave is: from its 10th to its 90th percentile, seconds."""
    if len(moments) < 2:
        return 0.0
    cuts = quantiles(moments, n=10, method="inclusive")
    return cuts[-1] - cuts[0]


@frozen
class Wave:
    """The k-th retries of a herd.

    Attributes:
        retries: each with the attempt before it.
        wait: median wait before them, seconds, never 0.
        spread: how much wider they are than the first attempts were, seconds.
        noise: the spread that a busy machine, or a pause of it, may have made alone, seconds.
        most: the spread that there may have been, had the machine not paused, seconds.
        pause: the longest that the machine paused so far, seconds.
    """

    retry: int
    retries: Sequence[tuple[Attempt, Attempt]]
    wait: float
    spread: float
    noise: float
    most: float
    pause: float

    def __len__(self) -> int:
        return len(self.retries)

    @property
    def added(self) -> float:
        """The spread that the herd's own waits added, as a share of the wait."""
        return self.spread / self.wait

    def drew_apart(self, share: float) -> bool:
        """Return whether the clients surely drew apart by such a share of their wait."""
        return self.added >= share and self.spread > self.noise

    def stayed_together(self, share: float) -> bool:
        """Return whether the clients surely drew apart by less than such a share."""
        return self.most / self.wait < share


def waves_of(herd: Sequence[Chain], retries: Sequence[int], least: int) -> list[Wave]:
    """Return those of a herd's waves in which so many came back at least."""
    noise = _noise(herd)
    known = len({(chain.first.token, chain.first.op) for chain in herd}) == len(herd)
    waves = ([chain for chain in herd if len(chain) > k] for k in retries)
    return [
        _wave(came, k, noise, known=known)
        for k, came in zip(retries, waves, strict=True)
        if len(came) >= least
    ]


def _wave(came: Sequence[Chain], k: int, noise: float, *, known: bool) -> Wave:
    """Return the k-th retries of those that came.

    Where each has a name of its own it is known who came when, counted from its own first failure.
    Else widths are compared, where a small shift of a wide wave looks like a large spread.
    """
    pairs = [(chain.attempts[k - 1], chain.attempts[k]) for chain in came]
    since = [chain.first.ended if known else 0.0 for chain in came]
    before = 0.0 if known else width([chain.first.arrived for chain in came])
    now = width([y.arrived - start for (_, y), start in zip(pairs, since, strict=True)])
    pause = max(_late(x) for chain in came for x in chain.attempts[: k + 1])
    shift = max(noise, pause)
    return Wave(
        retry=k,
        retries=pairs,
        wait=max(median(wait(x, y) for x, y in pairs), 1e-9),
        spread=math.sqrt(max(0.0, now**2 - before**2)),
        noise=math.sqrt((before + shift) ** 2 - before**2),
        most=math.sqrt(max(0.0, (now + pause) ** 2 - before**2)),
        pause=pause,
    )


def _late(x: Attempt) -> float:
    """Return by how much an answer was later than its rule says, seconds."""
    return max(0.0, x.lasted - x.delay) if x.injected and x.completed else 0.0


def noise_of(attempts: Sequence[Attempt]) -> float:
    """Return how far apart a busy machine may have driven calls, seconds.

    It is told by how late the simulator's own answers were: three in four at most.
    """
    late = sorted(_late(x) for x in attempts if x.injected and x.completed)
    return _NOISE * late[len(late) * 3 // 4] if late else 0.0


def _noise(herd: Sequence[Chain]) -> float:
    """Return the noise of a herd's middle wave."""
    waves = [
        [chain.attempts[k] for chain in herd if len(chain) > k]
        for k in range(max(len(chain) for chain in herd))
    ]
    known = [noise_of(wave) for wave in waves if len(wave) >= min(_ACTORS, len(herd))]
    return median(known) if known else 0.0


# ── R16 no_stampede ──────────────────────────────────────────────────────────────────────────────


def no_stampede(traffic: Traffic) -> Iterator[Finding]:
    """Judge R16: whether many clients that failed together come back together."""
    retried = [
        chain
        for chain in traffic.chains
        if len(chain) > 1 and chain.first.transient and not chain.unclear
    ]
    herd = _together(retried)
    if len(herd) < _ACTORS:
        return
    if not _at_once(herd):
        yield unclear("inconclusive: the calls did not overlap, so one actor may have made them")
        return
    if any(x.retry_after is not None for chain in herd for x, _ in chain.steps):
        yield unclear("not exercised: synchronised by Retry-After, which is the server's doing")
        return
    for wave in waves_of(herd, _WAVES, _ACTORS) or waves_of(herd, [1], _ACTORS):
        yield _judged_wave(traffic, wave)


def _at_once(herd: Sequence[Chain]) -> bool:
    """Return whether the herd's calls were under way, or its connections open, at once."""
    tokens = {chain.first.token for chain in herd}
    if len(tokens) >= _ACTORS or sum(chain.overlapping for chain in herd) >= _ACTORS - 1:
        return True
    spans = sorted((chain.first.arrived, chain.first.ended) for chain in herd)
    overlaps, until = 0, -math.inf
    for start, end in spans:
        overlaps += until > start + SLACK
        until = max(until, end)
    return overlaps >= len(herd) // 2


def _judged_wave(traffic: Traffic, wave: Wave) -> Finding:
    bin_width = min(max(_BIN_SHARE * wave.wait, _BINS[0]), _BINS[1])
    arrivals = [y.arrived for _, y in wave.retries]
    bins = Counter(math.floor((moment - min(arrivals)) / bin_width) for moment in arrivals)
    share = max(bins.values()) / len(wave)
    proof = evidence(
        [y.seq for _, y in wave.retries],
        actors=len(wave),
        retry=wave.retry,
        median_wait=wave.wait,
        bin=bin_width,
        histogram=[bins.get(index, 0) for index in range(min(max(bins) + 1, 50))],
        share=share,
        added_spread=wave.added,
        noise=wave.noise / wave.wait,
        load=_load(traffic, arrivals),
        threshold=_LITTLE,
        fault=first_fault(x for x, _ in wave.retries),
    )
    if wave.stayed_together(_LITTLE) or (share > _CROWDED and wave.pause < bin_width):
        return failed(
            f"{len(wave)} clients came back together: {share:.0%} of retry {wave.retry} within "
            f"{bin_width * 1000:.0f} ms, spread added {wave.added:.0%} of the wait",
            proof,
        )
    if wave.drew_apart(_LITTLE) and share <= _CROWDED:
        return passed(f"{len(wave)} clients drew apart by {wave.added:.0%} of their wait", proof)
    return unclear(f"{BUSY}: {wave.added:.0%} of their wait", proof)


def _load(traffic: Traffic, arrivals: Sequence[float]) -> float | None:
    """Return the load of the three seconds after a wave began, against that of the whole run."""
    if not traffic.asked:
        return None
    whole = max(traffic.end - traffic.asked[0].arrived, _CALM)
    began = min(arrivals)
    first = sum(1 for _ in traffic.everything.between(began, began + _CALM))
    return (first / _CALM) / (len(traffic.asked) / whole)


# ── R17 amplification_bounded ────────────────────────────────────────────────────────────────────


def amplification_bounded(traffic: Traffic) -> Iterator[Finding]:
    """Judge R17: how many requests an outage makes of each call."""
    most = traffic.threshold("amplification")
    chains = [chain for chain in traffic.chains if not chain.polling]
    outages = _outages(chains)
    starts = [start for start, _ in outages]
    within: dict[int, dict[int, tuple[Chain, list[Attempt]]]] = defaultdict(dict)
    for chain in chains:
        for attempt in chain.attempts:
            place = bisect_right(starts, attempt.arrived) - 1
            if place >= 0 and attempt.arrived <= outages[place][1]:
                within[place].setdefault(id(chain), (chain, []))[1].append(attempt)
    for place, calls in sorted(within.items()):
        yield from _amplified(list(calls.values()), outages[place], most)


def _outages(chains: Sequence[Chain]) -> list[tuple[float, float]]:
    """Return the stretches from a first transient failure to the last before a lull."""
    moments = sorted(
        (a.arrived, a.ended) for chain in chains for a in chain.attempts if a.transient
    )
    found: list[tuple[float, float]] = []
    for start, end in moments:
        if found and start - found[-1][1] <= _LULL:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def _amplified(
    calls: Sequence[tuple[Chain, list[Attempt]]], outage: tuple[float, float], most: float
) -> Iterator[Finding]:
    requests = [attempt for _, attempts in calls for attempt in attempts]
    refused = sum(attempt.transient for attempt in requests)
    if len(calls) < _ACTORS or refused < _OUTAGE_SHARE * len(requests):
        return
    factor = len(requests) / len(calls)
    proof = evidence(
        sorted(attempt.seq for attempt in requests),
        requests=len(requests),
        chains=len(calls),
        factor=factor,
        threshold=most,
        fault=first_fault(requests),
        **_retry_ratio(calls, outage),
    )
    if any(chain.unclear for chain, _ in calls):
        yield unclear("inconclusive: 1 or more actors share these calls", proof)
    elif factor > most:
        yield failed(f"{len(calls)} calls became {len(requests)} requests in an outage", proof)
    else:
        note = " (more than three attempts each is much)" if factor > _GOOD else ""
        yield passed(f"{factor:.1f} requests for each call in an outage{note}", proof)


def _retry_ratio(
    calls: Sequence[tuple[Chain, list[Attempt]]], outage: tuple[float, float]
) -> dict[str, float]:
    """Return the share of retries in the last two thirds of an outage, where there are enough."""
    late = outage[0] + (outage[1] - outage[0]) / 3
    requests = [(chain, a) for chain, attempts in calls for a in attempts if a.arrived >= late]
    if len(requests) < _MANY:
        return {}
    return {"retry_ratio": sum(a is not chain.first for chain, a in requests) / len(requests)}
