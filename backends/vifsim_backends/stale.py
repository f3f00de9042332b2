"""Reads that lag behind: they hide what was just created, and still show what was just deleted.

The house rule: what lags is decided call by call, by `call.outcome.decision.stale`; writes are only
remembered here.

Source: scenario format, "fault: exactly one of", `stale` (docs/scenarios.md).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from vifsim.cloud import compile_name_filter
from vifsim.errors import ApiFault, ItemNotFound
from vifsim.model import Network, ServerView, VirtualInterface
from vifsim.values import frozen
from vifsim_backends.passing import PassingBackend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from vifsim.backend import Backend, Snapshot
    from vifsim.exchange import Call
    from vifsim.model import (
        CreatedServer,
        InterfaceId,
        NetworkId,
        NewServer,
        ServerId,
        ServerQuery,
        World,
    )

Thing = VirtualInterface | Network | ServerView
AThing = TypeVar("AThing", VirtualInterface, Network, ServerView)
T = TypeVar("T")
Place = tuple[str, str | None]
"""A kind of list and whose it is: a tenant's, or a server's."""


@frozen(kw_only=False)
class _Recent:
    """A create or delete of late: when, in which list, and the thing as a read would show it."""

    at: float
    created: bool
    place: Place
    thing: Thing


class StaleReads(PassingBackend):
    """A backend whose reads lag behind where the decision of the call says so.

    Attributes:
        longest: seconds for which creates and deletes are remembered.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.longest = 0.0
        self._recent: deque[_Recent] = deque()

    async def reset(self, world: World) -> None:
        self._recent.clear()
        await self.inner.reset(world)

    async def restore(self, snapshot: Snapshot) -> None:
        await self.inner.restore(snapshot)
        self._recent.clear()

    async def go_back(self, moment: object) -> None:
        await self.inner.go_back(moment)
        self._recent.clear()

    # ── writes: remembered ──

    async def create_server(self, call: Call, new: NewServer) -> CreatedServer:
        created = await self.inner.create_server(call, new)
        view = await _or_none(self.inner.get_server(call, created.server.id))
        self._remember(_servers(call), view, created=True)
        return created

    async def delete_server(self, call: Call, server_id: ServerId) -> None:
        view = await _or_none(self.inner.get_server(call, server_id))
        await self.inner.delete_server(call, server_id)
        self._remember(_servers(call), view, created=False)

    async def create_network(self, call: Call, label: str, cidr: str) -> Network:
        network = await self.inner.create_network(call, label, cidr)
        self._remember(_networks(call), network, created=True)
        return network

    async def delete_network(self, call: Call, network_id: NetworkId) -> None:
        network = await _or_none(self.inner.get_network(call, network_id))
        await self.inner.delete_network(call, network_id)
        self._remember(_networks(call), network, created=False)

    async def create_virtual_interface(
        self, call: Call, server_id: ServerId, network_id: NetworkId
    ) -> VirtualInterface:
        interface = await self.inner.create_virtual_interface(call, server_id, network_id)
        self._remember(_interfaces(server_id), interface, created=True)
        return interface

    async def delete_virtual_interface(
        self, call: Call, server_id: ServerId, interface_id: InterfaceId
    ) -> None:
        before = await _or_none(self.inner.list_virtual_interfaces(call, server_id))
        await self.inner.delete_virtual_interface(call, server_id, interface_id)
        for interface in before or ():
            if interface.id == interface_id:
                self._remember(_interfaces(server_id), interface, created=False)

    def _remember(self, place: Place, thing: Thing | None, *, created: bool) -> None:
        now = self.clock.now()
        while self._recent and self._recent[0].at <= now - self.longest:
            self._recent.popleft()
        if thing is not None:
            self._recent.append(_Recent(now, created, place, thing))

    # ── reads: late ──

    async def list_servers(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        hidden, shown = self._lagging(call, _servers(call), ServerView)
        found = await self.inner.list_servers(call, _widened(query, len(hidden)))
        return self._page(found, query, hidden, [replace(view, interfaces=()) for view in shown])

    async def list_servers_detail(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        hidden, shown = self._lagging(call, _servers(call), ServerView)
        found = await self.inner.list_servers_detail(call, _widened(query, len(hidden)))
        return [self._late(call, view) for view in self._page(found, query, hidden, shown)]

    async def get_server(self, call: Call, server_id: ServerId) -> ServerView:
        hidden, shown = self._lagging(call, _servers(call), ServerView)
        for view in shown:
            if view.server.id == server_id:
                return view
        if server_id in hidden:
            raise ItemNotFound("Instance could not be found")
        return self._late(call, await self.inner.get_server(call, server_id))

    async def list_addresses(self, call: Call, server_id: ServerId) -> Sequence[VirtualInterface]:
        return self._attached(call, server_id, await self.inner.list_addresses(call, server_id))

    async def list_virtual_interfaces(
        self, call: Call, server_id: ServerId
    ) -> Sequence[VirtualInterface]:
        found = await self.inner.list_virtual_interfaces(call, server_id)
        return self._attached(call, server_id, found)

    async def list_networks(self, call: Call) -> Sequence[Network]:
        hidden, shown = self._lagging(call, _networks(call), Network)
        found = _merged(await self.inner.list_networks(call), hidden, shown)
        return sorted(found, key=lambda network: not network.isolated)

    async def get_network(self, call: Call, network_id: NetworkId) -> Network:
        hidden, shown = self._lagging(call, _networks(call), Network)
        for network in shown:
            if network.id == network_id:
                return network
        if network_id in hidden:
            raise ItemNotFound("Network not found")
        return await self.inner.get_network(call, network_id)

    def _lagging(
        self, call: Call, place: Place, kind: type[AThing]
    ) -> tuple[set[str], list[AThing]]:
        """Return the ids that a late read hides, and the things that it still shows."""
        decision = call.outcome.decision
        hidden: set[str] = set()
        shown: list[AThing] = []
        if decision is None or not decision.stale:
            return hidden, shown
        since = self.clock.now() - decision.stale
        for recent in self._recent:
            if recent.at > since and recent.place == place:
                if recent.created:
                    hidden.add(_id_of(recent.thing))
                elif isinstance(recent.thing, kind):
                    shown.append(recent.thing)
        return hidden, [thing for thing in shown if _id_of(thing) not in hidden]

    def _attached(
        self, call: Call, server_id: ServerId, fresh: Sequence[VirtualInterface]
    ) -> Sequence[VirtualInterface]:
        hidden, shown = self._lagging(call, _interfaces(server_id), VirtualInterface)
        found = _merged(fresh, hidden, shown)
        return sorted(found, key=lambda interface: interface.number)

    def _late(self, call: Call, view: ServerView) -> ServerView:
        """Return a server with the interfaces that a late read shows."""
        interfaces = self._attached(call, view.server.id, view.interfaces)
        return replace(view, interfaces=tuple(interfaces))

    def _page(
        self,
        fresh: Sequence[ServerView],
        query: ServerQuery,
        hidden: set[str],
        shown: Sequence[ServerView],
    ) -> Sequence[ServerView]:
        """Return a page of servers, newest first, as a late read shows it."""
        if not hidden and not shown:
            return fresh
        fitting = [view for view in shown if _fits(view, query)]
        found = _merged(fresh, hidden, fitting)
        wanted = self.settings.max_limit if query.limit is None else query.limit
        return sorted(found, key=lambda view: -view.server.number)[:wanted]


def _servers(call: Call) -> Place:
    return "servers", call.tenant


def _networks(call: Call) -> Place:
    return "networks", call.tenant


def _interfaces(server_id: ServerId) -> Place:
    return "interfaces", server_id


def _widened(query: ServerQuery, by: int) -> ServerQuery:
    """Return a query whose page has room for what will be hidden of it."""
    return query if query.limit is None else replace(query, limit=query.limit + by)


def _fits(view: ServerView, query: ServerQuery) -> bool:
    """Return whether a deleted server belongs on a page; it does on the first one only."""
    server = view.server
    return (
        query.marker is None
        and not query.offset
        and (query.name is None or compile_name_filter(query.name).found_in(server.name))
        and query.status in {None, server.status}
        and query.image in {None, server.image_ref}
        and query.flavor in {None, server.flavor_ref}
    )


def _merged(fresh: Sequence[AThing], hidden: set[str], shown: Sequence[AThing]) -> list[AThing]:
    """Return what a late read shows: things that are still shown are as they were."""
    replaced: set[str] = hidden.union(_id_of(thing) for thing in shown)
    kept = [thing for thing in fresh if _id_of(thing) not in replaced]
    return kept + list(shown)


def _id_of(thing: Thing) -> str:
    return thing.server.id if isinstance(thing, ServerView) else thing.id


async def _or_none(reading: Awaitable[T]) -> T | None:
    try:
        return await reading
    except ApiFault:
        return None
