"""The rows of a cloud in PostgreSQL's tables.

The house rule: what is kept in memory lives as long as the transaction, for another process may
write after it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from vifsim.cloud import flavor_ram
from vifsim.errors import BadRequest, Conflict
from vifsim.model import (
    BuildFault,
    Network,
    Server,
    Settings,
    Tenant,
    Token,
    User,
    VirtualInterface,
)
from vifsim.operations import Contents, Rows
from vifsim.seeding import read_settings, settings_document

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asyncpg.pool import PoolConnectionProxy

    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.model import InterfaceId, NetworkId, ServerId, TenantId
    from vifsim.operations import Thing

    Connection = asyncpg.Connection | PoolConnectionProxy

Note = tuple["Call", Literal["created", "deleted", "changed"], "Thing"]

_TOMBSTONES = 10_000
"""Deleted servers that `changes-since` still finds; older ones are forgotten."""
_MOST = (1 << 63) - 1


class PostgresRows(Rows):
    """Rows as one transaction sees them.

    Args:
        connection: in a transaction, for as long as these rows are used.
        settings: of the cloud.
        seed: that ids follow from.
        clock: where times come from.

    Attributes:
        notes: effects, to be told at the commit.
        written: how many statements wrote.
    """

    def __init__(self, connection: Connection, settings: Settings, seed: int, clock: Clock) -> None:
        self.settings = settings
        self.seed = seed
        self.clock = clock
        self.notes: list[Note] = []
        self.written: int = 0
        self._connection = connection

    async def _one(self, sql: str, *values: Any) -> Any:
        if _unstorable(values):
            return None
        return await self._connection.fetchrow(sql, *values)

    async def _all(self, sql: str, *values: Any) -> list[Any]:
        if _unstorable(values):
            return []
        found: list[Any] = await self._connection.fetch(sql, *values)
        return found

    async def _put(self, problem: str, sql: str, *values: Any) -> None:
        if _unstorable(values):
            raise BadRequest("A text holds a character that cannot be stored")
        self.written += 1
        try:
            await self._connection.execute(sql, *values)
        except asyncpg.IntegrityConstraintViolationError as exc:
            raise Conflict(problem) from exc

    def note(
        self, call: Call, kind: Literal["created", "deleted", "changed"], thing: Thing
    ) -> None:
        self.notes.append((call, kind, thing))

    # ── sequences, tenants, users, tokens ──

    async def sequence(self, kind: str) -> int:
        row = await self._one("SELECT number FROM sequences WHERE kind = $1", kind)
        return 0 if row is None else row[0]

    async def set_sequence(self, kind: str, number: int) -> None:
        await self._put("", _UPSERT_SEQUENCE, kind, number)

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        row = await self._one("SELECT id, quotas FROM tenants WHERE id = $1", tenant_id)
        return None if row is None else _tenant(row)

    async def put_tenant(self, tenant: Tenant) -> None:
        await self._put("", _UPSERT_TENANT, tenant.id, json.dumps(dict(tenant.quotas)))

    async def user(self, name: str) -> User | None:
        row = await self._one(f"{_SELECT_USERS} WHERE name = $1", name)
        return None if row is None else User(**dict(row))

    async def put_user(self, user: User) -> None:
        problem = f"User {user.name} contradicts what exists"
        await self._put(problem, _UPSERT_USER, *_user_values(user))

    async def token(self, digest: str) -> Token | None:
        row = await self._one(f"{_SELECT_TOKENS} WHERE digest = $1", digest)
        return None if row is None else Token(**dict(row))

    async def tokens(self, user: str | None) -> Sequence[Token]:
        if user is None:
            found = await self._all(f"{_SELECT_TOKENS} ORDER BY place")
        else:
            found = await self._all(f"{_SELECT_TOKENS} WHERE user_name = $1 ORDER BY place", user)
        return [Token(**dict(row)) for row in found]

    async def put_token(self, token: Token) -> None:
        problem = "The token contradicts what exists"
        await self._put(problem, _UPSERT_ACCESS, *_token_values(token))

    # ── networks ──

    async def network(self, network_id: NetworkId) -> Network | None:
        row = await self._one(f"{_SELECT_NETWORKS} WHERE id = $1", network_id)
        return None if row is None else Network(**dict(row))

    async def networks(self, tenant: TenantId) -> Sequence[Network]:
        found = await self._all(f"{_SELECT_NETWORKS} WHERE tenant = $1 ORDER BY place", tenant)
        return [Network(**dict(row)) for row in found]

    async def put_network(self, network: Network) -> None:
        await self._put(
            f"Network {network.id} exists already, or its tenant does not",
            "INSERT INTO networks (id, label, cidr, tenant) VALUES ($1, $2, $3, $4)",
            network.id,
            network.label,
            network.cidr,
            network.tenant,
        )

    async def drop_network(self, network_id: NetworkId) -> None:
        await self._put("The network is in use", "DELETE FROM networks WHERE id = $1", network_id)
        for kind in ("address", "room"):
            await self.set_sequence(f"{kind}:{network_id}", 0)

    # ── servers ──

    async def server(self, server_id: ServerId) -> Server | None:
        row = await self._one(f"{_SELECT_SERVERS} WHERE id = $1", server_id)
        return None if row is None else _server(row)

    async def put_server(self, server: Server) -> None:
        problem = f"Server {server.id} contradicts another"
        await self._put(problem, _UPSERT_SERVER, *_server_values(server))

    async def servers(self, tenant: TenantId, before: int | None, size: int) -> Sequence[Server]:
        found = await self._all(
            f"{_SELECT_SERVERS} WHERE tenant = $1 AND number < $2 ORDER BY number DESC LIMIT $3",
            tenant,
            _MOST if before is None else before,
            size,
        )
        return [_server(row) for row in found]

    async def servers_named(self, name: str) -> Sequence[Server]:
        found = await self._all(f"{_SELECT_SERVERS} WHERE name = $1 ORDER BY number", name)
        return [_server(row) for row in found]

    async def usage(self, tenant: TenantId, now: float) -> tuple[int, int]:
        counted = await self._all(_COUNT_IN_USE, tenant, now)
        instances = sum(number for _, number in counted)
        return instances, sum(number * flavor_ram(flavor) for flavor, number in counted)

    async def due(self, now: float) -> Sequence[Server]:
        return ()

    async def touch(self, server_id: ServerId, at: float) -> None:
        await self._put("", "UPDATE servers SET touched = $1 WHERE id = $2", at, server_id)

    async def touched(self, server_ids: Sequence[ServerId]) -> Mapping[ServerId, float]:
        sql = "SELECT id, touched FROM servers WHERE touched IS NOT NULL AND id = ANY($1)"
        return {row[0]: row[1] for row in await self._all(sql, list(server_ids))}

    # ── virtual interfaces ──

    async def interface(self, interface_id: InterfaceId) -> VirtualInterface | None:
        found = _interfaces(await self._all(_SELECT_INTERFACE, interface_id))
        return found[0] if found else None

    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        return _interfaces(await self._all(_SELECT_INTERFACES_OF, server_id))

    async def put_interface(self, interface: VirtualInterface) -> None:
        self.written += 1
        try:
            await self._connection.execute(
                _INSERT_INTERFACE,
                interface.number,
                interface.id,
                interface.server_id,
                interface.network_id,
                interface.mac_address,
                list(interface.addresses),
            )
        except asyncpg.IntegrityConstraintViolationError as exc:
            raise _contradiction(interface, exc) from exc

    async def drop_interface(self, interface: VirtualInterface) -> None:
        await self._put("", "DELETE FROM virtual_interfaces WHERE number = $1", interface.number)

    async def on_network(self, network_id: NetworkId) -> int:
        row = await self._one(_COUNT_ON_NETWORK, network_id)
        return int(row[0])

    async def address_in_use(self, network_id: NetworkId, address: str) -> bool:
        return await self._one(_SELECT_ADDRESS, network_id, address) is not None

    async def mac_in_use(self, mac_address: str) -> bool:
        sql = "SELECT 1 FROM virtual_interfaces WHERE mac_address = $1"
        return await self._one(sql, mac_address) is not None

    async def contents(self) -> Contents:
        select = self._all
        networks = f"{_SELECT_NETWORKS} WHERE tenant IS NOT NULL ORDER BY place"
        touched = "SELECT id, touched FROM servers WHERE touched IS NOT NULL ORDER BY number"
        sequences = "SELECT kind, number FROM sequences WHERE number <> 0 ORDER BY kind"
        tenants = "SELECT id, quotas FROM tenants ORDER BY place"
        return Contents(
            tenants=[_tenant(row) for row in await select(tenants)],
            users=[User(**dict(row)) for row in await select(f"{_SELECT_USERS} ORDER BY place")],
            tokens=list(await self.tokens(None)),
            networks=[Network(**dict(row)) for row in await select(networks)],
            servers=[_server(row) for row in await select(f"{_SELECT_SERVERS} ORDER BY number")],
            touched={row[0]: row[1] for row in await select(touched)},
            interfaces=_interfaces(await select(f"{_SELECT_INTERFACES} {_IN_ORDER}")),
            sequences={row[0]: row[1] for row in await select(sequences)},
        )


class PostgresWriterRows(PostgresRows):
    """Rows of a transaction that holds the lock of all writers: nobody else writes meanwhile."""

    def __init__(self, connection: Connection, settings: Settings, seed: int, clock: Clock) -> None:
        super().__init__(connection, settings, seed, clock)
        self._sequences: dict[str, int] = {}
        self._unwritten: set[str] = set()
        self._tenants: dict[TenantId, Tenant | None] = {}
        self._networks: dict[NetworkId, Network | None] = {}
        self._next_due: float | None = None

    async def flush(self) -> None:
        """Write the sequences."""
        changed = [(kind, self._sequences[kind]) for kind in sorted(self._unwritten)]
        if changed:
            await self._connection.executemany(_UPSERT_SEQUENCE, changed)
        self._unwritten.clear()

    def forget(self) -> None:
        """Forget what was kept in memory: it was taken back."""
        self._sequences.clear()
        self._unwritten.clear()
        self._tenants.clear()
        self._networks.clear()
        self._next_due = None

    async def sequence(self, kind: str) -> int:
        if kind not in self._sequences:
            self._sequences[kind] = await super().sequence(kind)
        return self._sequences[kind]

    async def set_sequence(self, kind: str, number: int) -> None:
        self.written += 1
        self._sequences[kind] = number
        self._unwritten.add(kind)

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        if tenant_id not in self._tenants:
            self._tenants[tenant_id] = await super().tenant(tenant_id)
        return self._tenants[tenant_id]

    async def put_tenant(self, tenant: Tenant) -> None:
        self._tenants.clear()
        await super().put_tenant(tenant)

    async def network(self, network_id: NetworkId) -> Network | None:
        if network_id not in self._networks:
            self._networks[network_id] = await super().network(network_id)
        return self._networks[network_id]

    async def put_network(self, network: Network) -> None:
        self._networks.clear()
        await super().put_network(network)

    async def drop_network(self, network_id: NetworkId) -> None:
        self._networks.clear()
        await super().drop_network(network_id)

    async def put_server(self, server: Server) -> None:
        if server.gone_at is not None:
            self._next_due = None
        await super().put_server(server)

    async def due(self, now: float) -> Sequence[Server]:
        first = self._next_due
        if first is None:
            found = await self._connection.fetchval(_FIRST_DUE)
            first = self._next_due = math.inf if found is None else float(found)
        if first > now:
            return ()
        self._next_due = None
        self.written += 1
        leaving = await self._all(f"{_SELECT_SERVERS} {_LEAVING} ORDER BY number", now)
        await self._connection.execute(_RELEASE, now)
        await self._connection.execute(_FORGET_THE_OLDEST, _TOMBSTONES)
        return [_server(row) for row in leaving]

    # ── the whole ──

    async def clear(self, settings: Settings, seed: int) -> None:
        """Forget everything, and behave by other settings from now on."""
        self.forget()
        for sql in _CLEAR:
            await self._connection.execute(sql)
        await self.configure(settings, seed)
        await self._connection.execute("UPDATE meta SET scenario = NULL")

    async def configure(self, settings: Settings, seed: int) -> None:
        """Behave by other settings from now on."""
        self.settings, self.seed = settings, seed
        document = json.dumps(settings_document(settings))
        await self._put("", _UPSERT_META, str(seed), document)

    async def keep_scenario(self, scenario: Mapping[str, Any]) -> None:
        """Keep a scenario with the store."""
        await self._put("", "UPDATE meta SET scenario = $1", json.dumps(scenario))


def read_meta(row: Any) -> tuple[Settings, int]:
    """Return the settings and the seed of a store."""
    return read_settings(json.loads(row["settings"])), int(row["seed"])


def _unstorable(values: Iterable[Any]) -> bool:
    """Return whether a text holds what PostgreSQL's cannot: the zero character."""
    return any(isinstance(value, str) and "\0" in value for value in values)


