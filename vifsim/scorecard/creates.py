"""R08 to R10, R19, R20, R22 and R24: what a client leaves behind when it cannot be sure.

The house rule: what took effect is known from the journal; what the client could know is only what
it was told. A client is judged by the second against the first.

Source: scorecard, "The catalogue" (docs/scorecard.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from vifsim.scenario.rule import Stale
from vifsim.scorecard.chains import IMMEDIATE, SLACK, wait
from vifsim.scorecard.findings import evidence, failed, passed, unclear
from vifsim.scorecard.traffic import ATTACH, first_fault, is_list, seqs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vifsim.scorecard.attempts import Attempt
    from vifsim.scorecard.findings import Finding
    from vifsim.scorecard.traffic import Traffic

SEVERAL = "inconclusive: several actors were busy on this server"
_BUSY_WAIT = 0.5
_SOON = 30.0


# ── R08 no_blind_recreate, R09 reconciled_by_listing ─────────────────────────────────────────────


def _lost(traffic: Traffic) -> list[Attempt]:
    return [x for x in traffic.asked if x.lost]


def _next_create(traffic: Traffic, x: Attempt) -> Attempt | None:
    """Return the next create on the same server, of this or, as a substitute, another interface."""
    window = traffic.threshold("window")
    for y in traffic.creates[x.server or ""].after(x, x.ended + window):
        if y.status != 401 and traffic.same_actor(x, y):
            return y
    return None


def _listed(traffic: Traffic, x: Attempt, until: float) -> Attempt | None:
    """Return the first whole list of a server's interfaces after an attempt, before `until`."""
    lists = traffic.lists.get(x.server or "")
    if lists is None:
        return None
    return next(lists.after(x, until), None)


def no_blind_recreate(traffic: Traffic) -> Iterator[Finding]:
    """Judge R08: whether a create whose answer was lost is simply sent again."""
    for x in _lost(traffic):
        y = _next_create(traffic, x)
        if y is None:
            if traffic.left_open and traffic.end - x.ended < traffic.threshold("window"):
                yield unclear("inconclusive: ended from outside before the client's next step")
            else:
                yield passed("no create followed the lost one", evidence([x.seq], fault=x.by))
        else:
            yield _recreated(traffic, x, y)


def _recreated(traffic: Traffic, x: Attempt, y: Attempt) -> Finding:
    listed = _listed(traffic, x, y.arrived)
    second = _what_became(y)
    proof = evidence(
        [x.seq, *([listed.seq] if listed else []), y.seq],
        waited=wait(x, y),
        second=second,
        substitute=x.digest != y.digest,
        fault=x.by,
    )
    if listed is not None:
        return passed("the interfaces were listed before the next create", proof)
    if x.server in traffic.parallel_servers and x.conn != y.conn:
        return unclear(SEVERAL, proof)
    if traffic.reread(x, y):
        return unclear("inconclusive: the server was read, but not its interfaces", proof)
    return failed(
        f"a create whose answer was lost was followed by another without a look: it {second}", proof
    )


def _what_became(y: Attempt) -> str:
    if y.committed:
        return "made another interface"
    return f"was refused with {y.status}" if y.status else "met no answer"


def reconciled_by_listing(traffic: Traffic) -> Iterator[Finding]:
    """Judge R09: whether a client looks what became of a create whose answer was lost."""
    for x in traffic.asked:
        if not x.ambiguous:
            continue
        finding = _reconciled(traffic, x)
        if x.committed or finding.verdict == "pass":
            yield finding


def _reconciled(traffic: Traffic, x: Attempt) -> Finding:
    window = traffic.threshold("window")
    y = _next_create(traffic, x)
    until = y.arrived if y is not None else x.ended + window
    listed = _listed(traffic, x, until)
    following = [a.seq for a in (listed, y) if a is not None]
    proof = evidence([x.seq, *following], window=window, fault=x.by)
    if y is not None and listed is None:
        return _created_first(traffic, x, y, proof)
    if listed is not None:
        if x.server in traffic.parallel_servers and x.conn != listed.conn and y is None:
            return unclear(SEVERAL, proof)
        return passed("the interfaces were listed after the answer was lost", proof)
    if traffic.left_open and traffic.end - x.ended < window:
        return unclear("inconclusive: ended from outside before the client's next step", proof)
    return failed("the answer to a create was lost, and the client left the result unknown", proof)


def _created_first(traffic: Traffic, x: Attempt, y: Attempt, proof: dict[str, Any]) -> Finding:
    if x.server in traffic.parallel_servers and x.conn != y.conn:
        return unclear(SEVERAL, proof)
    if traffic.reread(x, y):
        return unclear("inconclusive: the server was read, but not its interfaces", proof)
    return failed("the answer to a create was lost, and a create came before any list", proof)


