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
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Concatenate, NoReturn, ParamSpec, TypeVar

from vifsim.backend import Backend
from vifsim.errors import ApiFault, ItemNotFound, NoAnswer
from vifsim.exchange import PASS, Facts, Look, WireClose, WireHang, WireReset
from vifsim.model import Network, ServerView, VirtualInterface

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from vifsim.backend import Change, Names, Snapshot
    from vifsim.clock import Clock
    from vifsim.exchange import Call, Decision
    from vifsim.model import (
        Access,
        CreatedServer,
        Credentials,
        Identity,
        InterfaceId,
        Limits,
        NetworkId,
        NewServer,
        ServerId,
        ServerQuery,
        Settings,
        Tenant,
        World,
    )
    from vifsim.scenario.engine import Engine, State

    P = ParamSpec("P")
T = TypeVar("T")

_LAG_KEPT = 1000
"""Creates and deletes that stale reads remember."""


@dataclass(frozen=True, slots=True)
class _Recent:
    """A create or delete of late: when, whose, and the thing as a read would show it."""

    at: float
    created: bool
    place: str
    thing: VirtualInterface | Network | ServerView


class FaultBackend(Backend):
    """Any backend, under a scenario.

    Args:
        inner: the backend that is decorated.
        clock: that delays are waited on.

    Attributes:
        engine: the rules, or None where there are none: then a call costs one `is None`.
        state: what the rules counted; plain data, for the engine alone to change.
    """

    engine: Engine | None = None
    state: State
    _rates: Engine | None = None

    def __init__(self, inner: Backend, *, clock: Clock) -> None:
        super().__init__(inner.url, clock=clock)
        self.inner = inner
        self.shares = inner.shares
        self.durable = inner.durable
        self.state = {}
        self._recent: deque[_Recent] = deque(maxlen=_LAG_KEPT)

    def use(self, engine: Engine, state: State) -> None:
        """Let an engine decide from now on."""
        self.engine = engine if engine.rules else None
        self._rates = engine
        self.state = state
        self._recent.clear()

    # ── deciding ──

    async def _through(
        self,
        call: Call,
        operation: Callable[Concatenate[Call, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        if self.engine is None:
            return await operation(call, *args, **kwargs)
        decision = await self._decide(self.engine, call)
        if decision is PASS:
            return await operation(call, *args, **kwargs)
        call.outcome.decision = decision

        async def act() -> T:
            return await operation(call, *args, **kwargs)

        await self._before(decision, call)
        return await self._after(decision, call, act)

    async def _decide(self, engine: Engine, call: Call) -> Decision:
        facts = Facts(call=call)
        if engine.needs_names:
            names = await self.inner.names(call)
            facts.server_name = names.server
            facts.network = names.network
            facts.network_label = names.network_label
        looks: list[Look] = []
        decision = engine.decide(facts, self.clock.now(), self.state, looks)
        call.outcome.n = facts.n
        call.outcome.looks = tuple(looks)
        return decision

    async def _before(self, decision: Decision, call: Call) -> None:
        if decision.delay_before:
            await self.clock.sleep_until(call.arrived + decision.delay_before)
        if decision.at == "before":
            await self._end(decision, call)

    async def _after(self, decision: Decision, call: Call, act: Callable[[], Awaitable[T]]) -> T:
        late = decision.at == "after_commit"
        try:
            result = await self._deliver(decision, act)
        except ApiFault:
            if late and _replaces(decision):
                await self._delay_after(decision, call)
                await self._end(decision, call)
            raise
        await self._delay_after(decision, call)
        if late:
            await self._end(decision, call)
        return result

    async def _delay_after(self, decision: Decision, call: Call) -> None:
        if decision.delay_after:
            delay = decision.delay_before + decision.delay_after
            await self.clock.sleep_until(call.arrived + delay)

    async def _end(self, decision: Decision, call: Call) -> None:
        """Raise what the decision asks for, if anything."""
        if decision.expire_token and call.token_id is not None:
            await self.inner.expire_token(call.token_id)
        if decision.fault is not None:
            raise decision.fault
        if isinstance(decision.wire, WireHang):
            silence = math.inf if decision.hang is None else decision.hang
            start = self.clock.now() if decision.at == "after_commit" else call.arrived
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

    # ── stale reads ──

    def _remember(self, *, created: bool, place: str, thing: Any) -> None:
        self._recent.append(_Recent(self.clock.now(), created, place, thing))

    def _keeps_recent(self) -> bool:
        return self.engine is not None and self.engine.has_stale

    def _lagging(self, call: Call, place: str) -> tuple[set[str], list[Any]]:
        """Return the ids that a stale read hides, and the things that it still shows."""
        decision = call.outcome.decision
        hidden: set[str] = set()
        shown: list[Any] = []
        if decision is None or not decision.stale:
            return hidden, shown
        since = self.clock.now() - decision.stale
        for recent in self._recent:
            if recent.at > since and recent.place == place:
                if recent.created:
                    hidden.add(_id_of(recent.thing))
                else:
                    shown.append(recent.thing)
        return hidden, [thing for thing in shown if _id_of(thing) not in hidden]

    def _stale(self, call: Call, place: str, fresh: Sequence[T]) -> Sequence[T]:
        if call.outcome.decision is None:
            return fresh
        hidden, shown = self._lagging(call, place)
        kept = [thing for thing in fresh if _id_of(thing) not in hidden]
        return _in_order([*kept, *shown])

    async def _create_server(self, call: Call, new: NewServer) -> CreatedServer:
        created = await self.inner.create_server(call, new)
        if self._keeps_recent():
            view = await self.inner.get_server(call, created.server.id)
            self._remember(created=True, place="servers", thing=view)
        return created

    async def _delete_server(self, call: Call, server_id: ServerId) -> None:
        view = None
        if self._keeps_recent():
            view = await _or_none(self.inner.get_server(call, server_id))
        await self.inner.delete_server(call, server_id)
        if view is not None:
            self._remember(created=False, place="servers", thing=view)

    async def _create_network(self, call: Call, label: str, cidr: str) -> Network:
        network = await self.inner.create_network(call, label, cidr)
        if self._keeps_recent():
            self._remember(created=True, place="networks", thing=network)
        return network

    async def _delete_network(self, call: Call, network_id: NetworkId) -> None:
        network = None
        if self._keeps_recent():
            network = await _or_none(self.inner.get_network(call, network_id))
        await self.inner.delete_network(call, network_id)
        if network is not None:
            self._remember(created=False, place="networks", thing=network)

    async def _create_interface(
        self, call: Call, server_id: ServerId, network_id: NetworkId
    ) -> VirtualInterface:
        interface = await self.inner.create_virtual_interface(call, server_id, network_id)
        if self._keeps_recent():
            self._remember(created=True, place=server_id, thing=interface)
        return interface

    async def _delete_interface(
        self, call: Call, server_id: ServerId, interface_id: InterfaceId
    ) -> None:
        before: Sequence[VirtualInterface] | None = None
        if self._keeps_recent():
            before = await _or_none(self.inner.list_virtual_interfaces(call, server_id))
        await self.inner.delete_virtual_interface(call, server_id, interface_id)
        for interface in before or ():
            if interface.id == interface_id:
                self._remember(created=False, place=server_id, thing=interface)

    # ── life: passed on ──

    @property
    def settings(self) -> Settings:
        return self.inner.settings

    @property
    def seed(self) -> int:
        return self.inner.seed

    async def open(self, world: World) -> None:
        await self.inner.open(world)

    async def close(self) -> None:
        await self.inner.close()

    async def reset(self, world: World) -> None:
        self._recent.clear()
        await self.inner.reset(world)

    async def configure(self, settings: Settings) -> None:
        await self.inner.configure(settings)

    async def snapshot(self) -> Snapshot:
        return await self.inner.snapshot()

    async def restore(self, snapshot: Snapshot) -> None:
        self._recent.clear()
        await self.inner.restore(snapshot)

    async def amend(self, change: Change) -> None:
        await self.inner.amend(change)

    async def state_document(self) -> Mapping[str, Any]:
        return await self.inner.state_document()

    async def identify(self, token: str) -> Identity | None:
        return await self.inner.identify(token)

    async def names(self, call: Call) -> Names:
        return await self.inner.names(call)

    async def expire_token(self, token_id: str) -> None:
        await self.inner.expire_token(token_id)

    async def keep_scenario(self, scenario: Mapping[str, Any]) -> None:
        await self.inner.keep_scenario(scenario)

    async def kept_scenario(self) -> Mapping[str, Any] | None:
        return await self.inner.kept_scenario()

    # ── operations ──

    async def refuse(self, call: Call, fault: ApiFault) -> NoReturn:
        await self._through(call, self.inner.refuse, fault)
        raise fault

    async def list_versions(self, call: Call) -> None:
        await self._through(call, self.inner.list_versions)

    async def get_version(self, call: Call) -> None:
        await self._through(call, self.inner.get_version)

    async def list_extensions(self, call: Call) -> None:
        await self._through(call, self.inner.list_extensions)

    async def authenticate(self, call: Call, credentials: Credentials) -> Access:
        return await self._through(call, self.inner.authenticate, credentials)

    async def validate_token(self, call: Call, token: str, belongs_to: str | None) -> Access:
        return await self._through(call, self.inner.validate_token, token, belongs_to)

    async def revoke_token(self, call: Call, token: str | None) -> None:
        await self._through(call, self.inner.revoke_token, token)

    async def list_endpoints(self, call: Call, token: str) -> Access:
        return await self._through(call, self.inner.list_endpoints, token)

    async def list_tenants(self, call: Call) -> Sequence[Tenant]:
        return await self._through(call, self.inner.list_tenants)

    async def get_limits(self, call: Call) -> Limits:
        limits = await self._through(call, self.inner.get_limits)
        if self._rates is None:
            return limits
        rates = self._rates.remaining(call.user or "", self.clock.now(), self.state)
        return replace(limits, rates=tuple(rates))

    async def list_servers(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        servers = await self._through(call, self.inner.list_servers, query)
        return self._stale(call, "servers", servers)

    async def list_servers_detail(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        servers = await self._through(call, self.inner.list_servers_detail, query)
        return self._stale(call, "servers", servers)

    async def create_server(self, call: Call, new: NewServer) -> CreatedServer:
        return await self._through(call, self._create_server, new)

    async def get_server(self, call: Call, server_id: ServerId) -> ServerView:
        try:
            fresh = [await self._through(call, self.inner.get_server, server_id)]
        except ItemNotFound:
            fresh = []
            if not self._lagging(call, "servers")[1]:
                raise
        for view in self._stale(call, "servers", fresh):
            if view.server.id == server_id:
                return self._with_stale_interfaces(call, view)
        raise ItemNotFound("Instance could not be found")

    def _with_stale_interfaces(self, call: Call, view: ServerView) -> ServerView:
        if not self._keeps_recent():
            return view
        return replace(view, interfaces=tuple(self._stale(call, view.server.id, view.interfaces)))

    async def delete_server(self, call: Call, server_id: ServerId) -> None:
        await self._through(call, self._delete_server, server_id)

    async def list_addresses(self, call: Call, server_id: ServerId) -> Sequence[VirtualInterface]:
        found = await self._through(call, self.inner.list_addresses, server_id)
        return self._stale(call, server_id, found)

    async def list_networks(self, call: Call) -> Sequence[Network]:
        found = await self._through(call, self.inner.list_networks)
        return self._stale(call, "networks", found)

    async def create_network(self, call: Call, label: str, cidr: str) -> Network:
        return await self._through(call, self._create_network, label, cidr)

    async def get_network(self, call: Call, network_id: NetworkId) -> Network:
        try:
            fresh = [await self._through(call, self.inner.get_network, network_id)]
        except ItemNotFound:
            fresh = []
            if not self._lagging(call, "networks")[1]:
                raise
        for network in self._stale(call, "networks", fresh):
            if network.id == network_id:
                return network
        raise ItemNotFound("Network not found")

    async def delete_network(self, call: Call, network_id: NetworkId) -> None:
        await self._through(call, self._delete_network, network_id)

    async def list_virtual_interfaces(
        self, call: Call, server_id: ServerId
    ) -> Sequence[VirtualInterface]:
        found = await self._through(call, self.inner.list_virtual_interfaces, server_id)
        return self._stale(call, server_id, found)

    async def create_virtual_interface(
        self, call: Call, server_id: ServerId, network_id: NetworkId
    ) -> VirtualInterface:
        return await self._through(call, self._create_interface, server_id, network_id)

    async def delete_virtual_interface(
        self, call: Call, server_id: ServerId, interface_id: InterfaceId
    ) -> None:
        await self._through(call, self._delete_interface, server_id, interface_id)


def _replaces(decision: Decision) -> bool:
    """Return whether a fault after the commit replaces the answer of a call that failed."""
    return decision.fault is not None or isinstance(decision.wire, WireReset | WireClose | WireHang)


async def _outcome_of(act: Callable[[], Awaitable[T]]) -> tuple[list[T], ApiFault | None]:
    try:
        return [await act()], None
    except ApiFault as fault:
        return [], fault


async def _or_none(reading: Awaitable[T]) -> T | None:
    try:
        return await reading
    except ApiFault:
        return None


def _id_of(thing: Any) -> str:
    return str(thing.server.id if isinstance(thing, ServerView) else thing.id)


def _in_order(things: list[T]) -> list[T]:
    """Return things that a stale read put together in the order in which the API lists them."""
    if things and isinstance(things[0], VirtualInterface):
        return sorted(things, key=lambda thing: getattr(thing, "number", 0))
    return things
