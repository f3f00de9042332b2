"""A cloud in a SQLite file, which is there again at the next start.

Two connections, each with its thread: one writes, one reads. Whatever waits for a connection goes
to its thread together and shares one transaction, so that one sync to the disk serves many.

The house rule: nothing is told before it is committed, and nothing committed goes untold: answers,
effects and the table of tokens follow the commit.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import aiosqlite

from vifsim import snapshots
from vifsim.errors import ServiceUnavailable
from vifsim.model import Settings, Token
from vifsim.rows import effect_on
from vifsim.store import StoreBackend, TokenTable
from vifsim_backends import sqlite_file
from vifsim_backends.sqlite_rows import (
    UNUSABLE,
    Result,
    SqliteRows,
    identities,
    known_names,
    stored_settings,
)
from vifsim_backends.sqlite_writer import WriterRows
from vifsim_backends.way_back import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from threading import Thread
    from typing import Concatenate, ParamSpec

    from vifsim.clock import Clock
    from vifsim.model import Identity, World
    from vifsim.rows import Contents, Rows
    from vifsim.store import Fill, Operation
    from vifsim_backends.sqlite_rows import Change, Work

    P = ParamSpec("P")
T = TypeVar("T")

_BATCH = 500
"""Most operations in one transaction: the last of them waits for all."""
_CHUNK = 64
"""Rows that aiosqlite's own cursors would fetch at once; ours never ask it."""
_CLOSED = "The store is closed."
_log = logging.getLogger(__name__)


