"""The operations of the cloud, written once over the few things that a store must be able to do.

A store gives rows (`Rows`); what a cloud does with them stands here and in `cloud`. An operation
awaits its rows, so that a store in the process never suspends, one on a thread is driven there
without a loop, and one behind a connection really waits.

The house rule: an operation checks everything before it writes anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import TYPE_CHECKING, Literal

from vifsim import cloud
from vifsim.backend import Names
from vifsim.draws import identifier, password, secret_digest, token_digest, token_text
from vifsim.errors import (
    BadRequest,
    Forbidden,
    ItemNotFound,
    Unauthorized,
    UserDisabled,
)
from vifsim.exchange import Effect
from vifsim.model import (
    FIXED_NETWORKS,
    PUBLIC,
    SERVICE,
    Access,
    CreatedServer,
    InterfaceId,
    Limits,
    Network,
    NetworkId,
    Server,
    ServerId,
    Tenant,
    TenantId,
    Token,
    Usage,
    User,
    VirtualInterface,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from ipaddress import IPv6Network

    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.model import (
        Credentials,
        NewServer,
        Quotas,
        ServerQuery,
        ServerView,
        Settings,
    )
    from vifsim.searching import Expression

PUBLIC_NETWORK = Network(id=PUBLIC, label="public", cidr=None, tenant=None)
SERVICE_NETWORK = Network(id=SERVICE, label="private", cidr=None, tenant=None)
_FIXED = {PUBLIC: PUBLIC_NETWORK, SERVICE: SERVICE_NETWORK}
_LAST_HOUR = 3600.0
_CHUNK = 1000

Thing = Server | Network | VirtualInterface | Token
"""What an effect can be about."""

_OBJECTS: dict[
    type[Thing], tuple[Literal["virtual_interface", "network", "server", "token"], str, str]
] = {
    VirtualInterface: ("virtual_interface", "id", "network_label"),
    Network: ("network", "id", "label"),
    Server: ("server", "id", "name"),
    Token: ("token", "digest", "user"),
}
"""What effects call a thing, and which of its fields they keep as its id and its name."""


def effect_on(kind: Literal["created", "deleted", "changed"], thing: Thing, at: float) -> Effect:
    """Return the effect to note: what was done to which thing, and when on the clock."""
    what, key, name = _OBJECTS[type(thing)]
    return Effect(kind, what, getattr(thing, key), at, getattr(thing, name))


class Rows(ABC):
    """What a store must be able to do: rows in, rows out, no rule of its own.

    Rows hold the constraints all the same: `put_interface` raises where a server would get two
    interfaces on one network, or two interfaces one address or MAC.

    Attributes:
        settings: of the cloud.
        seed: that ids follow from.
        clock: where times come from.
    """

    settings: Settings
    seed: int
    clock: Clock

    @abstractmethod
    def note(
        self, call: Call, kind: Literal["created", "deleted", "changed"], thing: Thing
    ) -> None:
        """Note an effect, to be written into the call's outcome at the commit."""

    @abstractmethod
    async def sequence(self, kind: str) -> int:
        """Return the last number of a sequence, 0 before the first."""

    @abstractmethod
    async def set_sequence(self, kind: str, number: int) -> None:
        """Set the last number of a sequence."""

    async def sequences(self, kinds: Sequence[str]) -> Sequence[int]:
        """Return the last numbers of several; a store that can reads them in one go."""
        return [await self.sequence(kind) for kind in kinds]

    @abstractmethod
    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        """Return a tenant."""

    @abstractmethod
    async def put_tenant(self, tenant: Tenant) -> None:
        """Store or replace a tenant."""

    @abstractmethod
    async def user(self, name: str) -> User | None:
        """Return a user by name."""

    @abstractmethod
    async def put_user(self, user: User) -> None:
        """Store or replace a user."""

    @abstractmethod
    async def token(self, digest: str) -> Token | None:
        """Return a token by its digest."""

    @abstractmethod
    async def tokens(self, user: str | None) -> Sequence[Token]:
        """Return the tokens of a user, or all, oldest first."""

    @abstractmethod
    async def put_token(self, token: Token) -> None:
        """Store or replace a token."""

    @abstractmethod
    async def network(self, network_id: NetworkId) -> Network | None:
        """Return an isolated network."""

    @abstractmethod
    async def networks(self, tenant: TenantId) -> Sequence[Network]:
        """Return a tenant's isolated networks in creation order."""

    @abstractmethod
    async def put_network(self, network: Network) -> None:
        """Store a new network."""

    @abstractmethod
    async def drop_network(self, network_id: NetworkId) -> None:
        """Remove a network and its sequences."""

    @abstractmethod
    async def server(self, server_id: ServerId) -> Server | None:
        """Return a server as stored, deleted ones too."""

    @abstractmethod
    async def put_server(self, server: Server) -> None:
        """Store or replace a server."""

    @abstractmethod
    async def servers(self, tenant: TenantId, before: int | None, size: int) -> Sequence[Server]:
        """Return up to `size` servers with numbers below `before`, highest first."""

    @abstractmethod
    async def servers_named(self, name: str) -> Sequence[Server]:
        """Return the servers of that name, oldest first."""

    @abstractmethod
    async def usage(self, tenant: TenantId, now: float) -> tuple[int, int]:
        """Return how many servers that are not gone a tenant has, and their megabytes."""

    @abstractmethod
    async def due(self, now: float) -> Sequence[Server]:
        """Return deleted servers whose time has come and that still have interfaces."""

    @abstractmethod
    async def touch(self, server_id: ServerId, at: float) -> None:
        """Remember when a server's interfaces last changed."""

    @abstractmethod
    async def touched(self, server_ids: Sequence[ServerId]) -> Mapping[ServerId, float]:
        """Return when the interfaces of these servers last changed, where they did."""

    @abstractmethod
    async def interface(self, interface_id: InterfaceId) -> VirtualInterface | None:
        """Return an interface."""

    @abstractmethod
    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        """Return a server's interfaces in attach order."""

    @abstractmethod
    async def put_interface(self, interface: VirtualInterface) -> None:
        """Store a new interface.

        Raises:
            Conflict: it would break one of the three constraints.
        """

    @abstractmethod
    async def drop_interface(self, interface: VirtualInterface) -> None:
        """Remove an interface and free its addresses."""

    @abstractmethod
    async def on_network(self, network_id: NetworkId) -> int:
        """Return how many interfaces a network has."""

    @abstractmethod
    async def address_in_use(self, network_id: NetworkId, address: str) -> bool:
        """Return whether an interface has this address there."""

    @abstractmethod
    async def mac_in_use(self, mac_address: str) -> bool:
        """Return whether an interface has this MAC."""

    async def in_use(self, network_id: NetworkId, address: str, mac_address: str) -> bool:
        """Return whether an interface has this address there, or one has this MAC."""
        return await self.mac_in_use(mac_address) or await self.address_in_use(network_id, address)

    async def site(self, server_id: ServerId, network_id: NetworkId, tenant_id: TenantId) -> Site:
        """Return what an attachment is decided by; a store that can reads it in one go."""
        return Site(
            server=await self.server(server_id),
            network=None if network_id in _FIXED else await self.network(network_id),
            tenant=await self.tenant(tenant_id),
            attached=[one.network_id for one in await self.interfaces(server_id)],
        )

    async def place(
        self, interface: VirtualInterface, numbers: Mapping[str, int], at: float
    ) -> None:
        """Store a new interface, the sequences that it was made of, and when its server changed.

        Raises:
            Conflict: see `put_interface`.
        """
        await self.put_interface(interface)
        for kind, number in numbers.items():
            await self.set_sequence(kind, number)
        await self.touch(interface.server_id, at)

    @abstractmethod
    async def contents(self) -> Contents:
        """Return everything."""


