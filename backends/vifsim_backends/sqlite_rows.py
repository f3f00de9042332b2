"""The rows of a cloud in SQLite's tables, and the running of operations on them.

Everything here runs on the thread of one connection: rows never suspend, so an operation is driven
to its end without an event loop.

The house rule: what is kept in memory beside the tables is forgotten with the transaction.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from vifsim.cloud import flavor_ram
from vifsim.errors import Conflict, ServiceUnavailable
from vifsim.model import (
    BuildFault,
    InterfaceId,
    Network,
    NetworkId,
    Server,
    ServerId,
    Tenant,
    TenantId,
    Token,
    User,
    VirtualInterface,
)
from vifsim.operations import Contents, Rows
from vifsim.seeding import read_settings, settings_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.model import Settings
    from vifsim.operations import Thing

T = TypeVar("T")

Values = tuple[Any, ...]
"""One row, or the parameters of one statement."""

Work = tuple[Callable[..., Awaitable[Any]], tuple[Any, ...], dict[str, Any]]
"""An operation and its arguments after the rows."""

Note = tuple["Call", Literal["created", "deleted", "changed"], "Thing"]
Change = Token | User | None
"""What the table of tokens must learn after a commit; None: it is to be emptied."""

_TOMBSTONES = 10_000
"""Deleted servers that `changes-since` still finds; older ones are forgotten."""
_TRIM_EVERY = 1_000
_UNAVAILABLE = "The service cannot store anything at the moment."


class WroteAndFailed(Exception):
    """An operation failed after its first write; inside this module only."""


@dataclass(slots=True)
class Result:
    """What came of one operation: its value or its error, and what a commit makes known."""

    value: Any = None
    error: Exception | None = None
    notes: Sequence[Note] = ()
    changes: Sequence[Change] = ()


class SqliteRows(Rows):
    """Rows as the tables have them.

    Args:
        connection: used on its own thread only.
        settings: of the cloud.
        seed: that ids follow from.
        clock: where times come from.
    """

    begin = "BEGIN"

    def __init__(
        self, connection: sqlite3.Connection, settings: Settings, seed: int, clock: Clock
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.clock = clock
        self._connection = connection
        self._execute = connection.execute
        self._notes: list[Note] = []
        self._changes: list[Change] = []

    # ── running ──

    def run_batch(self, batch: Sequence[Work]) -> list[Result]:
        """Run operations in one transaction; where it fails, all of them fail.

        Returns:
            One result for each, in their order.
        """
        before = self.settings, self.seed
        try:
            self._execute(self.begin)
            results = [self._run(work) for work in batch]
            self.flush()
            self._execute("COMMIT")
        except (sqlite3.Error, WroteAndFailed) as exc:
            self.settings, self.seed = before
            self.forget()
            if isinstance(exc, WroteAndFailed):
                raise
            return [Result(error=_unavailable(exc)) for _ in batch]
        return results

    def _run(self, work: Work) -> Result:
        operation, args, kwargs = work
        self._notes, self._changes = [], []
        try:
            value = _drive(operation(self, *args, **kwargs))
        except Exception as exc:
            if not self._connection.in_transaction:
                raise sqlite3.OperationalError("the transaction was given up") from exc
            return Result(error=_unavailable(exc) if isinstance(exc, sqlite3.Error) else exc)
        return Result(value=value, notes=self._notes, changes=self._changes)

    def flush(self) -> None:
        """Write what the tables do not have yet."""

    def forget(self) -> None:
        """Give the transaction up, and what was only kept in memory with it."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK")

    def _one(self, sql: str, *values: Any) -> Any:
        return self._execute(sql, values).fetchone()

    def note(
        self, call: Call, kind: Literal["created", "deleted", "changed"], thing: Thing
    ) -> None:
        self._notes.append((call, kind, thing))

    # ── sequences, tenants, users, tokens ──

    async def sequence(self, kind: str) -> int:
        row = self._one("SELECT number FROM sequences WHERE kind = ?", kind)
        return 0 if row is None else row[0]

    async def set_sequence(self, kind: str, number: int) -> None:
        self._execute(_UPSERT_SEQUENCE, (kind, number))

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        row = self._one("SELECT id, quotas FROM tenants WHERE id = ?", tenant_id)
        return None if row is None else _tenant(row)

    async def put_tenant(self, tenant: Tenant) -> None:
        self._execute(
            "INSERT INTO tenants (id, quotas) VALUES (?, ?)"
            " ON CONFLICT (id) DO UPDATE SET quotas = excluded.quotas",
            (tenant.id, json.dumps(dict(tenant.quotas))),
        )

    async def user(self, name: str) -> User | None:
        row = self._one(f"{_SELECT_USERS} WHERE name = ?", name)
        return None if row is None else _user(row)

    async def put_user(self, user: User) -> None:
        self._put(_UPSERT_USER, _user_values(user), f"User {user.name} contradicts what exists")
        self._changes.append(user)

    async def token(self, digest: str) -> Token | None:
        row = self._one(f"{_SELECT_TOKENS} WHERE digest = ?", digest)
        return None if row is None else _token(row)

    async def tokens(self, user: str | None) -> Sequence[Token]:
        if user is None:
            found = self._execute(f"{_SELECT_TOKENS} ORDER BY place")
        else:
            found = self._execute(f"{_SELECT_TOKENS} WHERE user = ? ORDER BY place", (user,))
        return [_token(row) for row in found]

    async def put_token(self, token: Token) -> None:
        self._put(_UPSERT_ACCESS, _token_values(token), "The token contradicts what exists")
        self._changes.append(token)

    # ── networks ──

    async def network(self, network_id: NetworkId) -> Network | None:
        row = self._one(f"{_SELECT_NETWORKS} WHERE id = ?", network_id)
        return None if row is None else _network(row)

    async def networks(self, tenant: TenantId) -> Sequence[Network]:
        found = self._execute(f"{_SELECT_NETWORKS} WHERE tenant = ? ORDER BY place", (tenant,))
        return [_network(row) for row in found]

    async def put_network(self, network: Network) -> None:
        self._put(
            "INSERT INTO networks (id, label, cidr, tenant) VALUES (?, ?, ?, ?)",
            (network.id, network.label, network.cidr, network.tenant),
            f"Network {network.id} exists already, or its tenant does not",
        )

    async def drop_network(self, network_id: NetworkId) -> None:
        self._put("DELETE FROM networks WHERE id = ?", (network_id,), "The network is in use")
        for kind in ("address", "room"):
            await self.set_sequence(f"{kind}:{network_id}", 0)

    # ── servers ──

    async def server(self, server_id: ServerId) -> Server | None:
        row = self._one(f"{_SELECT_SERVERS} WHERE id = ?", server_id)
        return None if row is None else _server(row)

    async def put_server(self, server: Server) -> None:
        self._put(_UPSERT_SERVER, _server_values(server), f"Server {server.id} contradicts another")

    async def servers(self, tenant: TenantId, before: int | None, size: int) -> Sequence[Server]:
        found = self._execute(
            f"{_SELECT_SERVERS} WHERE tenant = ? AND number < ? ORDER BY number DESC LIMIT ?",
            (tenant, _MOST if before is None else before, size),
        )
        return [_server(row) for row in found]

    async def servers_named(self, name: str) -> Sequence[Server]:
        found = self._execute(f"{_SELECT_SERVERS} WHERE name = ? ORDER BY number", (name,))
        return [_server(row) for row in found]

    async def usage(self, tenant: TenantId, now: float) -> tuple[int, int]:
        counted = self._execute(
            "SELECT flavor_ref, count(*) FROM servers"
            " WHERE tenant = ? AND gone_at IS NULL GROUP BY flavor_ref"
            " UNION ALL SELECT flavor_ref, count(*) FROM servers"
            " WHERE gone_at > ? AND gone_at IS NOT NULL AND released = 0 AND tenant = ?"
            " GROUP BY flavor_ref",
            (tenant, now, tenant),
        ).fetchall()
        instances = sum(number for _, number in counted)
        return instances, sum(number * flavor_ram(flavor) for flavor, number in counted)

    async def due(self, now: float) -> Sequence[Server]:
        return ()

    async def touch(self, server_id: ServerId, at: float) -> None:
        self._execute("UPDATE servers SET touched = ? WHERE id = ?", (at, server_id))

    async def touched(self, server_ids: Sequence[ServerId]) -> Mapping[ServerId, float]:
        asked = json.dumps(server_ids)
        return dict(
            self._execute(
                "SELECT id, touched FROM servers WHERE touched IS NOT NULL"
                " AND id IN (SELECT value FROM json_each(?))",
                (asked,),
            )
        )

    # ── virtual interfaces ──

    async def interface(self, interface_id: InterfaceId) -> VirtualInterface | None:
        found = _interfaces(self._execute(_SELECT_INTERFACE, (interface_id,)))
        return found[0] if found else None

    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        return _interfaces(self._execute(_SELECT_INTERFACES_OF, (server_id,)))

    async def put_interface(self, interface: VirtualInterface) -> None:
        values = (
            interface.number,
            interface.id,
            interface.server_id,
            interface.network_id,
            interface.mac_address,
        )
        try:
            self._execute(_INSERT_INTERFACE, values)
            for place, address in enumerate(interface.addresses):
                self._execute(_INSERT_ADDRESS, (address, place, interface.number))
        except sqlite3.IntegrityError as exc:
            raise _contradiction(interface, exc) from exc

    async def drop_interface(self, interface: VirtualInterface) -> None:
        self._execute("DELETE FROM virtual_interfaces WHERE number = ?", (interface.number,))

    async def on_network(self, network_id: NetworkId) -> int:
        return int(self._one(_COUNT_ON_NETWORK, network_id)[0])

    async def address_in_use(self, network_id: NetworkId, address: str) -> bool:
        return self._one(_SELECT_ADDRESS, network_id, address) is not None

    async def mac_in_use(self, mac_address: str) -> bool:
        sql = "SELECT 1 FROM virtual_interfaces WHERE mac_address = ?"
        return self._one(sql, mac_address) is not None

    async def contents(self) -> Contents:
        self.flush()
        select = self._execute
        return Contents(
            tenants=[
                _tenant(row) for row in select("SELECT id, quotas FROM tenants ORDER BY place")
            ],
            users=[_user(row) for row in select(f"{_SELECT_USERS} ORDER BY place")],
            tokens=[_token(row) for row in select(f"{_SELECT_TOKENS} ORDER BY place")],
            networks=[
                _network(row)
                for row in select(f"{_SELECT_NETWORKS} WHERE tenant IS NOT NULL ORDER BY place")
            ],
            servers=[_server(row) for row in select(f"{_SELECT_SERVERS} ORDER BY number")],
            touched=dict(
                select("SELECT id, touched FROM servers WHERE touched IS NOT NULL ORDER BY number")
            ),
            interfaces=_interfaces(select(f"{_SELECT_INTERFACES} {_IN_ORDER}")),
            sequences=dict(select("SELECT kind, number FROM sequences WHERE number ORDER BY kind")),
        )

    def stored_scenario(self) -> Mapping[str, Any] | None:
        """Return the scenario that was kept last, or None."""
        (text,) = self._one("SELECT scenario FROM meta")
        scenario: Mapping[str, Any] | None = None if text is None else _json(text)
        return scenario

    def _put(self, sql: str, values: Values, problem: str) -> None:
        try:
            self._execute(sql, values)
        except sqlite3.IntegrityError as exc:
            raise Conflict(problem) from exc