def _contradiction(interface: VirtualInterface, exc: asyncpg.PostgresError) -> Conflict:
    if isinstance(exc, asyncpg.NotNullViolationError):
        return Conflict(f"Interface {interface.id} belongs to no server or network")
    if exc.constraint_name == "one_per_server_and_network":
        return Conflict(f"Instance is already attached to network {interface.network_id}")
    return Conflict(f"Address of interface {interface.id} is in use")


# ── rows and values ──────────────────────────────────────────────────────────────────────────────

_FIRST_DUE = "SELECT min(gone_at) FROM servers WHERE gone_at IS NOT NULL AND NOT released"
_LEAVING = "WHERE gone_at <= $1 AND gone_at IS NOT NULL AND NOT released"
_RELEASE = """
UPDATE servers SET released = true
WHERE gone_at <= $1 AND gone_at IS NOT NULL AND NOT released"""
_FORGET_THE_OLDEST = """
DELETE FROM servers WHERE number IN (
    SELECT number FROM servers WHERE released ORDER BY gone_at DESC OFFSET $1
)"""
_COUNT_IN_USE = """
SELECT flavor_ref, count(*) FROM servers
WHERE tenant = $1 AND (gone_at IS NULL OR (gone_at > $2 AND NOT released)) GROUP BY flavor_ref"""
_CLEAR = (
    "DELETE FROM addresses",
    "DELETE FROM virtual_interfaces",
    "DELETE FROM servers",
    "DELETE FROM networks WHERE tenant IS NOT NULL",
    "DELETE FROM tokens",
    "DELETE FROM users",
    "DELETE FROM tenants",
    "DELETE FROM sequences",
)
_UPSERT_META = """
INSERT INTO meta (one, version, seed, settings) VALUES (1, 1, $1, $2)
ON CONFLICT (one) DO UPDATE SET
    version = meta.version + 1, seed = excluded.seed, settings = excluded.settings"""