@dataclass(slots=True)
class Site:
    """Where an interface is to be attached: the things behind the call's ids, None where unknown.

    `network` is an isolated one, whoever's it is; `attached` are the networks of the server.
    """

    server: Server | None
    network: Network | None
    tenant: Tenant | None
    attached: Sequence[NetworkId]


@dataclass(slots=True, kw_only=True)
class Contents:
    """Everything that a store holds. Sequences are last numbers by kind."""

    tenants: list[Tenant] = field(default_factory=list[Tenant])
    users: list[User] = field(default_factory=list[User])
    tokens: list[Token] = field(default_factory=list[Token])
    networks: list[Network] = field(default_factory=list[Network])
    servers: list[Server] = field(default_factory=list[Server])
    touched: dict[ServerId, float] = field(default_factory=dict[ServerId, float])
    interfaces: list[VirtualInterface] = field(default_factory=list[VirtualInterface])
    sequences: dict[str, int] = field(default_factory=dict[str, int])


class Numbers:
    """The sequences that an operation draws from, kept only when it is sure to succeed.

    Attributes:
        last: numbers by kind, as this operation sees them, of the sequences that it has read.
        taken: those of the sequences that it has drawn from.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.last: dict[str, int] = {}
        self.taken: dict[str, int] = {}

    async def learn(self, *kinds: str) -> None:
        """Read the sequences that were not read yet."""
        new = kinds if not self.last else [kind for kind in kinds if kind not in self.last]
        if new:
            self.last.update(zip(new, await self._rows.sequences(new), strict=True))

    async def take(self, kind: str) -> int:
        """Return the next number of a sequence that may not be known yet."""
        await self.learn(kind)
        number = self.last[kind] + 1
        self.set(kind, number)
        return number

    def set(self, kind: str, number: int) -> None:
        """Set the last number of a sequence."""
        self.last[kind] = self.taken[kind] = number

    async def keep(self) -> Mapping[str, int]:
        """Write what was taken, and return it: last numbers by kind."""
        for kind, number in self.taken.items():
            await self._rows.set_sequence(kind, number)
        return self.taken


# ── looking things up ────────────────────────────────────────────────────────────────────────────


async def live_server(rows: Rows, call: Call, server_id: str, now: float) -> Server:
    """Return a stored server of the caller that is not gone.

    Raises:
        ItemNotFound: unknown, another tenant's, or deleted.
    """
    return _live(await rows.server(ServerId(server_id)), call, now)


def _live(server: Server | None, call: Call, now: float) -> Server:
    if server is None or server.tenant != call.tenant:
        raise ItemNotFound(cloud.SERVER_NOT_FOUND)
    if server.gone_at is not None and server.gone_at <= now:
        raise ItemNotFound(cloud.SERVER_NOT_FOUND)
    if server.status == "DELETED":
        raise ItemNotFound(cloud.SERVER_NOT_FOUND)
    return server


async def own_network(rows: Rows, tenant: str | None, network_id: str) -> Network | None:
    """Return a network that the tenant may use, or None."""
    fixed = _FIXED.get(NetworkId(network_id))
    if fixed is not None:
        return fixed
    return _own(await rows.network(NetworkId(network_id)), tenant)


def _own(network: Network | None, tenant: str | None) -> Network | None:
    return network if network is not None and network.tenant == tenant else None


async def quotas_of(rows: Rows, tenant: str | None) -> Quotas:
    """Return the quotas that hold for a tenant."""
    return _quotas(rows, await rows.tenant(TenantId(tenant or "")))


def _quotas(rows: Rows, tenant: Tenant | None) -> Quotas:
    return rows.settings.quotas if tenant is None else cloud.quotas_of(rows.settings, tenant)


async def settle(rows: Rows) -> float:
    """Release the interfaces of servers whose deletion is done by now, and return the date."""
    now = rows.clock.epoch()
    for server in await rows.due(now):
        await release(rows, server)
    return now


async def release(rows: Rows, server: Server) -> None:
    """Remove all interfaces of a server."""
    for interface in await rows.interfaces(server.id):
        await drop(rows, interface)


async def drop(rows: Rows, interface: VirtualInterface) -> None:
    """Remove an interface; where its network was filled by hand, that makes room for one."""
    await rows.drop_interface(interface)
    kind = _room(interface.network_id)
    room = await rows.sequence(kind)
    if room:
        await rows.set_sequence(kind, room + 1)


# ── handing out ──────────────────────────────────────────────────────────────────────────────────


def _room(network_id: NetworkId) -> str:
    """Return the sequence that bounds a network filled by hand: addresses left, plus one."""
    return f"room:{network_id}"


def _slot(network_id: NetworkId) -> str:
    """Return the sequence of the slots of a network's IPv4 pool."""
    return f"address:{network_id}"


