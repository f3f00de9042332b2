"""Ten thousand connections, each with a call under way: how many are refused or lost, and memory.

The calls come all at once, over several source addresses, so that there are ports enough, and wait
on a clock that stands; when all are there it is moved, and all answers are awaited.
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from benchmarks.http_cost import serving
from benchmarks.measure import Figure, own_memory_bytes

CALLS = 10_000
_SOURCES = [f"127.0.0.{number}" for number in range(1, 9)]
_HELD = {"match": "list_networks", "latency": "1h"}
_PATIENCE = 300


@dataclass(frozen=True, slots=True)
class Burst:
    """So many calls against one server."""

    host: str
    port: int

    async def ask(self, method: str, path: str, body: str = "", *, source: int = 0) -> bytes:
        """Return the whole answer on a connection of its own, nothing where there is none."""
        address = (_SOURCES[source % len(_SOURCES)], 0)
        with suppress(ConnectionError):
            reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=address)
            writer.write(
                f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
                "X-Auth-Token: demo-token\r\nContent-Type: application/json\r\n"
                f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            told = await reader.read()
            writer.close()
            return told
        return b""

    async def under_way(self) -> int:
        """Return how many calls have no end yet."""
        told = await self.ask("GET", "/_vifsim/metrics")
        found = re.search(rb"^vifsim_calls_under_way ([0-9]+)", told, re.MULTILINE)
        assert found is not None, told
        return int(found[1])

    async def run(self, pid: int) -> tuple[Counter[bytes], int, float]:
        """Return the answers by status line, the bytes that all calls took, and the seconds."""
        await self.ask("POST", "/_vifsim/rules", json.dumps(_HELD))
        await self.under_way()
        before = own_memory_bytes(str(pid))
        calls = [
            asyncio.create_task(self.ask("GET", "/os-networksv2", source=number))
            for number in range(CALLS)
        ]
        while await self.under_way() < CALLS:
            if any(call.done() for call in calls):
                break
        taken = own_memory_bytes(str(pid)) - before
        began = time.perf_counter()
        await self.ask("POST", "/_vifsim/clock/advance", '{"by": "1h"}')
        told = await asyncio.wait_for(asyncio.gather(*calls), _PATIENCE)
        return Counter(answer[:12] for answer in told), taken, time.perf_counter() - began


def measure() -> list[Figure]:
    """Return how many of the calls had no good answer, and what each took while it waited."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with serving("vifsim", "--clock", "manual") as subject:
        host, _, port = subject.address.partition(":")
        told, taken, took = asyncio.run(Burst(host, int(port)).run(subject.pid))
    good = told[b"HTTP/1.1 200"]
    return [
        Figure(
            name=f"calls refused or lost, of {CALLS} under way at once",
            ratio=CALLS - good,
            mark=0,
            detail=f"{taken / CALLS / 1e3:.1f} KB each; answered within {took:.1f} s",
        )
    ]
