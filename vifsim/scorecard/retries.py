"""R01 to R07 and R18: how a client comes back after a failure, how often, and how long.

The house rule: a wait is measured at the server, so it is never less than the client's own; a rule
that wants "at least" can be strict, a rule that wants "at most" leaves room.

Source: scorecard, "The catalogue" (docs/scorecard.md).
"""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from vifsim.scenario.matching import fits
from vifsim.scenario.rule import Limit
from vifsim.scorecard.attempts import REFUSALS
from vifsim.scorecard.chains import (
    IMMEDIATE,
    retry_waits,
    wait,
    without_leading_immediate,
)
from vifsim.scorecard.findings import evidence, failed, passed, unclear
from vifsim.scorecard.herds import herds_of, noise_of, waves_of
from vifsim.scorecard.traffic import ATTACH, DETACH, LIST, first_fault, seqs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vifsim.scenario.rule import Rule
    from vifsim.scorecard.attempts import Attempt
    from vifsim.scorecard.chains import Chain
    from vifsim.scorecard.findings import Finding
    from vifsim.scorecard.traffic import Traffic

SEVERAL_ACTORS = "inconclusive: 1 or more actors share these calls (set hold, or a token for each)"
_DATE_TOLERANCE = 1.0
_OVERSLEPT = (3.0, 5.0)
_WARN_ATTEMPTS = 5
_SILENCE = 10.0
"""Seconds after which a client that asks nothing more has given up: no machine pauses so long."""

_GROWS = 1.5
_FLAT = 1.25
_EVEN = 1.3
_PLATEAU = 0.1
_FACTORS = (1.0, 1.5, 2.0, 3.0)
_COARSE = 5.0
_HERD = 3
_WAVES = (2, 3, 4)
_APART = 0.3
_TOGETHER = 0.2


# ── R01 retry_after_honoured ─────────────────────────────────────────────────────────────────────


def retry_after_honoured(traffic: Traffic) -> Iterator[Finding]:
    """Judge R01: whether a client that was told to wait did."""
    for chain in traffic.chains:
        for x, y in chain.own_steps:
            if x.completed and x.retry_after is not None:
                yield from _told_step(traffic, chain, x, y)
        yield from _gave_up(traffic, chain)
    yield from _limits_shared(traffic)


def _eps(traffic: Traffic, x: Attempt) -> float:
    return _DATE_TOLERANCE if x.dated else traffic.tolerance


def _reasonable(traffic: Traffic, told: float | None) -> bool:
    return told is not None and 0 < told <= traffic.run.scenario.client.max_reasonable_wait


def _told_step(traffic: Traffic, chain: Chain, x: Attempt, y: Attempt) -> Iterator[Finding]:
    told = x.retry_after or 0.0
    if not _reasonable(traffic, told):
        yield _unreasonable(chain, x)
        return
    waited, eps = wait(x, y), _eps(traffic, x)
    proof = evidence(
        [x.seq, y.seq], told=told, waited=waited, tolerance=eps, fault=first_fault([x])
    )
    earliest, latest = chain.may_return.get(y.seq, (x.ended + told, x.ended + told))
    if y.arrived < earliest - eps and traffic.may_be_first(x, y):
        yield unclear(SEVERAL_ACTORS, proof)
    elif y.arrived < earliest - eps:
        yield failed(f"told to wait {told:.3g} s, came back after {waited:.3f} s", proof)
    elif y.arrived < latest - eps:
        yield unclear("inconclusive: the request may be that of an actor told another time", proof)
    else:
        slept = waited > _OVERSLEPT[0] * told + _OVERSLEPT[1]
        note = " (overslept)" if slept else ""
        yield passed(f"told to wait {told:.3g} s, came back after {waited:.3f} s{note}", proof)