async def _free_mac(rows: Rows, numbers: Numbers) -> str:
    last = numbers.last["mac"]
    for step in range(1, cloud.MAC_SPACE + 1):
        mac_address = cloud.mac_text(last + step)
        if not await rows.mac_in_use(mac_address):
            numbers.set("mac", (last + step) % cloud.MAC_SPACE)
            return mac_address
    raise BadRequest("No more MAC addresses are available")


async def _free_v4(rows: Rows, numbers: Numbers, network: Network, pool: cloud.Pool) -> str:
    kind = _slot(network.id)
    last = numbers.last[kind]
    for slot in cloud.slots_after(last - 1, pool.size):
        address = pool.address(slot)
        if not await rows.address_in_use(network.id, address):
            numbers.set(kind, slot + 1)
            return address
    raise BadRequest(f"No more addresses in network {network.id}")


async def _free_v6(
    rows: Rows, network: Network, prefix: IPv6Network, tenant: str, mac_address: str
) -> str:
    if prefix.prefixlen <= 64:
        return cloud.v6_from_mac(prefix, tenant, mac_address)
    for address in cloud.v6_candidates(prefix):
        if not await rows.address_in_use(network.id, address):
            return address
    raise BadRequest(f"No more addresses in network {network.id}")


async def _next_of_both(
    rows: Rows, numbers: Numbers, network: Network, pool: cloud.Pool
) -> tuple[str, str] | None:
    """Return the next MAC and IPv4 address, or None where one of them is in use."""
    kind = _slot(network.id)
    last = numbers.last
    mac_number = (last["mac"] + 1) % cloud.MAC_SPACE
    slot = last[kind] % pool.size
    mac_address, address = cloud.mac_text(mac_number), pool.address(slot)
    if await rows.in_use(network.id, address, mac_address):
        return None
    numbers.set("mac", mac_number)
    numbers.set(kind, slot + 1)
    return mac_address, address