# ── R10 no_leaked_interface ──────────────────────────────────────────────────────────────────────


def no_leaked_interface(traffic: Traffic) -> Iterator[Finding]:
    """Judge R10: whether interfaces are left behind when the client has ended."""
    made = [x for x in traffic.asked if x.operation == ATTACH and x.created]
    if not made:
        return
    if traffic.still_running:
        yield unclear("inconclusive: calls of the client are still under way")
        return
    scenario = traffic.run.scenario
    meant = max(scenario.client.keeps, scenario.expect.interfaces or 0)
    left = traffic.left
    proof = evidence(
        [x.seq for x in left.values()] or seqs(made),
        left=[_left(interface, x) for interface, x in list(left.items())[:20]],
        keeps=meant,
        fault=first_fault(left.values()),
    )
    if len(left) > meant:
        yield failed(_leak_reason(traffic, left, meant), proof)
    else:
        kept = f"{len(left)} left, as meant" if left else "none left"
        yield passed(f"{len(made)} interfaces made, {kept}", proof)


def _left(interface: str, x: Attempt) -> dict[str, Any]:
    return {"id": interface, "server": x.server, "network": x.network, "entry": x.seq}


def _leak_reason(traffic: Traffic, left: Mapping[str, Attempt], meant: int) -> str:
    interface, x = next(iter(left.items()))
    answered = f"answered {x.status}" if x.status else "got no answer"
    ended = ", then the client was ended from outside" if traffic.killed else ""
    later = [a for a in traffic.by_server[x.server or ""].after(x) if a.failed]
    met = f", then {later[-1].operation} got {later[-1].status or 'no answer'}" if later else ""
    more = f" ({meant} meant)" if meant else ""
    return f"{len(left)} left{more}: {interface}: create {answered}{met}{ended}"


# ── R19 gone_delete_is_done ──────────────────────────────────────────────────────────────────────


def gone_delete_is_done(traffic: Traffic) -> Iterator[Finding]:
    """Judge R19: whether a 404 to a repeated delete is taken for success."""
    for chain in traffic.chains:
        if chain.first.method != "DELETE":
            continue
        for index, (x, y) in enumerate(chain.steps):
            lost = x.committed and (not x.completed or (x.status or 0) >= 500)
            if lost and y.completed and y.status == 404:
                yield _gone(traffic, x, y, more=chain.attempts[index + 2 :])
                break


def _gone(traffic: Traffic, x: Attempt, y: Attempt, more: list[Attempt]) -> Finding:
    proof = evidence([x.seq, y.seq, *seqs(more)], exit_code=traffic.exit_code, fault=x.by)
    if more:
        if y.server in traffic.parallel_servers and y.conn != more[0].conn:
            return unclear(SEVERAL, proof)
        return failed("the interface was gone, and was deleted again", proof)
    last = traffic.asked[-1].seq == y.seq
    if traffic.exit_code not in {None, 0}:
        if last:
            return failed(
                f"the interface was gone, and the client exited with {traffic.exit_code}", proof
            )
        return unclear("inconclusive: the client failed, perhaps for another reason", proof)
    return passed("a 404 to the repeated delete was taken for done", proof)


# ── R20 stale_list_tolerated ─────────────────────────────────────────────────────────────────────


def stale_list_tolerated(traffic: Traffic) -> Iterator[Finding]:
    """Judge R20: whether a list that lags behind is asked again instead of being believed."""
    for x in traffic.asked:
        rule = traffic.rule_of(x)
        if rule is None or not isinstance(rule.fault, Stale) or not is_list(x):
            continue
        missing = _hidden(traffic, x, rule.fault.seconds)
        if missing is not None:
            yield _tolerated(traffic, missing, x)


def _hidden(traffic: Traffic, x: Attempt, lag: float) -> Attempt | None:
    """Return the create whose interface a list surely did not show, though it existed."""
    creates = traffic.creates.get(x.server or "")
    if creates is None:
        return None
    shown_from = x.at + x.lasted / traffic.run.simulated_second - lag
    for made in reversed(creates.attempts):
        if made.took_effect is None or not made.created or made.took_effect > x.at:
            continue
        if made.took_effect <= shown_from:
            return None
        return made if made.ended <= x.arrived + SLACK else None
    return None


def _tolerated(traffic: Traffic, made: Attempt, x: Attempt) -> Finding:
    proof = evidence([made.seq, x.seq], fault=x.by)
    for y in traffic.by_server[x.server or ""].after(x):
        if is_list(y) and wait(x, y) >= IMMEDIATE:
            return passed("a list that lagged behind was asked again", {**proof, "again": y.seq})
        if y.operation == ATTACH and y.network == made.network and y.network is not None:
            if x.server in traffic.parallel_servers:
                return unclear(SEVERAL, proof)
            return failed("an interface that a list did not show yet was made again", proof)
        if y.interface is not None and y.interface in made.created:
            return unclear("not exercised: the client did not depend on the list", proof)
    return _gave_up_on_list(traffic, proof)