def _unreasonable(chain: Chain, x: Attempt) -> Finding:
    """Judge a Retry-After that may be ignored; not that a client then loses all restraint."""
    hot = [
        (a, b)
        for a, b in chain.own_steps
        if a.retry_after == x.retry_after and wait(a, b) < IMMEDIATE
    ]
    told = x.retry_after or 0.0
    if len(hot) >= 2 and not chain.unclear:
        proof = evidence(
            [a.seq for a, _ in hot], told=told, waited=[wait(a, b) for a, b in hot], tolerance=0.0
        )
        return failed(f"a Retry-After of {told:g} s that is no use led to a hot loop", proof)
    return unclear(f"not exercised: a Retry-After of {told:g} s may be ignored")


def _gave_up(traffic: Traffic, chain: Chain) -> Iterator[Finding]:
    last = chain.last
    if last.completed and last.failed and _reasonable(traffic, last.retry_after):
        yield unclear("not exercised: gave up where it was told to wait, which is lawful")


def _limits_shared(traffic: Traffic) -> Iterator[Finding]:
    """Judge other requests that a user's limit refuses as well, while that user is to wait.

    Two processes cannot know of each other's limits: only requests with the same token count, and
    where calls with it overlap nobody can tell which thread knew what.
    """
    for x in traffic.asked:
        rule = traffic.rule_of(x)
        if rule is None or not x.completed or not _reasonable(traffic, x.retry_after):
            continue
        if x.token is None or x.token in traffic.parallel_tokens or not _is_per_user(rule):
            continue
        early = _early_other(traffic, x, rule)
        if early is not None:
            yield _early_finding(traffic, x, early)


def _is_per_user(rule: Rule) -> bool:
    """Return whether a rule refuses a user or tenant everything that it matches by operation."""
    match = rule.match
    others = (match.paths, match.servers, match.networks, match.headers, match.agents)
    plain = not any(others) and not match.tenants and not match.addresses
    return isinstance(rule.fault, Limit) and rule.schedule.per in {"tenant", "user"} and plain


def _early_other(traffic: Traffic, x: Attempt, rule: Rule) -> Attempt | None:
    told = (x.retry_after or 0.0) - _eps(traffic, x)
    for y in traffic.by_token[x.token or ""].between(x.ended, x.ended + told):
        operations, methods = rule.match.operations, rule.match.methods
        if operations and not fits(y.operation, operations):
            continue
        if methods and y.method not in methods:
            continue
        own = (x.method, x.path, x.digest) == (y.method, y.path, y.digest)
        return None if own else y
    return None


def _early_finding(traffic: Traffic, x: Attempt, y: Attempt) -> Finding:
    told, waited = x.retry_after or 0.0, wait(x, y)
    proof = evidence(
        [x.seq, y.seq],
        told=told,
        waited=waited,
        tolerance=_eps(traffic, x),
        fault=first_fault([x]),
    )
    return failed(
        f"told to wait {told:.3g} s, sent another call under the same limit after {waited:.3f} s",
        proof,
    )


# ── R02 transient_retried ────────────────────────────────────────────────────────────────────────


def transient_retried(traffic: Traffic) -> Iterator[Finding]:
    """Judge R02: whether a failure that passes by itself is tried again."""
    if traffic.run.scenario.client.fail_fast:
        yield unclear("not exercised: the client gives up at once by design (fail_fast)")
        return
    for chain in traffic.chains:
        x = next((attempt for attempt in chain.attempts if _worth_a_retry(traffic, attempt)), None)
        if x is None:
            continue
        if x.outcome == "client_gone" and traffic.cancelled(x):
            yield unclear("inconclusive: the call may have been cancelled with another")
        elif x is not chain.last:
            proof = evidence(seqs(chain.attempts), fault=first_fault([x]), attempts=len(chain))
            yield passed(f"{_what(x)} was tried again", proof)
        else:
            yield _once(traffic, chain, x)


def _worth_a_retry(traffic: Traffic, x: Attempt) -> bool:
    if not x.transient or x.too_large is None:
        return False
    if x.retry_after is not None and not _reasonable(traffic, x.retry_after):
        return False
    refused = x.completed and x.status in REFUSALS
    return refused or x.method in {"GET", "HEAD", "DELETE"}


