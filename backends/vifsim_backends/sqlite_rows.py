"""The rows of a cloud in SQLite's tables, and the running of operations on them.

Everything here runs on the thread of one connection: rows never suspend, so an operation is driven
to its end without an event loop.

The house rule: what is kept in memory beside the tables is forgotten with the transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from vifsim.cloud import flavor_ram
from vifsim.errors import Conflict, ServiceUnavailable
from vifsim.model import Token, User
from vifsim.rows import Contents, Rows
from vifsim.snapshots import read_settings
from vifsim.values import slotted
from vifsim_backends import sqlite_statements as sql
from vifsim_backends.row_values import (
    LAST_NUMBER,
    Note,
    UnreadableRow,
    document,
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
    from collections.abc import Mapping

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
        VirtualInterface,
    )
    from vifsim.rows import Thing

T = TypeVar("T")

Values = tuple[Any, ...]
"""One row, or the parameters of one statement."""

Work = tuple[Callable[..., Awaitable[Any]], tuple[Any, ...], dict[str, Any]]
"""An operation and its arguments after the rows."""

Change = Token | User | None
"""What the table of tokens must learn after a commit; None: it is to be emptied."""

_UNAVAILABLE = "The service cannot store anything at the moment."
UNUSABLE = (sqlite3.Error, UnreadableRow, UnicodeDecodeError)
"""What a file that is damaged or cannot be reached raises; Python decodes texts, and messages."""


class WroteAndFailed(Exception):
    """An operation failed after its first write, or the tables refused what was held for them.

    It goes between rows of one connection only.
    """


@slotted
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

    Attributes:
        before_commit: raises `sqlite3.Error` where a commit would be lost.
    """

    def __init__(
        self, connection: sqlite3.Connection, settings: Settings, seed: int, clock: Clock
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.clock = clock
        self._connection = connection
        self._execute: Callable[..., sqlite3.Cursor] = connection.execute
        self._notes: list[Note] = []
        self._changes: list[Change] = []
        self.before_commit: Callable[[], None] = _nothing

    # ── running ──

    def run_batch(self, batch: Sequence[Work]) -> list[Result]:
        """Run operations in one transaction; where it fails, all of them fail.

        Returns:
            One result for each, in their order.
        """
        before = self.settings, self.seed
        try:
            self._begin()
            results = [self._run(work) for work in batch]
            self.flush()
            self.before_commit()
            self._execute("COMMIT")
        except (*UNUSABLE, WroteAndFailed) as exc:
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
        except WroteAndFailed:
            raise
        except Exception as exc:
            if not self._connection.in_transaction:
                raise sqlite3.OperationalError("the transaction was given up") from exc
            return Result(error=_unavailable(exc) if isinstance(exc, UNUSABLE) else exc)
        return Result(value=value, notes=self._notes, changes=self._changes)

    def _begin(self) -> None:
        self._execute("BEGIN")

    def flush(self) -> None:
        """Write what the tables do not have yet."""

    def forget(self) -> None:
        """Give the transaction up, and what was only kept in memory with it."""
        if self._connection.in_transaction:
            self._execute("ROLLBACK")

    def _one(self, statement: str, *values: Any) -> Any:
        return self._execute(statement, values).fetchone()

    def note(
        self, call: Call, kind: Literal["created", "deleted", "changed"], thing: Thing
    ) -> None:
        self._notes.append((call, kind, thing))

    # ── sequences, tenants, users, tokens ──

    async def sequence(self, kind: str) -> int:
        row = self._one(sql.SELECT_SEQUENCE, kind)
        return 0 if row is None else row[0]

    async def set_sequence(self, kind: str, number: int) -> None:
        self._execute(sql.UPSERT_SEQUENCE, (kind, number))

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        row = self._one(sql.SELECT_TENANT, tenant_id)
        return None if row is None else tenant_of(row)

    async def put_tenant(self, tenant: Tenant) -> None:
        self._execute(sql.UPSERT_TENANT, tenant_values(tenant))

    async def user(self, name: str) -> User | None:
        row = self._one(sql.SELECT_USER, name)
        return None if row is None else user_of(row)

    def users(self) -> list[User]:
        """Return all users."""
        return [user_of(row) for row in self._execute(sql.SELECT_USERS)]

    async def put_user(self, user: User) -> None:
        self._put(sql.UPSERT_USER, user_values(user), f"User {user.name} contradicts what exists")
        self._changes.append(user)

    async def token(self, digest: str) -> Token | None:
        row = self._one(sql.SELECT_TOKEN, digest)
        return None if row is None else token_of(row)

    async def tokens(self, user: str | None) -> Sequence[Token]:
        if user is None:
            found = self._execute(sql.SELECT_TOKENS)
        else:
            found = self._execute(sql.SELECT_TOKENS_OF, (user,))
        return [token_of(row) for row in found]

    async def put_token(self, token: Token) -> None:
        self._put(sql.UPSERT_TOKEN, token_values(token), "The token contradicts what exists")
        self._changes.append(token)

    # ── networks ──

    async def network(self, network_id: NetworkId) -> Network | None:
        row = self._one(sql.SELECT_NETWORK, network_id)
        return None if row is None else network_of(row)

    async def networks(self, tenant: TenantId) -> Sequence[Network]:
        found = self._execute(sql.SELECT_NETWORKS_OF, (tenant,))
        return [network_of(row) for row in found]

    def network_labels(self) -> dict[str, str]:
        """Return the ids of the isolated networks by label."""
        return {network.label: network.id for network in self._isolated()}

    def _isolated(self) -> list[Network]:
        return [network_of(row) for row in self._execute(sql.SELECT_NETWORKS)]

    async def put_network(self, network: Network) -> None:
        self._put(
            sql.INSERT_NETWORK,
            network_values(network),
            f"Network {network.id} exists already, or its tenant does not",
        )

    async def drop_network(self, network_id: NetworkId) -> None:
        self._put(sql.DELETE_NETWORK, (network_id,), "The network is in use")
        for kind in ("address", "room"):
            await self.set_sequence(f"{kind}:{network_id}", 0)

    # ── servers ──

    async def server(self, server_id: ServerId) -> Server | None:
        row = self._one(sql.SELECT_SERVER, server_id)
        return None if row is None else server_of(row)

    async def put_server(self, server: Server) -> None:
        self._put(
            sql.UPSERT_SERVER, server_values(server), f"Server {server.id} contradicts another"
        )

    async def servers(self, tenant: TenantId, before: int | None, size: int) -> Sequence[Server]:
        found = self._execute(
            sql.SELECT_SERVERS_OF,
            (tenant, LAST_NUMBER if before is None else before, size),
        )
        return [server_of(row) for row in found]

    def server_names(self) -> dict[str, str]:
        """Return the ids of the servers that are not gone by name, the oldest of each."""
        found: dict[str, str] = {}
        for name, server_id in self._execute(sql.SELECT_SERVER_NAMES, (self.clock.epoch(),)):
            found.setdefault(name, server_id)
        return found

    async def servers_named(self, name: str) -> Sequence[Server]:
        found = self._execute(sql.SELECT_SERVERS_NAMED, (name,))
        return [server_of(row) for row in found]

    async def usage(self, tenant: TenantId, now: float) -> tuple[int, int]:
        counted = self._execute(sql.COUNT_IN_USE, (tenant, now, tenant)).fetchall()
        instances = sum(number for _, number in counted)
        return instances, sum(number * flavor_ram(flavor) for flavor, number in counted)

    async def due(self, now: float) -> Sequence[Server]:
        return ()

    async def touch(self, server_id: ServerId, at: float) -> None:
        self._execute(sql.TOUCH, (self._number(server_id), at))

    async def touched(self, server_ids: Sequence[ServerId]) -> Mapping[ServerId, float]:
        return dict(self._execute(sql.SELECT_TOUCHES, (json.dumps(server_ids),)))

    # ── virtual interfaces ──

    async def interface(
        self, server_id: ServerId, interface_id: InterfaceId
    ) -> VirtualInterface | None:
        found = interfaces_of(self._execute(sql.SELECT_INTERFACE, (server_id, interface_id)))
        return found[0] if found else None

    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        return interfaces_of(self._execute(sql.SELECT_INTERFACES_OF, (server_id,)))

    async def put_interface(self, interface: VirtualInterface) -> None:
        self._put_interface(interface, None)

    def _put_interface(self, interface: VirtualInterface, at: float | None) -> None:
        """Put an interface that was attached at a time, None where that changed no server."""
        number, place = interface.number, self._place(interface.network_id)
        server = self._number(interface.server_id)
        try:
            self._execute(
                sql.INSERT_INTERFACE,
                (number, interface.id, server, place, interface.mac_address, at),
            )
            for order, address in enumerate(interface.addresses):
                self._execute(sql.INSERT_ADDRESS, (number, order, place, address))
        except sqlite3.IntegrityError as exc:
            raise _contradiction(interface, exc) from exc

    async def drop_interface(self, interface: VirtualInterface) -> None:
        self._execute(sql.DELETE_INTERFACE, (interface.number,))

    async def on_network(self, network_id: NetworkId) -> int:
        return int(self._one(sql.COUNT_ON_NETWORK, network_id)[0])

    async def address_in_use(self, network_id: NetworkId, address: str) -> bool:
        return self._one(sql.SELECT_ADDRESS, self._place(network_id), address) is not None

    async def mac_in_use(self, mac_address: str) -> bool:
        return self._one(sql.SELECT_MAC, mac_address) is not None

    async def in_use(self, network_id: NetworkId, address: str, mac_address: str) -> bool:
        place = self._place(network_id)
        return self._one(sql.SELECT_EITHER, mac_address, place, address) is not None

    def _number(self, server_id: ServerId) -> int | None:
        """Return what the tables call a server, None where there is no such."""
        row = self._one(sql.SELECT_SERVER_NUMBER, server_id)
        return None if row is None else row[0]

    def _place(self, network_id: NetworkId) -> int | None:
        """Return what the tables call a network, None where there is no such."""
        row = self._one(sql.SELECT_PLACE, network_id)
        return None if row is None else row[0]

    async def contents(self) -> Contents:
        self.flush()
        select = self._execute
        return Contents(
            tenants=[tenant_of(row) for row in select(sql.SELECT_TENANTS)],
            users=self.users(),
            tokens=[token_of(row) for row in select(sql.SELECT_TOKENS)],
            networks=self._isolated(),
            servers=[server_of(row) for row in select(sql.SELECT_SERVERS)],
            touched=dict(select(sql.SELECT_ALL_TOUCHES)),
            interfaces=interfaces_of(select(sql.SELECT_INTERFACES)),
            sequences=dict(select(sql.SELECT_SEQUENCES)),
        )

    def stored_scenario(self) -> Mapping[str, Any] | None:
        """Return the scenario that was kept last, or None."""
        (text,) = self._one(sql.SELECT_SCENARIO)
        scenario: Mapping[str, Any] | None = None if text is None else document(text)
        return scenario

    def _put(self, statement: str, values: Values, problem: str) -> None:
        try:
            self._execute(statement, values)
        except sqlite3.IntegrityError as exc:
            raise Conflict(problem) from exc


async def identities(rows: Rows) -> tuple[Sequence[User], Sequence[Token]]:
    """Return what the table of tokens is made of."""
    assert isinstance(rows, SqliteRows)  # noqa: S101 -- this store runs operations over no other
    return rows.users(), await rows.tokens(None)


async def known_names(rows: Rows) -> tuple[dict[str, str], dict[str, str]]:
    """See `Backend.known_names`."""
    assert isinstance(rows, SqliteRows)  # noqa: S101 -- likewise
    return rows.server_names(), rows.network_labels()


def stored_settings(connection: sqlite3.Connection) -> tuple[Settings, int] | None:
    """Return the settings and the seed of a used store, None for an empty one.

    Raises:
        sqlite3.Error: the tables cannot be read.
    """
    row = connection.execute(sql.SELECT_META).fetchone()
    if row is None:
        return None
    try:
        return read_settings(document(row[0])), int(row[1])
    except (KeyError, TypeError, ValueError) as exc:
        raise sqlite3.DatabaseError("its settings cannot be read") from exc


def _nothing() -> None:
    """Look at nothing before a commit."""


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