class WriterRows(SqliteRows):
    """Rows of the connection that writes; what every operation reads is kept in memory too."""

    begin = "BEGIN IMMEDIATE"

    def __init__(
        self, connection: sqlite3.Connection, settings: Settings, seed: int, clock: Clock
    ) -> None:
        super().__init__(connection, settings, seed, clock)
        self._sequences: dict[str, int] = {}
        self._unwritten: set[str] = set()
        self._before: dict[str, int] = {}
        self._tenants: dict[TenantId, Tenant | None] = {}
        self._networks: dict[NetworkId, Network] = {}
        self._careful = False
        self._next_due: float | None = None
        self._released = _TRIM_EVERY

    def run_batch(self, batch: Sequence[Work]) -> list[Result]:
        """Run operations as `SqliteRows` does, without a savepoint for each until one is needed.

        An operation checks before it writes, so that one which fails has written nothing; a
        savepoint would cost each of the others a fifth of its time. Where one did write, the batch
        is taken back and run again, each operation under a savepoint.
        """
        self._careful = False
        try:
            return super().run_batch(batch)
        except WroteAndFailed:
            self._careful = True
            return super().run_batch(batch)

    def _run(self, work: Work) -> Result:
        before = self.settings, self.seed
        changes = self._connection.total_changes
        self._before.clear()
        if self._careful:
            self._execute("SAVEPOINT operation")
        result = super()._run(work)
        if result.error is not None and (self._before or self._connection.total_changes > changes):
            self._undo(before)
        if self._careful:
            self._execute("RELEASE operation")
        return result

    def _undo(self, before: tuple[Settings, int]) -> None:
        """Take back what an operation wrote before it failed."""
        if not self._careful:
            raise WroteAndFailed
        self._execute("ROLLBACK TO operation")
        self.settings, self.seed = before
        self._sequences.update(self._before)
        self._unwritten.update(self._sequences)
        self._tenants.clear()
        self._networks.clear()
        self._next_due = None

    def flush(self) -> None:
        if not self._unwritten:
            return
        changed = [(kind, self._sequences[kind]) for kind in self._unwritten]
        self._connection.executemany(_UPSERT_SEQUENCE, changed)
        self._unwritten.clear()

    def forget(self) -> None:
        super().forget()
        self._sequences.clear()
        self._unwritten.clear()
        self._tenants.clear()
        self._networks.clear()
        self._next_due = None

    async def sequence(self, kind: str) -> int:
        number = self._sequences.get(kind)
        if number is None:
            number = self._sequences[kind] = await super().sequence(kind)
        return number

    async def set_sequence(self, kind: str, number: int) -> None:
        if kind not in self._before:
            self._before[kind] = await self.sequence(kind)
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
        found = self._networks.get(network_id) or await super().network(network_id)
        if found is not None:
            self._networks[network_id] = found
        return found

    async def drop_network(self, network_id: NetworkId) -> None:
        self._networks.pop(network_id, None)
        await super().drop_network(network_id)

    async def put_server(self, server: Server) -> None:
        if server.gone_at is not None:
            self._next_due = None
        await super().put_server(server)

    async def due(self, now: float) -> Sequence[Server]:
        if self._next_due is None:
            self._next_due = self._first_due()
        if self._next_due > now:
            return ()
        found = self._execute(f"{_SELECT_SERVERS} {_SELECT_LEAVING}", (now,))
        leaving = [_server(row) for row in found]
        self._execute(_RELEASE, (now,))
        self._next_due = None
        self._trim(len(leaving))
        return leaving

    def _first_due(self) -> float:
        (first,) = self._one(
            "SELECT min(gone_at) FROM servers WHERE gone_at IS NOT NULL AND released = 0"
        )
        return math.inf if first is None else float(first)

    def _trim(self, released: int) -> None:
        """Forget the oldest deleted servers; now and then is enough."""
        self._released += released
        if self._released >= _TRIM_EVERY:
            self._released = 0
            self._execute(_FORGET_THE_OLDEST, (_TOMBSTONES,))

    # ── the whole ──

    def clear(self, settings: Settings, seed: int) -> None:
        """Forget everything, and behave by other settings from now on."""
        for sql in _CLEAR:
            self._execute(sql)
        self._sequences.clear()
        self._unwritten.clear()
        self._before.clear()
        self._tenants.clear()
        self._networks.clear()
        self._next_due = None
        self._changes.append(None)
        self._execute("INSERT INTO meta (one, seed, settings) VALUES (1, '0', '{}')")
        self.configure(settings, seed)

    def configure(self, settings: Settings, seed: int) -> None:
        """Behave by other settings from now on."""
        self.settings, self.seed = settings, seed
        self._execute(
            "UPDATE meta SET seed = ?, settings = ?",
            (str(seed), json.dumps(settings_document(settings))),
        )

    def keep_scenario(self, scenario: Mapping[str, Any]) -> None:
        """Keep a scenario with the store."""
        self._execute("UPDATE meta SET scenario = ?", (json.dumps(scenario),))


