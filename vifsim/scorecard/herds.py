"""R16 and R17: what many calls do to a service together.

The house rule: pairing attempts by order sorts identical actors, so single waits say nothing here;
what survives the sorting is how wide a wave of arrivals is, and how many requests it holds.

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
_WAVES = (2, 3, 4)
_CALM = 3.0
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


def _wave(herd: Sequence[Chain], k: int) -> list[tuple[Attempt, Attempt]]:
    """Return the k-th retries of a herd, each with the attempt before it."""
    return [(c.attempts[k - 1], c.attempts[k]) for c in herd if len(c) > k]


def added_spread(herd: Sequence[Chain], k: int) -> float | None:
    """Return the spread that a herd's own waits added by the k-th retry, as a share of its wait.

    None where fewer than three actors came so far.
    """
    wave = _wave(herd, k)
    if len(wave) < 3:
        return None
    middle = median(wait(x, y) for x, y in wave)
    before = width([chain.first.arrived for chain in herd if len(chain) > k])
    now = width([y.arrived for _, y in wave])
    return math.sqrt(max(0.0, now**2 - before**2)) / max(middle, 1e-9)


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
    waves = [k for k in _WAVES if len(_wave(herd, k)) >= _ACTORS] or [1]
    for k in waves:
        yield from _judged_wave(traffic, herd, k)


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


def _judged_wave(traffic: Traffic, herd: Sequence[Chain], k: int) -> Iterator[Finding]:
    wave = _wave(herd, k)
    if len(wave) < _ACTORS:
        return
    middle = median(wait(x, y) for x, y in wave)
    bin_width = min(max(_BIN_SHARE * middle, _BINS[0]), _BINS[1])
    arrivals = [y.arrived for _, y in wave]
    bins = Counter(math.floor((moment - min(arrivals)) / bin_width) for moment in arrivals)
    share = max(bins.values()) / len(wave)
    added = added_spread(herd, k) or 0.0
    proof = evidence(
        [y.seq for _, y in wave],
        actors=len(wave),
        retry=k,
        median_wait=middle,
        bin=bin_width,
        histogram=[bins.get(index, 0) for index in range(min(max(bins) + 1, 50))],
        share=share,
        added_spread=added,
        load=_load(traffic, arrivals),
        threshold=_LITTLE,
        fault=first_fault(x for x, _ in wave),
    )
    if share > _CROWDED or added < _LITTLE:
        yield failed(
            f"{len(wave)} clients came back together: {share:.0%} of retry {k} within "
            f"{bin_width * 1000:.0f} ms, spread added {added:.0%} of the wait",
            proof,
        )
    else:
        yield passed(f"{len(wave)} clients drew apart by {added:.0%} of their wait", proof)


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