def _what(x: Attempt) -> str:
    return f"a {x.operation} that met {x.status or 'no answer'}"


def _once(traffic: Traffic, chain: Chain, x: Attempt) -> Finding:
    """Judge a chain that ended with its only failure."""
    if traffic.ended_with_client(x) or traffic.left_open:
        return unclear("inconclusive: the client was ended, or is still busy")
    if chain.polling:
        return unclear("inconclusive: a poll goes on at its own pace")
    if chain.unclear or (x.outcome == "client_gone" and x.token in traffic.parallel_tokens):
        return unclear(SEVERAL_ACTORS)
    if _looked_instead(traffic, x):
        return unclear("not exercised: the client looked whether the call had taken effect")
    proof = evidence([x.seq], fault=first_fault([x]), attempts=1)
    return failed(f"{_what(x)} was not tried again", proof)


def _looked_instead(traffic: Traffic, x: Attempt) -> bool:
    if x.operation not in {ATTACH, DETACH}:
        return False
    later = traffic.by_server[x.server or ""].after(x)
    return any(y.operation == LIST and y.reads for y in later)


# ── R03 retries_capped ───────────────────────────────────────────────────────────────────────────


def retries_capped(traffic: Traffic) -> Iterator[Finding]:
    """Judge R03: whether a client ever stops trying."""
    most = int(traffic.threshold("max_attempts"))
    for chain in traffic.chains:
        failures = _consecutive_failures(traffic, chain)
        if not failures or len(chain) < 2:
            continue
        over = not chain.last.failed or _is_done(chain)
        if len(failures) <= most and over:
            continue
        yield _capped(traffic, chain, failures, most)


def _consecutive_failures(traffic: Traffic, chain: Chain) -> list[Attempt]:
    """Return the failures in a row, without resends, and without waits for a state to change.

    A 404 on a read is somebody who waits for a thing to appear; a 409 after which the state was
    read again is somebody who waits for it to settle.
    """
    following = {x.seq: y for x, y in chain.steps}
    counted: list[Attempt] = []
    resent = {x.seq for x, _ in chain.steps} - {x.seq for x, _ in chain.own_steps}
    for x in chain.attempts:
        if not x.failed or x.seq in resent or _awaits(x):
            continue
        y = following.get(x.seq)
        if x.status == 409 and y is not None and traffic.reread(x, y):
            continue
        counted.append(x)
    return counted


def _is_done(chain: Chain) -> bool:
    """Return whether a chain ends with the 404 of a repeated delete, which is a success."""
    return chain.last.method == "DELETE" and chain.last.status == 404


def _awaits(x: Attempt) -> bool:
    return x.status == 404 and x.method in {"GET", "HEAD"}


def _capped(traffic: Traffic, chain: Chain, failures: list[Attempt], most: int) -> Finding:
    span = chain.last.ended - chain.first.arrived
    number = len(failures)
    pace = 60.0 * number / span if span > 0 else math.inf
    proof = evidence(
        seqs(failures),
        attempts=number,
        threshold=most,
        seconds=span,
        per_minute=None if math.isinf(pace) else pace,
        fault=first_fault(failures),
    )
    if chain.unclear:
        return unclear(SEVERAL_ACTORS, proof)
    if chain.polling:
        return unclear("inconclusive: polled at the same pace when all is well", proof)
    others = sum(traffic.may_be_first(x, y) for x, y in chain.steps) if number > most else 0
    if number > most >= number - others:
        return unclear(SEVERAL_ACTORS, proof)
    if number > most:
        killed = ", until the client was ended" if _at_it_when_ended(traffic, chain) else ""
        return failed(f"{number} failed attempts in a row in {span:.1f} s{killed}", proof)
    if not chain.last.done or _at_it_when_ended(traffic, chain):
        return unclear("inconclusive: ended from outside while still trying: slow, or endless")
    note = f" (more than {_WARN_ATTEMPTS} is much)" if number > _WARN_ATTEMPTS else ""
    return passed(f"gave up after {number} failed attempts{note}", proof)


