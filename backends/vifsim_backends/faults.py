"""A decorator over any backend: asks the scenario engine once for each call, and obeys.

```
call ──► engine.decide ──► delay ──► raise · or the store ──► delay ──► raise · or the result
                        (before)  (refuse, cut)            (after)  (lose the answer)
```

The house rule: delays, refusals and lost answers happen here; bytes are spoiled in `http.wire`, by
the decision that the call's outcome carries.
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from vifsim.arrivals import call_key, forget_oldest
from vifsim.backend import Backend
from vifsim.errors import ApiFault, NoAnswer
from vifsim.exchange import (
    NAMED_KINDS,
    PASS,
    Facts,
    Look,
    WireClose,
    WireHang,
    WireReset,
)
from vifsim.model import OPERATIONS
from vifsim_backends.passing import PassingBackend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    from vifsim.backend import Change, Snapshot
    from vifsim.clock import Clock
    from vifsim.exchange import Call, Decision
    from vifsim.model import Limits, World
    from vifsim.scenario.engine import Engine, State
    from vifsim.sharing import Sharing
    from vifsim_backends.stale import StaleReads

    Operation = Callable[..., Coroutine[Any, Any, Any]]
T = TypeVar("T")

_FAULTED = [name for name in OPERATIONS if name not in {"unknown", "get_limits"}]
"""The operations that a `FaultBackend` gets anew with each set of rules: all that need nothing of
the engine but its decision."""

_NAMES_KEPT = 10_000
"""Names of each kind that are kept to explain calls by."""

_ARGUMENTS = {name: len(signature(getattr(Backend, name)).parameters) - 2 for name in _FAULTED}
"""How many things each operation takes besides the call."""


class _Way:
    """An operation whose way is found at its first call, and kept by its backend.

    Most clouds that a test has see one or two of them.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, backend: FaultBackend | None, owner: type[FaultBackend]) -> Any:
        if backend is None:
            return self
        way = vars(backend)[self._name] = backend.way_of(self._name)
        return way