def stored_settings(connection: sqlite3.Connection) -> tuple[Settings, int] | None:
    """Return the settings and the seed of a used store, None for an empty one.

    Raises:
        sqlite3.Error: the tables cannot be read.
    """
    row = connection.execute("SELECT settings, seed FROM meta").fetchone()
    if row is None:
        return None
    try:
        return read_settings(_json(row[0])), int(row[1])
    except (KeyError, TypeError, ValueError) as exc:
        raise sqlite3.DatabaseError("its settings cannot be read") from exc


def _drive(operation: Awaitable[T]) -> T:
    """Run an operation, which never suspends over these rows, to its end."""
    try:
        next(operation.__await__())
    except StopIteration as end:
        result: T = end.value
        return result
    raise RuntimeError("an operation waited for something that is no row")


def _unavailable(exc: Exception) -> ServiceUnavailable:
    fault = ServiceUnavailable(_UNAVAILABLE)
    fault.__cause__ = exc
    return fault


def _contradiction(interface: VirtualInterface, exc: sqlite3.IntegrityError) -> Conflict:
    constraint = str(exc)
    if "NOT NULL" in constraint:
        return Conflict(f"Interface {interface.id} belongs to no server or network")
    if "virtual_interfaces.network" in constraint:
        return Conflict(f"Instance is already attached to network {interface.network_id}")
    return Conflict(f"Address of interface {interface.id} is in use")


