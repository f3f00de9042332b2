"""Decides what happens to a call: a deterministic state machine, without IO, clock or event loop.

`decide` changes nothing but the state that it is given, which `plain` makes JSON of; two engines
with the same rules, seed and state decide alike.

```
match ──► window ──► count up ──► first nth every after ──► flap ──► chance ──► times ──► fires
```

The house rule: facts, time and state in, a decision out.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from vifsim.arrivals import MOST_KEYS, Arrivals, call_key, count_up, forget_oldest
from vifsim.draws import draw
from vifsim.exchange import PASS, Decision, Look
from vifsim.model import Rate
from vifsim.scenario.answers import Making, fault_of, retry_after_of, sample
from vifsim.scenario.documented import DOCUMENTED
from vifsim.scenario.matching import (
    CompiledRule,
    Matcher,
    checks_of,
    flap_end,
    flap_is_down,
)
from vifsim.scenario.rule import Capacity, Latency, Limit, Stale, Status
from vifsim.values import slotted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vifsim.errors import RetryAfter, RetryAfterForm
    from vifsim.exchange import Call, Facts
    from vifsim.model import Settings
    from vifsim.scenario.rule import Phase, Rule, Schedule

State = dict[str, Any]
"""`{"t0", "calls", "arrivals": {call key: n}, "walks", "rules": {rule id: what it counted}}`.

