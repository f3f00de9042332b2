"""SQLite creates at backend level, against the same SQL with one commit per operation.

"The same SQL" is the backend's own rows on a plain connection of this thread: no queue, no second
thread, no event loop, one BEGIN IMMEDIATE and one COMMIT for each operation.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.measure import Figure, Rounds
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
from vifsim_backends.sqlite import SqliteBackend
from vifsim_backends.sqlite_writer import WriterRows

ROUNDS = 5
_CREATES = 1500


def _world() -> World:
    tenant = TenantId("1")
    return World(
        tenants=(Tenant(id=tenant),),
        users=(User(id="u", name="u", tenant=tenant),),
        settings=Settings(quotas=Quotas(servers_per_network=None, instances=None, ram=None)),
        networks=(SeedNetwork(label="n", cidr="10.0.0.0/8", tenant=tenant),),
        servers=tuple(
            SeedServer(name=f"s{number}", tenant=tenant, networks=()) for number in range(_CREATES)
        ),
    )


def _call(server: str) -> Call:
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


async def _through_the_backend(path: Path, waiters: int) -> float:
    """Return creates a second with so many waiters."""
    backend = SqliteBackend(f"sqlite:////{str(path).lstrip('/')}", clock=SimClock())
    await backend.open(_world())
    world = (await backend.snapshot())["world"]
    network = NetworkId(world["networks"][0]["id"])
    servers = iter([server["id"] for server in world["servers"]])

    async def wait() -> None:
        for server in servers:
            await backend.create_virtual_interface(_call(server), ServerId(server), network)

    began = time.perf_counter()
    await asyncio.gather(*(wait() for _ in range(waiters)))
    took = time.perf_counter() - began
    await backend.close()
    return _CREATES / took


def _one_by_one(path: Path) -> float:
    """Return creates a second of the same SQL with a commit for each."""
    sqlite_file.is_blank(path)
    with closing(sqlite_file.connect(path)) as connection:
        sqlite_file.prepare_writer(connection, path, blank=True)
        world = _world()
        rows = WriterRows(connection, world.settings, 0, SimClock())

        async def fill(writer: WriterRows) -> None:
            writer.clear(world.settings, 0)
            await seeding.populate(writer, world)

        rows.run_batch([(fill, (), {})])
        servers = [row[0] for row in connection.execute("SELECT id FROM servers ORDER BY number")]
        query = "SELECT id FROM networks WHERE label = 'n'"
        network = NetworkId(connection.execute(query).fetchone()[0])
        began = time.perf_counter()
        for server in servers:
            arguments = (_call(server), ServerId(server), network)
            (result,) = rows.run_batch([(operations.attach, arguments, {})])
            assert result.error is None
        return _CREATES / (time.perf_counter() - began)


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return how many times as fast the backend is, with 64 waiters and with one."""
    found = Rounds()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            found.add("one by one", _one_by_one(Path(folder, f"a{number}.db")))
            for waiters in (64, 1):
                path = Path(folder, f"b{waiters}-{number}.db")
                rate = asyncio.run(_through_the_backend(path, waiters))
                found.add(str(waiters), rate)
    detail = f"of {found.median('one by one'):.0f} creates a second"
    return [
        Figure(
            name="SQLite creates a second, 64 waiters",
            ratio=found.ratio("64", "one by one"),
            mark=4.0,
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
    ]
