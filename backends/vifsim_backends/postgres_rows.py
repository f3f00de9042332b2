"""The rows of a cloud in PostgreSQL's tables.

The house rule: what is kept in memory lives as long as the transaction, for another process may
write after it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Literal

import asyncpg

from vifsim.cloud import flavor_ram
from vifsim.errors import BadRequest, Conflict
from vifsim.rows import Contents, Rows
from vifsim.snapshots import read_settings, settings_document
from vifsim_backends import postgres_statements as sql
from vifsim_backends.row_values import (
    LAST_NUMBER,
    TOMBSTONES,
    Note,
    interfaces_of,
    network_of,
    network_values,
    server_of,
    server_values,
    tenant_of,
    tenant_values,
    token_of,
    token_values,
    user_of,
    user_values,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from asyncpg.pool import PoolConnectionProxy

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

    Connection = asyncpg.Connection | PoolConnectionProxy


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

    async def _one(self, statement: str, *values: Any) -> Any:
        if _unstorable(values):
            return None
        return await self._connection.fetchrow(statement, *values)

    async def _all(self, statement: str, *values: Any) -> list[Any]:
        if _unstorable(values):
            return []
        found: list[Any] = await self._connection.fetch(statement, *values)
        return found

    async def _put(self, problem: str, statement: str, *values: Any) -> None:
        if _unstorable(values):
            raise BadRequest("A text holds a character that cannot be stored")
        self.written += 1
        try:
            await self._connection.execute(statement, *values)
        except asyncpg.IntegrityConstraintViolationError as exc:
            raise Conflict(problem) from exc

    def note(
        self, call: Call, kind: Literal["created", "deleted", "changed"], thing: Thing
    ) -> None:
        self.notes.append((call, kind, thing))

    # ── sequences, tenants, users, tokens ──

    async def sequence(self, kind: str) -> int:
        row = await self._one(sql.SELECT_SEQUENCE, kind)
        return 0 if row is None else row[0]

    async def set_sequence(self, kind: str, number: int) -> None:
        await self._put("", sql.UPSERT_SEQUENCE, kind, number)

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        row = await self._one(sql.SELECT_TENANT, tenant_id)
        return None if row is None else tenant_of(row)

    async def put_tenant(self, tenant: Tenant) -> None:
        await self._put("", sql.UPSERT_TENANT, *tenant_values(tenant))

    async def user(self, name: str) -> User | None:
        row = await self._one(sql.SELECT_USER, name)
        return None if row is None else user_of(row)

    async def put_user(self, user: User) -> None:
        problem = f"User {user.name} contradicts what exists"
        await self._put(problem, sql.UPSERT_USER, *user_values(user))

    async def token(self, digest: str) -> Token | None:
        row = await self._one(sql.SELECT_TOKEN, digest)
        return None if row is None else token_of(row)

    async def tokens(self, user: str | None) -> Sequence[Token]:
        if user is None:
            found = await self._all(sql.SELECT_TOKENS)
        else:
            found = await self._all(sql.SELECT_TOKENS_OF, user)
        return [token_of(row) for row in found]

    async def put_token(self, token: Token) -> None:
        problem = "The token contradicts what exists"
        await self._put(problem, sql.UPSERT_TOKEN, *token_values(token))

    # ── networks ──

    async def network(self, network_id: NetworkId) -> Network | None:
        row = await self._one(sql.SELECT_NETWORK, network_id)
        return None if row is None else network_of(row)

    async def networks(self, tenant: TenantId) -> Sequence[Network]:
        found = await self._all(sql.SELECT_NETWORKS_OF, tenant)
        return [network_of(row) for row in found]

    async def put_network(self, network: Network) -> None:
        await self._put(
            f"Network {network.id} exists already, or its tenant does not",
            sql.INSERT_NETWORK,
            *network_values(network),
        )

    async def drop_network(self, network_id: NetworkId) -> None:
        await self._put("The network is in use", sql.DELETE_NETWORK, network_id)
        for kind in ("address", "room"):
            await self.set_sequence(f"{kind}:{network_id}", 0)

    # ── servers ──

    async def server(self, server_id: ServerId) -> Server | None:
        row = await self._one(sql.SELECT_SERVER, server_id)
        return None if row is None else server_of(row)

    async def put_server(self, server: Server) -> None:
        problem = f"Server {server.id} contradicts another"
        await self._put(problem, sql.UPSERT_SERVER, *server_values(server))

    async def servers(self, tenant: TenantId, before: int | None, size: int) -> Sequence[Server]:
        found = await self._all(
            sql.SELECT_SERVERS_OF,
            tenant,
            LAST_NUMBER if before is None else before,
            size,
        )
        return [server_of(row) for row in found]

    async def servers_named(self, name: str) -> Sequence[Server]:
        found = await self._all(sql.SELECT_SERVERS_NAMED, name)
        return [server_of(row) for row in found]

    async def usage(self, tenant: TenantId, now: float) -> tuple[int, int]:
        counted = await self._all(sql.COUNT_IN_USE, tenant, now)
        instances = sum(number for _, number in counted)
        return instances, sum(number * flavor_ram(flavor) for flavor, number in counted)

    async def due(self, now: float) -> Sequence[Server]:
        return ()

    async def touch(self, server_id: ServerId, at: float) -> None:
        await self._put("", sql.UPDATE_TOUCHED, at, server_id)

    async def touched(self, server_ids: Sequence[ServerId]) -> Mapping[ServerId, float]:
        found = await self._all(sql.SELECT_TOUCHED, list(server_ids))
        return {row[0]: row[1] for row in found}

    # ── virtual interfaces ──

    async def interface(
        self, server_id: ServerId, interface_id: InterfaceId
    ) -> VirtualInterface | None:
        found = interfaces_of(await self._all(sql.SELECT_INTERFACE, interface_id, server_id))
        return found[0] if found else None

    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        return interfaces_of(await self._all(sql.SELECT_INTERFACES_OF, server_id))

    async def put_interface(self, interface: VirtualInterface) -> None:
        self.written += 1
        try:
            await self._connection.execute(
                sql.INSERT_INTERFACE,
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
        await self._put("", sql.DELETE_INTERFACE, interface.number)

    async def on_network(self, network_id: NetworkId) -> int:
        row = await self._one(sql.COUNT_ON_NETWORK, network_id)
        return int(row[0])

    async def address_in_use(self, network_id: NetworkId, address: str) -> bool:
        return await self._one(sql.SELECT_ADDRESS, network_id, address) is not None

    async def mac_in_use(self, mac_address: str) -> bool:
        return await self._one(sql.SELECT_MAC, mac_address) is not None

    async def contents(self) -> Contents:
        select = self._all
        return Contents(
            tenants=[tenant_of(row) for row in await select(sql.SELECT_TENANTS)],
            users=[user_of(row) for row in await select(sql.SELECT_USERS)],
            tokens=list(await self.tokens(None)),
            networks=[network_of(row) for row in await select(sql.SELECT_NETWORKS)],
            servers=[server_of(row) for row in await select(sql.SELECT_SERVERS)],
            touched={row[0]: row[1] for row in await select(sql.SELECT_ALL_TOUCHED)},
            interfaces=interfaces_of(await select(sql.SELECT_INTERFACES)),
            sequences={row[0]: row[1] for row in await select(sql.SELECT_SEQUENCES)},
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
            await self._connection.executemany(sql.UPSERT_SEQUENCE, changed)
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
            found = await self._connection.fetchval(sql.FIRST_DUE)
            first = self._next_due = math.inf if found is None else float(found)
        if first > now:
            return ()
        self._next_due = None
        self.written += 1
        leaving = await self._all(sql.SELECT_LEAVING, now)
        await self._connection.execute(sql.RELEASE, now)
        await self._connection.execute(sql.FORGET_THE_OLDEST, TOMBSTONES)
        return [server_of(row) for row in leaving]

    # ── the whole ──

    async def clear(self, settings: Settings, seed: int) -> None:
        """Forget everything, and behave by other settings from now on."""
        self.forget()
        for statement in sql.CLEAR:
            await self._connection.execute(statement)
        await self.configure(settings, seed)
        await self._connection.execute("UPDATE meta SET scenario = NULL")

    async def configure(self, settings: Settings, seed: int) -> None:
        """Behave by other settings from now on."""
        self.settings, self.seed = settings, seed
        document = json.dumps(settings_document(settings))
        await self._put("", sql.UPSERT_META, str(seed), document)

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