_UPSERT_SEQUENCE = """
INSERT INTO sequences (kind, number) VALUES ($1, $2)
ON CONFLICT (kind) DO UPDATE SET number = excluded.number"""
_UPSERT_TENANT = """
INSERT INTO tenants (id, quotas) VALUES ($1, $2)
ON CONFLICT (id) DO UPDATE SET quotas = excluded.quotas"""
_SELECT_USERS = "SELECT id, name, tenant, role, enabled, password, api_key, token FROM users"
_UPSERT_USER = """
INSERT INTO users (id, name, tenant, role, enabled, password, api_key, token)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (name) DO UPDATE SET
    id = excluded.id, tenant = excluded.tenant, role = excluded.role, enabled = excluded.enabled,
    password = excluded.password, api_key = excluded.api_key, token = excluded.token"""
_SELECT_TOKENS = """
SELECT digest, number, user_name AS "user", tenant, expires, revoked, by FROM tokens"""
_UPSERT_ACCESS = """
INSERT INTO tokens (digest, number, user_name, tenant, expires, revoked, by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (digest) DO UPDATE SET
    number = excluded.number, user_name = excluded.user_name, tenant = excluded.tenant,
    expires = excluded.expires, revoked = excluded.revoked, by = excluded.by"""
_SELECT_NETWORKS = "SELECT id, label, cidr, tenant FROM networks"
_SERVER_COLUMNS = (
    "number",
    "id",
    "tenant",
    "name",
    "image_ref",
    "flavor_ref",
    "user_id",
    "status",
    "task_state",
    "created",
    "updated",
    "active_at",
    "gone_at",
    "access_ipv4",
    "access_ipv6",
    "disk_config",
    "config_drive",
    "key_name",
    "locked",
    "metadata",
    "fault",
)
_SELECT_SERVERS = f"SELECT {', '.join(_SERVER_COLUMNS)} FROM servers"  # noqa: S608 -- our own names
_UPSERT_SERVER = f"""
INSERT INTO servers ({", ".join(_SERVER_COLUMNS)})
VALUES ({", ".join(f"${place}" for place, _ in enumerate(_SERVER_COLUMNS, 1))})
ON CONFLICT (number) DO UPDATE SET
    {", ".join(f"{name} = excluded.{name}" for name in _SERVER_COLUMNS[1:])}"""  # noqa: S608 -- likewise