class FaultBackend(PassingBackend):
    """Any backend, under a scenario.

    Args:
        inner: the backend that is decorated.
        clock: that delays are waited on.

    Attributes:
        engine: the rules, or None where there are none: then calls go straight to the store.
        state: what the rules counted; plain data, for the engine alone to change. Where processes
            share their counts, this is only what was known of them last.
        shared: what processes have in common, where the store offers it.
        seen: the names that rules were shown, which stay known when the things are gone: of
            `servers` and `networks` by id, and by the id of `interfaces` the id of the network.
    """

    engine: Engine | None = None
    state: State
    _rates: Engine | None = None

    def __init__(self, inner: Backend, *, clock: Clock) -> None:
        super().__init__(inner)
        self.clock = clock
        self.at_once = inner.at_once  # what is waited for here are futures of the clock
        self.shared = inner.sharing
        self.state = {}
        self.seen: dict[str, dict[str, str]] = {kind: {} for kind in NAMED_KINDS}
        self._worlds = 0
        self._stale: StaleReads | None = None
        self._store: Backend = inner
        vars(self)["identify"] = inner.identify  # never faulted, and on the way of every request

    def use(self, engine: Engine, state: State) -> None:
        """Let an engine decide from now on."""
        had_none = self.engine is None
        self.engine = engine if engine.decides else None
        self._rates = engine
        self.state = state
        self._store = self._lagging(engine.longest_stale)
        if not had_none or self.engine is not None:  # what is cut short holds engine and state
            self._cut_short()

    def _lagging(self, longest: float) -> Backend:
        """Return the store, under reads that lag behind by so many seconds at most."""
        if longest and self._stale is None:
            from vifsim_backends.stale import StaleReads  # noqa: PLC0415 -- few scenarios need it

            self._stale = StaleReads(self.inner)
        if self._stale is not None:
            self._stale.longest = longest
        return self.inner if self._stale is None or not longest else self._stale

    @property
    def _whole(self) -> Backend:
        """What forgets with the store what reads lag behind by."""
        return self.inner if self._stale is None else self._stale

    def _cut_short(self) -> None:
        """Let operations go another way from their next call on: store or rules are others."""
        own = vars(self)
        for name in _FAULTED:
            own.pop(name, None)

    def way_of(self, name: str) -> Operation:
        """Return an operation that goes straight to the store as far as no rule is about it."""
        straight: Operation = getattr(self._store, name)
        engine = self.engine
        if engine is None:
            return straight
        through: Operation = partial(self._through, straight)
        if self.shared is not None:
            return through  # other processes count, too
        passes = engine.passing(name, self.state)
        return through if passes is None else _parted(name, passes, straight, through)

    async def reset(self, world: World) -> None:
        with self._another_world():
            await self._whole.reset(world)

    async def restore(self, snapshot: Snapshot) -> None:
        with self._another_world():
            await self._whole.restore(snapshot)

    async def go_back(self, moment: object) -> None:
        with self._another_world():
            await self._whole.go_back(moment)

    async def amend(self, change: Change) -> None:
        with self._another_world():
            await self.inner.amend(change)

    @contextmanager
    def _another_world(self) -> Generator[None]:
        """Forget the names behind ids when what is done here is done."""
        try:
            yield
        finally:
            self._worlds += 1
            if self.engine is not None:
                self.engine.forget_names()

    # ── deciding ──

    async def refuse(self, call: Call, fault: ApiFault) -> NoReturn:
        await self._through(self.inner.refuse, call, fault)
        raise fault

    async def get_limits(self, call: Call) -> Limits:
        limits: Limits = await self._through(self.inner.get_limits, call)
        if self._rates is None:
            return limits
        state = self.state if self.shared is None else await self.shared.state()
        rates = self._rates.remaining(call.user or "", self.clock.now(), state)
        return replace(limits, rates=tuple(rates))

    async def _through(self, operation: Operation, call: Call, *args: Any) -> Any:
        decision = await self._decision_on(call)
        if decision is PASS:
            return await operation(call, *args)
        if decision.by is None and not decision.delay_after:
            await self.clock.sleep_until(call.arrived + decision.delay_before)
            return await operation(call, *args)
        return await self._obey(decision, call, partial(operation, call, *args))

    async def _decision_on(self, call: Call) -> Decision:
        """Ask the engine, where there is one, and note what it says."""
        engine = self.engine
        if engine is None:
            return PASS
        facts, looks = Facts(call=call), list[Look]()
        if engine.asks_names(call.operation):
            await self._look_up(facts)
        if self.shared is None:
            decision = engine.decide(facts, self.clock.now(), self.state, looks)
        else:
            decision = await self._decide_together(self.shared, facts, looks)
        outcome = call.outcome
        outcome.n = facts.n
        if looks:
            outcome.looks = tuple(looks)
        if decision is not PASS:
            outcome.decision = decision
        return decision

    async def _decide_together(self, shared: Sharing, facts: Facts, looks: list[Look]) -> Decision:
        """Return what the rules say that hold for all processes, by the counts of all."""
        from vifsim.sharing import Outdated, Question  # noqa: PLC0415 -- only where processes share

        facts.key = call_key(facts.call)
        while self.engine is not None:
            engine = self.engine

            def decide(state: State, engine: Engine = engine) -> Decision:
                looks.clear()
                return engine.decide(facts, self.clock.now(), state, looks)

            question = Question(
                version=shared.version,
                call_key=facts.key,
                counted=engine.counted(facts),
                decide=decide,
            )
            try:
                return await shared.decide(question)
            except Outdated:
                await shared.tell()
        return PASS

    async def _look_up(self, facts: Facts) -> None:
        world, call = self._worlds, facts.call
        names = await self.inner.names(call)
        facts.named = (
            self._worlds == world
            and not self.inner.shares  # another process may put another world in its place
            and (call.server is None or names.server is not None)
            and (call.network is call.interface is None or names.network_label is not None)
        )
        facts.server_name = names.server
        facts.network = names.network
        facts.network_label = names.network_label
        self._note("servers", call.server, names.server)
        self._note("networks", names.network, names.network_label)
        self._note("interfaces", call.interface, names.network)

    def _note(self, kind: str, identifier: str | None, name: str | None) -> None:
        """Keep a name that rules were shown."""
        if identifier is None or name is None:
            return
        kept = self.seen[kind]
        kept[identifier] = name
        if len(kept) > _NAMES_KEPT:
            forget_oldest(kept)

    # ── obeying ──

    async def _obey(self, decision: Decision, call: Call, act: Callable[[], Awaitable[T]]) -> T:
        if decision.delay_before:
            await self.clock.sleep_until(call.arrived + decision.delay_before)
        if decision.at == "before":
            await self._end(decision, call)
        try:
            result = await self._deliver(decision, act)
        except ApiFault:
            await self._answer_late(decision, call)
            raise
        await self._answer_late(decision, call)
        return result

    async def _answer_late(self, decision: Decision, call: Call) -> None:
        """Do what comes after the effect, or after the failure, of a call."""
        if decision.delay_after:
            delay = decision.delay_before + decision.delay_after
            await self.clock.sleep_until(call.arrived + delay)
        if decision.at == "after_commit":
            await self._end(decision, call)

    async def _end(self, decision: Decision, call: Call) -> None:
        """Raise what the decision asks for, if anything."""
        if decision.expire_token and call.token_id is not None:
            await self.inner.expire_token(call.token_id)
        if decision.fault is not None:
            raise decision.fault
        if isinstance(decision.wire, WireHang):
            silence = math.inf if decision.hang is None else decision.hang
            start = call.arrived + decision.delay_before
            if decision.at == "after_commit":
                start = self.clock.now()
            await self.clock.sleep_until(start + silence)
            raise NoAnswer(decision.wire)
        if isinstance(decision.wire, WireReset | WireClose):
            raise NoAnswer(decision.wire)

    async def _deliver(self, decision: Decision, act: Callable[[], Awaitable[T]]) -> T:
        """Let the call take effect as often as the decision says."""
        again = decision.redelivery
        if again is None:
            return await act()
        answers = [await _outcome_of(act)]
        for _ in range(again.times - 1):
            await self.clock.sleep_until(self.clock.now() + again.gap)
            answers.append(await _outcome_of(act))
        result, fault = answers[0 if again.answer == "first" else -1]
        if fault is not None:
            raise fault
        return result[0]


def _parted(
    name: str, passes: Callable[[Call], bool], straight: Operation, through: Operation
) -> Operation:
    """Return an operation that goes straight to the store for calls that pass.

    It takes exactly what the operation takes: to gather and spread arguments would cost more than
    the rest.
    """

    def alone(call: Call) -> Any:
        return straight(call) if passes(call) else through(call)

    def with_one(call: Call, one: Any) -> Any:
        return straight(call, one) if passes(call) else through(call, one)

    def with_two(call: Call, one: Any, two: Any) -> Any:
        return straight(call, one, two) if passes(call) else through(call, one, two)

    return (alone, with_one, with_two)[_ARGUMENTS[name]]


async def _outcome_of(act: Callable[[], Awaitable[T]]) -> tuple[list[T], ApiFault | None]:
    try:
        return [await act()], None
    except ApiFault as fault:
        return [], fault


for _name in _FAULTED:
    setattr(FaultBackend, _name, _Way(_name))