async def _free_addresses(
    rows: Rows, numbers: Numbers, server: Server, network: Network
) -> tuple[str, tuple[str, ...]]:
    """Return a free MAC and the addresses that go with it, IPv6 first."""
    pool = cloud.pool_of(network.id, network.cidr)
    v6_prefix = cloud.v6_prefix_of(network.id, network.cidr)
    if pool is not None and v6_prefix is None:
        both = await _next_of_both(rows, numbers, network, pool)
        if both is not None:
            return both[0], both[1:]
    mac_address = await _free_mac(rows, numbers)
    addresses: list[str] = []
    if v6_prefix is not None:
        addresses.append(await _free_v6(rows, network, v6_prefix, server.tenant, mac_address))
    if pool is not None:
        addresses.append(await _free_v4(rows, numbers, network, pool))
    return mac_address, tuple(addresses)


async def allocate(
    rows: Rows, numbers: Numbers, server: Server, network: Network
) -> VirtualInterface:
    """Return a new interface with the next MAC and addresses; nothing is written.

    Raises:
        BadRequest: the network has no free address.
    """
    room_kind = _room(network.id)
    await numbers.learn(room_kind, "mac", _slot(network.id), "virtual_interface")
    room = numbers.last[room_kind]
    if room == 1:
        raise BadRequest(f"No more addresses in network {network.id}")
    mac_address, addresses = await _free_addresses(rows, numbers, server, network)
    if room:
        numbers.set(room_kind, room - 1)
    number = numbers.last["virtual_interface"] + 1
    numbers.set("virtual_interface", number)
    return VirtualInterface(
        id=InterfaceId(identifier(rows.seed, "virtual_interface", number)),
        number=number,
        server_id=server.id,
        network_id=network.id,
        network_label=network.label,
        mac_address=mac_address,
        addresses=addresses,
    )