# ── rows and values ──────────────────────────────────────────────────────────────────────────────

_MOST = (1 << 63) - 1
_SELECT_LEAVING = "WHERE gone_at <= ? AND gone_at IS NOT NULL AND released = 0 ORDER BY number"
_RELEASE = """
UPDATE servers SET released = 1 WHERE gone_at <= ? AND gone_at IS NOT NULL AND released = 0"""
_FORGET_THE_OLDEST = """
DELETE FROM servers WHERE number IN (
    SELECT number FROM servers WHERE released = 1 ORDER BY gone_at DESC LIMIT -1 OFFSET ?
)"""
_CLEAR = (
    "DELETE FROM addresses",
    "DELETE FROM virtual_interfaces",
    "DELETE FROM servers",
    "DELETE FROM networks WHERE tenant IS NOT NULL",
    "DELETE FROM tokens",
    "DELETE FROM users",
    "DELETE FROM tenants",
    "DELETE FROM sequences",
    "DELETE FROM meta",
)
_UPSERT_SEQUENCE = """
INSERT INTO sequences (kind, number) VALUES (?, ?)
ON CONFLICT (kind) DO UPDATE SET number = excluded.number"""
_SELECT_USERS = "SELECT id, name, tenant, role, enabled, password, api_key, token FROM users"
_UPSERT_USER = """
INSERT INTO users (id, name, tenant, role, enabled, password, api_key, token)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET
    id = excluded.id, tenant = excluded.tenant, role = excluded.role, enabled = excluded.enabled,
    password = excluded.password, api_key = excluded.api_key, token = excluded.token"""
