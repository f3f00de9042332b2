"""What is left of an attack, and what another client feels of it: memory, and the slowest answers.

The client asks a hundred times a second on one connection. In one life of a server each attack
comes three times, with quiet before, between and after: the other's p99 is the median of the three
by what it was in the quiet around each. Time in which the client or the server was ready to run and
had no processor is taken off a wait: other work on the machine made that. What the loop itself
makes a call wait for is told beside it, in its processor time, and so is what as many honest calls
as there are tokens do, which has no mark.

Memory that an attack took may stay with the process, to be used again. That it is used again, and
nothing piles up, is what the third time has to show: its peak over the second's.

The server has a core to itself, the client another one, and the attackers the rest; where there are
two, they run on the client's, niced below it, and at a pace. Where there is one, nothing is pinned.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.attacks import ATTACKS, MANY
from benchmarks.http_cost import Subject, serving
from benchmarks.measure import Figure, own_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Generator

WAVES = 3
_GROWTH_MB = 64
_SLOWER = 3.0
_AGAIN = 0.1
_AGAIN_MB = 2.0
"""By what share of the second growth the third may be higher, and what is too little to tell."""
_PACE = 0.01
_ALONE = 600
_CALM = 2.0
"""Seconds between two attacks, in which what was held is let go."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen in a time of quiet or attack.

    Attributes:
        p99: of the client's waits, seconds, less what other work on the machine made.
        held: what the loop made one call in a hundred wait for, seconds of processor time.
        longest: the loop's longest turn, likewise.
        peak: the server's memory at the most, bytes.
        calls: how many calls the client made.
    """

    p99: float
    held: float
    longest: float
    peak: int
    calls: int


class Victim:
    """A client that means well, and how long it waited for each answer."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._host, _, port = subject.address.partition(":")
        self._port = int(port)

    async def window(self, until: subprocess.Popen[bytes] | None = None) -> Window:
        """Make some calls, or as many as there are until an attack ends."""
        _turns(self._subject)
        reader, writer = await asyncio.open_connection(self._host, self._port)
        took: list[float] = []
        peak = 0
        due = time.perf_counter()
        while len(took) < _ALONE or (until is not None and until.poll() is None):
            due = max(due + _PACE, time.perf_counter())
            await asyncio.sleep(due - time.perf_counter())
            began, lost = time.perf_counter(), self._without_processor()
            writer.write(self._subject.request("list", 0))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head[:16], head
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
            await reader.readexactly(size)
            waited = time.perf_counter() - began
            took.append(max(0.0, waited - (self._without_processor() - lost)))
            if len(took) % 10 == 0:
                peak = max(peak, own_memory_bytes(str(self._subject.pid)))
        writer.close()
        p99 = sorted(took)[int(0.99 * len(took))]
        return Window(p99, *_turns(self._subject), peak, len(took))

    def _without_processor(self) -> float:
        """Return the seconds that client and server were ready to run and did not, so far."""
        both = ("/proc/thread-self/schedstat", f"/proc/{self._subject.pid}/schedstat")
        return sum(int(Path(one).read_text().split()[1]) for one in both) / 1e9


def _turns(subject: Subject) -> tuple[float, float]:
    """Return what the server says of its loop since it was asked last; see `watched`."""
    assert subject.process is not None
    asked, told = subject.process.stdin, subject.process.stdout
    assert asked is not None
    assert told is not None
    asked.write("\n")
    asked.flush()
    for line in told:
        if line.startswith("turns "):
            _, held, longest = line.split()
            return float(held), float(longest)
    raise RuntimeError("the server ended")


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


def _attacked(name: str, victim: Victim, address: str, cores: set[int]) -> Window:
    with subprocess.Popen([sys.executable, "-m", "benchmarks.attacks", name, address]) as attacker:
        if cores:
            os.sched_setaffinity(attacker.pid, cores)
        seen = asyncio.run(victim.window(attacker))
    assert attacker.returncode == 0, name
    return seen


@contextmanager
def _apart(pid: int) -> Generator[set[int]]:
    """Give a server a core to itself, and us another; return those of the attackers."""
    ours = os.sched_getaffinity(0)
    if len(ours) < 2:
        yield set()
        return
    first, second, *others = sorted(ours)
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {first})
    os.sched_setaffinity(0, {second})
    try:
        yield set(others) or {second}
    finally:
        os.sched_setaffinity(0, ours)


def _attack(name: str) -> list[Figure]:
    """Return how much one attack adds to memory and to another's slowest answers."""
    with serving("watched") as subject, _apart(subject.pid) as cores:
        victim = Victim(subject)
        asyncio.run(victim.window())  # warms up
        before = own_memory_bytes(str(subject.pid))
        quiet, attacked = [asyncio.run(victim.window())], list[Window]()
        for _ in range(WAVES):
            attacked.append(_attacked(name, victim, subject.address, cores))
            time.sleep(_CALM)
            quiet.append(asyncio.run(victim.window()))
            asyncio.run(_reset(subject))
        left = own_memory_bytes(str(subject.pid)) - before
    return [*_memory(name, before, left, attacked), *_slowness(name, quiet, attacked)]


def _memory(name: str, before: int, left: int, attacked: list[Window]) -> list[Figure]:
    peaks = [(window.peak - before) / 1e6 for window in attacked]
    least = max(_AGAIN * peaks[-2], _AGAIN_MB)
    return [
        Figure(
            name=f"{name}: memory, by {_GROWTH_MB} MB",
            ratio=max(peaks) / _GROWTH_MB,
            mark=1.0,
            detail=f"{max(peaks):.1f} MB more, {left / 1e6:.1f} MB after a reset",
        ),
        Figure(
            name=f"{name}: what the last wave adds, by {least:.1f} MB",
            ratio=(peaks[-1] - peaks[-2]) / least,
            mark=1.0,
            detail="peaks " + ", ".join(f"{peak:.1f}" for peak in peaks) + " MB",
        ),
    ]


def _slowness(name: str, quiet: list[Window], attacked: list[Window]) -> list[Figure]:
    ratios: list[float] = []
    for number, window in enumerate(attacked):
        ratios.append(2 * window.p99 / (quiet[number].p99 + quiet[number + 1].p99))
    alone = statistics.median(window.p99 for window in quiet)
    during = statistics.median(window.p99 for window in attacked)
    held = statistics.median(window.held for window in attacked)
    return [
        Figure(
            name=f"{name}: another's p99, by its p99 alone",
            ratio=statistics.median(ratios),
            mark=None if name == "honest" else _SLOWER,
            detail=f"{during * 1e3:.2f} ms by {alone * 1e3:.2f} ms; "
            + ", ".join(f"{ratio:.2f}" for ratio in ratios),
        ),
        Figure(
            name=f"{name}: held by the loop, by that p99",
            ratio=held / alone,
            detail=f"{held * 1e3:.2f} ms at p99, longest turn "
            f"{max(window.longest for window in attacked) * 1e3:.1f} ms; quiet "
            f"{statistics.median(window.held for window in quiet) * 1e3:.2f} ms",
        ),
    ]


def measure(names: list[str] | None = None) -> list[Figure]:
    """Return memory and slowest answers under each attack; `MANY` is how many keys there are."""
    assert MANY >= 100_000
    return [figure for name in names or (*ATTACKS, "honest") for figure in _attack(name)]
