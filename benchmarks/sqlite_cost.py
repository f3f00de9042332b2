"""SQLite creates at backend level, against the same SQL with one commit per operation.

"The same SQL" is the backend's own rows on a plain connection of this thread: no queue, no second
thread, no event loop, one BEGIN IMMEDIATE and one COMMIT for each operation. The build with a hop
per statement awaits aiosqlite for every one of those statements, in a transaction for each
operation, one after the other: on one connection they cannot overlap and stay atomic. Over HTTP,
the server on SQLite is held against the same on memory.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiosqlite

from benchmarks.http_cost import serving
from benchmarks.measure import Figure, Rounds
from benchmarks.serving import SERVERS
from vifsim import operations, seeding
from vifsim.clock import SimClock
from vifsim.exchange import Call
from vifsim.model import (
    NetworkId,
    Quotas,
    SeedNetwork,
    SeedServer,
    ServerId,
    Settings,
    Tenant,
    TenantId,
    User,
    World,
)
from vifsim_backends import sqlite_file
from vifsim_backends import sqlite_statements as sql
from vifsim_backends.sqlite import SqliteBackend
from vifsim_backends.sqlite_writer import WriterRows

if TYPE_CHECKING:
    import sqlite3

    from benchmarks.http_cost import Subject
    from vifsim.rows import Rows

    Statements = list[tuple[str, tuple[Any, ...]]]

ROUNDS = 5
_CREATES = 1500
_WAITERS = 64


def world_of(servers: int) -> World:
    """Return a world with that many servers, a large network and no quota."""
    tenant = TenantId("1")
    return World(
        tenants=(Tenant(id=tenant),),
        users=(User(id="u", name="u", tenant=tenant),),
        settings=Settings(quotas=Quotas(servers_per_network=None, instances=None, ram=None)),
        networks=(SeedNetwork(label="n", cidr="10.0.0.0/8", tenant=tenant),),
        servers=tuple(
            SeedServer(name=f"s{number}", tenant=tenant, networks=()) for number in range(servers)
        ),
    )


def call_on(server: str) -> Call:
    """Return a create's call on a server of that world."""
    return Call(
        seq=1,
        id="req-1",
        operation="create_virtual_interface",
        method="POST",
        path="/",
        headers={},
        peer="",
        conn=1,
        arrived=0.0,
        real_arrived=0.0,
        user="u",
        tenant="1",
        server=server,
    )


async def _through_the_backend(path: Path, waiters: int) -> tuple[float, float]:
    """Return creates a second with so many waiters, and the median of the seconds for one."""
    backend = SqliteBackend(f"sqlite:////{str(path).lstrip('/')}", clock=SimClock())
    await backend.open(world_of(_CREATES))
    world = (await backend.snapshot())["world"]
    network = NetworkId(world["networks"][0]["id"])
    servers = iter([server["id"] for server in world["servers"]])
    waits: list[float] = []

    async def wait() -> None:
        for server in servers:
            asked = time.perf_counter()
            await backend.create_virtual_interface(call_on(server), ServerId(server), network)
            waits.append(time.perf_counter() - asked)

    began = time.perf_counter()
    await asyncio.gather(*(wait() for _ in range(waiters)))
    took = time.perf_counter() - began
    await backend.close()
    return _CREATES / took, statistics.median(waits)


class _RecordingRows(WriterRows):
    """Rows that keep what they say to SQLite."""

    def __init__(self, connection: sqlite3.Connection, world: World) -> None:
        super().__init__(connection, world.settings, 0, SimClock())
        self.said: Statements = []

    def _say(self, statement: str, values: tuple[Any, ...] = ()) -> sqlite3.Cursor:
        cursor = super()._say(statement, values)
        self.said.append((statement, values))
        return cursor

    def _write_held(self) -> None:
        self.said += [(text, row) for text, rows in self._held.statements() for row in rows]
        super()._write_held()

    def flush(self) -> None:
        if self._held:
            self._write_held()
        self.said += [(sql.UPSERT_SEQUENCE, (k, self._sequences[k])) for k in self._unwritten]
        super().flush()


def _fill(rows: WriterRows, connection: sqlite3.Connection) -> tuple[list[ServerId], NetworkId]:
    """Make the world, and return its servers and its network."""
    world = world_of(_CREATES)

    async def fill(_: Rows) -> None:
        rows.clear(world.settings, 0)
        await seeding.populate(rows, world)

    rows.run_batch([(fill, (), {})])
    servers = [row[0] for row in connection.execute("SELECT id FROM servers ORDER BY number")]
    (network,) = connection.execute("SELECT id FROM networks WHERE label = 'n'").fetchone()
    return servers, network


