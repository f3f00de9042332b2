"""A cloud in a PostgreSQL database, which several processes may share.

Whatever waits is asked together: tokens in one statement, reads in one, writes in one transaction,
which locks the servers and networks that it is about. What an operation needs is mostly known
before; an operation of which it is not, or which turns out to need more, has the cloud to itself.

The house rule: nothing about the cloud is kept from one transaction to the next, for another
process may write in between; what is told is committed.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from vifsim import operations, seeding
from vifsim.draws import token_digest
from vifsim.errors import ApiFault, BackendError, ServiceUnavailable
from vifsim.model import Identity, Settings
from vifsim.store import StoreBackend
from vifsim_backends import postgres_schema
from vifsim_backends import postgres_statements as sql
from vifsim_backends.postgres_at_hand import (
    Needs,
    NotAtHand,
    RowsAtHand,
    needs_of_attach,
    needs_of_build,
    needs_of_server,
    read,
)
from vifsim_backends.postgres_locks import Locks
from vifsim_backends.postgres_rows import PostgresRows, PostgresWriterRows
from vifsim_backends.postgres_shared import PostgresSharing
from vifsim_backends.postgres_writer import LOST, Known, Work, Writer, give_up
from vifsim_backends.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import ParamSpec

    from vifsim.backend import Names
    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.model import (
        Access,
        CreatedServer,
        Credentials,
        InterfaceId,
        NetworkId,
        NewServer,
        ServerId,
        ServerView,
        VirtualInterface,
        World,
    )
    from vifsim.rows import Rows
    from vifsim.store import Fill, Operation
    from vifsim_backends.postgres_locks import Connection

    P = ParamSpec("P")
    Near = tuple[Needs, Callable[[Rows], Awaitable[Any]]]
T = TypeVar("T")

_READERS = 4
"""Connections that read; more than a process can keep busy would only cost the server memory."""
_QUESTIONS = 200
"""Most reads, or tokens, that are asked for together."""
_PATIENCE = 10.0
"""Seconds for which a statement, or a new connection, is waited for."""
_UNAVAILABLE = "The service cannot reach its database at the moment."
_log = logging.getLogger(__name__)


class _Connection(asyncpg.Connection):
    """A connection that has nothing to tidy up when it goes back to the pool."""

    def get_reset_query(self) -> str:
        return ""


class PostgresBackend(StoreBackend):
    """A cloud in a database: `postgresql://user@host/database`.

    A `search_path` in the query names a schema of that database, which is made where it is missing.
    """

    durable = True
    shares = True
    _pool: asyncpg.Pool | None = None
    _locks: Locks

    def __init__(self, url: str, *, clock: Clock) -> None:
        super().__init__(url, clock=clock)
        self._known = Known(Settings())
        self._ailing = False
        self._sharing = PostgresSharing(self._borrow, lambda: self._locks)
        self._writer = Writer(self._connect, self._borrow, self._known, clock, self._unavailable)
        self._tokens: Pump[str, tuple[int, Identity | None]] = Pump(self._identify, most=_QUESTIONS)
        self._reads: Pump[Near, Any] = Pump(self._read_together, most=_QUESTIONS)

    @property
    def sharing(self) -> PostgresSharing:
        return self._sharing

    @property
    def settings(self) -> Settings:
        return self._known.settings

    @property
    def seed(self) -> int:
        return self._known.seed

    # ── life ──

    async def open(self, world: World) -> None:
        try:
            with self.clock.busy():
                connection = await self._connect()
                self._writer.open(connection, await self._prepare(connection, world))
                self._pool = await asyncpg.create_pool(
                    self.url,
                    min_size=0,
                    max_size=_READERS,
                    command_timeout=_PATIENCE,
                    timeout=_PATIENCE,
                    connection_class=_Connection,
                )
        except BaseException as exc:
            await self._let_go()
            raise _refusal(exc) from exc

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.url, timeout=_PATIENCE, command_timeout=_PATIENCE)

    async def _prepare(self, connection: asyncpg.Connection, world: World) -> Locks:
        async with connection.transaction():
            await postgres_schema.migrate(connection)
            row = await connection.fetchrow(sql.SELECT_META)
            if row is None:
                rows = PostgresWriterRows(connection, world.settings, world.seed, self.clock)
                await rows.clear(world.settings, world.seed)
                await seeding.populate(rows, world)
                await rows.flush()
                row = await connection.fetchrow(sql.SELECT_META)
            table = await connection.fetchval("SELECT 'meta'::regclass::oid")
        self._known.learn(row)
        self._locks = Locks(table)
        return self._locks

    async def close(self) -> None:
        await self._writer.aclose()
        await self._sharing.aclose()
        await self._tokens.aclose()
        await self._reads.aclose()
        await self._let_go()

    async def _let_go(self) -> None:
        pool, self._pool = self._pool, None
        with self.clock.busy(), suppress(*LOST):
            await self._writer.let_go(_PATIENCE)
        with self.clock.busy(), suppress(*LOST):
            if pool is not None:
                await pool.close()

    async def _borrow(self, use: Callable[[Connection], Awaitable[T]]) -> T:
        """Run a function with a connection that is in no transaction."""
        if self._pool is None:
            raise ServiceUnavailable("The store is closed.")
        try:
            with self.clock.busy():
                async with self._pool.acquire() as connection:
                    try:
                        found = await use(connection)
                    except LOST as exc:
                        give_up(connection, exc)
                        raise
        except LOST as exc:
            raise self._unavailable(exc) from exc
        self._ailing = False
        return found

    def _unavailable(self, exc: Exception) -> ServiceUnavailable:
        """Say once that the database fails, and again only when it worked in between."""
        if not self._ailing:
            _log.error("the database cannot be used: %s", type(exc).__name__)
        self._ailing = True
        fault = ServiceUnavailable(_UNAVAILABLE)
        fault.__cause__ = exc
        return fault

    # ── any operation ──

    async def _write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def run(rows: Rows) -> T:
            return await operation(rows, *args, **kwargs)

        result: T = await self._writer.write(Work(run))
        return result

    async def _read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def look(connection: Connection) -> T:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                known = self._known
                rows = PostgresRows(connection, known.settings, known.seed, self.clock)
                return await operation(rows, *args, **kwargs)

        return await self._borrow(look)

    # ── operations of which it is known what they need ──

    async def _write_near(
        self, needs: Needs, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async def run(rows: Rows) -> T:
            return await operation(rows, *args, **kwargs)

        work = Work(run, needs if needs.storable() else None)
        result: T = await self._writer.write(work)
        return result

    async def _read_near(
        self, needs: Needs, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async def run(rows: Rows) -> T:
            return await operation(rows, *args, **kwargs)

        if needs.storable():
            with suppress(NotAtHand):
                result: T = await self._reads.ask((needs, run))
                return result
        return await self._read(operation, *args, **kwargs)

    async def _read_together(self, asked: list[Near]) -> list[Any]:
        needs = Needs()
        for own, _ in asked:
            needs.add(own)

        async def look(connection: Connection) -> Mapping[str, list[Any]]:
            return await read(connection, needs)

        found = await self._borrow(look)
        known = self._known
        rows = RowsAtHand(needs, found, known.settings, known.seed, self.clock)
        return [await _attempt(run, rows) for _, run in asked]

    async def create_virtual_interface(
        self, call: Call, server_id: ServerId, network_id: NetworkId
    ) -> VirtualInterface:
        needs = needs_of_attach(call, server_id, network_id)
        return await self._write_near(needs, operations.attach, call, server_id, network_id)

    async def delete_virtual_interface(
        self, call: Call, server_id: ServerId, interface_id: InterfaceId
    ) -> None:
        needs = needs_of_server(call, server_id)
        await self._write_near(needs, operations.detach, call, server_id, interface_id)

    async def create_server(self, call: Call, new: NewServer) -> CreatedServer:
        return await self._write_near(
            needs_of_build(call, new), operations.create_server, call, new
        )

    async def list_virtual_interfaces(
        self, call: Call, server_id: ServerId
    ) -> Sequence[VirtualInterface]:
        needs = needs_of_server(call, server_id)
        return await self._read_near(needs, operations.list_interfaces, call, server_id)

    async def list_addresses(self, call: Call, server_id: ServerId) -> Sequence[VirtualInterface]:
        return await self.list_virtual_interfaces(call, server_id)

    async def get_server(self, call: Call, server_id: ServerId) -> ServerView:
        needs = needs_of_server(call, server_id)
        return await self._read_near(needs, operations.get_server, call, server_id)

    async def names(self, call: Call) -> Names:
        if call.interface is not None and call.network is None:
            return await self._read(operations.names, call)  # it may be on another server
        needs = Needs()
        needs.servers |= set() if call.server is None else {call.server}
        needs.networks |= set() if call.network is None else {call.network}
        return await self._read_near(needs, operations.names, call)

    # ── tokens ──

    async def authenticate(self, call: Call, credentials: Credentials) -> Access:
        async def look(connection: Connection) -> Access | None:
            known = self._known
            try:
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    rows = PostgresRows(connection, known.settings, known.seed, self.clock)
                    return await operations.authenticate(rows, call, credentials)
            except asyncpg.ReadOnlySQLTransactionError:
                return None  # a new token is to be written

        # Mostly a living token is told once more.
        return await self._borrow(look) or await super().authenticate(call, credentials)

    async def identify(self, token: str) -> Identity | None:
        published, identity = await self._tokens.ask(token_digest(token))
        if published != self._sharing.version:
            await self._sharing.tell()
        return identity

    async def _identify(self, digests: list[str]) -> list[tuple[int, Identity | None]]:
        async def look(connection: Connection) -> list[Any]:
            rows = await connection.fetch(sql.IDENTIFY, digests, self.clock.epoch())
            if int(rows[-1][2]) != self._known.version:
                self._known.learn(await connection.fetchrow(sql.SELECT_META))
            return rows

        found = await self._borrow(look)
        published = found[-1][3]
        identities = {row[0]: _identity(row) for row in found[:-1]}
        return [(int(published), identities.get(digest)) for digest in digests]

    # ── the whole ──

    async def _replace(self, settings: Settings, seed: int, fill: Fill) -> None:
        async def replace(rows: PostgresWriterRows) -> None:
            await rows.clear(settings, seed)
            await fill(rows)

        await self._writer.write(Work(replace))

    async def configure(self, settings: Settings) -> None:
        async def configure(rows: PostgresWriterRows) -> None:
            await rows.configure(settings, rows.seed)

        await self._writer.write(Work(configure))

    async def keep_scenario(self, scenario: Mapping[str, Any]) -> None:
        async def keep(rows: PostgresWriterRows) -> None:
            await rows.keep_scenario(scenario)

        await self._writer.write(Work(keep))

    async def kept_scenario(self) -> Mapping[str, Any] | None:
        async def read(connection: Connection) -> Mapping[str, Any] | None:
            text = await connection.fetchval("SELECT scenario FROM meta")
            return None if text is None else json.loads(text)

        return await self._borrow(read)


async def _attempt(run: Callable[[Rows], Awaitable[Any]], rows: Rows) -> Any:
    try:
        return await run(rows)
    except Exception as exc:  # noqa: BLE001 -- a read's own failure, told to who asked
        return exc


def _identity(row: Any) -> Identity:
    return Identity(user=row[1], user_id=row[2], tenant=row[3], role=row[4], token_id=row[0])


def _refusal(exc: BaseException) -> BaseException:
    """Return what an error at the opening means to the user; the URL may hold a password."""
    if isinstance(exc, ApiFault):
        return BackendError(f"the world does not fit together: {exc.message} (correct it)")
    if isinstance(exc, ValueError):
        # What could not be read may be a part of the password: it is not shown.
        return BackendError(
            "the database's URL cannot be read (write postgresql://user@host/database, and"
            " encode what is special in a password: %40 for @, %2F for /)"
        )
    return BackendError(_why_lost(exc)) if isinstance(exc, LOST) else exc


def _why_lost(exc: BaseException) -> str:
    refused = (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError)
    reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
    if isinstance(exc, refused):
        return f"the database lets us not in: {reason} (check user and password)"
    if isinstance(exc, asyncpg.InvalidCatalogNameError):
        return f"{reason} (make it first: createdb NAME)"
    return (
        f"the database cannot be used: {reason}"
        " (write postgresql://user@host/database, and see that it runs)"
    )