`walks` is how many calls a rule matched, and so goes up whenever
something in `rules` changes.
"""


_BARS = 3
"""In a call key, where no id holds one; where one does, other ids may come to the same key."""


def arrivals_of(state: State) -> Arrivals:
    """Return the arrivals of a state, which may have come out of JSON."""
    arrivals: Mapping[str, int] = state["arrivals"]
    if not isinstance(arrivals, Arrivals):
        arrivals = state["arrivals"] = Arrivals(arrivals)
    return arrivals


def plain(state: State) -> State:
    """Return a state as plain data, which JSON can hold."""
    return {**state, "arrivals": dict(state["arrivals"])}


@slotted
class _Walk:
    """One call's way through the rules."""

    facts: Facts
    now: float
    state: State
    looks: list[Look] | None
    making: Making = field(default_factory=Making)

    @property
    def t(self) -> float:
        """The scenario time."""
        return self.now - float(self.state["t0"])

    def counted(self, rule: Rule) -> dict[str, Any]:
        """Return what a rule has counted."""
        rules: dict[str, dict[str, Any]] = self.state["rules"]
        found = rules.get(rule.id)
        if found is None:
            found = rules[rule.id] = {"matched": 0, "fired": 0}
        return found

    def note(self, look: Look, counted: dict[str, Any]) -> None:
        """Keep a look, and what stopped its rule."""
        if self.looks is not None:
            self.looks.append(look)
        if look.stopped_at is not None:
            stops = counted.setdefault("stops", {})
            stops[look.stopped_at] = stops.get(look.stopped_at, 0) + 1


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
        self._hold = hold
        self._start = start
        named = {phase.name: phase for phase in phases}
        self._compiled = tuple(
            CompiledRule(
                rule,
                checks_of(rule.match),
                tuple(named[name] for name in rule.schedule.during),
                rule.schedule.counts,
            )
            for rule in self.rules
        )
        self._matcher = Matcher(self._compiled)
        faults = [rule.fault for rule in self.rules]
        self.longest_stale = max((f.seconds for f in faults if isinstance(f, Stale)), default=0.0)

    @property
    def decides(self) -> bool:
        """Whether there is anything to decide by; without it calls need not be asked about."""
        return bool(self.rules)

    def asks_names(self, operation: str | None) -> bool:
        """Return whether a rule for an operation wants the names behind a call's ids."""
        return self._matcher.asks_names(operation)

    def forget_names(self) -> None:
        """Forget what names were behind the ids: the world is another."""
        self._matcher.forget_names()

    def counted(self, facts: Facts) -> list[tuple[str, str]]:
        """Return the rules that match a call, each with the key under which the call counts.

        They, and the arrivals of the call's key, are all that `decide` asks a state for.
        """
        asked = [(item.rule.id, item.count_key(facts)) for item in self._matcher.matching(facts)]
        return [(rule, key) for rule, key in asked if key is not None]

    def new_state(self, now: float) -> State:
        """Return the state in which nothing has counted yet."""
        return {
            "t0": now if self._start == "load" else None,
            "calls": 0,
            "arrivals": Arrivals(),
            "walks": 0,
            "rules": {},
        }

    def decide(
        self, facts: Facts, now: float, state: State, looks: list[Look] | None = None
    ) -> Decision:
        """Return what happens to a call.

        Args:
            facts: of the call; its `key` and `n` are set here.
            now: seconds on the simulator's clock.
            state: changed by what counts.
            looks: takes one look for each rule that matches, where given.
        """
        if state["t0"] is None:
            state["t0"] = now
        state["calls"] += 1
        facts.key = call_key(facts.call)
        facts.n = arrivals_of(state).count(facts.key)
        matching = self._matcher.matching(facts)
        if not matching:
            return PASS
        state["walks"] = state.get("walks", 0) + 1
        return self._walk(matching, _Walk(facts, now, state, looks))

    def passing(self, operation: str, state: State) -> Callable[[Call], bool] | None:
        """Return what tells whether a call is known to be no rule's business, and then counts it.

        Such a call is counted like any; its ids alone tell it. `decide` is for all others, which
        are not counted here. This stands on the way of every call, and is made to be quick.

        Args:
            operation: of all calls that will be asked about.
            state: changed by what counts.

        Returns:
            What says so of a call, whose outcome then knows its `n`; None: `decide` is for all.
        """
        plan = self._matcher.plan(operation)
        if plan.alike:
            return None
        if state["t0"] is None:
            plan.forget()  # the first call starts the time, and is for `decide`
        arrivals = arrivals_of(state)
        find, last, most_logged = arrivals.tallies.get, arrivals.last, arrivals.MOST_LOGGED

        def passes(call: Call) -> bool:
            key = (  # as `call_key`
                f"{call.tenant}|{operation}|{call.server}|"
                f"{call.network or call.interface or call.body_digest}"
            )
            tally = find(key)
            if tally is None or tally.free is not plan.free:
                if plan.ids(call) not in plan.untouched:
                    return False
                tally = arrivals.tally(key)
                if plan.by_key and key.count("|") == _BARS:
                    tally.free = plan.free
            state["calls"] += 1
            tally.n = call.outcome.n = tally.n + 1
            last.append(tally)
            if len(last) > most_logged:
                arrivals.trim()
            return True

        return passes

    # ── telling ──

    def explain(self, facts: Facts, now: float, state: State) -> list[Look]:
        """Return every rule's look at a call that would come now; the state is left untouched."""
        looks: list[Look] = []
        self.decide(facts, now, deepcopy(state), looks)
        return self.all_looks(facts, looks)

    def all_looks(self, facts: Facts, looks: Sequence[Look]) -> list[Look]:
        """Return the looks of a call and those of the rules that do not match, with details."""
        made = {look.rule: look for look in looks}
        return [_told(item, facts, made.get(item.rule.id)) for item in self._compiled]

    def never_fired(self, state: State) -> list[tuple[str, dict[str, int]]]:
        """Return the rules that never fired, each with how often each condition stopped it."""
        found: list[tuple[str, dict[str, int]]] = []
        for rule in self.rules:
            counted = state["rules"].get(rule.id, {})
            if counted.get("fired"):
                continue
            stops = dict(counted.get("stops", {}))
            missed = state["calls"] - sum(stops.values())
            if missed > 0:
                stops["match"] = missed
            found.append((rule.id, stops))
        return found

    def remaining(self, user: str, now: float, state: State) -> list[Rate]:
        """Return the documented limits with what is left of each for a user.

        A limit that is not enforced, or counts by server, is whole.
        """
        rates: list[Rate] = []
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

    def _walk(self, matching: Sequence[CompiledRule], walk: _Walk) -> Decision:
        for place, item in enumerate(matching):
            key = item.count_key(walk.facts)
            if key is None:
                continue
            counted = walk.counted(item.rule)
            look = self._look(item, walk, counted, key)
            walk.note(look, counted)
            decision = None if look.stopped_at else self._fire(item, walk, counted, key)
            if decision is not None:
                _note_unreached(matching[place + 1 :], walk)
                return decision
        return walk.making.done()

    def _look(self, item: CompiledRule, walk: _Walk, counted: dict[str, Any], key: str) -> Look:
        """Return whether a rule that matches fires; what counts is counted."""
        rule = item.rule
        counted["matched"] += 1
        if item.window_end(walk.t) is None:
            return Look(rule.id, "window", walk.t)
        return (
            self._look_at_schedule(item, walk, counted, key)
            or (isinstance(rule.fault, Limit) and _consume(rule.id, rule.fault, walk, counted, key))
            or _fired(rule.id)
        )

    def _look_at_schedule(
        self, item: CompiledRule, walk: _Walk, counted: dict[str, Any], key: str
    ) -> Look | None:
        rule, schedule = item.rule, item.rule.schedule
        if item.counts:
            number = count_up(counted.setdefault("counts", {}), key)
            if not _count_holds(schedule, number):
                return Look(rule.id, "count", number)
        if schedule.flap is not None and not flap_is_down(schedule.flap, walk.t):
            return Look(rule.id, "flap", walk.t)
        if schedule.chance is not None:
            threshold = item.chance_at(schedule.chance, walk.t)
            drawn = self._draw(rule, walk, "chance")
            if drawn >= threshold:
                return Look(rule.id, "chance", drawn, threshold)
        if schedule.times is not None and counted["fired"] >= schedule.times:
            return Look(rule.id, "times", counted["fired"], schedule.times)
        return None

    # ── firing ──

    def _fire(
        self, item: CompiledRule, walk: _Walk, counted: dict[str, Any], key: str
    ) -> Decision | None:
        """Add a delay and return None, or decide."""
        rule, making = item.rule, walk.making
        counted["fired"] += 1
        making.fired.append(rule.id)
        match rule.fault:
            case Latency(delay=delay):
                u = 0.0
                if delay.kind != "constant":
                    making.drawn, u = True, self._draw(rule, walk, "latency")
                self._delay(rule, walk, sample(delay, u))
                return None
            case Capacity():
                return self._serve(rule, rule.fault, walk, counted)
            case Status() | Limit():
                retry_after = self._retry_after(item, walk, counted, key)
                return making.refused(rule, fault_of(rule.fault, retry_after), self._hold)
            case _:
                return making.decided(rule, self._hold)

    def _delay(self, rule: Rule, walk: _Walk, seconds: float) -> None:
        if rule.at == "before":
            walk.making.before += seconds
        else:
            walk.making.after += seconds

    def _serve(
        self, rule: Rule, fault: Capacity, walk: _Walk, counted: dict[str, Any]
    ) -> Decision | None:
        """Give the call the first worker that is free, or shed it."""
        now, making = walk.now, walk.making
        busy = [end for end in counted.get("workers", ()) if end > now]
        waiting = [start for start in counted.get("waiting", ()) if start > now]
        start = now if len(busy) < fault.workers else min(busy)
        if start > now and len(waiting) >= fault.queue:
            counted["waiting"] = waiting
            return making.refused(rule, fault_of(Status(status=fault.shed), None), self._hold)
        if start > now:
            busy.remove(start)
        end = start + sample(fault.service, self._draw(rule, walk, "service"))
        counted["workers"] = [*busy, end]
        counted["waiting"] = [*waiting, start] if start > now else waiting
        making.before += end - walk.facts.call.arrived
        return None

    def _retry_after(
        self, item: CompiledRule, walk: _Walk, counted: dict[str, Any], key: str
    ) -> RetryAfter | None:
        asked = item.rule.retry_after
        if asked is None:
            return None
        left = self._time_left(item, walk, counted, key) if asked.kind == "auto" else 0.0
        u = self._draw(item.rule, walk, "spread") if asked.spread else 0.0
        return retry_after_of(asked, self.retry_after_form, left=left, u=u)

    def _time_left(
        self, item: CompiledRule, walk: _Walk, counted: dict[str, Any], key: str
    ) -> float:
        """Return the seconds from when the answer leaves to the end of what `auto` waits for."""
        rule = item.rule
        if isinstance(rule.fault, Limit):
            end = counted["windows"][key][0] + rule.fault.window
        else:
            end = walk.state["t0"] + _end(item, walk.t)
        delays = walk.making.before + walk.making.after + self._hold
        told = max(walk.now, walk.facts.call.arrived + delays)
        return 0.0 if math.isinf(end) else max(0.0, end - told)

    def _draw(self, rule: Rule, walk: _Walk, purpose: str) -> float:
        return draw(self.seed, rule.id, walk.facts.key, walk.facts.n, purpose)


