"""Processor time of a call without a kernel: connections in memory, driven in one process.

What sockets cost, both servers pay alike; without it, and by the least of many short rounds, a few
microseconds show that a measurement over sockets hides.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from benchmarks.http_cost import Subject
from benchmarks.measure import Figure, Rounds
from benchmarks.serving import bare_app, scenario
from vifsim.http.access import PREFIX
from vifsim.http.serving import Life, Runner
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

ROUNDS = 50
_CALLS = 256
_TOGETHER = 32
_TURNS = 8
"""Turns of the loop in which both servers answer what has come."""


class _Wire(asyncio.Transport):
    """A connection whose other end keeps the last answer."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.answer = b""

    def write(self, data: Any) -> None:
        self.answer = bytes(data)

    def writelines(self, list_of_data: Any) -> None:
        self.answer = b"".join(list_of_data)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class _Driven:
    """A server, and connections to it."""

    def __init__(self, runner: web.BaseRunner) -> None:
        self._runner = runner
        self._subject = Subject(0, "127.0.0.1:1")
        self._ends: list[tuple[Any, _Wire]] = []

    async def connect(self) -> None:
        """Make the connections."""
        await self._runner.setup()
        assert self._runner.server is not None
        for _ in range(_TOGETHER):
            connection, wire = self._runner.server(), _Wire()
            connection.connection_made(wire)
            self._ends.append((connection, wire))
        await _turn()

    async def cost(self, kind: str, numbers: Iterator[int]) -> float:
        """Return the microseconds that a call takes, of so many in a row."""
        spent = 0.0
        for _ in range(_CALLS // _TOGETHER):
            together = [next(numbers) for _ in self._ends]
            requests = [self._subject.request(kind, number) for number in together]
            begin = time.process_time()
            for (connection, _), request in zip(self._ends, requests, strict=True):
                connection.data_received(request)
            await _turn()
            spent += time.process_time() - begin
            for (_, wire), number in zip(self._ends, together, strict=True):
                assert b" 200 " in wire.answer[:16], wire.answer
                if kind == "create":
                    body = json.loads(wire.answer.partition(b"\r\n\r\n")[2])
                    self._subject.made[number] = body["virtual_interfaces"][0]["id"]
        return spent / _CALLS * 1e6


async def _turn() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)


async def _nothing() -> None: ...


async def _unrouted(request: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound(text=request.path)


async def _measured() -> dict[str, Rounds]:
    simulator = await Simulator(scenario=scenario()).start()
    life = Life(_nothing, _nothing, _nothing)
    ours = Runner(simulator.clock, simulator.edge, routed=PREFIX, router=_unrouted, life=life)
    subjects = {
        "bare": _Driven(web.AppRunner(bare_app(), access_log=None)),
        "ours": _Driven(ours),
    }
    for subject in subjects.values():
        await subject.connect()
    found = {kind: Rounds() for kind in ("create", "list", "delete")}
    for _ in range(ROUNDS):
        for name, subject in subjects.items():
            gc.collect()
            for kind, rounds in found.items():
                rounds.add(name, await subject.cost(kind, iter(range(_CALLS))))
    await ours.cleanup()
    await simulator.stop()
    return found


def measure() -> list[Figure]:
    """Return the ratios of the least costs."""
    return [
        Figure(
            name=f"in process, {kind}, {_TOGETHER} together",
            ratio=rounds.least_ratio("ours", "bare"),
            detail=f"{min(rounds.costs['ours']):.1f} us by {min(rounds.costs['bare']):.1f} us, "
            f"least of {ROUNDS} rounds",
        )
        for kind, rounds in asyncio.run(_measured()).items()
    ]