def _at_it_when_ended(traffic: Traffic, chain: Chain) -> bool:
    """Return whether the client was still at a chain when somebody ended it.

    Silence alone shows less than a call that it went on to: the machine itself may have paused.
    """
    if not traffic.left_open:
        return False
    longest = max((wait(x, y) for x, y in chain.steps), default=0.0)
    patience = max(3 * longest, chain.last.retry_after or 0.0) + 1.0
    if not any(y.token == chain.last.token for y in traffic.everything.after(chain.last)):
        patience = max(patience, _SILENCE)
    return traffic.end - chain.last.ended <= patience


# ── R04 no_hot_retry ─────────────────────────────────────────────────────────────────────────────


def no_hot_retry(traffic: Traffic) -> Iterator[Finding]:
    """Judge R04: whether a client waits at all before it tries again."""
    for chain in traffic.chains:
        waits = retry_waits(chain)
        if len(waits) < 2:
            continue
        hot = [
            (x, y)
            for x, y in chain.own_steps
            if x.transient and x.retry_after is None and wait(x, y) < IMMEDIATE
        ]
        proof = evidence(
            seqs(chain.attempts),
            waits=waits[:50],
            threshold=IMMEDIATE,
            tolerance=0.0,
            fault=first_fault(chain.attempts),
        )
        if chain.unclear or (len(hot) >= 2 and _may_be_crowd(traffic, hot)):
            yield unclear(SEVERAL_ACTORS, proof)
        elif len(hot) >= 2:
            yield failed(f"{len(hot)} retries in one chain came after less than 50 ms", proof)
        else:
            note = " (one at once, which is good practice)" if hot else ""
            yield passed(f"waited before {len(waits) - len(hot)} retries{note}", proof)


def _may_be_crowd(traffic: Traffic, hot: Sequence[tuple[Attempt, Attempt]]) -> bool:
    """Return whether all but one hot retry may be first tries of other actors."""
    return sum(not traffic.may_be_first(x, y) for x, y in hot) < 2


# ── R05 backoff_grows ────────────────────────────────────────────────────────────────────────────


def backoff_grows(traffic: Traffic) -> Iterator[Finding]:
    """Judge R05: whether the waits of a chain grow."""
    for chain in traffic.chains:
        waits = _own_waits(chain)
        if len(waits) < 4:
            continue
        proof = evidence(
            seqs(chain.attempts),
            waits=waits[:50],
            ratio=_growth(waits),
            threshold=_GROWS,
            tolerance=traffic.tolerance,
            fault=first_fault(chain.attempts),
        )
        yield _skipped(chain, proof) or _grown(waits, proof)


def _own_waits(chain: Chain) -> list[float]:
    """Return the waits of a chain that was told no Retry-After, without a leading immediate."""
    if any(x.retry_after is not None for x in chain.attempts):
        return []
    return without_leading_immediate(retry_waits(chain))


def _skipped(chain: Chain, proof: dict[str, Any]) -> Finding | None:
    if chain.unclear:
        return unclear(SEVERAL_ACTORS, proof)
    if chain.polling:
        return unclear("inconclusive: polled at the same pace when all is well", proof)
    return None


def _growth(waits: Sequence[float]) -> float:
    return fmean(waits[-2:]) / max(fmean(waits[:2]), 1e-9)


def _growth_to_plateau(waits: Sequence[float]) -> float:
    """Return the growth up to a cap: the longest run near the maximum against what went before."""
    top = max(waits)
    start = length = 0
    index = 0
    while index < len(waits):
        stop = index
        while stop < len(waits) and waits[stop] >= (1 - _PLATEAU) * top:
            stop += 1
        if stop - index > length:
            start, length = index, stop - index
        index = stop + 1
    if length < 2 or start == 0:
        return 0.0
    return fmean(waits[start : start + length]) / max(fmean(waits[:start][:2]), 1e-9)


