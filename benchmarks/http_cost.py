"""Server CPU per request, over sockets, against a bare aiohttp handler that does the same JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.measure import Figure, Rounds, cpu_seconds
from benchmarks.serving import DELAY, NETWORK, PARKED, SERVERS, delay, scenario, server_id

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

ROUNDS = 25
_CALLS = 400
_BODY = json.dumps({"virtual_interface": {"network_id": NETWORK}}).encode()
_HEADERS = "Host: {}\r\nUser-Agent: bench/1\r\nAccept: */*\r\nX-Auth-Token: demo-token\r\n"


@dataclass(slots=True)
class Subject:
    """A server under load."""

    pid: int
    address: str
    process: subprocess.Popen[str] | None = None
    made: dict[int, str] = field(default_factory=dict[int, str])

    def request(self, kind: str, number: int) -> bytes:
        """Return one request as bytes."""
        path = f"/servers/{server_id(number)}/os-virtual-interfacesv2"
        head = _HEADERS.format(self.address)
        if kind == "create":
            head += f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n"
            return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + _BODY
        if kind == "list":
            return f"GET {path} HTTP/1.1\r\n{head}\r\n".encode()
        return f"DELETE {path}/{self.made[number]} HTTP/1.1\r\n{head}\r\n".encode()

    async def run(self, kind: str, numbers: Iterator[int], connections: int) -> None:
        """Send a request for each number, over so many connections at once."""
        await asyncio.gather(*(self._talk(kind, numbers) for _ in range(connections)))

    async def _talk(self, kind: str, numbers: Iterator[int]) -> None:
        host, port = self.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for number in numbers:
            writer.write(self.request(kind, number))
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head[:16], head
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
            body = await reader.readexactly(size)
            if kind == "create":
                self.made[number] = json.loads(body)["virtual_interfaces"][0]["id"]
        writer.close()


_SCENARIOS = {
    "vifsim": scenario(),
    "watched": scenario(),
    "delayed": delay(DELAY),
    "parked": delay(PARKED),
}
"""Of our own servers."""


@contextmanager
def serving(*arguments: str) -> Generator[Subject]:
    """Run one of the servers in a process of its own; ours by the command that users type."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(_SCENARIOS.get(arguments[0]), file)
        file.flush()
        command = ["-m", "benchmarks.serving", *arguments]
        if arguments[0] in _SCENARIOS:
            module = "benchmarks.watched" if arguments[0] == "watched" else "vifsim"
            command = ["-m", module, "serve", "--port", "0", "--scenario", file.name]
            command += arguments[1:]
        with _started(command) as subject:
            yield subject


@contextmanager
def _started(command: list[str]) -> Generator[Subject]:
    with subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        try:
            yield Subject(process.pid, url.removeprefix("http://"), process)
        finally:
            process.terminate()


_MARKS = {"create": 1.25, "list": 1.25, "mixed": 1.25}


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the ratios of create, list and delete, and of all three together."""
    return [figure for number in (32, 256) for figure in _measured(rounds, number)]


def _measured(rounds: int, connections: int) -> list[Figure]:
    found = {kind: Rounds() for kind in ("create", "list", "delete", "mixed")}
    with serving("bare") as bare, serving("vifsim") as ours:
        for number in range(rounds + 2):
            for name, subject in (("bare", bare), ("ours", ours)):
                costs = round_of(subject, number, connections)
                if number >= 2:  # the first two warm up
                    for kind, cost in costs.items():
                        found[kind].add(name, cost)
    return [
        Figure(
            name=f"server CPU, {kind}, {connections} connections",
            ratio=rounds_of.ratio("ours", "bare"),
            mark=_MARKS.get(kind),
            detail=f"{rounds_of.median('ours'):.0f} us by {rounds_of.median('bare'):.0f} us, "
            f"least by least {rounds_of.least_ratio('ours', 'bare'):.2f}",
        )
        for kind, rounds_of in found.items()
    ]


def round_of(subject: Subject, number: int, connections: int) -> dict[str, float]:
    """Return what each kind of call costs in one round, in microseconds."""
    first = number * _CALLS % SERVERS
    costs: dict[str, float] = {}
    gc.collect()
    for kind in ("create", "list", "delete"):
        before = cpu_seconds(subject.pid)
        numbers = iter(range(first, first + _CALLS))
        asyncio.run(subject.run(kind, numbers, connections))
        costs[kind] = (cpu_seconds(subject.pid) - before) / _CALLS * 1e6
    costs["mixed"] = sum(costs.values()) / 3
    return costs
