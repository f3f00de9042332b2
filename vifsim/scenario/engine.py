"""Decides what happens to a call: a deterministic state machine, without IO, clock or event loop.

`decide` changes nothing but the state that it is given, which is plain JSON-able data; two engines
with the same rules, seed and state decide alike.

The house rule: facts, time and state in, a decision out.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from vifsim.draws import draw, lognormal, pareto, quantiles, uniform
from vifsim.errors import FAULT_BY_STATUS, ApiFault, OverLimit, RetryAfter, TooLarge
from vifsim.exchange import (
    PASS,
    Decision,
    Look,
    Redelivery,
    WireClose,
    WireCorrupt,
    WireDrip,
    WireHang,
    WireKeepaliveCut,
    WireMidBody,
    WireReset,
    WireTruncate,
    call_key,
)
from vifsim.model import Rate
from vifsim.scenario.documented import DOCUMENTED
from vifsim.scenario.matching import (
    CompiledRule,
    checks_of,
    count_key,
    fits,
    flap_end,
    flap_is_down,
    operation_of,
)
from vifsim.scenario.rule import (
    Capacity,
    Close,
    Corrupt,
    Drip,
    Duplicate,
    ExpireToken,
    Hang,
    Latency,
    Limit,
    Reset,
    Stale,
    Status,
    Truncate,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vifsim.errors import RetryAfterForm
    from vifsim.exchange import Call, Facts, WireEffect
    from vifsim.model import Settings
    from vifsim.scenario.rule import Distribution, Fault, Phase, Rule

State = dict[str, Any]
"""`{"t0", "calls", "arrivals": {call key: n}, "rules": {rule id: what it counted}}`."""

MESSAGES: dict[int, str] = {
    400: "Injected failure: the request is refused",
    401: "Unauthorized",
    403: "Injected failure: forbidden",
    404: "The resource could not be found.",
    405: "Injected failure: the method is not supported here",
    409: "Injected failure: the request conflicts with the present state",
    413: "Injected failure: too large",
    415: "Injected failure: the media type is not supported",
    429: "OverLimit Retry...",
    500: "Injected failure",
    501: "Injected failure: not implemented",
    502: "Bad Gateway",
    503: "Temporarily unavailable",
    504: "Gateway Timeout",
}
"""The default text of each injected status; code and name are contract, the text is not."""

_GATEWAY = frozenset({502, 504})


# ── faults ───────────────────────────────────────────────────────────────────────────────────────


def sample(distribution: Distribution, u: float) -> float:
    """Return the delay of a distribution at the draw `u`, seconds."""
    values = distribution.values
    match distribution.kind:
        case "constant":
            return values[0]
        case "uniform":
            return uniform(u, low=values[0], high=values[1])
        case "lognormal":
            return min(values[2], lognormal(u, p50=values[0], p99=values[1]))
        case "pareto":
            return min(values[2], pareto(u, minimum=values[0], shape=values[1]))
        case "quantiles":
            return quantiles(u, points=distribution.points)
        case _:
            assert_never(distribution.kind)


def fault_of(answer: Status | Limit, retry_after: RetryAfter | None) -> ApiFault:
    """Return the fault that a rule answers with."""
    status = answer.status
    leaf = FAULT_BY_STATUS[status]
    timed = retry_after is not None and retry_after.delay is not None
    if leaf is OverLimit and not timed:
        leaf = TooLarge
    message = answer.message or ("OverLimit Retry..." if leaf is OverLimit else MESSAGES[status])
    headers = dict(answer.headers)
    if status == 405:
        headers.setdefault("Allow", "GET, POST")
    return leaf(
        message,
        details="Error Details..." if timed and status in {413, 429} else None,
        retry_after=retry_after,
        headers=headers,
        body=answer.body or ("html" if status in _GATEWAY else "fault"),
    )


@dataclass(slots=True)
class _Making:
    """A decision in the making."""

    fired: list[str] = field(default_factory=list)
    before: float = 0.0
    after: float = 0.0

    def done(self, **decided: Any) -> Decision:
        if not self.fired:
            return PASS
        return Decision(
            fired=tuple(self.fired), delay_before=self.before, delay_after=self.after, **decided
        )


class Engine:
    """The rules of one scenario, in the order in which they are read.

    Args:
        rules: documented ones first, then added ones, then the scenario's.
        phases: of the scenario.
        seed: of every draw.
        settings: whose profile says what `retry_after: auto` looks like.
        hold: seconds that every injected answer is held.
        start: whether scenario time starts when it is loaded or at the first call.
    """

    def __init__(
        self,
        rules: Sequence[Rule] = (),
        phases: Sequence[Phase] = (),
        *,
        seed: int = 0,
        settings: Settings,
        hold: float = 0.0,
        start: str = "load",
    ) -> None:
        self.rules = tuple(rules)
        self.seed = seed
        self.retry_after_form: RetryAfterForm = settings.retry_after
        self._settings = settings
        self._hold = hold
        self._start = start
        named = {phase.name: phase for phase in phases}
        self._compiled = [
            CompiledRule(rule, checks_of(rule), tuple(named[name] for name in rule.schedule.during))
            for rule in self.rules
        ]
        self._by_operation: dict[str, list[CompiledRule]] = {}
        self.needs_names = any(_needs_names(rule) for rule in self.rules)
        self.has_stale = any(isinstance(rule.fault, Stale) for rule in self.rules)

    def new_state(self, now: float) -> State:
        """Return the state in which nothing has counted yet."""
        return {
            "t0": now if self._start == "load" else None,
            "calls": 0,
            "arrivals": {},
            "rules": {},
        }

    def decide(
        self, facts: Facts, now: float, state: State, looks: list[Look] | None = None
    ) -> Decision:
        """Return what happens to a call.

        Args:
            facts: of the call; its `n` is set here.
            now: seconds on the simulator's clock.
            state: changed by what counts.
            looks: takes one look for each rule that was read, where given.
        """
        if state["t0"] is None:
            state["t0"] = now
        state["calls"] += 1
        key = call_key(facts.call)
        facts.n = state["arrivals"][key] = state["arrivals"].get(key, 0) + 1
        facts.key = key
        return self._walk(facts, now, state, looks)

    def explain(self, facts: Facts, now: float, state: State) -> list[Look]:
        """Return every rule's look at a call that would come now; the state is left untouched."""
        looks: list[Look] = []
        self.decide(facts, now, deepcopy(state), looks)
        return self.all_looks(facts, looks)

    def all_looks(self, facts: Facts, looks: Sequence[Look]) -> list[Look]:
        """Return the looks of a call with those that the index saved, details filled in."""
        made = {look.rule: look for look in looks}
        found = []
        for item in self._compiled:
            look = made.get(item.rule.id)
            if look is None:
                stopped = "match" if self._off_operation(item.rule, facts) else "not_reached"
                look = Look(item.rule.id, stopped)
            found.append(
                Look(
                    look.rule,
                    look.stopped_at,
                    look.number,
                    look.bound,
                    look.detail or self._detail(item, facts, look),
                )
            )
        return found

    def never_fired(self, state: State) -> list[tuple[str, dict[str, int]]]:
        """Return the rules that never fired, each with how often each condition stopped it."""
        found = []
        for rule in self.rules:
            counted = state["rules"].get(rule.id, {})
            if counted.get("fired"):
                continue
            stops = dict(counted.get("stops", {}))
            missed = state["calls"] - sum(stops.values())
            if missed > 0:
                stops["match"] = stops.get("match", 0) + missed
            found.append((rule.id, stops))
        return found

    def remaining(self, user: str, now: float, state: State) -> list[Rate]:
        """Return the documented limits with what is left of each for a user.

        A limit that is not enforced, or counts by server, is whole.
        """
        rates = []
        for limit in DOCUMENTED:
            window = state.get("rules", {}).get(limit.id, {}).get("windows", {}).get(user)
            used, until = 0, 0.0
            if window is not None and now < window[0] + limit.window:
                used, until = window[1], window[0] + limit.window - now
            left = limit.value - used
            rates.append(
                Rate(
                    verb=limit.verb,
                    uri=limit.uri,
                    regex=limit.regex,
                    value=limit.value,
                    remaining=left,
                    unit=limit.unit,
                    next_available=0.0 if left else until,
                )
            )
        return rates

    # ── the walk ──

    def _rules_for(self, operation: str) -> list[CompiledRule]:
        found = self._by_operation.get(operation)
        if found is None:
            found = self._by_operation[operation] = [
                item
                for item in self._compiled
                if not item.rule.match.operations or fits(operation, item.rule.match.operations)
            ]
        return found

    def _walk(self, facts: Facts, now: float, state: State, looks: list[Look] | None) -> Decision:
        making = _Making()
        for item in self._rules_for(operation_of(facts.call)):
            counted = state["rules"].setdefault(item.rule.id, {"matched": 0, "fired": 0})
            look = self._look(item, facts, now, state)
            if looks is not None:
                looks.append(look)
            if look.stopped_at is not None:
                stops = counted.setdefault("stops", {})
                stops[look.stopped_at] = stops.get(look.stopped_at, 0) + 1
                continue
            decision = self._fire(item, facts, now, state, making)
            if decision is not None:
                return decision
        return making.done()

    def _look(self, item: CompiledRule, facts: Facts, now: float, state: State) -> Look:
        """Return whether a rule fires; what counts is counted."""
        rule = item.rule
        for _, test, _, _ in item.checks:
            if not test(facts):
                return Look(rule.id, "match")
        key = count_key(rule, facts)
        if key is None or not _has_a_point(rule.fault, facts.call):
            return Look(rule.id, "match")
        counted = state["rules"][rule.id]
        counted["matched"] += 1
        t = now - state["t0"]
        if item.window_end(t) is None:
            return Look(rule.id, "window", t)
        return self._look_at_schedule(item, facts, t, counted, key) or self._look_at_fault(
            rule, now, counted, key
        )

    def _look_at_schedule(
        self, item: CompiledRule, facts: Facts, t: float, counted: dict[str, Any], key: str
    ) -> Look | None:
        rule, schedule = item.rule, item.rule.schedule
        if schedule.counts:
            counts = counted.setdefault("counts", {})
            number = counts[key] = counts.get(key, 0) + 1
            if not _count_holds(rule, number):
                return Look(rule.id, "count", number)
        if schedule.flap is not None and not flap_is_down(schedule.flap, t):
            return Look(rule.id, "flap", t)
        if schedule.chance is not None:
            threshold = item.chance_at(schedule.chance, t)
            number = self._draw(rule, facts, "chance")
            if number >= threshold:
                return Look(rule.id, "chance", number, threshold)
        if schedule.times is not None and counted["fired"] >= schedule.times:
            return Look(rule.id, "times", counted["fired"], schedule.times)
        return None

    def _look_at_fault(self, rule: Rule, now: float, counted: dict[str, Any], key: str) -> Look:
        fault = rule.fault
        if not isinstance(fault, Limit):
            return Look(rule.id, None)
        windows = counted.setdefault("windows", {})
        window = windows.get(key)
        if window is None or now >= window[0] + fault.window:
            window = windows[key] = [now, 0]
        if window[1] < fault.rate:
            window[1] += 1
            return Look(rule.id, "count", window[1], fault.rate)
        return Look(rule.id, None, window[1], fault.rate)

    # ── firing ──

    def _fire(
        self, item: CompiledRule, facts: Facts, now: float, state: State, making: _Making
    ) -> Decision | None:
        """Add a delay and return None, or decide."""
        rule = item.rule
        counted = state["rules"][rule.id]
        counted["fired"] += 1
        making.fired.append(rule.id)
        if isinstance(rule.fault, Latency):
            delay = sample(rule.fault.delay, self._draw(rule, facts, "latency"))
            if rule.at == "before":
                making.before += delay
            else:
                making.after += delay
            return None
        if isinstance(rule.fault, Capacity):
            return self._serve(rule, rule.fault, facts, now, counted, making)
        retry_after = self._retry_after(item, facts, now, state)
        return self._decision(rule, retry_after, making)

    def _serve(  # noqa: PLR0917 -- one step of the walk, with all that it walks with
        self,
        rule: Rule,
        fault: Capacity,
        facts: Facts,
        now: float,
        counted: dict[str, Any],
        making: _Making,
    ) -> Decision | None:
        """Give the call the first worker that is free, or shed it."""
        free = counted.setdefault("workers", [0.0] * fault.workers)
        waiting = [start for start in counted.get("waiting", ()) if start > now]
        first = min(range(len(free)), key=free.__getitem__)
        start = max(now, free[first])
        if start > now and len(waiting) >= fault.queue:
            counted["waiting"] = waiting
            answer = Status(status=fault.shed)
            return self._refusal(rule, fault_of(answer, None), making)
        free[first] = start + sample(fault.service, self._draw(rule, facts, "service"))
        counted["waiting"] = [*waiting, start] if start > now else waiting
        making.before += free[first] - facts.call.arrived
        return None

    def _decision(self, rule: Rule, retry_after: RetryAfter | None, making: _Making) -> Decision:
        fault = rule.fault
        if isinstance(fault, Status | Limit):
            return self._refusal(rule, fault_of(fault, retry_after), making)
        if isinstance(fault, ExpireToken):
            return self._expiry(rule, making)
        if isinstance(fault, Hang):
            wire: WireEffect = WireHang()
            return making.done(by=rule.id, at=rule.at, wire=wire, hang=fault.seconds)
        if isinstance(fault, Stale):
            return making.done(by=rule.id, stale=fault.seconds)
        if isinstance(fault, Duplicate):
            redelivery = Redelivery(fault.times, fault.gap, fault.answer)
            return making.done(by=rule.id, redelivery=redelivery)
        effect, at = _wire_of(fault, rule)
        return making.done(by=rule.id, at=at, wire=effect)

    def _refusal(self, rule: Rule, fault: ApiFault, making: _Making) -> Decision:
        if rule.at == "before":
            making.before += self._hold
        else:
            making.after += self._hold
        return making.done(by=rule.id, at=rule.at, fault=fault)

    def _expiry(self, rule: Rule, making: _Making) -> Decision:
        if rule.at == "after_commit":
            return making.done(by=rule.id, at=rule.at, expire_token=True)
        making.before += self._hold
        fault = fault_of(Status(status=401), None)
        return making.done(by=rule.id, fault=fault, expire_token=True)

    def _retry_after(
        self, item: CompiledRule, facts: Facts, now: float, state: State
    ) -> RetryAfter | None:
        asked = item.rule.retry_after
        if asked is None:
            return None
        if asked.kind == "raw":
            return RetryAfter(None, "raw", asked.text)
        spread = asked.spread * self._draw(item.rule, facts, "spread") if asked.spread else 0.0
        if asked.kind == "auto":
            left = self._time_left(item, facts, now, state)
            return RetryAfter(left + spread, self.retry_after_form)
        form: RetryAfterForm = "date" if asked.kind == "date" else "seconds"
        return RetryAfter(asked.seconds + spread, form)

    def _time_left(self, item: CompiledRule, facts: Facts, now: float, state: State) -> float:
        rule = item.rule
        if isinstance(rule.fault, Limit):
            window = state["rules"][rule.id]["windows"][count_key(rule, facts)]
            return float(window[0] + rule.fault.window - now)
        t = now - state["t0"]
        end = item.window_end(t) or math.inf
        if rule.schedule.flap is not None:
            end = min(end, flap_end(rule.schedule.flap, t))
        return 0.0 if math.isinf(end) else end - t

    def _draw(self, rule: Rule, facts: Facts, purpose: str) -> float:
        return draw(self.seed, rule.id, facts.key, facts.n, purpose)

    # ── details ──

    def _off_operation(self, rule: Rule, facts: Facts) -> bool:
        globs = rule.match.operations
        return bool(globs) and not fits(operation_of(facts.call), globs)

    def _detail(self, item: CompiledRule, facts: Facts, look: Look) -> str:
        rule = item.rule
        if look.stopped_at == "match":
            return self._match_detail(item, facts)
        texts = {
            None: f"fired: {rule.fault.key}",
            "window": f"scenario time is {look.number} s, outside the rule's window",
            "count": f"call number {look.number} of its count",
            "flap": "the square wave is up",
            "chance": "the draw is not below the chance",
            "times": f"it has fired {look.number} times already",
            "not_reached": "an earlier rule decided",
        }
        return texts[look.stopped_at]

    def _match_detail(self, item: CompiledRule, facts: Facts) -> str:
        rule = item.rule
        if self._off_operation(rule, facts):
            asked = ", ".join(rule.match.operations)
            return f"operation is {operation_of(facts.call)}, the rule asks for {asked}"
        for name, test, found, globs in item.checks:
            if not test(facts):
                return f"{name} is {found(facts)}, the rule asks for {', '.join(globs)}"
        if count_key(rule, facts) is None:
            return f"the rule counts per {rule.schedule.per}, and the call has none"
        return f"{rule.fault.key} has no meaning for this call"