_SELECT_TOKENS = "SELECT digest, number, user, tenant, expires, revoked, by FROM tokens"
_UPSERT_ACCESS = """
INSERT INTO tokens (digest, number, user, tenant, expires, revoked, by)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (digest) DO UPDATE SET
    number = excluded.number, user = excluded.user, tenant = excluded.tenant,
    expires = excluded.expires, revoked = excluded.revoked, by = excluded.by"""
_SELECT_NETWORKS = "SELECT id, label, cidr, tenant FROM networks"
_SELECT_SERVERS = """
SELECT id, number, tenant, name, image_ref, flavor_ref, user_id, status, task_state, created,
    updated, active_at, gone_at, access_ipv4, access_ipv6, disk_config, config_drive, key_name,
    locked, metadata, fault
FROM servers"""
_UPSERT_SERVER = """
INSERT INTO servers (id, number, tenant, name, image_ref, flavor_ref, user_id, status, task_state,
    created, updated, active_at, gone_at, access_ipv4, access_ipv6, disk_config, config_drive,
    key_name, locked, metadata, fault)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (number) DO UPDATE SET
    id = excluded.id, tenant = excluded.tenant, name = excluded.name,
    image_ref = excluded.image_ref, flavor_ref = excluded.flavor_ref, user_id = excluded.user_id,
    status = excluded.status, task_state = excluded.task_state, created = excluded.created,
    updated = excluded.updated, active_at = excluded.active_at, gone_at = excluded.gone_at,
    access_ipv4 = excluded.access_ipv4, access_ipv6 = excluded.access_ipv6,
    disk_config = excluded.disk_config, config_drive = excluded.config_drive,
    key_name = excluded.key_name, locked = excluded.locked, metadata = excluded.metadata,
    fault = excluded.fault"""