@lru_cache(maxsize=1024)
def _fired(rule_id: str) -> Look:
    """Return the look of a rule that fires; each call that a rule decides keeps one."""
    return Look(rule_id, None)


def _note_unreached(unreached: Sequence[CompiledRule], walk: _Walk) -> None:
    for item in unreached:
        if item.count_key(walk.facts) is not None:
            walk.note(Look(item.rule.id, "not_reached"), walk.counted(item.rule))


def _count_holds(schedule: Schedule, number: int) -> bool:
    return (
        (schedule.first is None or number <= schedule.first)
        and (not schedule.nth or number in schedule.nth)
        and (schedule.every is None or number % schedule.every == 0)
        and (schedule.after is None or number > schedule.after)
    )


def _consume(
    rule_id: str, limit: Limit, walk: _Walk, counted: dict[str, Any], key: str
) -> Look | None:
    """Take one call out of a limit's window; None where it is used up."""
    windows = counted.setdefault("windows", {})
    window = windows.get(key)
    if window is None or walk.now >= window[0] + limit.window:
        windows.pop(key, None)
        window = windows[key] = [walk.now, 0]
        if len(windows) > MOST_KEYS:
            forget_oldest(windows)
    if window[1] >= limit.rate:
        return None
    window[1] += 1
    return Look(rule_id, "count", window[1], limit.rate)


