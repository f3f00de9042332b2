"""R11 to R15: how long a client waits for an answer, and how it looks after its token.

The house rule: a client that leaves has its reasons; only a wait that nothing else explains is
called a time-out.

Source: scorecard, "The catalogue" (docs/scorecard.md).
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from vifsim.scorecard.attempts import Attempt
from vifsim.scorecard.findings import evidence, failed, passed, unclear
from vifsim.scorecard.traffic import LIST, seqs
from vifsim.values import slotted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vifsim.scorecard.findings import Finding
    from vifsim.scorecard.traffic import Traffic

_LIST_SHARE = 0.4
_NOTICEABLE = 0.1
_BURST = 1.0
_RACE = 0.05


# ── R11 hung_request_abandoned ───────────────────────────────────────────────────────────────────


def hung_request_abandoned(traffic: Traffic) -> Iterator[Finding]:
    """Judge R11: whether a client leaves a call that is never answered."""
    most = traffic.threshold("timeout_max")
    for x in traffic.asked:
        if x.done and x.wire in {"hang", "drip"}:
            finding = _abandoned(traffic, x, most)
            if finding is not None:
                yield finding
        elif not x.done and traffic.run.client is not None:
            yield from _never_ended(traffic, x, most)


def _abandoned(traffic: Traffic, x: Attempt, most: float) -> Finding | None:
    proof = evidence([x.seq], seconds=x.lasted, threshold=most, fault=x.by, kind=x.wire)
    if x.outcome != "client_gone":
        if x.lasted <= most:
            return None
        return failed(f"waited {x.lasted:.1f} s, to the end, for a call that hung", proof)
    if x.lasted > most:
        ended = ", until it was ended" if traffic.ended_with_client(x) else ""
        return failed(f"waited {x.lasted:.1f} s for a call that hung{ended}", proof)
    if traffic.ended_with_client(x):
        return unclear(
            f"inconclusive: the client ended after {x.lasted:.1f} s of a call that hung; "
            f"give it more than {most:g} s, or set timeout_max",
            proof,
        )
    if traffic.cancelled(x):
        return unclear("inconclusive: the call may have been cancelled with another", proof)
    return passed(f"left a call that hung after {x.lasted:.1f} s", proof)


def _never_ended(traffic: Traffic, x: Attempt, most: float) -> Iterator[Finding]:
    waited = traffic.end - x.arrived
    if waited > most:
        proof = evidence([x.seq], seconds=waited, threshold=most, fault=x.by)
        yield failed(f"waited {waited:.1f} s for a call that hung, until it was ended", proof)


# ── R12 timeout_not_too_short ────────────────────────────────────────────────────────────────────


def timeout_not_too_short(traffic: Traffic) -> Iterator[Finding]:
    """Judge R12: whether a client waits for an answer that is slow but fine."""
    reasonable = traffic.threshold("reasonable")
    for x in traffic.asked:
        most = reasonable * (_LIST_SHARE if x.operation == LIST else 1.0)
        if not x.done or x.by is not None or not 0 < x.delay <= most:
            continue
        proof = evidence(
            [x.seq], delayed=x.delay, stayed=x.lasted, threshold=most, tolerance=traffic.tolerance
        )
        if x.outcome == "client_gone" and x.lasted < x.delay - traffic.tolerance:
            yield _left_early(traffic, x, proof)
        elif x.completed and x.delay >= _NOTICEABLE * most:
            yield passed(f"waited {x.delay:.2f} s for a slow answer", proof)


def _left_early(traffic: Traffic, x: Attempt, proof: dict[str, object]) -> Finding:
    if traffic.ended_with_client(x):
        return unclear("inconclusive: the client itself ended while it waited", proof)
    if traffic.cancelled(x):
        return unclear("inconclusive: the call may have been cancelled with another", proof)
    return failed(f"left after {x.lasted:.2f} s, the answer came after {x.delay:.2f} s", proof)


# ── R13 reauth_on_401, R14 dead_token_not_reused ─────────────────────────────────────────────────


@slotted
class _Death:
    """A token that was good, and the calls with it from its first 401 on."""

    token: str
    refused: list[Attempt] = field(default_factory=list[Attempt])
    later: list[Attempt] = field(default_factory=list[Attempt])

    @property
    def at(self) -> float:
        """When the client learnt of it first."""
        return self.refused[0].ended


def _deaths(traffic: Traffic) -> list[_Death]:
    """Return the tokens that were good once and were then refused."""
    issued = {
        effect["id"]
        for entry in traffic.run.entries
        for effect in entry["effects"]
        if effect["object"] == "token" and effect["kind"] == "created"
    }
    good: set[str] = set(issued)
    found: dict[str, _Death] = {}
    for x in traffic.asked:
        if x.token is None or not x.completed:
            continue
        death = found.get(x.token)
        if x.status == 401 and x.token in good:
            death = found.setdefault(x.token, _Death(x.token))
            death.refused.append(x)
        elif x.status != 401 and x.tenant is not None:
            good.add(x.token)
        if death is not None and x is not death.refused[0]:
            death.later.append(x)
    return list(found.values())


def reauth_on_401(traffic: Traffic) -> Iterator[Finding]:
    """Judge R13: whether a client logs in again when its token has died."""
    deaths = _deaths(traffic)
    if not deaths and any(x.status == 401 for x in traffic.asked):
        yield unclear("not exercised: no token was good before it was refused (bad credentials)")
    for death in deaths:
        yield _reauthenticated(traffic, death)


def _reauthenticated(traffic: Traffic, death: _Death) -> Finding:
    x = death.refused[0]
    logins = [a for a in traffic.logins if a.arrived >= x.arrived]
    good = [a for a in logins if a.succeeded]
    proof = evidence([x.seq, *seqs(logins[:3])], fault=x.by, logins=len(logins))
    if not logins:
        return _no_login(traffic, x, proof)
    if not good:
        return unclear("inconclusive: it tried to log in, but no log-in succeeded", proof)
    after = [a for a in traffic.everything.since(good[0].ended) if a.done]
    answered = next((a for a in after if a.status not in {None, 401}), None)
    if answered is not None:
        return passed(
            "logged in again and went on", {**proof, "entries": [x.seq, good[0].seq, answered.seq]}
        )
    if after and all(a.status == 401 for a in after):
        return failed("logged in again, and was refused all the same", proof)
    return unclear("inconclusive: it logged in again, and then asked nothing", proof)


def _no_login(traffic: Traffic, x: Attempt, proof: dict[str, object]) -> Finding:
    refused = sum(a.token == x.token and a.status == 401 for a in traffic.everything.since(x.ended))
    at_once = traffic.end - x.ended < _BURST
    if traffic.left_open and at_once and refused <= traffic.threshold("max_attempts"):
        return unclear("inconclusive: ended from outside before the client's next step", proof)
    others = traffic.everything.since(x.ended)
    if any(a.token != x.token and a.token is not None and a.status != 401 for a in others):
        return unclear("inconclusive: others went on with tokens of their own", proof)
    return failed("the token died, and nobody logged in again", proof)


def dead_token_not_reused(traffic: Traffic) -> Iterator[Finding]:
    """Judge R14: whether a token is dropped once it was refused, and renewed once for all."""
    deaths = _deaths(traffic)
    for death in deaths:
        yield _reused(traffic, death)
    yield from _storms(traffic, deaths)


def _reused(traffic: Traffic, death: _Death) -> Finding:
    x = death.refused[0]
    for y in death.later:
        if y.arrived <= death.at or _is_fresh_again(traffic, death, y):
            continue
        known = _knows(traffic, death, y)
        if known is not None:
            proof = evidence([known.seq, y.seq], fault=x.by, waited=y.arrived - known.ended)
            return failed("a token was used again after it had been refused", proof)
    if traffic.left_open and traffic.end - death.at < _BURST:
        return unclear("inconclusive: ended from outside before the client's next step")
    return passed("a refused token was not used again", evidence([x.seq], fault=x.by))


def _is_fresh_again(traffic: Traffic, death: _Death, y: Attempt) -> bool:
    """Return whether a log-in in between may have handed the same token out again."""
    return any(
        login.succeeded and not login.committed and death.at <= login.arrived <= y.arrived
        for login in traffic.logins
    )


def _knows(traffic: Traffic, death: _Death, y: Attempt) -> Attempt | None:
    """Return the 401 by which the actor that sent a request knew that its token was dead.

    Where calls with one token overlap, a thread may not have heard yet what another was told.
    """
    if death.token not in traffic.parallel_tokens:
        return death.refused[0]
    for x in death.refused:
        same = x.conn == y.conn or (x.method, x.path, x.digest) == (y.method, y.path, y.digest)
        if same and x.ended + _RACE < y.arrived:
            return x
    return None


def _storms(traffic: Traffic, deaths: list[_Death]) -> Iterator[Finding]:
    """Judge how often a client logs in for one burst of refusals."""
    refusals = sorted((x.ended, x.seq, death.token) for death in deaths for x in death.refused)
    bursts: list[list[tuple[float, int, str]]] = []
    for refusal in refusals:
        if bursts and refusal[0] - bursts[-1][-1][0] <= _BURST:
            bursts[-1].append(refusal)
        else:
            bursts.append([refusal])
    logins = [a for a in traffic.logins if a.succeeded]
    for burst in bursts:
        yield from _storm(burst, logins)


def _storm(burst: list[tuple[float, int, str]], logins: list[Attempt]) -> Iterator[Finding]:
    start, end = burst[0][0], burst[-1][0]
    within = [a for a in logins if start <= a.arrived <= end + _BURST][: len(burst)]
    allowed = 1 + len({token for _, _, token in burst})
    if len(within) > allowed:
        proof = evidence(
            [seq for _, seq, _ in burst] + seqs(within), logins=len(within), threshold=allowed
        )
        yield failed(f"{len(within)} log-ins for one burst of refusals", proof)


# ── R15 token_cached ─────────────────────────────────────────────────────────────────────────────


def token_cached(traffic: Traffic) -> Iterator[Finding]:
    """Judge R15: whether a token is kept and used for many calls."""
    logins = [a for a in traffic.logins if a.succeeded]
    if len(traffic.asked) < 5 or not logins:
        return
    expiries = len({x.token for x in traffic.asked if x.status == 401 and x.token is not None})
    actors = _tokens_at_once(traffic)
    allowed = actors + expiries + 1
    proof = evidence(
        seqs(logins),
        logins=len(logins),
        threshold=allowed,
        expiries=expiries,
        actors=actors,
        calls=len(traffic.asked),
    )
    if len(logins) > allowed:
        yield failed(f"{len(logins)} log-ins for {len(traffic.asked)} calls", proof)
    else:
        yield passed(f"{len(logins)} log-ins for {len(traffic.asked)} calls", proof)


def _tokens_at_once(traffic: Traffic) -> int:
    """Return how many tokens were in use at once: so many clients were at work."""
    lives = traffic.lives
    edges = sorted(
        edge
        for token in lives.first
        if token is not None
        for edge in ((lives.first[token], 0, 1), (lives.last[token], 1, -1))
    )
    height = most = 0
    for _, _, step in edges:
        height += step
        most = max(most, height)
    return max(1, most)