def _grown(waits: list[float], proof: dict[str, Any]) -> Finding:
    ratio = max(_growth(waits), _growth_to_plateau(waits))
    if median(waits) < IMMEDIATE:
        return failed(f"the median wait is {median(waits):.3f} s", proof)
    if ratio >= _GROWS:
        return passed(f"the waits grew {ratio:.1f} times", proof)
    even = max(waits) / max(min(waits), 1e-9)
    if ratio < _FLAT and even < _EVEN:
        return failed(f"{len(waits)} waits of about {median(waits):.3g} s did not grow", proof)
    return unclear(f"inconclusive: the waits grew {ratio:.2f} times, unevenly", proof)


# ── R06 backoff_jittered ─────────────────────────────────────────────────────────────────────────


def backoff_jittered(traffic: Traffic) -> Iterator[Finding]:
    """Judge R06 from a single run: whether the waits follow a law that anybody could compute."""
    herds = [herd for herd in herds_of(traffic) if len(herd) >= _HERD]
    shared = {(chain.key, chain.first.digest) for herd in herds for chain in herd}
    for herd in herds:
        yield from _herd_jitter(herd)
    for chain in traffic.chains:
        waits = _own_waits(chain)
        if (chain.key, chain.first.digest) in shared or len(waits) < 4:
            continue
        proof = evidence(
            seqs(chain.attempts),
            waits=waits[:50],
            tolerance=traffic.tolerance,
            fault=first_fault(chain.attempts),
        )
        noise = noise_of(chain.attempts)
        yield _skipped(chain, proof) or _jittered(waits, traffic.tolerance, noise, proof)


def _jittered(waits: list[float], eps: float, noise: float, proof: dict[str, Any]) -> Finding:
    if median(waits) < IMMEDIATE:
        return failed(f"the median wait is {median(waits):.3f} s", proof)
    law, residual = _best_law(waits)
    proof = {**proof, "law": law, "residual": round(residual, 3)}
    if residual > max(2 * eps, noise):
        return passed(f"no deterministic law found (best: {law}, off by {residual:.3f} s)", proof)
    if residual <= eps and median(waits) >= _COARSE * eps:
        return failed(f"the waits follow a law: {law}", proof)
    return unclear(f"inconclusive: {law} fits within {residual:.3f} s", proof)


def _best_law(waits: Sequence[float]) -> tuple[str, float]:
    laws = [(_named(factor), _geometric(waits, factor)) for factor in _FACTORS]
    laws.append(("each wait longer by the same amount", _linear(waits)))
    return min(laws, key=lambda law: law[1])


def _named(factor: float) -> str:
    return "the same wait each time" if factor == 1 else f"each wait {factor:g} times the last"


def _geometric(waits: Sequence[float], factor: float) -> float:
    """Return the largest distance from `factor` times the wait before, capped at the maximum."""
    top = max(waits)
    return max(abs(y - min(factor * x, top)) for x, y in pairwise(waits))


def _linear(waits: Sequence[float]) -> float:
    step = (waits[-1] - waits[0]) / (len(waits) - 1)
    return max(abs(y - (waits[0] + k * step)) for k, y in enumerate(waits))


def _herd_jitter(herd: list[Chain]) -> Iterator[Finding]:
    """Judge three or more actors on one key by the spread that they add, wave by wave."""
    waves = waves_of(herd, _WAVES, _HERD)
    if not waves:
        return
    most = max(wave.added for wave in waves)
    proof = evidence(
        [chain.first.seq for chain in herd],
        actors=len(herd),
        added_spread=[wave.added for wave in waves],
        noise=[wave.noise / wave.wait for wave in waves],
        threshold=_APART,
        fault=first_fault(chain.first for chain in herd),
    )
    if any(wave.drew_apart(_APART) for wave in waves):
        yield passed(f"{len(herd)} actors drew apart by {most:.0%} of their wait", proof)
    elif waves[-1].stayed_together(_TOGETHER):  # the longest waits, where noise weighs least
        yield failed(f"{len(herd)} actors drew apart by only {most:.0%} of a wait", proof)
    else:
        yield unclear(f"inconclusive: {len(herd)} actors drew apart by {most:.0%}", proof)


