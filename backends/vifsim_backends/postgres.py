"""A cloud in a PostgreSQL database, which several processes may share.

Whatever waits for a write shares one transaction, which holds the lock of all writers: the row of
`meta`. Reads take a connection of the pool and see one moment.

The house rule: nothing about the cloud is kept from one transaction to the next, for another
process may write in between; what is told is committed.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg

from vifsim import seeding
from vifsim.draws import token_digest
from vifsim.errors import ApiFault, BackendError, ServiceUnavailable
from vifsim.model import Identity, Settings
from vifsim.operations import effect_on
from vifsim.store import StoreBackend
from vifsim_backends import postgres_schema
from vifsim_backends.postgres_locks import Locks
from vifsim_backends.postgres_rows import PostgresRows, PostgresWriterRows, read_meta
from vifsim_backends.postgres_shared import PostgresSharing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import ParamSpec

    from asyncpg.pool import PoolConnectionProxy

    from vifsim.backend import Snapshot
    from vifsim.clock import Clock
    from vifsim.model import World
    from vifsim.operations import Rows
    from vifsim.store import Operation
    from vifsim_backends.postgres_rows import Note

    P = ParamSpec("P")
    Connection = asyncpg.Connection | PoolConnectionProxy
T = TypeVar("T")

_BATCH = 100
"""Most operations in one transaction: other processes wait for it."""
_READERS = 4
"""Connections that read; more than a process can keep busy would only cost the server memory."""
_ATTEMPTS = 5
"""How often a transaction is tried that the database could not put in order with others."""
_PATIENCE = 10.0
"""Seconds for which a statement, or a new connection, is waited for."""
_UNAVAILABLE = "The service cannot reach its database at the moment."
_LOST = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
_RETRIED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_LOCK_WRITERS = "SELECT version, seed, settings FROM meta FOR UPDATE"
_IDENTIFY = """
SELECT meta.version, meta.published, found.* FROM meta LEFT JOIN (
    SELECT users.name, users.id, tokens.tenant, users.role
    FROM tokens JOIN users ON users.name = tokens.user_name
    WHERE tokens.digest = $1 AND NOT tokens.revoked AND users.enabled
        AND (tokens.expires IS NULL OR tokens.expires > $2)
) AS found ON true"""
_log = logging.getLogger(__name__)


class _WroteAndFailed(Exception):
    """An operation failed after its first write; inside this module only."""


class _Connection(asyncpg.Connection):
    """A connection that has nothing to tidy up when it goes back to the pool."""

    def get_reset_query(self) -> str:
        return ""


class _Work:
    """An operation that waits for its commit."""

    __slots__ = ("future", "notes", "operation", "result")

    def __init__(self, operation: Callable[[PostgresWriterRows], Awaitable[Any]]) -> None:
        self.operation = operation
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.result: tuple[Any, Exception | None] = None, None
        self.notes: list[Note] = []

    def tell(self) -> None:
        """Answer who waits, if anybody still does."""
        value, error = self.result
        if self.future.done():
            return
        if error is None:
            self.future.set_result(value)
        else:
            self.future.set_exception(error)


class PostgresBackend(StoreBackend):
    """A cloud in a database: `postgresql://user@host/database`.

    A `search_path` in the query names a schema of that database, which is made where it is missing.
    """

    durable = True
    shares = True
    _pool: asyncpg.Pool | None = None
    _writer: asyncpg.Connection | None = None
    _task: asyncio.Task[None] | None = None
    _locks: Locks

    def __init__(self, url: str, *, clock: Clock) -> None:
        super().__init__(url, clock=clock)
        self._settings = Settings()
        self._seed = 0
        self._version: int = 0
        self._waiting: deque[_Work] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._ailing = False
        self._sharing = PostgresSharing(self._with_reader, lambda: self._locks)

    @property
    def sharing(self) -> PostgresSharing:
        return self._sharing

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def seed(self) -> int:
        return self._seed

    # ── life ──

    async def open(self, world: World) -> None:
        try:
            with self.clock.busy():
                self._writer = await self._connect()
                await self._prepare(self._writer, world)
                self._pool = await asyncpg.create_pool(
                    self.url,
                    min_size=1,
                    max_size=_READERS,
                    command_timeout=_PATIENCE,
                    timeout=_PATIENCE,
                    connection_class=_Connection,
                )
        except BaseException as exc:
            await self._let_go()
            raise _refusal(exc) from exc
        self._closing = False
        self._task = asyncio.create_task(self._work())

    async def _connect(self) -> asyncpg.Connection:
        return await asyncpg.connect(self.url, timeout=_PATIENCE, command_timeout=_PATIENCE)

    async def _prepare(self, connection: asyncpg.Connection, world: World) -> None:
        async with connection.transaction():
            await postgres_schema.migrate(connection)
            row = await connection.fetchrow(_LOCK_WRITERS)
            if row is None:
                rows = PostgresWriterRows(connection, world.settings, world.seed, self.clock)
                await rows.clear(world.settings, world.seed)
                await seeding.populate(rows, world)
                await rows.flush()
                row = await connection.fetchrow(_LOCK_WRITERS)
            table = await connection.fetchval("SELECT 'meta'::regclass::oid")
        self._locks = Locks(table)
        self._learn(row)

    async def close(self) -> None:
        if self._task is not None:
            self._closing = True
            self._wake.set()
            await self._task
            self._task = None
        await self._sharing.aclose()
        await self._let_go()

    async def _let_go(self) -> None:
        writer, self._writer = self._writer, None
        pool, self._pool = self._pool, None
        with self.clock.busy(), suppress(*_LOST):
            if writer is not None:
                await writer.close(timeout=_PATIENCE)
        with self.clock.busy(), suppress(*_LOST):
            if pool is not None:
                await pool.close()

    # ── writing ──

    async def _write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def run(rows: PostgresWriterRows) -> T:
            return await operation(rows, *args, **kwargs)

        return await self._queue(run)

    async def _queue(self, run: Callable[[PostgresWriterRows], Awaitable[T]]) -> T:
        if self._task is None or self._closing:
            raise ServiceUnavailable("The store is closed.")
        work = _Work(run)
        self._waiting.append(work)
        self._wake.set()
        # A caller that is cancelled here takes its future with it, never the operation.
        result: T = await work.future
        return result

    async def _work(self) -> None:
        while not self._closing or self._waiting:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                size = min(len(self._waiting), _BATCH)
                batch = [self._waiting.popleft() for _ in range(size)]
                with self.clock.busy():
                    await self._commit(batch)
                for work in batch:
                    work.tell()

    async def _commit(self, batch: Sequence[_Work]) -> None:
        """Run operations in one transaction; where it fails, all of them fail."""
        careful = False
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self._transaction(batch, careful=careful)
            except _WroteAndFailed:
                careful = True
                continue
            except _RETRIED as exc:
                if attempt < _ATTEMPTS:
                    continue
                self._fail(batch, exc)
            except Exception as exc:  # noqa: BLE001 -- whoever waits must hear of a defect, too
                self._fail(batch, exc)
            return
        self._fail(batch, asyncpg.SerializationError("tried too often"))

    def _fail(self, batch: Sequence[_Work], exc: Exception) -> None:
        error = self._unavailable(exc) if isinstance(exc, _LOST) else exc
        for work in batch:
            work.result = None, error

    async def _transaction(self, batch: Sequence[_Work], *, careful: bool) -> None:
        if self._writer is None or self._writer.is_closed():
            self._writer = await self._connect()
        connection = self._writer
        async with connection.transaction():
            row = await connection.fetchrow(_LOCK_WRITERS)
            self._learn(row)
            rows = PostgresWriterRows(connection, self._settings, self._seed, self.clock)
            for work in batch:
                await self._run(work, rows, connection, careful=careful)
            await rows.flush()
            changed = (rows.settings, rows.seed) != (self._settings, self._seed)
            after = await connection.fetchrow(_LOCK_WRITERS) if changed else None
        self._ailing = False
        self._tell(batch, after)

    def _tell(self, batch: Sequence[_Work], after: Any) -> None:
        """Make known what was committed, before the callers are answered."""
        if after is not None:
            self._learn(after)
        at = self.clock.now()
        for work in batch:
            for call, kind, thing in work.notes:
                call.outcome.effects.append(effect_on(kind, thing, at))

    async def _run(
        self,
        work: _Work,
        rows: PostgresWriterRows,
        connection: asyncpg.Connection,
        *,
        careful: bool,
    ) -> None:
        """Run one operation; take back what it wrote before it failed."""
        written, settings, seed = rows.written, rows.settings, rows.seed
        rows.notes = work.notes = []
        if careful:
            await rows.flush()
            await connection.execute("SAVEPOINT operation")
        try:
            work.result = await work.operation(rows), None
        except _LOST:
            raise
        except Exception as exc:
            work.result = None, exc
            work.notes = []
            if rows.written > written:
                if not careful:
                    raise _WroteAndFailed from exc
                await connection.execute("ROLLBACK TO operation")
                rows.settings, rows.seed = settings, seed
                rows.forget()
        if careful:
            await rows.flush()
            await connection.execute("RELEASE operation")

    # ── reading ──

    async def _read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async def read(connection: Connection) -> T:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                rows = PostgresRows(connection, self._settings, self._seed, self.clock)
                return await operation(rows, *args, **kwargs)

        return await self._with_reader(read)

    async def _with_reader(self, read: Callable[[Connection], Awaitable[T]]) -> T:
        if self._pool is None:
            raise ServiceUnavailable("The store is closed.")
        try:
            with self.clock.busy():
                async with self._pool.acquire() as connection:
                    return await read(connection)
        except _LOST as exc:
            raise self._unavailable(exc) from exc

    def _unavailable(self, exc: Exception) -> ServiceUnavailable:
        """Say once that the database fails, and again only when it worked in between."""
        if not self._ailing:
            _log.error("the database cannot be used: %s", type(exc).__name__)
        self._ailing = True
        fault = ServiceUnavailable(_UNAVAILABLE)
        fault.__cause__ = exc
        return fault

    async def identify(self, token: str) -> Identity | None:
        digest = token_digest(token)

        async def read(connection: Connection) -> Any:
            row = await connection.fetchrow(_IDENTIFY, digest, self.clock.epoch())
            if row is not None and row["version"] != self._version:
                self._learn(await connection.fetchrow("SELECT version, seed, settings FROM meta"))
            return row

        row = await self._with_reader(read)
        if row is not None and row["published"] != self._sharing.version:
            await self._sharing.tell()
        return None if row is None or row["name"] is None else _identity(row, digest)

    def _learn(self, row: Any) -> None:
        """Behave by the settings that the database holds: another process may have set them."""
        if row["version"] != self._version:
            self._settings, self._seed = read_meta(row)
            self._version = int(row["version"])

    # ── the whole ──

    async def reset(self, world: World) -> None:
        await self._replace(world.settings, world.seed, partial(seeding.populate, world=world))

    async def restore(self, snapshot: Snapshot) -> None:
        contents, settings, seed = seeding.contents_of(snapshot)
        await self._replace(settings, seed, partial(seeding.refill, contents=contents))

    async def _replace(
        self, settings: Settings, seed: int, fill: Callable[[Rows], Awaitable[None]]
    ) -> None:
        async def replace(rows: PostgresWriterRows) -> None:
            await rows.clear(settings, seed)
            await fill(rows)

        await self._queue(replace)

    async def configure(self, settings: Settings) -> None:
        async def configure(rows: PostgresWriterRows) -> None:
            await rows.configure(settings, rows.seed)

        await self._queue(configure)

    async def keep_scenario(self, scenario: Mapping[str, Any]) -> None:
        async def keep(rows: PostgresWriterRows) -> None:
            await rows.keep_scenario(scenario)

        await self._queue(keep)

    async def kept_scenario(self) -> Mapping[str, Any] | None:
        async def read(connection: Connection) -> Mapping[str, Any] | None:
            text = await connection.fetchval("SELECT scenario FROM meta")
            return None if text is None else json.loads(text)

        return await self._with_reader(read)


def _identity(row: Any, digest: str) -> Identity:
    return Identity(
        user=row["name"],
        user_id=row["id"],
        tenant=row["tenant"],
        role=row["role"],
        token_id=digest,
    )


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
    return BackendError(_why_lost(exc)) if isinstance(exc, _LOST) else exc


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