# ── virtual interfaces ───────────────────────────────────────────────────────────────────────────


async def list_interfaces(
    rows: Rows, call: Call, server_id: ServerId
) -> Sequence[VirtualInterface]:
    """See `Backend.list_virtual_interfaces`."""
    await live_server(rows, call, server_id, rows.clock.epoch())
    return await rows.interfaces(server_id)


async def attach(
    rows: Rows, call: Call, server_id: ServerId, network_id: NetworkId
) -> VirtualInterface:
    """See `Backend.create_virtual_interface`."""
    now = await settle(rows)
    site = await rows.site(server_id, network_id, TenantId(call.tenant or ""))
    server = _live(site.server, call, now)
    cloud.admit_state(cloud.server_at(server, now), rows.settings, "attach an interface to")
    network = _FIXED.get(network_id) or _own(site.network, call.tenant)
    if network is None:
        raise cloud.unknown_network(network_id, rows.settings)
    quotas = _quotas(rows, site.tenant)
    cloud.admit_attach(network, site.attached, rows.settings, quotas)
    if network.isolated and quotas.servers_per_network is not None:
        cloud.admit_crowd(network, await rows.on_network(network_id), quotas)
    numbers = Numbers(rows)
    interface = await allocate(rows, numbers, server, network)
    await rows.place(interface, numbers.taken, now)
    if network_id == PUBLIC:
        await rows.put_server(cloud.access_after_attach(server, interface))
    rows.note(call, "created", interface)
    return interface


async def detach(rows: Rows, call: Call, server_id: ServerId, interface_id: InterfaceId) -> None:
    """See `Backend.delete_virtual_interface`."""
    now = await settle(rows)
    server = await live_server(rows, call, server_id, now)
    cloud.admit_state(cloud.server_at(server, now), rows.settings, "detach an interface from")
    interface = await rows.interface(interface_id)
    if interface is None or interface.server_id != server_id:
        if rows.settings.idempotent_vif_delete:
            return
        raise ItemNotFound(cloud.INTERFACE_NOT_FOUND)
    cloud.admit_detach(interface.network_id, rows.settings)
    await drop(rows, interface)
    await rows.touch(server_id, now)
    if interface.network_id == PUBLIC:
        await rows.put_server(cloud.access_after_detach(server, interface))
    rows.note(call, "deleted", interface)


# ── networks ─────────────────────────────────────────────────────────────────────────────────────


async def list_networks(rows: Rows, call: Call) -> Sequence[Network]:
    """See `Backend.list_networks`."""
    own = await rows.networks(TenantId(call.tenant or ""))
    return [*own, PUBLIC_NETWORK, SERVICE_NETWORK]


async def get_network(rows: Rows, call: Call, network_id: NetworkId) -> Network:
    """See `Backend.get_network`."""
    network = await own_network(rows, call.tenant, network_id)
    if network is None:
        raise ItemNotFound(cloud.NETWORK_NOT_FOUND)
    return network


async def create_network(rows: Rows, call: Call, label: str, cidr: str) -> Network:
    """See `Backend.create_network`."""
    tenant = TenantId(call.tenant or "")
    quotas = await quotas_of(rows, tenant)
    if quotas.networks is not None:
        cloud.admit_network(len(await rows.networks(tenant)), quotas)
    numbers = Numbers(rows)
    number = await numbers.take("network")
    network_id = NetworkId(identifier(rows.seed, "network", number))
    network = Network(id=network_id, label=label, cidr=cidr, tenant=tenant)
    await rows.put_network(network)
    await numbers.keep()
    rows.note(call, "created", network)
    return network


