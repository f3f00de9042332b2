"""What a scenario will do, before any traffic: its timeline, and its decisions on paced calls.

The house rule: the engine itself decides, on calls that are made up here; nothing is imitated.

Source: scenario format, "Looking ahead" (docs/scenarios.md).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from vifsim.draws import identifier, token_digest
from vifsim.exchange import (
    PASS,
    Call,
    Facts,
    WireClose,
    WireCorrupt,
    WireDrip,
    WireHang,
    WireKeepaliveCut,
    WireMidBody,
    WireReset,
    WireTruncate,
)
from vifsim.model import OPERATIONS
from vifsim.scenario.documented import documented_rules
from vifsim.scenario.engine import Engine
from vifsim.scenario.matching import (
    ON_A_NETWORK,
    ON_A_SERVER,
    flap_is_down,
    method_of,
    operations_of,
    windows_of,
)
from vifsim.scenario.rule import Capacity, Latency, Limit
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vifsim.errors import RetryAfter
    from vifsim.exchange import Decision, WireEffect
    from vifsim.model import World
    from vifsim.scenario.matching import Span
    from vifsim.scenario.rule import Rule, Scenario

_FIRST_CHOICE = (
    "create_virtual_interface",
    "list_virtual_interfaces",
    "delete_virtual_interface",
)
_STEPS = (1.0, 2.0, 2.5, 5.0)
_LONGEST_WINDOW = 3600.0
"""Seconds of a limit's window beyond which its end is not waited for."""


@frozen
class Row:
    """One line of the timeline.

    Attributes:
        name: of the phase, rule or server.
        text: a rule as it is written, without its name.
        kind: "sure" where every call in these stretches is meant, "perhaps" where only some,
            "slow" where they are answered late.
        spans: stretches of scenario time, seconds.
    """

    name: str
    text: str = ""
    kind: Literal["phase", "sure", "perhaps", "slow"]
    spans: tuple[Span, ...]


@frozen
class Step:
    """What one call of the plan is told, and how much later than by the cloud alone, seconds."""

    number: int
    at: float
    told: str
    by: str
    delay: float
    kind: Literal["passes", "slow", "fault"]


@frozen
class Plan:
    """A scenario's timeline, and the decisions on calls of one operation, `every` seconds one."""

    scenario: Scenario
    seed: int
    operation: str
    every: float
    rows: tuple[Row, ...]
    steps: tuple[Step, ...]

    @property
    def horizon(self) -> float:
        """Where the timeline ends, seconds of scenario time."""
        return self.every * len(self.steps)


def plan(
    scenario: Scenario,
    world: World,
    *,
    operation: str | None = None,
    calls: int = 20,
    every: float | None = None,
) -> Plan:
    """Return what a scenario will do.

    Args:
        scenario: a sound one.
        world: what it begins with; its seed is that of the draws.
        operation: what the calls ask for; None: what most of the rules are about.
        calls: how many, one after the other, of one user on one server and network.
        every: seconds from one to the next; None: so that they reach the end of what is timed.
    """
    rules = (*documented_rules(world.settings), *scenario.rules)
    asked = operation or _usual_operation(rules)
    pace = every or _round_up(_end(scenario, rules, world, calls) / calls)
    rows = tuple(_rows(scenario, rules, world, pace * calls))
    steps = tuple(_steps(scenario, rules, world, asked, [pace * i for i in range(calls)]))
    return Plan(
        scenario=scenario, seed=world.seed, operation=asked, every=pace, rows=rows, steps=steps
    )


def _usual_operation(rules: tuple[Rule, ...]) -> str:
    """Return the operation that most rules match, the more specific of them first."""

    def weight(name: str) -> tuple[float, int]:
        matched = (operations_of(rule) for rule in rules)
        choice = _FIRST_CHOICE.index(name) if name in _FIRST_CHOICE else len(_FIRST_CHOICE)
        return sum(1 / len(names) for names in matched if name in names), -choice

    return max(OPERATIONS, key=weight)


def _round_up(seconds: float) -> float:
    power = math.pow(10.0, math.floor(math.log10(seconds)))
    return next((step * power for step in _STEPS if step * power >= seconds * 0.999), 10 * power)


def _end(scenario: Scenario, rules: tuple[Rule, ...], world: World, calls: int) -> float:
    """Return when everything that is timed has been seen, seconds of scenario time."""
    ends = [end * 1.1 for rule in rules for _, end in windows_of(rule, scenario.phases)]
    for rule in rules:
        flap = rule.schedule.flap
        if flap is not None:
            ends.append(3 * (flap.up + flap.down))
        if isinstance(rule.fault, Limit) and rule.fault.window <= _LONGEST_WINDOW:
            ends.append(2 * rule.fault.window)
    if any(server.status == "BUILD" for server in world.servers):
        ends.append(world.settings.build_time * 1.5)
    known = [end for end in ends if 0 < end < math.inf]
    return max(known, default=float(calls))


# ── the timeline ──


def _rows(
    scenario: Scenario, rules: tuple[Rule, ...], world: World, horizon: float
) -> Iterator[Row]:
    for phase in scenario.phases:
        yield Row(name=phase.name, kind="phase", spans=((phase.start, phase.end),))
    if world.settings.build_time:
        for server in world.servers:
            if server.status == "BUILD":
                span = (0.0, world.settings.build_time)
                yield Row(name=server.name, text="is being built", kind="phase", spans=(span,))
    for rule in rules:
        yield Row(
            name=rule.id,
            text=as_written(rule.source),
            kind=_kind_of(rule),
            spans=tuple(_stretches(rule, scenario, horizon)),
        )


