"""Operations on rows that were read in one go, and are written in one go.

```
locks of the parts ──► one read ──► the operations, in memory ──► numbers ──► one write ──► commit
```

Whatever waits runs together. Numbers that all clouds' things have in common are taken apart from
the transaction, so that nobody waits for them; where others took some meanwhile, the operations are
run again with those that are ours.

The house rule: an operation that asks for what is not at hand has written nothing; it runs again
where everything is, under the lock of all.
"""

from __future__ import annotations

import json
import math
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from vifsim.cloud import MAC_SPACE, flavor_ram, pool_of
from vifsim.errors import Conflict
from vifsim.model import FIXED_NETWORKS, NewServer, ServerId, VirtualInterface
from vifsim.rows import Contents, Rows
from vifsim.values import slotted
from vifsim_backends import postgres_statements as sql
from vifsim_backends.row_values import (
    Note,
    interface_of,
    network_of,
    server_of,
    server_values,
    tenant_of,
    user_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.model import (
        InterfaceId,
        Network,
        NetworkId,
        Server,
        Settings,
        Tenant,
        TenantId,
        Token,
        User,
    )
    from vifsim.rows import Thing
    from vifsim_backends.postgres_locks import Connection

T = TypeVar("T")

_COMMON = {"mac": MAC_SPACE, "server": 1 << 62, "virtual_interface": 1 << 62}
"""The sequences that all share, and where each begins again."""


class InUse(Exception):
    """An address or a MAC that looked free is not."""


class NotAtHand(Exception):
    """An operation asked for what was not read."""


@slotted
class Needs:
    """What operations ask for.

    Attributes:
        servers, networks, tenants, users: by their ids and names.
        usage: of tenants whose servers are counted.
        crowded: networks of which the addresses in use are read, not only hoped to be free.
    """

    servers: set[str] = field(default_factory=set[str])
    networks: set[str] = field(default_factory=set[str])
    tenants: set[str] = field(default_factory=set[str])
    users: set[str] = field(default_factory=set[str])
    usage: set[str] = field(default_factory=set[str])
    crowded: set[str] = field(default_factory=set[str])

    def add(self, other: Needs) -> None:
        """Need what another needs, too."""
        self.servers |= other.servers
        self.networks |= other.networks
        self.tenants |= other.tenants
        self.users |= other.users
        self.usage |= other.usage

    def parts(self) -> Iterable[str]:
        """Return what is locked: nobody else changes it meanwhile."""
        yield from (f"server {key}" for key in self.servers)
        yield from (f"network {key}" for key in self.networks)
        yield from (f"tenant {key}" for key in self.usage)

    def storable(self) -> bool:
        """Return whether all of it could be in a database: no zero, no half of a pair."""
        keys = "".join((*self.servers, *self.networks, *self.tenants, *self.users))
        return keys.isascii() and "\0" not in keys


def needs_of_server(call: Call, server_id: str) -> Needs:
    """Return what an operation on a server asks for."""
    return Needs(servers={server_id}, tenants={call.tenant or ""})


def needs_of_attach(call: Call, server_id: str, network_id: str) -> Needs:
    """Return what an attachment asks for."""
    return Needs(servers={server_id}, networks={network_id}, tenants={call.tenant or ""})


def needs_of_build(call: Call, new: NewServer) -> Needs:
    """Return what a new server asks for."""
    tenant = call.tenant or ""
    networks = FIXED_NETWORKS if new.networks is None else new.networks
    return Needs(networks=set(networks), tenants={tenant}, users={call.user or ""}, usage={tenant})


async def read(connection: Connection, needs: Needs) -> dict[str, list[Any]]:
    """Return rows by their kind, all of one moment."""
    kinds = [f"{kind}:{network}" for network in needs.networks for kind in ("address", "room")]
    found: dict[str, list[Any]] = {}
    for kind, row in await connection.fetch(
        sql.READ_AT_HAND,
        list(needs.servers),
        list({*needs.networks, *FIXED_NETWORKS}),
        list(needs.tenants),
        list(needs.users),
        [*kinds, *_COMMON],
        list(needs.usage),
        list(needs.crowded),
    ):
        found.setdefault(kind, []).append(json.loads(row))
    return found


class RowsAtHand(Rows):
    """Rows in memory, as they were read, and what operations change of them.

    Args:
        needs: what was read.
        found: the rows.
        settings: of the cloud.
        seed: that ids follow from.
        clock: where times come from.

    Attributes:
        notes: effects of the operation that runs, to be told at the commit.
        written: how many things were changed.
    """

    def __init__(
        self,
        needs: Needs,
        found: Mapping[str, Any],
        settings: Settings,
        seed: int,
        clock: Clock,
    ) -> None:
        self.settings, self.seed, self.clock = settings, seed, clock
        self.notes: list[Note] = []
        self.written = 0
        self._needs = needs
        self._found: Mapping[str, Any] = found
        self._begin()

    def _begin(self) -> None:
        self._read_things()
        self._read_counts()
        self._new: dict[str, VirtualInterface] = {}
        self._dropped: list[int] = []
        self._changed: dict[str, Server] = {}
        self._touched: dict[str, float] = {}
        self._counted: set[str] = set()
        self._macs: set[str] = set()

    def _rows(self, kind: str) -> list[Any]:
        rows: list[Any] = self._found.get(kind, [])
        return rows

    def _read_things(self) -> None:
        servers, networks = map(server_of, self._rows("server")), self._rows("network")
        self._servers: dict[str, Server] = {server.id: server for server in servers}
        self._networks: dict[str, Network] = {row[0]: network_of(row) for row in networks}
        self._places: dict[str, int] = {row[0]: row[4] for row in networks}
        tenants, users = map(tenant_of, self._rows("tenant")), map(user_of, self._rows("user"))
        self._tenants: dict[str, Tenant] = {tenant.id: tenant for tenant in tenants}
        self._users: dict[str, User] = {user.name: user for user in users}
        self._interfaces: dict[str, dict[str, VirtualInterface]] = {
            key: {} for key in self._needs.servers
        }
        for row in sorted(self._rows("interface")):
            made = interface_of(row, tuple(row[6]))
            self._interfaces[made.server_id][made.id] = made

    def _read_counts(self) -> None:
        self._numbers: dict[str, int] = {row[0]: row[1] for row in self._rows("sequence")}
        self._on_network: dict[str, int | None] = {row[0]: row[5] for row in self._rows("network")}
        due = [row for row in self._rows("due") if row is not None]
        self._due: float = min(due, default=math.inf)
        self._used: set[tuple[str, str]] = {(row[0], row[1]) for row in self._rows("address")}
        self._usage: dict[str, tuple[int, int]] = dict.fromkeys(self._needs.usage, (0, 0))
        for tenant, flavor, count, leaving in self._rows("usage"):
            if leaving:
                _not_at_hand()
            instances, ram = self._usage[tenant]
            self._usage[tenant] = instances + count, ram + count * flavor_ram(flavor)

    # ── numbers that all share ──

    @property
    def before(self) -> dict[str, int]:
        """The last numbers of the sequences that all share, as they were read."""
        found = {row[0]: row[1] for row in self._rows("sequence")}
        return {kind: found.get(kind, 0) for kind in _COMMON if kind in self._counted}

    @property
    def taken(self) -> dict[str, int]:
        """How many numbers of each sequence that all share were taken."""
        return {
            kind: (self._numbers[kind] - before) % _COMMON[kind]
            for kind, before in self.before.items()
        }

    def begin_again(self, numbers: Mapping[str, int]) -> None:
        """Forget what was changed, and count from other numbers."""
        rows = [row for row in self._rows("sequence") if row[0] not in numbers]
        self._found = {**self._found, "sequence": [*rows, *map(list, numbers.items())]}
        self.written = 0
        self._begin()

    def room_on(self, network_id: str) -> float:
        """Return how many IPv4 addresses a network has."""
        network = self._networks.get(network_id)
        pool = None if network is None else pool_of(network.id, network.cidr)
        return math.inf if pool is None else pool.size

    # ── writing it all ──

    async def write(self, connection: Connection) -> None:
        """Write what was changed, in a transaction that holds the locks."""
        if self._changed:
            values = [server_values(server) for server in self._changed.values()]
            await connection.executemany(sql.UPSERT_SERVER, values)
        dropped = self._dropped
        if dropped and self._new:  # what goes may make room for what comes
            await connection.execute(sql.DELETE_INTERFACES, dropped)
            dropped = []
        numbers = [
            (kind, self._numbers[kind]) for kind in sorted(self._counted) if kind not in _COMMON
        ]
        if self._new or self._touched or numbers or dropped:
            made = list(self._new.values())
            await connection.execute(
                sql.WRITE_AT_HAND,
                *_columns(5, (self._row(one) for one in made)),
                *_columns(4, (row for one in made for row in self._addresses(one))),
                *_columns(2, self._touched.items()),
                *_columns(2, numbers),
                dropped,
            )

    def new_addresses(self) -> list[tuple[Any, ...]]:
        """Return the network's place and the text of each address that is handed out."""
        return [row[:2] for one in self._new.values() for row in self._addresses(one)]

    def new_macs(self) -> list[str]:
        """Return the MACs that are handed out."""
        return [one.mac_address for one in self._new.values()]

    def _row(self, one: VirtualInterface) -> tuple[Any, ...]:
        number = self._servers[one.server_id].number
        return one.number, one.id, number, self._places[one.network_id], one.mac_address

    def _addresses(self, one: VirtualInterface) -> Iterable[tuple[Any, ...]]:
        place = self._places[one.network_id]
        return ((place, text, one.number, at) for at, text in enumerate(one.addresses, 1))

    # ── what operations ask ──

    def note(
        self, call: Call, kind: Literal["created", "deleted", "changed"], thing: Thing
    ) -> None:
        self.notes.append((call, kind, thing))

    async def sequence(self, kind: str) -> int:
        name, colon, key = kind.partition(":")
        if colon and name == "room":
            return (
                _not_at_hand() if self._numbers.get(kind) else 0
            )  # a network filled by hand is counted with care
        if (key if colon else kind) not in (self._needs.networks if colon else _COMMON):
            _not_at_hand()
        return self._numbers.get(kind, 0)

    async def set_sequence(self, kind: str, number: int) -> None:
        self._numbers[kind] = number
        self._counted.add(kind)

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        return self._at_hand(self._tenants, tenant_id, self._needs.tenants)

    async def user(self, name: str) -> User | None:
        return self._at_hand(self._users, name, self._needs.users)

    async def network(self, network_id: NetworkId) -> Network | None:
        return self._at_hand(self._networks, network_id, self._needs.networks)

    async def server(self, server_id: ServerId) -> Server | None:
        return self._at_hand(self._servers, server_id, self._needs.servers)

    async def put_server(self, server: Server) -> None:
        self.written += 1
        if server.id not in self._servers:
            self._interfaces[server.id] = {}
            instances, ram = self._usage.get(server.tenant, (0, 0))
            more = flavor_ram(server.flavor_ref)
            self._usage[server.tenant] = instances + 1, ram + more
        self._servers[server.id] = self._changed[server.id] = server

    async def usage(self, tenant: TenantId, now: float) -> tuple[int, int]:
        return self._usage[tenant] if tenant in self._usage else _not_at_hand()

    async def due(self, now: float) -> Sequence[Server]:
        return _not_at_hand() if self._due <= now else ()

    async def touch(self, server_id: ServerId, at: float) -> None:
        self._touched[server_id] = at

    async def touched(self, server_ids: Sequence[ServerId]) -> Mapping[ServerId, float]:
        rows = self._rows("server")
        return {ServerId(row[1]): row[21] for row in rows if row[21] is not None}

    async def interface(
        self, server_id: ServerId, interface_id: InterfaceId
    ) -> VirtualInterface | None:
        held = self._interfaces.get(server_id)
        return _not_at_hand() if held is None else held.get(interface_id)

    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        held = self._interfaces.get(server_id)
        return _not_at_hand() if held is None else list(held.values())

    async def put_interface(self, interface: VirtualInterface) -> None:
        held = self._interfaces[interface.server_id]
        if any(other.network_id == interface.network_id for other in held.values()):
            raise Conflict(f"Instance is already attached to network {interface.network_id}")
        self.written += 1
        held[interface.id] = self._new[interface.id] = interface
        self._macs.add(interface.mac_address)
        self._used.update((interface.network_id, text) for text in interface.addresses)
        self._count(interface.network_id, 1)

    async def drop_interface(self, interface: VirtualInterface) -> None:
        self.written += 1
        del self._interfaces[interface.server_id][interface.id]
        if self._new.pop(interface.id, None) is None:
            self._dropped.append(interface.number)
        self._macs.discard(interface.mac_address)
        self._used.difference_update((interface.network_id, text) for text in interface.addresses)
        self._count(interface.network_id, -1)

    def _count(self, network_id: NetworkId, by: int) -> None:
        count = self._on_network.get(network_id)
        if count is not None:
            self._on_network[network_id] = count + by

    async def on_network(self, network_id: NetworkId) -> int:
        count = self._on_network.get(network_id)
        return _not_at_hand() if count is None else count

    async def address_in_use(self, network_id: NetworkId, address: str) -> bool:
        # Of a network that is not crowded it is only hoped; the table's key knows.
        return (network_id, address) in self._used

    async def mac_in_use(self, mac_address: str) -> bool:
        return mac_address in self._macs

    # ── what only runs where everything is ──

    async def put_tenant(self, tenant: Tenant) -> None:
        _not_at_hand()

    async def put_user(self, user: User) -> None:
        _not_at_hand()

    async def token(self, digest: str) -> Token | None:
        return _not_at_hand()

    async def tokens(self, user: str | None) -> Sequence[Token]:
        return _not_at_hand()

    async def put_token(self, token: Token) -> None:
        _not_at_hand()

    async def networks(self, tenant: TenantId) -> Sequence[Network]:
        return _not_at_hand()

    async def put_network(self, network: Network) -> None:
        _not_at_hand()

    async def drop_network(self, network_id: NetworkId) -> None:
        _not_at_hand()

    async def servers(self, tenant: TenantId, before: int | None, size: int) -> Sequence[Server]:
        return _not_at_hand()

    async def servers_named(self, name: str) -> Sequence[Server]:
        return _not_at_hand()

    async def contents(self) -> Contents:
        return _not_at_hand()

    def _at_hand(self, things: Mapping[str, T], key: str, asked: set[str]) -> T | None:
        return things.get(key) if key in things or key in asked else _not_at_hand()


async def take_numbers(connection: Connection, rows: RowsAtHand) -> dict[str, int]:
    """Take the numbers that were used, at once and for good; return the last before them.

    The connection is in no transaction: nobody waits for ours.

    Raises:
        InUse: an address or a MAC was free only by hope; no number is taken.
    """
    taken = {kind: number for kind, number in rows.taken.items() if number}
    found = await connection.fetch(
        sql.ASK_NUMBERS,
        *_columns(2, sorted(taken.items())),
        *_columns(2, rows.new_addresses()),
        rows.new_macs(),
    )
    if not found:
        raise InUse
    return {kind: (last - taken[kind]) % _COMMON[kind] for kind, last in found}


def _columns(width: int, rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the columns of rows, for `unnest`."""
    kept = list(rows)
    return [[row[place] for row in kept] for place in range(width)]


def _not_at_hand() -> NoReturn:
    raise NotAtHand
