"""PostgreSQL with one, two and four processes on one database, all in the same rounds.

A call is what the edge asks of a store: whom the token speaks for, then the operation. Each process
keeps `WAITERS` calls under way, each on a server of its own, all on one network: attach, list and
detach in turn. HTTP and the client are left out, since they would want the same two cores.

The database is one of its own, from the binaries that are installed, with syncs on.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg

from benchmarks.measure import Figure, Rounds
from benchmarks.sqlite_cost import call_on, world_of
from vifsim.clock import SimClock
from vifsim.model import NetworkId, ServerId
from vifsim_backends.postgres import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import Generator

ROUNDS = 3
SECONDS = 3.0
WAITERS = 32
PROCESSES = (1, 2, 4)
INTERFACES = 100_000
"""Interfaces that are loaded to see what a million would take."""

_LOAD = """
INSERT INTO servers (number, id, tenant, name, image_ref, flavor_ref, user_id, status, created,
    updated, access_ipv4, access_ipv6, disk_config, config_drive, locked, metadata)
SELECT n, md5(n::text)::uuid::text, '1', 'loaded' || n, 'cee-1', '2', 'u', 'ACTIVE', 0, 0, '', '',
    'AUTO', '', false, '{}' FROM generate_series(1000001, 1000000 + $1::bigint) AS n"""
_ATTACH = """
WITH made AS (
    INSERT INTO virtual_interfaces (number, id, server, network, mac_address)
    SELECT n, md5('i' || n)::uuid::text, n, (SELECT max(place) FROM networks),
        'AA' || regexp_replace(lpad(to_hex(n), 10, '0'), '(..)', ':\\1', 'g')
    FROM generate_series(1000001, 1000000 + $1::bigint) AS n
)
INSERT INTO addresses (network, address, interface, place)
SELECT (SELECT max(place) FROM networks), host('11.0.0.0'::inet + n), n, 1
FROM generate_series(1000001, 1000000 + $1::bigint) AS n"""
_SIZE = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relname IN ('servers', 'virtual_interfaces', 'addresses')"""


@contextmanager
def cluster() -> Generator[str]:
    """Run a database server; give the URL of its database."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        raise SystemExit("no PostgreSQL server is installed")
    folder = Path(tempfile.mkdtemp(prefix="vifsim-pg-"))
    who: dict[str, Any] = {}
    if os.getuid() == 0:  # a server refuses to run as root
        nobody = pwd.getpwnam("nobody")
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def run(program: str, *arguments: str) -> None:
        command = [str(binaries[-1].parent / program), "-D", "data", *arguments]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
        quiet: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.run(command, cwd=folder, check=True, env=environment, **quiet, **who)

    try:
        run("initdb", "-U", "vifsim", "-A", "trust")
        options = f"-k {folder} -c listen_addresses= -c max_connections=100"
        run("pg_ctl", "-w", "-l", "log", "-o", options, "start")
        yield f"postgresql://vifsim@/postgres?host={folder}"
        run("pg_ctl", "-w", "-m", "fast", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def work(url: str, place: int) -> None:
    """Be one process: say that it is ready, and, when told, how many calls it made."""
    backend = PostgresBackend(url, clock=SimClock())
    await backend.open(world_of(WAITERS * max(PROCESSES)))
    world = (await backend.snapshot())["world"]
    network = NetworkId(world["networks"][0]["id"])
    servers = [server["id"] for server in world["servers"]][place * WAITERS :][:WAITERS]
    print("ready", flush=True)
    sys.stdin.readline()
    end = time.perf_counter() + SECONDS
    counts = await asyncio.gather(*(_call(backend, server, network, end) for server in servers))
    print(sum(counts), flush=True)
    await backend.close()


async def _call(backend: PostgresBackend, server: str, network: NetworkId, end: float) -> int:
    calls, server_id = 0, ServerId(server)
    while time.perf_counter() < end:
        await backend.identify("t")
        made = await backend.create_virtual_interface(call_on(server), server_id, network)
        await backend.identify("t")
        await backend.list_virtual_interfaces(call_on(server), server_id)
        await backend.identify("t")
        await backend.delete_virtual_interface(call_on(server), server_id, made.id)
        calls += 3
    return calls


def _rate(url: str, processes: int) -> float:
    """Return calls a second of so many processes together."""
    command = [sys.executable, "-m", "benchmarks.postgres_cost", url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen([*command, str(place)], **pipes) for place in range(processes)]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [int(process.communicate()[0]) for process in running]
    return sum(counts) / SECONDS


async def _size(url: str) -> float:
    """Return the megabytes that a million interfaces, each on a server of its own, take."""
    connection = await asyncpg.connect(url)
    before = await connection.fetchval(_SIZE)
    await connection.execute(_LOAD, INTERFACES)
    await connection.execute(_ATTACH, INTERFACES)
    size = await connection.fetchval(_SIZE) - before
    await connection.close()
    return float(size) / INTERFACES


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return how throughput grows with processes."""
    found = Rounds()
    with cluster() as url:
        for _ in range(rounds):
            for processes in PROCESSES:
                found.add(str(processes), _rate(url, processes))
        size = asyncio.run(_size(url))
    print(f"  a million interfaces, by {INTERFACES}: {size:.0f} MB", flush=True)
    for processes in PROCESSES:
        print(f"  {processes} processes: {found.median(str(processes)):.0f} calls a second")
    return [
        Figure(
            name=f"PostgreSQL, calls a second of {processes} processes, by one's",
            ratio=found.ratio(str(processes), "1"),
            mark=1.0,
            at_least=True,
            detail=f"of {found.median('1'):.0f} a second",
        )
        for processes in PROCESSES[1:]
    ]


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], int(sys.argv[2])))
