"""What is left of an attack, and what another client feels of it: memory, and the slowest answers.

The client asks a hundred times a second on one connection: before each attack, during it and after
it. What it waits for is the server alone: attackers run in a process of their own, at a pace.
"""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time

from benchmarks.attacks import ATTACKS, MANY
from benchmarks.http_cost import Subject, serving
from benchmarks.measure import Figure, own_memory_bytes

_GROWTH_MB = 64
_SLOWER = 3.0
_PACE = 0.01
_ALONE = 800
_CALM = 20.0
"""Seconds after an attack in which memory has to come back."""


class Victim:
    """A client that means well, and how long it waited for each answer."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._host, _, port = subject.address.partition(":")
        self._port = int(port)
        self.peak = 0

    async def calls(self, count: int, until: subprocess.Popen[bytes] | None = None) -> list[float]:
        """Return the seconds of so many calls, or of as many as there are until an attack ends."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        took: list[float] = []
        due = time.perf_counter()
        while len(took) < count or (until is not None and until.poll() is None):
            due = max(due + _PACE, time.perf_counter())
            await asyncio.sleep(due - time.perf_counter())
            began = time.perf_counter()
            writer.write(self._subject.request("list", 0))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head[:16], head
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
            await reader.readexactly(size)
            took.append(time.perf_counter() - began)
            if len(took) % 10 == 0:
                self.peak = max(self.peak, own_memory_bytes(str(self._subject.pid)))
        writer.close()
        return took


def _p99(took: list[float]) -> float:
    return sorted(took)[int(0.99 * len(took))]


async def _reset(subject: Subject) -> None:
    """Let the simulator forget its journal and counts, as one does between two sessions."""
    host, _, port = subject.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"POST /_vifsim/reset HTTP/1.1\r\nHost: {subject.address}\r\n"
        "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )
    told = await reader.read()
    assert b" 20" in told[:14], told
    writer.close()


def _calm(pid: int, goal: int) -> int:
    """Return the least memory that is seen within the time that there is, bytes."""
    least, end = own_memory_bytes(str(pid)), time.monotonic() + _CALM
    while least > goal and time.monotonic() < end:
        time.sleep(0.2)
        least = min(least, own_memory_bytes(str(pid)))
    return least


def _attack(name: str) -> list[Figure]:
    """Return how much one attack adds to memory and to another's slowest answers."""
    with serving("vifsim") as subject:
        victim = Victim(subject)
        gc.collect()
        alone = asyncio.run(victim.calls(_ALONE))
        before = own_memory_bytes(str(subject.pid))
        victim.peak = before
        with subprocess.Popen(
            [sys.executable, "-m", "benchmarks.attacks", name, subject.address]
        ) as attacker:
            during = asyncio.run(victim.calls(_ALONE, attacker))
        assert attacker.returncode == 0, name
        alone += asyncio.run(victim.calls(_ALONE))
        asyncio.run(_reset(subject))
        left = _calm(subject.pid, before + (1 << 20)) - before
    grown = (victim.peak - before) / 1e6
    return [
        Figure(
            name=f"{name}: memory, by {_GROWTH_MB} MB",
            ratio=grown / _GROWTH_MB,
            mark=1.0,
            detail=f"{grown:.1f} MB more, {left / 1e6:.1f} MB after a reset",
        ),
        Figure(
            name=f"{name}: another's p99, by its p99 alone",
            ratio=_p99(during) / _p99(alone),
            mark=_SLOWER,
            detail=f"{_p99(during) * 1e3:.2f} ms by {_p99(alone) * 1e3:.2f} ms, "
            f"{len(during)} calls",
        ),
    ]


def measure(names: list[str] | None = None) -> list[Figure]:
    """Return memory and slowest answers under each attack; `MANY` is how many keys there are."""
    assert MANY >= 100_000
    return [figure for name in names or ATTACKS for figure in _attack(name)]
