"""The rows of a cloud in dictionaries.

Every write is a step that says how it is undone, by another step: so one goes back to what there
was, and forward again.

The house rule: what is stored changes in steps only, each of which is logged by its reverse.
"""

from __future__ import annotations

from itertools import repeat
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from vifsim.cloud import attach_order, flavor_ram
from vifsim.errors import Conflict
from vifsim.rows import Contents, Rows, Site, effect_on
from vifsim.seeding import created_at
from vifsim_backends.packed import ID, JOINT, NUMBER, SERVER, MacSet, pack, packed_mac, unpack
from vifsim_backends.row_values import TOMBSTONES
from vifsim_backends.way_back import WayBack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.model import (
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
    )
    from vifsim.rows import Thing
    from vifsim.store import TokenTable
    from vifsim_backends.packed import Joint, Packed
    from vifsim_backends.way_back import Place

Step = tuple[Any, ...]
"""A method of `MemoryRows` that undoes a write, and its arguments."""

_NONE: frozenset[str] = frozenset()

_FLAT = (
    *("_sequences", "_tenants", "_networks", "_ranks", "_servers", "_used", "_leaving", "_gone"),
    *("_touched", "_joints"),
)
"""What rows hold in dictionaries of values that never change."""
_NESTED = ("_by_number", "_addresses")
"""What they hold in dictionaries of dictionaries or sets."""