def _needs_names(rule: Rule) -> bool:
    return bool(rule.match.servers or rule.match.networks) or rule.schedule.per == "interface"


def _has_a_point(fault: Fault, call: Call) -> bool:
    """Return whether a fault can do anything to a call."""
    if isinstance(fault, Stale):
        return call.method in {"GET", "HEAD"}
    return not isinstance(fault, ExpireToken) or call.token_id is not None


def _count_holds(rule: Rule, number: int) -> bool:
    schedule = rule.schedule
    return (
        (schedule.first is None or number <= schedule.first)
        and (not schedule.nth or number in schedule.nth)
        and (schedule.every is None or number % schedule.every == 0)
        and (schedule.after is None or number > schedule.after)
    )


def _wire_of(fault: Fault, rule: Rule) -> tuple[WireEffect | None, str]:
    """Return what a fault does to the bytes, and where."""
    at = "after_commit"
    effect: WireEffect | None = None
    match fault:
        case Reset():
            effect, at = WireReset(), rule.at
        case Close(where="before_headers"):
            effect, at = WireClose(), rule.at
        case Close():
            effect = WireMidBody()
        case Drip(rate=rate, chunks=chunks, over=over):
            effect = WireDrip(rate, chunks, over)
        case Truncate(share=share, size_bytes=size_bytes):
            effect = WireTruncate(share, size_bytes)
        case Corrupt(kind=kind, path=path, value=value, surplus=surplus):
            effect = WireCorrupt(kind, path, value, surplus)
        case _:
            effect = WireKeepaliveCut()
    return effect, at
