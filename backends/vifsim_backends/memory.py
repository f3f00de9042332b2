"""A cloud in the memory of the process.

The house rule: rows never suspend, so an operation runs to its end between two awaits of the loop,
and is atomic without a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from vifsim import seeding
from vifsim.cloud import attach_order, flavor_ram
from vifsim.errors import Conflict, UsageError
from vifsim.operations import Contents, Rows, Site, effect_on
from vifsim.store import StoreBackend, TokenTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import ParamSpec

    from vifsim.backend import Snapshot
    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.model import (
        Identity,
        InterfaceId,
        Network,
        NetworkId,
        Server,
        ServerId,
        Settings,
        Tenant,
        TenantId,
        Token,
        User,
        VirtualInterface,
        World,
    )
    from vifsim.operations import Thing
    from vifsim.store import Operation

    P = ParamSpec("P")
T = TypeVar("T")

_TOMBSTONES = 10_000
"""Deleted servers that `changes-since` still finds; older ones are forgotten."""


class MemoryRows(Rows):
    """Rows in dictionaries.

    A server's value among the interfaces is the interface itself while it has one, else a tuple: a
    dictionary for each server would cost more than the interfaces do.
    """

    def __init__(self, settings: Settings, seed: int, clock: Clock, tokens: TokenTable) -> None:
        self.settings = settings
        self.seed = seed
        self.clock = clock
        self._tokens = tokens
        self._sequences: dict[str, int] = {}
        self._tenants: dict[TenantId, Tenant] = {}
        self._networks: dict[NetworkId, Network] = {}
        self._servers: dict[ServerId, Server] = {}
        self._by_number: dict[TenantId, dict[int, ServerId]] = {}
        self._used: dict[TenantId, tuple[int, int]] = {}
        self._leaving: dict[ServerId, float] = {}
        self._gone: dict[ServerId, None] = {}
        self._touched: dict[ServerId, float] = {}
        self._interfaces: dict[InterfaceId, VirtualInterface] = {}
        self._attached: dict[ServerId, VirtualInterface | tuple[VirtualInterface, ...]] = {}
        self._addresses: dict[NetworkId, set[str]] = {}
        self._macs: set[str] = set()

    def __len__(self) -> int:
        """How many things there are."""
        world = len(self._servers) + len(self._interfaces) + len(self._networks)
        return world + len(self._tokens.tokens)

    def copy(self) -> MemoryRows:
        """Return the same rows apart from these; what is in them never changes."""
        made = MemoryRows(self.settings, self.seed, self.clock, self._tokens.copy())
        made._sequences = self._sequences.copy()
        made._tenants = self._tenants.copy()
        made._networks = self._networks.copy()
        made._servers = self._servers.copy()
        made._by_number = {key: known.copy() for key, known in self._by_number.items()}
        made._used = self._used.copy()
        made._leaving = self._leaving.copy()
        made._gone = self._gone.copy()
        made._touched = self._touched.copy()
        made._interfaces = self._interfaces.copy()
        made._attached = self._attached.copy()
        made._addresses = {key: known.copy() for key, known in self._addresses.items()}
        made._macs = self._macs.copy()
        return made

    @property
    def tokens_table(self) -> TokenTable:
        """The tokens and users."""
        return self._tokens

    def note(
        self, call: Call, kind: Literal["created", "deleted", "changed"], thing: Thing
    ) -> None:
        call.outcome.effects.append(effect_on(kind, thing, self.clock.now()))

    async def sequence(self, kind: str) -> int:
        return self._sequences.get(kind, 0)

    async def sequences(self, kinds: Sequence[str]) -> Sequence[int]:
        return [self._sequences.get(kind, 0) for kind in kinds]

    async def set_sequence(self, kind: str, number: int) -> None:
        self._sequences[kind] = number

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        return self._tenants.get(tenant_id)

    async def put_tenant(self, tenant: Tenant) -> None:
        self._tenants[tenant.id] = tenant

    async def user(self, name: str) -> User | None:
        return self._tokens.users.get(name)

    async def put_user(self, user: User) -> None:
        self._tokens.put_user(user)

    async def token(self, digest: str) -> Token | None:
        return self._tokens.tokens.get(digest)

    async def tokens(self, user: str | None) -> Sequence[Token]:
        return self._tokens.tokens_of(user)

    async def put_token(self, token: Token) -> None:
        self._tokens.put_token(token)

    async def network(self, network_id: NetworkId) -> Network | None:
        return self._networks.get(network_id)

    async def networks(self, tenant: TenantId) -> Sequence[Network]:
        return [network for network in self._networks.values() if network.tenant == tenant]

    async def put_network(self, network: Network) -> None:
        self._networks[network.id] = network

    async def drop_network(self, network_id: NetworkId) -> None:
        del self._networks[network_id]
        self._addresses.pop(network_id, None)
        for kind in ("address", "room"):
            self._sequences.pop(f"{kind}:{network_id}", None)

    async def server(self, server_id: ServerId) -> Server | None:
        return self._servers.get(server_id)

    async def put_server(self, server: Server) -> None:
        known = self._servers.get(server.id)
        self._servers[server.id] = server
        if known is None:
            self._by_number.setdefault(server.tenant, {})[server.number] = server.id
            self._count(server, 1)
        if server.gone_at is None:
            self._leaving.pop(server.id, None)
        elif server.id not in self._gone:
            self._leaving[server.id] = server.gone_at

    def _count(self, server: Server, by: int) -> None:
        instances, ram = self._used.get(server.tenant, (0, 0))
        self._used[server.tenant] = (instances + by, ram + by * flavor_ram(server.flavor_ref))

    async def servers(self, tenant: TenantId, before: int | None, size: int) -> Sequence[Server]:
        found: list[Server] = []
        for number, server_id in reversed(self._by_number.get(tenant, {}).items()):
            if before is None or number < before:
                found.append(self._servers[server_id])
                if len(found) == size:
                    break
        return found

    async def servers_named(self, name: str) -> Sequence[Server]:
        return [server for server in self._servers.values() if server.name == name]

    async def usage(self, tenant: TenantId, now: float) -> tuple[int, int]:
        instances, ram = self._used.get(tenant, (0, 0))
        for server_id, at in self._leaving.items():
            server = self._servers[server_id]
            if at <= now and server.tenant == tenant:
                instances -= 1
                ram -= flavor_ram(server.flavor_ref)
        return instances, ram

    async def due(self, now: float) -> Sequence[Server]:
        if not self._leaving:
            return ()
        ready = [server_id for server_id, at in self._leaving.items() if at <= now]
        for server_id in ready:
            del self._leaving[server_id]
            self._gone[server_id] = None
            self._count(self._servers[server_id], -1)
        found = [self._servers[server_id] for server_id in ready]
        self._forget_the_oldest()
        return found

    def _forget_the_oldest(self) -> None:
        while len(self._gone) > _TOMBSTONES:
            server_id = next(iter(self._gone))
            del self._gone[server_id]
            server = self._servers.pop(server_id)
            del self._by_number[server.tenant][server.number]
            self._touched.pop(server_id, None)

    async def touch(self, server_id: ServerId, at: float) -> None:
        self._touched[server_id] = at

    async def touched(self, server_ids: Sequence[ServerId]) -> Mapping[ServerId, float]:
        return self._touched

    async def interface(self, interface_id: InterfaceId) -> VirtualInterface | None:
        return self._interfaces.get(interface_id)

    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        return self._on_server(server_id)

    def _on_server(self, server_id: ServerId) -> tuple[VirtualInterface, ...]:
        attached = self._attached.get(server_id, ())
        return attached if isinstance(attached, tuple) else (attached,)

    async def site(self, server_id: ServerId, network_id: NetworkId, tenant_id: TenantId) -> Site:
        return Site(
            self._servers.get(server_id),
            self._networks.get(network_id),
            self._tenants.get(tenant_id),
            self._on_server(server_id),
        )

    async def place(
        self, interface: VirtualInterface, numbers: Mapping[str, int], at: float
    ) -> None:
        self._put_interface(interface)
        self._sequences.update(numbers)
        self._touched[interface.server_id] = at

    async def put_interface(self, interface: VirtualInterface) -> None:
        self._put_interface(interface)

    def _put_interface(self, interface: VirtualInterface) -> None:
        attached = self._on_server(interface.server_id)
        addresses = self._addresses.setdefault(interface.network_id, set())
        self._hold_constraints(interface, attached, addresses)
        self._interfaces[interface.id] = interface
        self._attached[interface.server_id] = (*attached, interface) if attached else interface
        addresses.update(interface.addresses)
        self._macs.add(interface.mac_address)

    def _hold_constraints(
        self,
        interface: VirtualInterface,
        attached: Sequence[VirtualInterface],
        addresses: set[str],
    ) -> None:
        if attached and any(other.network_id == interface.network_id for other in attached):
            raise Conflict(f"Instance is already attached to network {interface.network_id}")
        if interface.mac_address in self._macs or not addresses.isdisjoint(interface.addresses):
            raise Conflict(f"Address of interface {interface.id} is in use")

    async def drop_interface(self, interface: VirtualInterface) -> None:
        attached = self._on_server(interface.server_id)
        left = tuple(other for other in attached if other.id != interface.id)
        if left:
            self._attached[interface.server_id] = left[0] if len(left) == 1 else left
        else:
            del self._attached[interface.server_id]
        del self._interfaces[interface.id]
        self._addresses[interface.network_id].difference_update(interface.addresses)
        self._macs.discard(interface.mac_address)

    async def on_network(self, network_id: NetworkId) -> int:
        # Isolated networks give each interface one address, and only they are counted.
        return len(self._addresses.get(network_id, ()))

    async def address_in_use(self, network_id: NetworkId, address: str) -> bool:
        return address in self._addresses.get(network_id, ())

    async def mac_in_use(self, mac_address: str) -> bool:
        return mac_address in self._macs

    async def in_use(self, network_id: NetworkId, address: str, mac_address: str) -> bool:
        return mac_address in self._macs or address in self._addresses.get(network_id, ())

    async def contents(self) -> Contents:
        return Contents(
            tenants=list(self._tenants.values()),
            users=list(self._tokens.users.values()),
            tokens=list(self._tokens.tokens.values()),
            networks=list(self._networks.values()),
            servers=list(self._servers.values()),
            touched=dict(self._touched),
            interfaces=attach_order(list(self._interfaces.values())),
            sequences=dict(self._sequences),
        )


class MemoryBackend(StoreBackend):
    """A cloud that lasts as long as the process: `memory:`."""

    _rows: MemoryRows
    _tokens: TokenTable
    _writes = 0

    def __init__(self, url: str, *, clock: Clock) -> None:
        super().__init__(url, clock=clock)
        if url != "memory:":
            raise UsageError(f"the memory backend takes no place: write memory:, not {url}")

    @property
    def settings(self) -> Settings:
        return self._rows.settings

    @property
    def seed(self) -> int:
        return self._rows.seed

    async def open(self, world: World) -> None:
        await self.reset(world)

    async def close(self) -> None:
        """Do nothing: there is nothing to let go."""

    async def reset(self, world: World) -> None:
        self._empty(world.settings, world.seed)
        await seeding.populate(self._rows, world)

    def _empty(self, settings: Settings, seed: int) -> None:
        self._tokens = TokenTable()
        self._rows = MemoryRows(settings, seed, self.clock, self._tokens)
        self._writes += 1

    async def configure(self, settings: Settings) -> None:
        self._rows.settings = settings
        self._writes += 1

    def mark(self) -> object:
        return self._writes

    def moment(self) -> MemoryRows:
        return self._rows.copy()

    async def go_back(self, moment: object) -> None:
        assert isinstance(moment, MemoryRows)  # noqa: S101 -- `moment` gives no other
        self._rows = moment.copy()
        self._tokens = self._rows.tokens_table
        self._writes += 1

    async def state_at(self, moment: object) -> Mapping[str, Any]:
        assert isinstance(moment, MemoryRows)  # noqa: S101 -- likewise
        contents = await moment.contents()
        return seeding.state_document(contents, moment.settings, self.clock.epoch())

    async def restore(self, snapshot: Snapshot) -> None:
        contents, settings, seed = seeding.contents_of(snapshot)
        before = self._rows, self._tokens
        self._empty(settings, seed)
        try:
            await seeding.refill(self._rows, contents)
        except Exception:
            self._rows, self._tokens = before
            raise

    async def identify(self, token: str) -> Identity | None:
        return self._tokens.identify(token, self.clock.epoch())

    async def _read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await operation(self._rows, *args, **kwargs)

    async def _write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._writes += 1
        return await operation(self._rows, *args, **kwargs)