def _gave_up_on_list(traffic: Traffic, proof: dict[str, Any]) -> Finding:
    if traffic.left_open or traffic.exit_code in {None, 0}:
        return unclear("inconclusive: whether the client missed the interface is not known", proof)
    return failed("a list did not show the new interface yet, and the client gave up", proof)


# ── R22 bad_body_survived ────────────────────────────────────────────────────────────────────────


def bad_body_survived(traffic: Traffic) -> Iterator[Finding]:
    """Judge R22: whether a client survives a good status with a body that is not."""
    for chain in traffic.chains:
        bad = [x for x in chain.attempts if _bad_body(x)]
        if not bad:
            continue
        x = bad[0]
        hot = [wait(a, b) for a, b in chain.own_steps if _bad_body(a) and wait(a, b) < IMMEDIATE]
        proof = evidence(seqs(bad), status=x.status, fault=x.by, exit_code=traffic.exit_code)
        if len(hot) >= 2 and not chain.unclear:
            yield failed("a spoiled answer led to retries without a wait", proof)
        elif x is not chain.last:
            yield passed("a spoiled answer was treated as a failure and asked again", proof)
        else:
            yield _alone(traffic, x, proof)


def _bad_body(x: Attempt) -> bool:
    return x.spoiled_visibly and x.status is not None and 200 <= x.status < 300


def _alone(traffic: Traffic, x: Attempt, proof: dict[str, Any]) -> Finding:
    if x.operation == ATTACH and _listed(traffic, x, math.inf) is not None:
        return passed("after a spoiled answer the client looked what had become of it", proof)
    died = traffic.exit_code not in {None, 0} and traffic.asked[-1].seq == x.seq
    if died and traffic.left:
        return failed("a spoiled answer ended the client, and interfaces are left", proof)
    return unclear("inconclusive: what the client made of a spoiled answer is not known", proof)


# ── R24 busy_server_awaited ──────────────────────────────────────────────────────────────────────


def busy_server_awaited(traffic: Traffic) -> Iterator[Finding]:
    """Judge R24: whether a client waits for a server that is still being built."""
    ready = _ready_times(traffic)
    for chain in traffic.chains:
        if chain.first.operation != ATTACH:
            continue
        due = ready.get(chain.first.server or "")
        if due is None:
            continue
        for x, y in [*chain.steps, (chain.last, None)]:
            if x.completed and x.status == 409 and not x.injected and x.at < due:
                yield _awaited(traffic, x, y, due)


def _ready_times(traffic: Traffic) -> dict[str, float]:
    """Return when each server that was being built is done, on the simulator's clock."""
    build = traffic.run.settings.build_time
    found: dict[str, float] = {}
    if build <= 0:
        return found
    for server in traffic.run.scenario.world.get("servers", ()):
        if server.get("status") == "BUILD" and server.get("id"):
            found[server["id"]] = build
    for entry in traffic.run.entries:
        for effect in entry["effects"]:
            if effect["kind"] == "created" and effect["object"] == "server":
                found[effect["id"]] = effect["at"] + build
    return found


def _awaited(traffic: Traffic, x: Attempt, y: Attempt | None, due: float) -> Finding:
    if y is None:
        return _never_awaited(traffic, x, due)
    looks = traffic.reread(x, y)
    waited = wait(x, y)
    proof = evidence(
        [x.seq, *seqs(looks[:20]), y.seq],
        waited=waited,
        threshold=_BUSY_WAIT,
        tolerance=traffic.tolerance,
    )
    if x.server in traffic.parallel_servers and x.conn != y.conn:
        return unclear(SEVERAL, proof)
    if not looks:
        return failed("a busy server was asked again without a look at its state", proof)
    if waited < _BUSY_WAIT - traffic.tolerance:
        return unclear(f"inconclusive: looked, but waited only {waited:.3f} s", proof)
    return passed(f"looked at the busy server and came back after {waited:.1f} s", proof)


def _never_awaited(traffic: Traffic, x: Attempt, due: float) -> Finding:
    left = due - x.at
    proof = evidence([x.seq], ready_after=left, threshold=_SOON)
    later = traffic.creates[x.server or ""].since(x.ended)
    if any(a.succeeded and a.network == x.network for a in later):
        return unclear("inconclusive: another call made the interface", proof)
    if traffic.left_open or left > _SOON:
        return unclear("inconclusive: the server was not ready while anybody looked", proof)
    return failed(f"the server was ready {left:.1f} s later, but was never asked again", proof)