def _end(item: CompiledRule, t: float) -> float:
    """Return when a rule that holds at scenario time `t` stops to hold, inf for never."""
    end = item.window_end(t)
    flap = item.rule.schedule.flap
    ends = [math.inf if end is None else end, math.inf if flap is None else flap_end(flap, t)]
    return min(ends)


# ── details ──────────────────────────────────────────────────────────────────────────────────────


def _told(item: CompiledRule, facts: Facts, look: Look | None) -> Look:
    """Return a rule's look at a call with its detail; None is the look of one that did not match.

    A rule that was added after the call matches it now and yet has no look.
    """
    rule = item.rule
    if look is not None:
        detail = look.detail or _detail(rule, look)
        return Look(rule.id, look.stopped_at, look.number, look.bound, detail)
    failure = item.failure(facts)
    if failure is None:
        return Look(rule.id, "not_reached", detail="the rule came after the call")
    return Look(rule.id, "match", detail=failure)


def _deed(rule: Rule) -> str:
    """Return what a rule does where it fires, as its scenario says it."""
    key = rule.fault.key
    written = rule.source.get(key, True)
    deed = key if written is True else f"{key} {written}"
    return f"{deed}, after the effect" if rule.at == "after_commit" else deed


def _written(rule: Rule, *keys: str) -> str:
    """Return what a rule says under some of its keys, as its scenario says it."""
    told: list[str] = []
    for key in keys:
        value = rule.source.get(key)
        if value is not None:
            several = cast("list[object]", value) if isinstance(value, list) else [value]
            told.append(f"{key} {', '.join(map(str, several))}")
    return " and ".join(told)


def _detail(rule: Rule, look: Look) -> str:
    number = look.number
    asked = _written(rule, "first", "nth", "every", "after")
    count = f"call number {number} of its count, the rule asks for {asked}"
    if look.bound is not None:
        count = f"call {number} of the {look.bound} that its window allows"
    texts = {
        None: f"fired: {_deed(rule)}",
        "window": f"scenario time is {round(number or 0.0, 3):g} s, the rule holds "
        + _written(rule, "during", "between"),
        "count": count,
        "flap": f"the square wave is up at scenario time {round(number or 0.0, 3):g} s",
        "chance": "the draw is not below the chance",
        "times": f"it has fired {number} times already",
        "not_reached": "an earlier rule decided",
    }
    return texts[look.stopped_at]