class BatchConnection(aiosqlite.Connection):
    """A connection whose thread takes a whole piece of work at once; a hop costs more than it."""

    _worker: Thread

    @classmethod
    async def to(cls, path: Path) -> BatchConnection:
        """Return an open connection to a file."""
        connection = cls(partial(sqlite_file.connect, path), _CHUNK)
        # Until aiosqlite 0.21 a connection was its own thread.
        worker: Any = getattr(connection, "_thread", connection)
        # A backend that nobody closed must not keep the process from ending.
        worker.daemon = True
        connection._worker = worker
        _ = await connection
        return connection

    async def run(
        self,
        function: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a function on the thread, with the connection as its first argument."""
        work = partial(function, self._conn, *args, **kwargs)
        result: T = await self._execute(work)  # type: ignore[no-untyped-call]  # aiosqlite's own
        return result

    async def close(self) -> None:
        """Close the connection and see its thread end, which has nothing left to do."""
        await super().close()
        self._worker.join()


class Lane:
    """One connection and the operations that wait for it.

    Args:
        connection: ours from now on.
        rows: over that connection.
        tell: takes the results of a batch before anybody hears of them.
    """

    def __init__(
        self,
        connection: BatchConnection,
        rows: SqliteRows,
        tell: Callable[[Sequence[Result]], None],
    ) -> None:
        self.connection = connection
        self.rows = rows
        self._tell = tell
        self._waiting: deque[tuple[Work, asyncio.Future[Any]]] = deque()
        self._wake = asyncio.Event()
        self._open = True
        self._task = asyncio.create_task(self._work())

    async def do(self, work: Work) -> Any:
        """Run an operation and return what it returned, once that is committed.

        Raises:
            ServiceUnavailable: it cannot be stored, or the lane is closed.
        """
        if not self._open:
            raise ServiceUnavailable(_CLOSED)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        self._wake.set()
        # A caller that is cancelled here takes its future with it, never the operation.
        return await future

    async def close(self) -> None:
        """Finish what waits."""
        self._open = False
        self._wake.set()
        await self._task

    async def _work(self) -> None:
        while self._open or self._waiting:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                size = min(len(self._waiting), _BATCH)
                await self._run([self._waiting.popleft() for _ in range(size)])

    async def _run(self, batch: Sequence[tuple[Work, asyncio.Future[Any]]]) -> None:
        results = await self._results([work for work, _ in batch])
        self._tell(results)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if result.error is None:
                future.set_result(result.value)
            else:
                future.set_exception(result.error)

    async def _results(self, batch: Sequence[Work]) -> list[Result]:
        try:
            with self.rows.clock.busy():
                return await self.connection.run(self._on_thread, batch)
        except Exception as exc:  # noqa: BLE001 -- a defect, which all who wait must hear of
            return [Result(error=exc) for _ in batch]

    def _on_thread(self, _: sqlite3.Connection, batch: Sequence[Work]) -> list[Result]:
        return self.rows.run_batch(batch)


class SqliteBackend(StoreBackend):
    """A cloud in a file: `sqlite:///demo.db`, or `sqlite:////srv/demo.db`.

    Raises:
        UsageError: the URL names no file.
    """

    durable = True
    _writer: Lane
    _reader: Lane
    _writer_rows: WriterRows
    _reader_rows: SqliteRows

    def __init__(self, url: str, *, clock: Clock) -> None:
        super().__init__(url, clock=clock)
        self._path = sqlite_file.path_of(url)
        self._hold: sqlite_file.Hold | None = None
        self._connections: list[BatchConnection] = []
        self._lanes: list[Lane] = []
        self._tokens = TokenTable()
        self._settings = Settings()
        self._seed = 0
        self._place: Place = 0
        self._ailing = False

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def seed(self) -> int:
        return self._seed

    # ── life ──

    async def open(self, world: World) -> None:
        sqlite_file.check_place(self._path)
        self._path = self._path.resolve()
        self._hold = sqlite_file.Hold(self._path)
        existed = self._path.exists()
        try:
            with self.clock.busy():
                await self._open(world)
        except BaseException as exc:
            await self._let_go()
            if not existed:
                self._path.unlink(missing_ok=True)
            self._hold.release()
            raise self._refusal(exc) from exc

    async def _open(self, world: World) -> None:
        blank = sqlite_file.is_blank(self._path)
        writing = await self._connect()
        await writing.run(sqlite_file.prepare_writer, self._path, blank=blank)
        kept = await writing.run(stored_settings)
        reading = await self._connect()
        await reading.run(sqlite_file.prepare_reader)
        self._settings, self._seed = kept or (world.settings, world.seed)
        self._writer_rows = await writing.run(
            WriterRows, settings=self._settings, seed=self._seed, clock=self.clock
        )
        self._reader_rows = await reading.run(
            SqliteRows, settings=self._settings, seed=self._seed, clock=self.clock
        )
        self._writer = self._lane(writing, self._writer_rows, self._learn)
        self._reader = self._lane(reading, self._reader_rows, self._watch)
        if kept is None:
            await self.reset(world)
        else:
            await self._load_tokens()
        self._writer_rows.before_commit = sqlite_file.Watch(self._path).look

    async def _connect(self) -> BatchConnection:
        connection = await BatchConnection.to(self._path)
        self._connections.append(connection)
        return connection

    def _lane(
        self,
        connection: BatchConnection,
        rows: SqliteRows,
        tell: Callable[[Sequence[Result]], None],
    ) -> Lane:
        lane = Lane(connection, rows, tell)
        self._lanes.append(lane)
        return lane

    async def _load_tokens(self) -> None:
        users, tokens = await self._read(identities)
        for change in (None, *users, *tokens):
            self._remember(change)

    def _refusal(self, exc: BaseException) -> BaseException:
        if isinstance(exc, ServiceUnavailable) and isinstance(exc.__cause__, UNUSABLE):
            exc = exc.__cause__
        if isinstance(exc, UNUSABLE):
            return sqlite_file.refusal(self._path, exc)
        return exc

    async def close(self) -> None:
        if self._hold is None:
            return
        await self._let_go()
        self._hold.release()
        self._hold = None

    async def _let_go(self) -> None:
        while self._lanes:
            await self._lanes.pop().close()
        while self._connections:
            connection = self._connections.pop()
            with suppress(sqlite3.Error), self.clock.busy():
                # The last connection to close also writes the log into the file and removes it.
                await connection.close()

    # ── after the commit ──

    def _learn(self, results: Sequence[Result]) -> None:
        """Make known what a batch committed, before its callers are answered."""
        at = self.clock.now()
        for result in results:
            for change in result.changes:
                self._remember(change)
            for call, kind, thing in result.notes:
                call.outcome.note(effect_on(kind, thing, at))
        self._settings = self._reader_rows.settings = self._writer_rows.settings
        self._seed = self._reader_rows.seed = self._writer_rows.seed
        self._place = self._writer_rows.log.place
        self._watch(results)

    def _remember(self, change: Change) -> None:
        if change is None:
            self._tokens = TokenTable()
        elif isinstance(change, Token):
            self._tokens.put_token(change)
        else:
            self._tokens.put_user(change)

    def _watch(self, results: Sequence[Result]) -> None:
        """Say once that the file fails, and again only when it worked in between."""
        for result in results:
            cause = None if result.error is None else result.error.__cause__
            ailing = isinstance(result.error, ServiceUnavailable)
            if ailing and not self._ailing:
                _log.error("%s cannot be used: %s", self._path, cause)
            self._ailing = ailing

    # ── the whole ──

    async def _replace(self, settings: Settings, seed: int, fill: Fill) -> None:
        async def replace(rows: Rows) -> None:
            self._writer_rows.clear(settings, seed)
            await fill(rows)

        await self._write(replace)

    async def configure(self, settings: Settings) -> None:
        async def configure(rows: Rows) -> None:
            self._writer_rows.configure(settings, rows.seed)

        await self._write(configure)

    async def keep_scenario(self, scenario: Mapping[str, Any]) -> None:
        async def keep(_: Rows) -> None:
            self._writer_rows.keep_scenario(scenario)

        await self._write(keep)

    async def kept_scenario(self) -> Mapping[str, Any] | None:
        async def kept(_: Rows) -> Mapping[str, Any] | None:
            return self._reader_rows.stored_scenario()

        return await self._read(kept)

    async def known_names(self) -> tuple[dict[str, str], dict[str, str]]:
        return await self._read(known_names)

    # ── going back ──

    def moment(self) -> Place:
        return self._place

    async def go_back(self, moment: object) -> None:
        async def go_back(_: Rows) -> None:
            await self._writer_rows.go_back(_place(moment))

        await self._write(go_back)

    async def state_at(self, moment: object) -> Mapping[str, Any]:
        async def contents_at(_: Rows) -> tuple[Contents, Settings]:
            return await self._writer_rows.contents_at(_place(moment))

        contents, settings = await self._write(contents_at)
        return snapshots.state_document(contents, settings, self.clock.epoch())

    # ── operations ──

    async def identify(self, token: str) -> Identity | None:
        return self._tokens.identify(token, self.clock.epoch())

    async def _read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        value: T = await self._reader.do((operation, args, kwargs))
        return value

    async def _write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        value: T = await self._writer.do((operation, args, kwargs))
        return value


def _place(moment: object) -> Place:
    assert isinstance(moment, Place)  # noqa: S101 -- `moment` gives no other
    return moment