class MemoryRows(Rows):
    """Rows in dictionaries.

    An interface is found by its server, as every operation knows it: among a million each look-up
    misses the processor's cache, and a dictionary of all by id is the largest of all. What is
    attached to a server stands alone while there is one, else in a list: a dictionary for each
    server would cost more than the interfaces do.

    Args:
        settings: of the cloud.
        seed: that ids follow from.
        clock: where times come from.
        tokens: kept where they are asked for.
        way: where steps are logged; one of its own where it is None.
    """

    def __init__(
        self,
        settings: Settings,
        seed: int,
        clock: Clock,
        tokens: TokenTable,
        way: WayBack[Step] | None = None,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.clock = clock
        self._tokens = tokens
        self._way = way or WayBack[Step]()
        self._steps = self._way.steps
        self._logged = False
        self._sequences: dict[str, int] = {}
        self._tenants: dict[TenantId, Tenant] = {}
        self._networks: dict[NetworkId, Network] = {}
        self._ranks: dict[NetworkId, int] = {}
        self._servers: dict[ServerId, Server] = {}
        self._by_number: dict[TenantId, dict[int, ServerId]] = {}
        self._used: dict[TenantId, tuple[int, int]] = {}
        self._leaving: dict[ServerId, float] = {}
        self._gone: dict[ServerId, None] = {}
        self._touched: dict[ServerId, float] = {}
        self._joints: dict[NetworkId, Joint] = {}
        self._attached: dict[ServerId, Packed | list[Packed]] = {}
        self._addresses: dict[NetworkId, set[str]] = {}
        self._macs = MacSet()

    def copied(self, clock: Clock, tokens: TokenTable, way: WayBack[Step]) -> MemoryRows:
        """Return rows of another store that hold the same; no write to one is felt by the other.

        Args:
            clock: of the other store.
            tokens: of the other store, which hold the same already.
            way: of the other store.
        """
        rows = MemoryRows(self.settings, self.seed, clock, tokens, way)
        ours, theirs = vars(self), vars(rows)
        for name in _FLAT:
            theirs[name] = ours[name].copy()
        for name in _NESTED:
            theirs[name] = {key: inner.copy() for key, inner in ours[name].items()}
        theirs["_attached"] = {
            server_id: attached.copy() if isinstance(attached, list) else attached
            for server_id, attached in self._attached.items()
        }
        theirs["_macs"] = self._macs.copied()
        return rows

    def date(self, created: float) -> None:
        """Let all servers have been created at a time, seconds since the epoch.

        Only for rows that were filled just now: nothing of it is logged.
        """
        built = created + self.settings.build_time
        for server_id, server in self._servers.items():
            self._servers[server_id] = created_at(server, created, built)

    # ── going back ──

    def start_log(self) -> Place:
        """Log from now on how each write is undone, and return the place where that begins."""
        self._way.cut()
        self._logged = True
        return self._way.place

    def go_back(self, place: Place) -> None:
        """Be as at a place of the log.

        Raises:
            ControlFault: 409, nothing leads there any more.
        """
        for undo, *arguments in self._way.back_to(place):
            undo(self, *arguments)

    def _log(self, *step: Any) -> None:
        if self._logged:
            self._steps.append(step)

    def configure(self, settings: Settings) -> None:
        """Behave by other settings from now on."""
        self._log(MemoryRows.configure, self.settings)
        self.settings = settings

    # ── sequences, tenants, users, tokens ──

    def note(
        self, call: Call, kind: Literal["created", "deleted", "changed"], thing: Thing
    ) -> None:
        call.outcome.note(effect_on(kind, thing, self.clock.now()))

    async def sequence(self, kind: str) -> int:
        return self._sequences.get(kind, 0)

    async def sequences(self, kinds: Sequence[str]) -> Sequence[int]:
        return [*map(self._sequences.get, kinds, repeat(0))]

    async def set_sequence(self, kind: str, number: int) -> None:
        self._set_sequences({kind: number})

    def _set_sequences(self, numbers: Mapping[str, int]) -> None:
        known = self._sequences
        if self._logged:
            before = {kind: known.get(kind, 0) for kind in numbers}
            self._steps.append((MemoryRows._set_sequences, before))
        known.update(numbers)

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        return self._tenants.get(tenant_id)

    async def put_tenant(self, tenant: Tenant) -> None:
        self._set_tenant(tenant.id, tenant)

    def _set_tenant(self, tenant_id: TenantId, tenant: Tenant | None) -> None:
        self._log(MemoryRows._set_tenant, tenant_id, self._tenants.get(tenant_id))
        if tenant is None:
            del self._tenants[tenant_id]
        else:
            self._tenants[tenant_id] = tenant

    async def user(self, name: str) -> User | None:
        return self._tokens.users.get(name)

    async def put_user(self, user: User) -> None:
        self._set_user(user.name, user)

    def _set_user(self, name: str, user: User | None) -> None:
        self._log(MemoryRows._set_user, name, self._tokens.users.get(name))
        if user is None:
            self._tokens.drop_user(name)
        else:
            self._tokens.put_user(user)

    async def token(self, digest: str) -> Token | None:
        return self._tokens.tokens.get(digest)

    async def tokens(self, user: str | None) -> Sequence[Token]:
        return self._tokens.tokens_of(user)

    async def put_token(self, token: Token) -> None:
        self._set_token(token.digest, token)

    def _set_token(self, digest: str, token: Token | None) -> None:
        self._log(MemoryRows._set_token, digest, self._tokens.tokens.get(digest))
        if token is None:
            self._tokens.drop_token(digest)
        else:
            self._tokens.put_token(token)

    # ── networks ──

    async def network(self, network_id: NetworkId) -> Network | None:
        return self._networks.get(network_id)

    async def networks(self, tenant: TenantId) -> Sequence[Network]:
        return [network for network in self._networks.values() if network.tenant == tenant]

    async def put_network(self, network: Network) -> None:
        self._add_network(network, next(reversed(self._ranks.values()), 0) + 1)

    def _add_network(self, network: Network, rank: int) -> None:
        """Add a network in its place among all: networks are listed as they were created."""
        self._log(MemoryRows._remove_network, network.id)
        last = next(reversed(self._ranks.values()), 0)
        self._networks[network.id] = network
        self._ranks[network.id] = rank
        if rank < last:
            self._ranks = dict(sorted(self._ranks.items(), key=lambda item: item[1]))
            self._networks = {known: self._networks[known] for known in self._ranks}

    async def drop_network(self, network_id: NetworkId) -> None:
        self._remove_network(network_id)
        kinds = [f"{kind}:{network_id}" for kind in ("address", "room")]
        self._set_sequences({kind: 0 for kind in kinds if kind in self._sequences})

    def _remove_network(self, network_id: NetworkId) -> None:
        network, rank = self._networks.pop(network_id), self._ranks.pop(network_id)
        self._log(MemoryRows._add_network, network, rank)
        self._addresses.pop(network_id, None)
        self._joints.pop(network_id, None)

    # ── servers ──

    async def server(self, server_id: ServerId) -> Server | None:
        return self._servers.get(server_id)

    async def put_server(self, server: Server) -> None:
        self._set_server(server.id, server)

    def _set_server(self, server_id: ServerId, server: Server | None) -> None:
        known = self._servers.get(server_id)
        self._log(MemoryRows._set_server, server_id, known)
        if server is None:
            assert known is not None  # noqa: S101 -- it was there, or there was nothing to undo
            del self._servers[server_id]
            del self._by_number[known.tenant][known.number]
            self._count(known, -1)
        else:
            self._servers[server_id] = server
            if known is None:
                self._by_number.setdefault(server.tenant, {})[server.number] = server_id
                self._count(server, 1)
        if server is None or server.gone_at is None:
            self._leaving.pop(server_id, None)
        elif server_id not in self._gone:
            self._leaving[server_id] = server.gone_at

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
            self._release(server_id)
        found = [self._servers[server_id] for server_id in ready]
        self._forget_the_oldest()
        return found

    def _release(self, server_id: ServerId) -> None:
        self._log(MemoryRows._take_in, server_id)
        del self._leaving[server_id]
        self._gone[server_id] = None
        self._count(self._servers[server_id], -1)

    def _take_in(self, server_id: ServerId) -> None:
        """Undo a release."""
        self._log(MemoryRows._release, server_id)
        server = self._servers[server_id]
        assert server.gone_at is not None  # noqa: S101 -- it was leaving
        del self._gone[server_id]
        self._leaving[server_id] = server.gone_at
        self._count(server, 1)

    def _forget_the_oldest(self) -> None:
        if len(self._gone) > TOMBSTONES:
            self._way.cut()
        while len(self._gone) > TOMBSTONES:
            server_id = next(iter(self._gone))
            del self._gone[server_id]
            server = self._servers.pop(server_id)
            del self._by_number[server.tenant][server.number]
            self._touched.pop(server_id, None)

    async def touch(self, server_id: ServerId, at: float) -> None:
        self._touch(server_id, at)

    def _touch(self, server_id: ServerId, at: float | None) -> None:
        if self._logged:
            self._steps.append((MemoryRows._touch, server_id, self._touched.get(server_id)))
        if at is None:
            del self._touched[server_id]
        else:
            self._touched[server_id] = at

    # ── virtual interfaces ──

    async def touched(self, server_ids: Sequence[ServerId]) -> Mapping[ServerId, float]:
        return self._touched

    async def interface(
        self, server_id: ServerId, interface_id: InterfaceId
    ) -> VirtualInterface | None:
        packed = self._find(server_id, interface_id)
        return None if packed is None else unpack(packed)

    def _find(self, server_id: ServerId, interface_id: InterfaceId) -> Packed | None:
        for packed in reversed(self._on_server(server_id)):
            if packed[ID] == interface_id:
                return packed
        return None

    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        return [unpack(one) for one in self._on_server(server_id)]

    def _networks_of(self, server_id: ServerId) -> list[NetworkId]:
        return [one[JOINT][0] for one in self._on_server(server_id)]

    def _on_server(self, server_id: ServerId) -> Sequence[Packed]:
        """Return what is attached, in attach order; not to be changed."""
        attached = self._attached.get(server_id)
        if attached is None:
            return ()
        return attached if isinstance(attached, list) else (attached,)

    async def site(self, server_id: ServerId, network_id: NetworkId, tenant_id: TenantId) -> Site:
        return Site(
            self._servers.get(server_id),
            self._networks.get(network_id),
            self._tenants.get(tenant_id),
            self._networks_of(server_id),
        )

    async def place(
        self, interface: VirtualInterface, numbers: Mapping[str, int], at: float
    ) -> None:
        packed = self._packed(interface)
        self._hold_constraints(packed)
        known, server_id = self._sequences, interface.server_id
        if self._logged:
            before = tuple(numbers), tuple(map(known.get, numbers))
            touched = self._touched.get(server_id)
            self._steps.append((MemoryRows._take_away, packed, *before, touched))
        known.update(numbers)
        self._touched[server_id] = at
        self._add(packed)

    def _take_away(
        self,
        packed: Packed,
        kinds: Sequence[str],
        numbers: Sequence[int | None],
        touched: float | None,
    ) -> None:
        """Undo a placing."""
        self._remove(packed)
        self._set_sequences({kind: last or 0 for kind, last in zip(kinds, numbers, strict=True)})
        self._touch(packed[SERVER], touched)

    async def put_interface(self, interface: VirtualInterface) -> None:
        packed = self._packed(interface)
        self._hold_constraints(packed)
        self._log(MemoryRows._remove, packed)
        self._add(packed)

    def _packed(self, interface: VirtualInterface) -> Packed:
        network_id = interface.network_id
        joint = self._joints.get(network_id)
        if joint is None:
            joint = self._joints[network_id] = network_id, interface.network_label
        return pack(interface, joint)

    def _hold_constraints(self, packed: Packed) -> None:
        interface_id, _, server_id, (network_id, _), mac, addresses = packed
        if network_id in self._networks_of(server_id):
            raise Conflict(f"Instance is already attached to network {network_id}")
        held = self._addresses.get(network_id, _NONE)
        taken = addresses in held if isinstance(addresses, str) else not held.isdisjoint(addresses)
        if taken or mac in self._macs:
            raise Conflict(f"Address of interface {interface_id} is in use")

    def _add(self, packed: Packed) -> None:
        _, _, server_id, (network_id, _), mac, addresses = packed
        attached = self._attached.get(server_id)
        if attached is None:
            self._attached[server_id] = packed
        elif isinstance(attached, list):
            attached.append(packed)
        else:
            self._attached[server_id] = [attached, packed]
        held = self._addresses.get(network_id)
        if held is None:
            held = self._addresses[network_id] = set()
        held.update((addresses,) if isinstance(addresses, str) else addresses)
        self._macs.add(mac)

    def _add_again(self, packed: Packed) -> None:
        """Undo a removal: in attach order again."""
        self._log(MemoryRows._remove, packed)
        self._add(packed)
        attached = self._attached[packed[SERVER]]
        if isinstance(attached, list):
            attached.sort(key=itemgetter(NUMBER))

    async def drop_interface(self, interface: VirtualInterface) -> None:
        packed = self._find(interface.server_id, interface.id)
        assert packed is not None  # noqa: S101 -- it was found there in the same breath
        self._remove(packed)

    def _remove(self, packed: Packed) -> None:
        if self._logged:
            self._steps.append((MemoryRows._add_again, packed))
        _, _, server_id, (network_id, _), mac, addresses = packed
        attached = self._attached[server_id]
        if not isinstance(attached, list):
            del self._attached[server_id]
        elif len(attached) > 2:
            # From the end, and by identity: to compare values would be to fetch them all.
            place = next(at for at in reversed(range(len(attached))) if attached[at] is packed)
            del attached[place]
        else:
            first, second = attached
            self._attached[server_id] = second if first is packed else first
        held = self._addresses[network_id]
        held.difference_update((addresses,) if isinstance(addresses, str) else addresses)
        self._macs.discard(mac)

    async def on_network(self, network_id: NetworkId) -> int:
        # Isolated networks give each interface one address, and only they are counted.
        return len(self._addresses.get(network_id, ()))

    async def address_in_use(self, network_id: NetworkId, address: str) -> bool:
        return address in self._addresses.get(network_id, ())

    async def mac_in_use(self, mac_address: str) -> bool:
        return packed_mac(mac_address) in self._macs

    async def in_use(self, network_id: NetworkId, address: str, mac_address: str) -> bool:
        return packed_mac(mac_address) in self._macs or address in self._addresses.get(
            network_id, ()
        )

    async def contents(self) -> Contents:
        return Contents(
            tenants=list(self._tenants.values()),
            users=list(self._tokens.users.values()),
            tokens=list(self._tokens.tokens.values()),
            networks=list(self._networks.values()),
            servers=list(self._servers.values()),
            touched=dict(self._touched),
            interfaces=attach_order([unpack(one) for one in self._all_attached()]),
            sequences={kind: number for kind, number in self._sequences.items() if number},
        )

    def _all_attached(self) -> Iterator[Packed]:
        for server_id in self._attached:
            yield from self._on_server(server_id)