async def delete_network(rows: Rows, call: Call, network_id: NetworkId) -> None:
    """See `Backend.delete_network`."""
    await settle(rows)
    network = await get_network(rows, call, network_id)
    in_use = network.isolated and await rows.on_network(network_id) > 0
    cloud.admit_network_removal(network, in_use, rows.settings)
    await rows.drop_network(network_id)
    rows.note(call, "deleted", network)


# ── servers ──────────────────────────────────────────────────────────────────────────────────────


async def get_server(rows: Rows, call: Call, server_id: ServerId) -> ServerView:
    """See `Backend.get_server`."""
    now = rows.clock.epoch()
    server = await live_server(rows, call, server_id, now)
    return (await _views(rows, [server], now, detail=True))[0]


async def _views(
    rows: Rows, servers: Sequence[Server], now: float, *, detail: bool
) -> list[ServerView]:
    if not detail:
        return [cloud.view(server, (), 0.0, now) for server in servers]
    touched = await rows.touched([server.id for server in servers])
    return [
        cloud.view(
            server,
            () if _gone(server, now) else await rows.interfaces(server.id),
            touched.get(server.id, 0.0),
            now,
        )
        for server in servers
    ]


def _gone(server: Server, now: float) -> bool:
    return server.gone_at is not None and server.gone_at <= now


async def list_servers(
    rows: Rows, call: Call, query: ServerQuery, *, detail: bool
) -> Sequence[ServerView]:
    """See `Backend.list_servers` and `list_servers_detail`."""
    now = rows.clock.epoch()
    tenant = TenantId(call.tenant or "")
    before = await _marker_number(rows, tenant, query, now)
    wanted = rows.settings.max_limit
    if query.limit is not None:
        wanted = min(query.limit, wanted)
    name = None if query.name is None else cloud.compile_name_filter(query.name)
    found: list[Server] = []
    skip = query.offset
    while len(found) < wanted:
        chunk = await rows.servers(tenant, before, _CHUNK)
        if not chunk:
            break
        before = chunk[-1].number
        fitting = [server for server in chunk if _fits(server, query, name, now)]
        found += fitting[skip:]
        skip = max(0, skip - len(fitting))
    return await _views(rows, found[:wanted], now, detail=detail)


async def _marker_number(
    rows: Rows, tenant: TenantId, query: ServerQuery, now: float
) -> int | None:
    if query.marker is None:
        return None
    marker = await rows.server(ServerId(query.marker.lower()))
    if marker is None or marker.tenant != tenant:
        raise BadRequest(f"marker [{query.marker}] not found")
    if _gone(marker, now) and query.changes_since is None:
        raise BadRequest(f"marker [{query.marker}] not found")
    return marker.number


def _fits(server: Server, query: ServerQuery, name: Expression | None, now: float) -> bool:
    shown = cloud.server_at(server, now)
    if query.changes_since is None:
        if shown.status == "DELETED":
            return False
    elif max(shown.updated, shown.gone_at or 0.0) < query.changes_since:
        return False
    return (
        (name is None or name.found_in(shown.name))
        and query.status in {None, shown.status}
        and query.image in {None, shown.image_ref}
        and query.flavor in {None, shown.flavor_ref}
    )