def _create_each(rows: WriterRows, servers: list[ServerId], network: NetworkId) -> None:
    for server in servers:
        (result,) = rows.run_batch([(operations.attach, (call_on(server), server, network), {})])
        assert result.error is None


def _one_by_one(path: Path) -> float:
    """Return creates a second of the same SQL with a commit for each."""
    sqlite_file.is_blank(path)
    with closing(sqlite_file.connect(path)) as connection:
        sqlite_file.prepare_writer(connection, path, blank=True)
        rows = WriterRows(connection, world_of(_CREATES).settings, 0, SimClock())
        servers, network = _fill(rows, connection)
        began = time.perf_counter()
        _create_each(rows, servers, network)
        return _CREATES / (time.perf_counter() - began)


def _record(path: Path) -> list[Statements]:
    """Leave a file with the world in it, and return what each create says to SQLite."""
    copy = path.with_suffix(".copy")
    sqlite_file.is_blank(path)
    with closing(sqlite_file.connect(path)) as connection:
        sqlite_file.prepare_writer(connection, path, blank=True)
        rows = _RecordingRows(connection, world_of(_CREATES))
        servers, network = _fill(rows, connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copy(path, copy)
        rows.said.clear()
        said: list[Statements] = []
        for server in servers:
            _create_each(rows, [server], network)
            # BEGIN, then whether anybody else wrote; at the end COMMIT.
            said.append(rows.said[2:-1])
            rows.said.clear()
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    copy.rename(path)
    return said


async def _hop_by_hop(path: Path, creates: list[Statements], waiters: int) -> float:
    """Return the median of the seconds for a create that hops to the thread for each statement."""
    waits: list[float] = []
    lock = asyncio.Lock()
    async with aiosqlite.connect(path, isolation_level=None, cached_statements=256) as connection:
        await connection.execute("PRAGMA synchronous = FULL")
        await connection.execute("PRAGMA foreign_keys = ON")
        left = iter(creates)

        async def wait() -> None:
            for statements in left:
                asked = time.perf_counter()
                async with lock:
                    await connection.execute("BEGIN IMMEDIATE")
                    for statement, values in statements:
                        await connection.execute(statement, values)
                    await connection.execute("COMMIT")
                waits.append(time.perf_counter() - asked)

        await asyncio.gather(*(wait() for _ in range(waiters)))
    return statistics.median(waits)


def _over_http(subject: Subject) -> float:
    """Return the requests a second of creates and deletes over 64 connections."""
    began = time.perf_counter()
    for kind in ("create", "delete"):
        asyncio.run(subject.run(kind, iter(range(SERVERS)), _WAITERS))
    return 2 * SERVERS / (time.perf_counter() - began)


def _http(folder: Path, rounds: int) -> Figure:
    found = Rounds()
    url = f"sqlite:////{str(folder / 'http.db').lstrip('/')}"
    with serving("vifsim") as memory, serving("vifsim", "--backend", url) as on_disk:
        for number in range(rounds + 1):
            for name, subject in (("memory", memory), ("SQLite", on_disk)):
                rate = _over_http(subject)
                if number:  # the first only warms up
                    found.add(name, rate)
    return Figure(
        name="SQLite over HTTP, 64 connections, by memory",
        ratio=found.ratio("SQLite", "memory"),
        mark=0.5,
        at_least=True,
        detail=f"{found.median('SQLite'):.0f} of {found.median('memory'):.0f} requests a second",
    )


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return how many times as fast the backend is, and how long a create waits."""
    found = Rounds()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            found.add("one by one", _one_by_one(Path(folder, f"a{number}.db")))
            for waiters in (_WAITERS, 1):
                path = Path(folder, f"b{waiters}-{number}.db")
                rate, wait = asyncio.run(_through_the_backend(path, waiters))
                found.add(str(waiters), rate)
                found.add(f"wait {waiters}", wait)
            path = Path(folder, f"c{number}.db")
            found.add("hops", asyncio.run(_hop_by_hop(path, _record(path), _WAITERS)))
        over_http = _http(Path(folder), rounds)
    detail = f"of {found.median('one by one'):.0f} creates a second"
    return [
        Figure(
            name="SQLite creates a second, 64 waiters",
            ratio=found.ratio("64", "one by one"),
            mark=5.0,
            at_least=True,
            detail=detail,
        ),
        Figure(
            name="SQLite creates a second, 1 waiter",
            ratio=found.ratio("1", "one by one"),
            mark=0.5,
            at_least=True,
            detail=detail,
        ),
        Figure(
            name="p50 of 64 waiters, by a hop per statement",
            ratio=found.ratio("wait 64", "hops"),
            mark=0.15,
            detail=f"{found.median('wait 64') * 1e3:.1f} ms by {found.median('hops') * 1e3:.1f} ms",
        ),
        over_http,
    ]