def _kind_of(rule: Rule) -> Literal["sure", "perhaps", "slow"]:
    if isinstance(rule.fault, Latency | Capacity):
        return "slow"
    schedule = rule.schedule
    some = schedule.counts or schedule.chance is not None or isinstance(rule.fault, Limit)
    return "perhaps" if some else "sure"


def _stretches(rule: Rule, scenario: Scenario, horizon: float) -> Iterator[Span]:
    flap = rule.schedule.flap
    for start, end in windows_of(rule, scenario.phases):
        stop = min(end, horizon)
        if flap is None:
            yield start, stop
            continue
        period = flap.up + flap.down
        at = start if flap_is_down(flap, start) else start - start % period + flap.up
        while at < stop:
            down_end = at - at % period + period
            yield at, min(down_end, stop)
            at = down_end + flap.up


def as_written(source: Mapping[str, object]) -> str:
    """Return what a rule says, on one line and without its name."""
    parts = [f"{key}: {_flow(value)}" for key, value in source.items() if key != "name"]
    return " · ".join(parts)


def _flow(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] -- as YAML has it
        case list():
            return "[" + ", ".join(_flow(item) for item in value) + "]"  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] -- likewise
        case bool():
            return str(value).lower()
        case _:
            return str(value)


# ── the decisions ──


def _steps(
    scenario: Scenario,
    rules: tuple[Rule, ...],
    world: World,
    operation: str,
    times: list[float],
) -> Iterator[Step]:
    engine = Engine(
        rules,
        scenario.phases,
        seed=world.seed,
        settings=world.settings,
        hold=scenario.hold,
        start=scenario.start,
    )
    state = engine.new_state(0.0)
    token = 1
    for number, at in enumerate(times, start=1):
        facts = _facts(world, operation, at, number, token)
        decision = engine.decide(facts, at, state)
        token += decision.expire_token
        yield _step(number, at, decision)


def _facts(world: World, operation: str, at: float, number: int, token: int) -> Facts:
    """Return what one call of the world's first user is: on its first server and network."""
    server = world.servers[0] if world.servers and operation in ON_A_SERVER else None
    network = world.networks[0] if world.networks and operation in ON_A_NETWORK else None
    user = world.users[0] if world.users else None
    deletes = operation == "delete_virtual_interface"
    call = Call(
        seq=number,
        id=f"req-{number}",
        operation=None if operation == "unknown" else operation,
        method=method_of(operation),
        path="/",
        headers={},
        peer="127.0.0.1:50000",
        conn=1,
        arrived=at,
        real_arrived=at,
        user=user.name if user else None,
        tenant=user.tenant if user else None,
        token_id=token_digest(str(token)),
        server=(server.id or server.name) if server else None,
        network=network.id if network and not deletes else None,
        interface=identifier(world.seed, "virtual_interface", 1) if deletes else None,
    )
    return Facts(
        call=call,
        server_name=server.name if server else None,
        network=network.id if network else None,
        network_label=network.label if network else None,
    )


def _step(number: int, at: float, decision: Decision) -> Step:
    kind: Literal["passes", "slow", "fault"] = "fault" if decision.by else "slow"
    return Step(
        number=number,
        at=at,
        told=told(decision),
        by=decision.by or ", ".join(decision.fired),
        delay=decision.delay_before + decision.delay_after,
        kind="passes" if decision is PASS else kind,
    )


def told(decision: Decision) -> str:
    """Return in words what the client of a call gets instead of the cloud's own answer."""
    after = ", after the effect" if decision.at == "after_commit" else ""
    if decision.fault is not None:
        fault = decision.fault
        form = "" if fault.body == "fault" else f" ({fault.body})"
        return f"{fault.status} {fault.name}{form}{_coming_back(fault.retry_after)}{after}"
    if decision.wire is not None:
        return f"{_wire(decision.wire, decision.hang)}{after}"
    if decision.stale:
        return f"what was there {decision.stale:g} s ago"
    if decision.redelivery is not None:
        again = decision.redelivery
        return f"its {again.answer} answer, delivered {again.times} times"
    if decision.expire_token:
        return "the cloud's answer; the token dies"
    return "the cloud's answer"


def _coming_back(retry_after: RetryAfter | None) -> str:
    if retry_after is None:
        return ""
    if retry_after.delay is None:
        return f", Retry-After: {retry_after.text}"
    return f", Retry-After in {math.ceil(retry_after.delay)} s"


_CUTS: Mapping[type, str] = {
    WireReset: "connection reset",
    WireClose: "closed without an answer",
    WireMidBody: "closed in the middle of the body",
    WireTruncate: "a body that is cut short",
    WireKeepaliveCut: "the cloud's answer, then a silent close",
}


def _wire(wire: WireEffect, hang: float | None) -> str:
    match wire:
        case WireHang():
            return "silence for ever" if hang is None else f"silence for {hang:g} s"
        case WireDrip(rate=None):
            return f"the answer in {wire.chunks} pieces over {wire.over:g} s"
        case WireDrip():
            return f"the answer at {wire.rate:g} B/s"
        case WireCorrupt():
            return f"a spoiled body ({wire.form})"
        case _:
            return _CUTS[type(wire)]
