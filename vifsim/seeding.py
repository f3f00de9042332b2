"""How empty rows are filled: with a world, or with the contents of a snapshot.

The house rule: rows are filled in the order of what they refer to; what contradicts itself is the
fault of whoever wrote it, and told as such.

Source: scenarios, `world` (docs/scenarios.md); control API, section 3.5 (docs/control-api.md).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from vifsim import cloud
from vifsim.draws import identifier
from vifsim.errors import ApiFault, ControlFault, UsageError
from vifsim.model import Network, NetworkId, Server, ServerId, Token, User, VirtualInterface
from vifsim.operations.addressing import allocate
from vifsim.rows import PUBLIC_NETWORK, SERVICE_NETWORK, Contents, Numbers, Rows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vifsim.model import SeedInterface, SeedNetwork, SeedServer, World

T = TypeVar("T")

_prepared: OrderedDict[int, tuple[World, Contents]] = OrderedDict()
"""What worlds came to, by the identity of the world: most tests begin with the same one."""

_MOST_PREPARED = 8
_SMALL = 500
"""Servers and interfaces up to which a world is kept prepared."""


async def populate(rows: Rows, world: World) -> None:
    """Fill empty rows with a world.

    Raises:
        UsageError: the world holds more than its networks have addresses for, or contradicts
            itself.
    """
    known = _prepared.get(id(world))
    if known is not None:
        await _put_contents(rows, _begun(known[1], rows))
        return
    seeder = _Seeder(rows, world)
    try:
        await seeder.put_all()
    except ApiFault as exc:
        raise UsageError(f"this world cannot be made: {exc.message}") from exc
    if len(world.servers) + len(world.interfaces) <= _SMALL:
        _prepared[id(world)] = world, seeder.contents
        if len(_prepared) > _MOST_PREPARED:
            _prepared.popitem(last=False)


def _begun(contents: Contents, rows: Rows) -> Contents:
    """Return the contents of a world with its servers as if they had been created now."""
    now = rows.clock.epoch()
    built = now + rows.settings.build_time
    return replace(contents, servers=[created_at(each, now, built) for each in contents.servers])


_SERVER_FIELDS = tuple(item.name for item in fields(Server))
_server_values = attrgetter(*_SERVER_FIELDS)


def created_at(server: Server, created: float, built: float) -> Server:
    """Return a server as if it had been created at a time, to be done, where it builds, at another.

    `replace` takes twice as long, and a cloud that a test begins with spends a tenth on it.
    """
    values = dict(zip(_SERVER_FIELDS, _server_values(server), strict=True))
    values["created"] = values["updated"] = created
    if server.active_at is not None:
        values["active_at"] = built
    return Server(**values)


def names_of(world: World) -> tuple[dict[str, str], dict[str, str]]:
    """Return the ids of a world's servers by name and of its networks by label, as seeded.

    Of several that are called alike the first one counts.
    """
    servers: dict[str, str] = {}
    for number, server in enumerate(world.servers, 1):
        if server.status != "DELETED":
            servers.setdefault(server.name, server.id or identifier(world.seed, "server", number))
    networks: dict[str, str] = {}
    for number, network in enumerate(world.networks, 1):
        networks[network.label] = network.id or identifier(world.seed, "network", number)
    return servers, networks


class _Seeder:
    """Puts the networks and servers of a world, which may refer to one another by name.

    Attributes:
        contents: what was put.
    """

    def __init__(self, rows: Rows, world: World) -> None:
        self.numbers = Numbers(rows)
        self.contents = Contents()
        self._world = world
        self._rows = rows
        self._user_ids = {user.tenant: user.id for user in reversed(world.users)}
        self._networks: dict[str, Network] = {}
        for network in (PUBLIC_NETWORK, SERVICE_NETWORK):
            self._networks[network.label] = self._networks[network.id] = network
        self._given: dict[str, list[SeedInterface]] = {}
        for interface in world.interfaces:
            self._given.setdefault(interface.server, []).append(interface)

    async def put_all(self) -> None:
        for tenant in self._world.tenants:
            await self._rows.put_tenant(tenant)
            self.contents.tenants.append(tenant)
        for user in self._world.users:
            await self._put_user(user)
        for network in self._world.networks:
            await self._put_network(network)
        for server in self._world.servers:
            await self._put_server(server)
        self.contents.sequences.update(await self.numbers.keep())

    async def _put_user(self, user: User) -> None:
        await self._rows.put_user(user)
        self.contents.users.append(user)
        if user.token is not None:
            token = Token(
                digest=user.token, number=None, user=user.name, tenant=user.tenant, expires=None
            )
            await self._rows.put_token(token)
            self.contents.tokens.append(token)

    async def _put_network(self, seed: SeedNetwork) -> None:
        number = await self.numbers.take("network")
        network = Network(
            id=seed.id or NetworkId(identifier(self._rows.seed, "network", number)),
            label=seed.label,
            cidr=seed.cidr,
            tenant=seed.tenant,
        )
        await self._rows.put_network(network)
        self.contents.networks.append(network)
        self._networks.setdefault(network.label, network)
        self._networks[network.id] = network

    async def _put_server(self, seed: SeedServer) -> None:
        server = await self._new_server(seed)
        await self._rows.put_server(server)
        given = {
            self._networks[item.network].id: item
            for key in {seed.name, server.id}
            for item in self._given.get(key, ())
        }
        wanted = dict.fromkeys([self._networks[name].id for name in seed.networks] + list(given))
        for network_id in wanted:
            interface = await self._interface(server, network_id, given.get(network_id))
            server = cloud.access_after_attach(server, interface)
            await self._rows.put_interface(interface)
            self.contents.interfaces.append(interface)
        await self._rows.put_server(server)
        self.contents.servers.append(server)

    async def _new_server(self, seed: SeedServer) -> Server:
        now = self._rows.clock.epoch()
        number = await self.numbers.take("server")
        building = seed.status == "BUILD"
        return Server(
            id=seed.id or ServerId(identifier(self._rows.seed, "server", number)),
            number=number,
            tenant=seed.tenant,
            name=seed.name,
            user_id=self._user_ids.get(seed.tenant, ""),
            status=seed.status,
            task_state=seed.task_state,
            created=now,
            updated=now,
            active_at=now + self._rows.settings.build_time if building else None,
        )

    async def _interface(
        self, server: Server, network_id: NetworkId, given: SeedInterface | None
    ) -> VirtualInterface:
        network = self._networks[network_id]
        interface = await allocate(self._rows, self.numbers, server, network)
        if given is None:
            return interface
        return replace(
            interface,
            id=given.id or interface.id,
            mac_address=given.mac_address or interface.mac_address,
            addresses=given.addresses or interface.addresses,
        )


async def refill(rows: Rows, contents: Contents) -> None:
    """Fill empty rows with the contents of a snapshot.

    Raises:
        ControlFault: 400, the snapshot contradicts itself.
    """
    try:
        await _put_contents(rows, contents)
    except ApiFault as exc:
        raise ControlFault(400, f"the snapshot contradicts itself: {exc.message}") from exc


async def _put_contents(rows: Rows, contents: Contents) -> None:
    await _put_all(rows.put_tenant, contents.tenants)
    await _put_all(rows.put_user, contents.users)
    await _put_all(rows.put_token, contents.tokens)
    await _put_all(rows.put_network, contents.networks)
    await _put_all(rows.put_server, contents.servers)
    await _put_all(rows.put_interface, contents.interfaces)
    for server_id, at in contents.touched.items():
        await rows.touch(server_id, at)
    for kind, number in contents.sequences.items():
        await rows.set_sequence(kind, number)


async def _put_all(put: Callable[[T], Awaitable[None]], things: Sequence[T]) -> None:
    for thing in things:
        await put(thing)
