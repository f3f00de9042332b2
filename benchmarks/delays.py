"""Injected latency, observed minus asked for, against a bare handler that calls `asyncio.sleep`.

Both servers run at once in processes of their own; every round asks both. Errors are the client's:
from the moment a request is written to the moment its answer is read.
"""

from __future__ import annotations

import asyncio
import time

from benchmarks.http_cost import Subject, serving
from benchmarks.measure import Figure, Rounds
from benchmarks.serving import DELAY

ROUNDS = 5
_PACED, _PACE = 1000, 500
_BURST = 2000
_REQUEST = "GET /v2.0 HTTP/1.1\r\nHost: {}\r\nUser-Agent: bench/1\r\n\r\n"


async def _ask(subject: Subject, pipe: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> float:
    """Return by how many seconds an answer comes later than asked for."""
    reader, writer = pipe
    began = time.perf_counter()
    writer.write(_REQUEST.format(subject.address).encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in head[:16], head
    took = time.perf_counter() - began
    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
    await reader.readexactly(size)
    return took - DELAY


async def _errors(subject: Subject, calls: int, pace: float | None) -> list[float]:
    """Return the errors of calls on connections of their own: at a pace, or all at once."""
    host, port = subject.address.split(":")
    pipes = [await asyncio.open_connection(host, int(port)) for _ in range(calls)]
    began = time.perf_counter()

    async def one(number: int) -> float:
        if pace is not None:
            await asyncio.sleep(max(0.0, began + number / pace - time.perf_counter()))
        return await _ask(subject, pipes[number])

    found = await asyncio.gather(*(one(number) for number in range(calls)))
    for _, writer in pipes:
        writer.close()
    return found


def _p(errors: list[float], share: float) -> float:
    return sorted(errors)[int(share * len(errors))]


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the errors by those of the bare handler, and the earliest of all samples."""
    paced, late, burst, ours = Rounds(), Rounds(), Rounds(), list[float]()
    with serving("sleeping") as bare, serving("delayed") as vifsim:
        for _ in range(rounds):
            for name, subject in (("bare", bare), ("ours", vifsim)):
                steady = asyncio.run(_errors(subject, _PACED, _PACE))
                flood = asyncio.run(_errors(subject, _BURST, None))
                paced.add(name, _p(steady, 0.5))
                late.add(name, _p(steady, 0.99))
                burst.add(name, _p(flood, 0.5))
                ours += [*steady, *flood] if name == "ours" else []
    early = sum(error < 0 for error in ours)
    return [
        Figure(
            name="answers that came early",
            ratio=early,
            mark=0,
            detail=f"of {len(ours)}; the earliest {min(ours) * 1e3:.2f} ms late",
        ),
        _figure(f"p50 error, {_PACE} calls a second", paced, 1.15),
        _figure(f"p99 error, {_PACE} calls a second", late, 1.15),
        _figure(f"p50 error, burst of {_BURST}", burst, 0.7),
    ]


def _figure(name: str, found: Rounds, mark: float) -> Figure:
    return Figure(
        name=name,
        ratio=found.ratio("ours", "bare"),
        mark=mark,
        detail=f"{found.median('ours') * 1e3:.1f} ms by {found.median('bare') * 1e3:.1f} ms",
    )