_SELECT_INTERFACES = """
SELECT vif.number, vif.id, servers.id, networks.id, networks.label, vif.mac_address, address
FROM virtual_interfaces AS vif
JOIN servers ON servers.number = vif.server
JOIN networks ON networks.place = vif.network
JOIN addresses ON addresses.interface = vif.number"""
_IN_ORDER = "ORDER BY vif.number, addresses.place"
_SELECT_INTERFACE = f"{_SELECT_INTERFACES} WHERE vif.id = ? {_IN_ORDER}"
_SELECT_INTERFACES_OF = f"{_SELECT_INTERFACES} WHERE servers.id = ? {_IN_ORDER}"
_INSERT_INTERFACE = """
INSERT INTO virtual_interfaces (number, id, server, network, mac_address)
VALUES (
    ?, ?, (SELECT number FROM servers WHERE id = ?), (SELECT place FROM networks WHERE id = ?), ?
)"""
_INSERT_ADDRESS = """
INSERT INTO addresses (network, address, interface, place)
SELECT network, ?, number, ? FROM virtual_interfaces WHERE number = ?"""
_SELECT_ADDRESS = """
SELECT 1 FROM addresses
WHERE network = (SELECT place FROM networks WHERE id = ?) AND address = ?"""
_COUNT_ON_NETWORK = """
SELECT count(*) FROM virtual_interfaces
WHERE network = (SELECT place FROM networks WHERE id = ?)"""


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as exc:
        raise sqlite3.DatabaseError(f"a stored document cannot be read: {exc}") from exc


def _tenant(row: Values) -> Tenant:
    return Tenant(id=row[0], quotas=_json(row[1]))


def _user(row: Values) -> User:
    return User(
        id=row[0],
        name=row[1],
        tenant=row[2],
        role=row[3],
        enabled=bool(row[4]),
        password=row[5],
        api_key=row[6],
        token=row[7],
    )


def _user_values(user: User) -> Values:
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


def _token(row: Values) -> Token:
    return Token(
        digest=row[0],
        number=row[1],
        user=row[2],
        tenant=row[3],
        expires=row[4],
        revoked=bool(row[5]),
        by=row[6],
    )


def _token_values(token: Token) -> Values:
    return (
        token.digest,
        token.number,
        token.user,
        token.tenant,
        token.expires,
        token.revoked,
        token.by,
    )


def _network(row: Values) -> Network:
    return Network(id=row[0], label=row[1], cidr=row[2], tenant=row[3])


def _server(row: Values) -> Server:
    return Server(
        id=row[0],
        number=row[1],
        tenant=row[2],
        name=row[3],
        image_ref=row[4],
        flavor_ref=row[5],
        user_id=row[6],
        status=row[7],
        task_state=row[8],
        created=row[9],
        updated=row[10],
        active_at=row[11],
        gone_at=row[12],
        access_ipv4=row[13],
        access_ipv6=row[14],
        disk_config=row[15],
        config_drive=row[16],
        key_name=row[17],
        locked=bool(row[18]),
        metadata=_json(row[19]) if row[19] != "{}" else {},
        fault=None if row[20] is None else BuildFault(**_json(row[20])),
    )


def _server_values(server: Server) -> Values:
    return (
        server.id,
        server.number,
        server.tenant,
        server.name,
        server.image_ref,
        server.flavor_ref,
        server.user_id,
        server.status,
        server.task_state,
        server.created,
        server.updated,
        server.active_at,
        server.gone_at,
        server.access_ipv4,
        server.access_ipv6,
        server.disk_config,
        server.config_drive,
        server.key_name,
        server.locked,
        json.dumps(dict(server.metadata)) if server.metadata else "{}",
        None if server.fault is None else json.dumps(asdict(server.fault)),
    )


def _interfaces(rows: Iterable[Values]) -> list[VirtualInterface]:
    """Return interfaces from their rows, one for each address, those of one interface together."""
    addresses: dict[int, tuple[str, ...]] = {}
    kept: list[Values] = []
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