# ── R07 permanent_not_retried ────────────────────────────────────────────────────────────────────


def permanent_not_retried(traffic: Traffic) -> Iterator[Finding]:
    """Judge R07: whether a client stops where the same request will be refused again."""
    known = _made_or_gone(traffic)
    for chain in traffic.chains:
        for x, y in [*chain.steps, (chain.last, None)]:
            if x.permanent and not _passing(x, known):
                yield _after_refusal(traffic, chain, x, y)


def _made_or_gone(traffic: Traffic) -> set[str]:
    """Return the ids and paths of what this client makes and deletes."""
    found: set[str] = set()
    for attempt in traffic.asked:
        found.update(attempt.created)
        if attempt.method == "DELETE":
            found.add(attempt.path)
    return found


def _passing(x: Attempt, known: set[str]) -> bool:
    """Return whether a 404 is about a thing that comes or goes."""
    if x.status != 404:
        return False
    stale = x.by is not None and not x.injected
    return stale or x.path in known or (x.interface or "") in known


def _after_refusal(traffic: Traffic, chain: Chain, x: Attempt, y: Attempt | None) -> Finding:
    fault = first_fault([x])
    if y is None:
        if not x.done or _at_it_when_ended(traffic, chain):
            return unclear("inconclusive: the client was ended, or is still busy")
        return passed(f"{_what(x)} was not repeated", evidence([x.seq], fault=fault))
    proof = evidence([x.seq, y.seq], waited=wait(x, y), fault=fault, status=x.status)
    if x.status == 409 and traffic.reread(x, y):
        return passed("a 409 was repeated only after the state was read again", proof)
    if chain.unclear or (y.seq in chain.may_return and x.conn != y.conn):
        return unclear(SEVERAL_ACTORS, proof)
    if _other_actor(traffic, x, y):
        return unclear(SEVERAL_ACTORS, proof)
    return failed(f"{_what(x)} was repeated after {wait(x, y):.3f} s", proof)


def _other_actor(traffic: Traffic, x: Attempt, y: Attempt) -> bool:
    """Return whether the repeat may be another actor's own first try."""
    busy = x.server in traffic.parallel_servers or x.token in traffic.parallel_tokens
    return busy and x.conn != y.conn


# ── R18 overall_deadline ─────────────────────────────────────────────────────────────────────────


def overall_deadline(traffic: Traffic) -> Iterator[Finding]:
    """Judge R18: whether all attempts together come to an end."""
    deadline = traffic.threshold("deadline")
    for chain in traffic.chains:
        if len(chain) < 2:
            continue
        told = sum(x.retry_after or 0.0 for x, y in chain.steps if _honoured(traffic, x, y))
        span = chain.last.ended - chain.first.arrived
        proof = evidence(
            seqs(chain.attempts),
            seconds=span,
            threshold=deadline,
            told=told,
            fault=first_fault(chain.attempts),
        )
        skipped = _skipped(chain, proof)
        if skipped is not None:
            yield skipped
        elif span > deadline + told:
            yield failed(f"one call and its retries went on for {span:.0f} s", proof)
        elif not chain.last.done or (chain.last.failed and _at_it_when_ended(traffic, chain)):
            yield unclear("inconclusive: ended from outside while still trying")
        else:
            yield passed(f"{len(chain)} attempts were over within {span:.1f} s", proof)


def _honoured(traffic: Traffic, x: Attempt, y: Attempt) -> bool:
    return x.retry_after is not None and wait(x, y) >= x.retry_after - _eps(traffic, x)
