"""Runs what waits to be written: together where it is at hand, else alone.

```
what waits ──┬─► needs are known ──► locks of those parts ──► all of it in memory, one write
             └─► anything else, or not at hand ──► the lock of all ──► statement by statement
```

The house rule: what is told is committed; where a commit fails, all that it held fail.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

import asyncpg

from vifsim.errors import ServiceUnavailable
from vifsim.rows import effect_on
from vifsim.values import slotted
from vifsim_backends import postgres_statements as sql
from vifsim_backends.postgres_at_hand import InUse, Needs, NotAtHand, RowsAtHand, read, take_numbers
from vifsim_backends.postgres_rows import PostgresWriterRows, read_meta
from vifsim_backends.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from vifsim.clock import Clock
    from vifsim.model import Settings
    from vifsim_backends.postgres_locks import Connection, Locks
    from vifsim_backends.row_values import Note

LOST = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that was used while it broke
    OSError,
    TimeoutError,
)
"""What a database that cannot be used raises."""


def give_up(connection: Connection, exc: BaseException) -> None:
    """Let go of a connection that did not end in what the database itself has said."""
    if isinstance(exc, LOST) and not isinstance(exc, asyncpg.PostgresError):
        connection.terminate()


_BATCH = 100
"""Most operations in one transaction: other processes may wait for it."""
_ATTEMPTS = 5
"""How often a transaction is tried that the database could not put in order with others."""
_RETRIED = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_SMALL_POOL = 4096
"""Addresses of a network up to which those in use are read where it is crowded."""


class _WroteAndFailed(Exception):
    """An operation failed after its first write; inside this module only."""


@slotted
class Known:
    """How the cloud behaves, as the database said last."""

    settings: Settings
    seed: int = 0
    version: int = 0

    def learn(self, row: Any) -> None:
        """Take what the database says: another process may have set it."""
        if row["version"] != self.version:
            self.settings, self.seed = read_meta(row)
            self.version = int(row["version"])


@slotted(eq=False)
class Work:
    """An operation that waits for its commit.

    Attributes:
        operation: is given the rows.
        needs: what it asks for, None where that is not known.
        result: what it returned or raised.
        notes: its effects.
    """

    operation: Callable[[Any], Awaitable[Any]]
    needs: Needs | None = None
    result: Any = None
    notes: list[Note] = field(default_factory=list[Any])

    async def run(self, rows: RowsAtHand | PostgresWriterRows) -> bool:
        """Run it; return whether it failed after it had written."""
        written = rows.written
        rows.notes = self.notes = []
        try:
            self.result = await self.operation(rows)
        except (NotAtHand, *LOST):
            raise
        except Exception as exc:  # noqa: BLE001 -- whoever waits is told
            self.result, self.notes = exc, []
            return rows.written > written
        return False


class Writer:
    """Commits work, a batch after the other, on a connection of its own.

    Args:
        connect: makes a connection.
        borrow: runs a function with another connection, which is in no transaction.
        known: how the cloud behaves.
        clock: of the simulator.
        failed: returns what a database that cannot be used is to those who wait.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection]],
        borrow: Callable[[Callable[[Connection], Awaitable[Any]]], Awaitable[Any]],
        known: Known,
        clock: Clock,
        failed: Callable[[Exception], ServiceUnavailable],
    ) -> None:
        self._connect = connect
        self._borrow = borrow
        self._known = known
        self._clock = clock
        self._failed = failed
        self._connection: asyncpg.Connection | None = None
        self._locks: Locks | None = None
        self._crowded: set[str] = set()
        self._pump: Pump[Work, Any] = Pump(self._commit, most=_BATCH)

    def open(self, connection: asyncpg.Connection, locks: Locks) -> None:
        """Begin to commit."""
        self._connection, self._locks = connection, locks

    async def aclose(self) -> None:
        """Commit what waits, and end."""
        await self._pump.aclose()
        self._locks = None

    async def let_go(self, patience: float) -> None:
        """Close the connection, waiting for so many seconds at most."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close(timeout=patience)

    async def write(self, work: Work) -> Any:
        """Return what an operation returned, once it is committed.

        A caller that is cancelled takes its answer with it, never the operation.

        Raises:
            ServiceUnavailable: the store is closed, or cannot be reached.
        """
        if self._locks is None:
            raise ServiceUnavailable("The store is closed.")
        return await self._pump.ask(work)

    async def _commit(self, batch: list[Work]) -> list[Any]:
        far = [work for work in batch if work.needs is None]
        near = [work for work in batch if work.needs is not None]
        with self._clock.busy():
            if near:
                far = [*far, *await self._attempt(near, self._commit_near)]
            if far:
                await self._attempt(far, self._commit_far)
        return [work.result for work in batch]

    async def _attempt(
        self,
        batch: Sequence[Work],
        commit: Callable[[Sequence[Work], Locks, Connection], Awaitable[list[Work]]],
    ) -> list[Work]:
        """Commit operations in one transaction; return those that it could not run."""
        failure: Exception = asyncpg.SerializationError("tried too often")
        for _ in range(_ATTEMPTS):
            try:
                assert self._locks is not None  # noqa: S101 -- set until the last batch is done
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                return await commit(batch, self._locks, self._connection)
            except _RETRIED as exc:
                failure = exc
            except Exception as exc:  # noqa: BLE001 -- whoever waits must hear of a defect, too
                failure = exc
                if self._connection is not None:
                    give_up(self._connection, exc)
                break
        error = self._failed(failure) if isinstance(failure, LOST) else failure
        for work in batch:
            work.result = error
        return []

    def _tell(self, batch: Sequence[Work]) -> None:
        """Make known what was committed, before the callers are answered."""
        at = self._clock.now()
        for work in batch:
            for call, kind, thing in work.notes:
                call.outcome.note(effect_on(kind, thing, at))

    # ── what is at hand ──

    async def _commit_near(
        self, batch: Sequence[Work], locks: Locks, connection: Connection
    ) -> list[Work]:
        needs = Needs()
        for work in batch:
            assert work.needs is not None  # noqa: S101 -- whoever asks has looked
            needs.add(work.needs)
        needs.crowded = self._crowded & needs.networks
        crowd: set[str] = set()
        try:
            async with locks.parts(connection, needs.parts()):
                rows = await self._rows(connection, needs)
                crowd = {key for key in needs.networks if rows.room_on(key) <= _SMALL_POOL}
                far = await self._run_near(batch, rows)
                await self._number(batch, rows)
                await rows.write(connection)
        except NotAtHand:
            return list(batch)
        except (InUse, asyncpg.UniqueViolationError):
            self._crowded |= crowd
            return list(batch)
        self._tell([work for work in batch if work not in far])
        return far

    async def _rows(self, connection: Connection, needs: Needs) -> RowsAtHand:
        found = await read(connection, needs)
        if found["version"] != [self._known.version]:
            self._known.learn(await connection.fetchrow(sql.SELECT_META))
        known = self._known
        return RowsAtHand(needs, found, known.settings, known.seed, self._clock)

    async def _run_near(self, batch: Sequence[Work], rows: RowsAtHand) -> list[Work]:
        """Run operations in memory; return those that ask for more."""
        far: list[Work] = []
        for work in batch:
            written = rows.written
            try:
                failed = await work.run(rows)
            except NotAtHand:
                far.append(work)
                failed = rows.written > written
            if failed:
                raise NotAtHand
        return far

    async def _number(self, batch: Sequence[Work], rows: RowsAtHand) -> None:
        """Take the numbers that were used; run once more where others have taken some first."""
        taken = {kind: number for kind, number in rows.taken.items() if number}
        if not taken:
            return
        before = rows.before

        async def take(connection: Connection) -> dict[str, int]:
            return await take_numbers(connection, rows)

        given: dict[str, int] = await self._borrow(take)
        if all(given[kind] == before[kind] for kind in taken):
            return
        rows.begin_again(given)
        await self._run_near(batch, rows)
        if any(rows.taken[kind] > number for kind, number in taken.items()):
            raise NotAtHand

    # ── everything ──

    async def _commit_far(
        self, batch: Sequence[Work], locks: Locks, connection: Connection
    ) -> list[Work]:
        try:
            await self._transaction(batch, locks, connection, careful=False)
        except _WroteAndFailed:
            await self._transaction(batch, locks, connection, careful=True)
        return []

    async def _transaction(
        self, batch: Sequence[Work], locks: Locks, connection: Connection, *, careful: bool
    ) -> None:
        async with locks.everything(connection):
            self._known.learn(await connection.fetchrow(sql.SELECT_META))
            known = self._known
            rows = PostgresWriterRows(connection, known.settings, known.seed, self._clock)
            for work in batch:
                await self._run_far(work, rows, connection, careful=careful)
            await rows.flush()
            changed = (rows.settings, rows.seed) != (known.settings, known.seed)
            after = await connection.fetchrow(sql.SELECT_META) if changed else None
        if after is not None:
            self._known.learn(after)
        self._tell(batch)

    async def _run_far(
        self, work: Work, rows: PostgresWriterRows, connection: Connection, *, careful: bool
    ) -> None:
        """Run one operation; take back what it wrote before it failed."""
        settings, seed = rows.settings, rows.seed
        if careful:
            await rows.flush()
            await connection.execute("SAVEPOINT operation")
        if await work.run(rows):
            if not careful:
                raise _WroteAndFailed
            await connection.execute("ROLLBACK TO operation")
            rows.settings, rows.seed = settings, seed
            rows.forget()
        if careful:
            await rows.flush()
            await connection.execute("RELEASE operation")