async def create_server(rows: Rows, call: Call, new: NewServer) -> CreatedServer:
    """See `Backend.create_server`."""
    now = await settle(rows)
    wanted = new.networks if new.networks is not None else FIXED_NETWORKS
    cloud.admit_networks_of_boot(wanted, rows.settings)
    quotas = await quotas_of(rows, call.tenant)
    await _admit_quota(rows, call, new, quotas, now)
    networks = [await _network_of_boot(rows, call, network_id, quotas) for network_id in wanted]
    numbers = Numbers(rows)
    server = await _new_server(numbers, rows, call, new, now)
    interfaces = [await allocate(rows, numbers, server, network) for network in networks]
    for interface in interfaces:
        server = cloud.access_after_attach(server, interface)
    await rows.put_server(server)
    for interface in interfaces:
        await rows.put_interface(interface)
    await numbers.keep()
    rows.note(call, "created", server)
    return CreatedServer(server=server, admin_pass=password(rows.seed, server.number))


async def _admit_quota(rows: Rows, call: Call, new: NewServer, quotas: Quotas, now: float) -> None:
    if quotas.instances is None and quotas.ram is None:
        return
    instances, ram = await rows.usage(TenantId(call.tenant or ""), now)
    cloud.admit_server(new.flavor_ref, instances, ram, quotas, rows.settings)


async def _network_of_boot(
    rows: Rows, call: Call, network_id: NetworkId, quotas: Quotas
) -> Network:
    network = await own_network(rows, call.tenant, network_id)
    if network is None:
        raise BadRequest(f"Network {network_id} could not be found")
    if network.isolated and quotas.servers_per_network is not None:
        cloud.admit_crowd(network, await rows.on_network(network_id), quotas)
    return network


async def _new_server(
    numbers: Numbers, rows: Rows, call: Call, new: NewServer, now: float
) -> Server:
    number = await numbers.take("server")
    user = await rows.user(call.user or "")
    building = rows.settings.build_time > 0
    return Server(
        id=ServerId(identifier(rows.seed, "server", number)),
        number=number,
        tenant=TenantId(call.tenant or ""),
        name=new.name,
        image_ref=new.image_ref,
        flavor_ref=new.flavor_ref,
        user_id="" if user is None else user.id,
        status="BUILD" if building else "ACTIVE",
        created=now,
        updated=now,
        active_at=now + rows.settings.build_time if building else None,
        access_ipv4=new.access_ipv4,
        access_ipv6=new.access_ipv6,
        disk_config=new.disk_config,
        config_drive=new.config_drive,
        key_name=new.key_name,
        metadata=new.metadata,
    )


async def delete_server(rows: Rows, call: Call, server_id: ServerId) -> None:
    """See `Backend.delete_server`."""
    now = await settle(rows)
    server = await live_server(rows, call, server_id, now)
    if server.locked:
        cloud.admit_state(server, rows.settings, "delete")
    if server.gone_at is None:
        stored = cloud.server_at(server, now)
        await rows.put_server(replace(stored, updated=now, gone_at=now + rows.settings.delete_time))
        rows.note(call, "deleted", server)
    await settle(rows)


# ── identity ─────────────────────────────────────────────────────────────────────────────────────

_BAD_CREDENTIALS = "Unable to authenticate user with credentials provided."


def _alive(token: Token, now: float) -> bool:
    return not token.revoked and (token.expires is None or token.expires > now)


async def authenticate(rows: Rows, call: Call, credentials: Credentials) -> Access:
    """See `Backend.authenticate`."""
    now = rows.clock.epoch()
    user, by = await _who(rows, credentials, now)
    if not user.enabled:
        raise UserDisabled(f"User {user.name} is disabled")
    if credentials.tenant not in {None, user.tenant}:
        raise Unauthorized(_BAD_CREDENTIALS)
    if rows.settings.reissue == "last_hour":
        for token in await rows.tokens(user.name):
            if _reusable(token, now):
                return _access(rows, token, user)
    return await _new_token(rows, call, user, by, now)


def _reusable(token: Token, now: float) -> bool:
    return (
        token.number is not None
        and _alive(token, now)
        and token.expires is not None
        and token.expires - now > _LAST_HOUR
    )


