"""What a create, a list and a delete cost in a large world, against a small one.

Both worlds are there at once, and each round uses one after the other. Every server has ten
interfaces; the large world has `--servers` of them, the small one 1,000. In memory processor time
is the cost; SQLite's operations come 64 at a time, as its commits do, and the disk counts too.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Figure, Rounds
from vifsim.clock import SimClock
from vifsim.conformance import a_call
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
from vifsim_backends.memory import MemoryBackend
from vifsim_backends.sqlite import SqliteBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from vifsim.backend import Backend
    from vifsim.model import VirtualInterface

    Use = Callable[[ServerId], Coroutine[Any, Any, object]]

SERVERS = 100_000
ROUNDS = 9
_FEW = 1_000
_EACH = 10
_AT_ONCE = 64
_USED = 4 * _AT_ONCE
_READY_SECONDS = 2.0
_BYTES = {1: 700, 10: 450}
_TENANT = TenantId("1")
_HELD = """
import asyncio
from benchmarks import growth
asyncio.run(growth.tell_bytes({servers}, {each}))
"""


def _network(number: int) -> NetworkId:
    return NetworkId(f"0c000000-0000-4000-8000-{number:012d}")


def _server(number: int) -> ServerId:
    return ServerId(f"0a000000-0000-4000-8000-{number:012d}")


def world(servers: int, each: int) -> World:
    """Return a world of servers with so many interfaces each, and one network more."""
    labels = tuple(f"n{number}" for number in range(each))
    return World(
        tenants=(Tenant(id=_TENANT),),
        users=(User(id="u", name="u", tenant=_TENANT),),
        settings=Settings(
            quotas=Quotas(servers_per_network=None, instances=None, ram=None, networks=None)
        ),
        networks=tuple(
            SeedNetwork(
                id=_network(number),
                label=f"n{number}",
                cidr=f"10.{number * 8}.0.0/13",
                tenant=_TENANT,
            )
            for number in range(_EACH + 1)
        ),
        servers=tuple(
            SeedServer(id=_server(number), name=f"s{number}", tenant=_TENANT, networks=labels)
            for number in range(servers)
        ),
    )


async def _timed(use: Use, servers: Sequence[ServerId], at_once: int) -> float:
    """Return the seconds that one use took, on the average: one by one the processor's."""
    if at_once == 1:
        began = time.process_time()
        for server in servers:
            await use(server)
        return (time.process_time() - began) / len(servers)
    began = time.perf_counter()
    for first in range(0, len(servers), at_once):
        await asyncio.gather(*(use(server) for server in servers[first : first + at_once]))
    return (time.perf_counter() - began) / len(servers)


async def _round(backend: Backend, servers: int, at_once: int) -> dict[str, float]:
    """Return what creating, listing and deleting cost on servers from all over a world."""
    used = [_server(number * servers // _USED) for number in range(_USED)]
    call = a_call(_TENANT, "u")
    made: dict[ServerId, VirtualInterface] = {}

    async def create(server: ServerId) -> None:
        made[server] = await backend.create_virtual_interface(call, server, _network(_EACH))

    async def look(server: ServerId) -> None:
        await backend.list_virtual_interfaces(call, server)

    async def delete(server: ServerId) -> None:
        await backend.delete_virtual_interface(call, server, made[server].id)

    uses = {"create": create, "list": look, "delete": delete}
    return {name: await _timed(use, used, at_once) for name, use in uses.items()}


async def _compare(backends: dict[int, Backend], at_once: int, rounds: int) -> Rounds:
    found = Rounds()
    for number in range(rounds + 1):
        for servers, backend in backends.items():
            costs = await _round(backend, servers, at_once)
            if number:  # the first only warms up
                for name, cost in costs.items():
                    found.add(f"{name} {servers}", cost)
    return found


def _figures(found: Rounds, title: str, servers: int) -> list[Figure]:
    return [
        Figure(
            name=f"{title}: {name}",
            ratio=found.ratio(f"{name} {servers}", f"{name} {_FEW}"),
            mark=1.3,
            detail=f"{found.median(f'{name} {servers}') * 1e6:.0f} us among {servers} servers",
        )
        for name in ("create", "list", "delete")
    ]


async def _memory(servers: int, rounds: int) -> list[Figure]:
    backends: dict[int, Backend] = {}
    worlds = {number: world(number, _EACH) for number in (_FEW, servers)}
    for number, filled_with in worlds.items():
        backends[number] = MemoryBackend("memory:", clock=SimClock())
        await backends[number].open(filled_with)
    gc.collect()
    gc.freeze()  # as the simulator does with its world
    found = await _compare(backends, 1, rounds)
    for _ in range(rounds):
        for number, backend in backends.items():
            await _round(backend, number, 1)
            began = time.process_time()
            await backend.reset(worlds[number])
            found.add(f"reset {number}", time.process_time() - began)
    reset = Figure(
        name="memory: reset",
        ratio=found.ratio(f"reset {servers}", f"reset {_FEW}"),
        mark=1.3,
        detail=f"{found.median(f'reset {servers}') * 1e3:.1f} ms",
    )
    return [*_figures(found, "memory", servers), reset]


async def _sqlite(folder: str, servers: int, rounds: int) -> list[Figure]:
    backends: dict[int, Backend] = {}
    for number in (_FEW, servers):
        url = f"sqlite:///{Path(folder, f'{number}.db')}"
        backends[number] = SqliteBackend(url, clock=SimClock())
        await backends[number].open(world(number, _EACH))
    found = await _compare(backends, _AT_ONCE, rounds)
    for backend in backends.values():
        await backend.close()
    again = SqliteBackend(f"sqlite:///{Path(folder, f'{servers}.db')}", clock=SimClock())
    began = time.perf_counter()
    await again.open(world(1, 0))
    took = time.perf_counter() - began
    await again.close()
    ready = Figure(
        name="SQLite: ready on that file, by 2 s",
        ratio=took / _READY_SECONDS,
        mark=1.0,
        detail=f"{took:.2f} s",
    )
    return [*_figures(found, "SQLite", servers), ready]


async def tell_bytes(servers: int, each: int) -> None:
    """Print the bytes that an interface takes, with so many on each server."""
    from benchmarks.measure import own_memory_bytes  # noqa: PLC0415 -- in a process of its own

    backend = MemoryBackend("memory:", clock=SimClock())
    await backend.open(world(servers, 0))
    gc.collect()
    before = own_memory_bytes("self")
    for number in range(servers):
        for network in range(each):
            call = a_call(_TENANT, "u")
            await backend.create_virtual_interface(call, _server(number), _network(network))
    gc.collect()
    print((own_memory_bytes("self") - before) / (servers * each))


def _bytes(servers: int) -> list[Figure]:
    figures: list[Figure] = []
    for each, most in _BYTES.items():
        program = _HELD.format(servers=servers, each=each)
        told = subprocess.run(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True
        )
        held = float(told.stdout)
        figures.append(
            Figure(
                name=f"memory: bytes an interface, {each} a server, by {most}",
                ratio=held / most,
                mark=1.0,
                detail=f"{held:.0f} bytes",
            )
        )
    return figures


def measure(servers: int = SERVERS, rounds: int = ROUNDS) -> list[Figure]:
    """Return what growing to so many servers changes."""
    figures = _bytes(servers)
    figures += asyncio.run(_memory(servers, rounds))
    with tempfile.TemporaryDirectory() as folder:
        figures += asyncio.run(_sqlite(folder, servers, rounds))
    return figures