_SELECT_INTERFACES = """
SELECT vif.number, vif.id, servers.id, networks.id, networks.label, vif.mac_address,
    addresses.address
FROM virtual_interfaces AS vif
JOIN servers ON servers.number = vif.server
JOIN networks ON networks.place = vif.network
JOIN addresses ON addresses.interface = vif.number"""
_IN_ORDER = "ORDER BY vif.number, addresses.place"
_SELECT_INTERFACE = f"{_SELECT_INTERFACES} WHERE vif.id = $1 {_IN_ORDER}"
_SELECT_INTERFACES_OF = f"{_SELECT_INTERFACES} WHERE servers.id = $1 {_IN_ORDER}"
_INSERT_INTERFACE = """
WITH made AS (
    INSERT INTO virtual_interfaces (number, id, server, network, mac_address)
    VALUES (
        $1, $2, (SELECT number FROM servers WHERE id = $3),
        (SELECT place FROM networks WHERE id = $4), $5
    ) RETURNING number, network
)
INSERT INTO addresses (network, address, interface, place)
SELECT made.network, given.address, made.number, given.place
FROM made, unnest($6::text[]) WITH ORDINALITY AS given (address, place)"""
_SELECT_ADDRESS = """
SELECT 1 FROM addresses
WHERE network = (SELECT place FROM networks WHERE id = $1) AND address = $2"""
_COUNT_ON_NETWORK = """
SELECT count(*) FROM virtual_interfaces
WHERE network = (SELECT place FROM networks WHERE id = $1)"""