async def _who(rows: Rows, credentials: Credentials, now: float) -> tuple[User, str]:
    if credentials.token is not None:
        token = await rows.token(token_digest(credentials.token))
        user = None if token is None else await rows.user(token.user)
        if token is None or user is None or not _alive(token, now):
            raise Unauthorized(_BAD_CREDENTIALS)
        return user, token.by
    user = await rows.user(credentials.username or "")
    if user is None:
        raise Unauthorized(_BAD_CREDENTIALS)
    if credentials.api_key is not None:
        given, kept, by = credentials.api_key, user.api_key, "APIKEY"
    else:
        given, kept, by = credentials.password or "", user.password, "PASSWORD"
    if kept is None or not compare_digest(secret_digest(given), kept):
        raise Unauthorized(_BAD_CREDENTIALS)
    return user, by


async def _new_token(rows: Rows, call: Call, user: User, by: str, now: float) -> Access:
    numbers = Numbers(rows)
    number = await numbers.take("token")
    token = Token(
        digest=token_digest(token_text(rows.seed, number)),
        number=number,
        user=user.name,
        tenant=user.tenant,
        expires=now + rows.settings.token_lifetime,
        by=by,
    )
    await rows.put_token(token)
    await numbers.keep()
    rows.note(call, "created", token)
    return _access(rows, token, user)


def _access(rows: Rows, token: Token, user: User) -> Access:
    text = "" if token.number is None else token_text(rows.seed, token.number)
    return Access(text=text, token=token, user=user)


async def find_token(rows: Rows, call: Call, text: str, belongs_to: str | None = None) -> Access:
    """See `Backend.validate_token`."""
    token = await rows.token(token_digest(text))
    if token is None or not _alive(token, rows.clock.epoch()):
        raise ItemNotFound("Token not found")
    if belongs_to not in {None, token.tenant}:
        raise ItemNotFound("Token not found")
    user = await rows.user(token.user)
    if user is None:
        raise ItemNotFound("Token not found")
    if token.user != call.user and not await _may_see(rows, call, token):
        raise Forbidden("Only an admin may look at another user's token")
    return Access(text=text, token=token, user=user)


async def _may_see(rows: Rows, call: Call, token: Token) -> bool:
    caller = await rows.user(call.user or "")
    return caller is not None and caller.role == "admin" and caller.tenant == token.tenant


async def revoke_token(rows: Rows, call: Call, text: str | None) -> None:
    """See `Backend.revoke_token`."""
    if text is None:
        token = await rows.token(call.token_id or "")
    else:
        token = (await find_token(rows, call, text)).token
    if token is not None:
        await rows.put_token(replace(token, revoked=True))
        rows.note(call, "deleted", token)


async def list_tenants(rows: Rows, call: Call) -> Sequence[Tenant]:
    """See `Backend.list_tenants`."""
    tenant = await rows.tenant(TenantId(call.tenant or ""))
    return [] if tenant is None else [tenant]


async def get_limits(rows: Rows, call: Call) -> Limits:
    """See `Backend.get_limits`."""
    tenant = TenantId(call.tenant or "")
    instances, ram = await rows.usage(tenant, rows.clock.epoch())
    return Limits(
        usage=Usage(
            quotas=await quotas_of(rows, tenant),
            instances=instances,
            ram=ram,
            networks=len(await rows.networks(tenant)),
        )
    )


async def names(rows: Rows, call: Call) -> Names:
    """See `Backend.names`."""
    server = None if call.server is None else await rows.server(ServerId(call.server))
    network_id = call.network
    if network_id is None and call.interface is not None:
        interface = await rows.interface(InterfaceId(call.interface))
        network_id = None if interface is None else interface.network_id
    network = None if network_id is None else await own_network(rows, call.tenant, network_id)
    return Names(
        server=None if server is None else server.name,
        network=network_id,
        network_label=None if network is None else network.label,
    )


async def expire_token(rows: Rows, token_id: str) -> None:
    """See `Backend.expire_token`."""
    token = await rows.token(token_id)
    if token is not None:
        await rows.put_token(replace(token, revoked=True))
