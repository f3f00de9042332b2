"""Injected latency, observed minus asked for, against a bare handler that calls `asyncio.sleep`.

Both servers run at once in processes of their own; every round asks both. Errors are the client's:
from the moment a request is written to the moment the first bytes of its answer are there. The
client is as little as can be, so that its own work is not taken for the server's.
"""

from __future__ import annotations

import asyncio
import gc
import resource
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.http_cost import Subject, serving
from benchmarks.measure import Figure, Rounds, own_memory_bytes
from benchmarks.serving import DELAY, PARKED

if TYPE_CHECKING:
    from collections.abc import Generator

ROUNDS = 15
_PACED, _PACE = 1000, 500
_BURST = 2000
_MANY = 10_000
_ADDRESSES = 4
"""Addresses of this machine that many connections come from: ports of one would run out."""
_FILES = _MANY + 1000
_REQUEST = "GET /v2.0 HTTP/1.1\r\nHost: {}\r\nUser-Agent: bench/1\r\n\r\n"
_WAVES = 3
_SETTLED = 3.0
"""Seconds after which a server has let go of what its clients left."""


class _Caller(asyncio.Protocol):
    """A connection that asks once."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._began = 0.0
        self._took = 0.0
        self._data = b""
        self._done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    async def ask(self) -> float:
        """Return the seconds from the request to the beginning of its whole, good answer."""
        assert self.transport is not None
        self._began = time.perf_counter()
        self.transport.write(self._request)
        return await self._done

    def data_received(self, data: bytes) -> None:
        if not self._data:
            self._took = time.perf_counter() - self._began
        self._data += data
        head, ended, body = self._data.partition(b"\r\n\r\n")
        if not ended or self._done.done():
            return
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
        if len(body) == size and b" 200 " in head[:16]:
            self._done.set_result(self._took)
        elif len(body) >= size:
            self._done.set_exception(AssertionError(head))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(exc or ConnectionResetError("no answer"))


async def _callers(subject: Subject, number: int) -> list[_Caller]:
    host, port = subject.address.split(":")
    request = _REQUEST.format(subject.address).encode()
    loop = asyncio.get_running_loop()
    made: list[_Caller] = []
    for place in range(number):
        source = f"127.0.0.{1 + place % _ADDRESSES}", 0
        _, caller = await loop.create_connection(
            lambda: _Caller(request), host, int(port), local_addr=source
        )
        made.append(caller)
    return made


def _leave(callers: list[_Caller]) -> None:
    for caller in callers:
        if caller.transport is not None:
            caller.transport.close()


async def _errors(subject: Subject, calls: int, pace: float | None) -> list[float]:
    """Return the errors of calls on connections of their own: at a pace, or all at once."""
    callers = await _callers(subject, calls)
    gc.collect()
    gc.disable()
    began = time.perf_counter()

    async def one(number: int, caller: _Caller) -> float:
        if pace is not None:
            await asyncio.sleep(max(0.0, began + number / pace - time.perf_counter()))
        return await caller.ask() - DELAY

    found = await asyncio.gather(*(one(*each) for each in enumerate(callers)))
    gc.enable()
    _leave(callers)
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
        *_parked_figures(),
    ]


def _figure(name: str, found: Rounds, mark: float) -> Figure:
    return Figure(
        name=name,
        ratio=found.ratio("ours", "bare"),
        mark=mark,
        detail=f"{found.median('ours') * 1e3:.1f} ms by {found.median('bare') * 1e3:.1f} ms",
    )


# ── many at once ─────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _files(number: int) -> Generator[None]:
    """Let this process, and those that it starts, have so many files open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, max(number, before[1])))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def _parked(subject: Subject) -> tuple[list[float], list[float], int]:
    """Return, of each wave, the bytes for each call at most and afterwards; and the errors."""
    process = str(subject.pid)
    _leave(callers := await _callers(subject, 1))
    await asyncio.gather(*(caller.ask() for caller in callers), return_exceptions=True)
    before = own_memory_bytes(process)
    failed, peaks, kept = 0, list[float](), list[float]()
    for _ in range(_WAVES):
        peak, lost = await _wave(subject, process)
        peaks.append((peak - before) / _MANY)
        failed += lost
        await _forget(subject)
        kept.append((own_memory_bytes(process) - before) / _MANY)
    return peaks, kept, failed


async def _wave(subject: Subject, process: str) -> tuple[int, int]:
    """Park all calls; return the most memory that the process had, and how many calls failed."""
    callers = await _callers(subject, _MANY)
    asked = [asyncio.ensure_future(caller.ask()) for caller in callers]
    await asyncio.sleep(PARKED * 0.9)
    held = own_memory_bytes(process)
    found = await asyncio.gather(*asked, return_exceptions=True)
    held = max(held, own_memory_bytes(process))
    failed = sum(isinstance(took, BaseException) or took < PARKED for took in found)
    _leave(callers)
    return held, failed


async def _forget(subject: Subject) -> None:
    """Let the server see that its clients are gone, and forget what they asked."""
    await asyncio.sleep(_SETTLED)
    host, port = subject.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"DELETE /_vifsim/journal HTTP/1.1\r\nHost: {subject.address}\r\n"
    writer.write(f"{head}Connection: close\r\n\r\n".encode())
    told = await reader.read()
    assert told.startswith(b"HTTP/1.1 2"), told
    writer.close()


def _parked_figures() -> list[Figure]:
    with _files(_FILES), serving("parked") as vifsim:
        peaks, kept, failed = asyncio.run(_parked(vifsim))
    held = max(peaks)
    after = ", ".join(f"{size / 1000:.1f}" for size in kept)
    return [
        Figure(
            name=f"of {_WAVES * _MANY} calls parked for {PARKED:g} s, failed", ratio=failed, mark=0
        ),
        Figure(
            name=f"memory of each of {_MANY}, by 12 KB",
            ratio=held / 12_000,
            mark=1.0,
            detail=f"{held / 1000:.1f} KB, its journal entry included",
        ),
        Figure(
            name=f"peak of the last of {_WAVES} waves, by the first's",
            ratio=peaks[-1] / peaks[0],
            mark=1.05,
            detail=f"KB for each call, after each wave: {after}",
        ),
    ]