def _tenant(row: Any) -> Tenant:
    return Tenant(id=row[0], quotas=json.loads(row[1]))


def _user_values(user: User) -> tuple[Any, ...]:
    return (
        user.id,
        user.name,
        user.tenant,
        user.role,
        user.enabled,
        user.password,
        user.api_key,
        user.token,
    )


def _token_values(token: Token) -> tuple[Any, ...]:
    return (
        token.digest,
        token.number,
        token.user,
        token.tenant,
        token.expires,
        token.revoked,
        token.by,
    )


def _server(row: Any) -> Server:
    values = dict(row)
    values["metadata"] = json.loads(values["metadata"])
    if values["fault"] is not None:
        values["fault"] = BuildFault(**json.loads(values["fault"]))
    return Server(**values)


def _server_values(server: Server) -> list[Any]:
    values = {name: getattr(server, name) for name in _SERVER_COLUMNS}
    values["metadata"] = json.dumps(dict(server.metadata))
    if server.fault is not None:
        values["fault"] = json.dumps(asdict(server.fault))
    return list(values.values())


def _interfaces(rows: Iterable[Any]) -> list[VirtualInterface]:
    """Return interfaces from their rows, one for each address, those of one interface together."""
    addresses: dict[int, tuple[str, ...]] = {}
    kept: list[Any] = []
    for row in rows:
        if row[0] in addresses:
            addresses[row[0]] += (row[6],)
        else:
            addresses[row[0]] = (row[6],)
            kept.append(row)
    return [
        VirtualInterface(
            number=row[0],
            id=row[1],
            server_id=row[2],
            network_id=row[3],
            network_label=row[4],
            mac_address=row[5],
            addresses=addresses[row[0]],
        )
        for row in kept
    ]
