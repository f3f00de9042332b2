"""Mixed load under faults, for long: nothing grows, nothing is left over.

`pytest -n 0 -m long tests/test_soak.py --soak-minutes 20` is the long run.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import statistics
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.arrivals import MOST_KEYS, count_up
from vifsim.draws import draw

if TYPE_CHECKING:
    from tests.conftest import MakeCloud
    from vifsim.simulator import Simulator

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
WEB_2 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
ROUND = 250
CLIENTS = 8
JOURNAL_BYTES = 200_000
FAULTS: dict[str, Any] = {
    "version": 1,
    "rules": [
        {"match": "*", "chance": 0.2, "latency": {"uniform": ["0ms", "5ms"]}},
        {"match": "list_*", "every": 11, "hang": "20ms"},
        {"match": "*", "every": 13, "status": 503, "retry_after": "1s"},
        {"match": "*", "every": 17, "reset": True},
        {"match": "*", "every": 19, "close": "mid_body"},
        {"match": "create_*", "every": 23, "at": "after_commit", "close": "before_headers"},
        {"match": "*", "every": 29, "drip": {"chunks": 3, "over": "6ms"}},
        {"match": "*", "every": 31, "corrupt": "cut_json"},
        {"match": "get_server", "every": 7, "expire_token": True, "at": "after_commit"},
        {"match": "list_networks", "limit": {"rate": "50/1s"}},
    ],
}
LOG_IN = {"auth": {"passwordCredentials": {"username": "demo", "password": "demo-password"}}}


class Client:
    """One client that does a bit of everything, and leaves now and then before it is answered."""

    def __init__(self, cloud: Simulator, number: int) -> None:
        host, _, port = cloud.url.removeprefix("http://").partition(":")
        self._at = host, int(port)
        self._number = number
        self._calls = 0
        self._token = "demo-token"  # noqa: S105 -- the demo world's
        self._pipe: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, calls: int) -> None:
        """Make so many calls."""
        for _ in range(calls):
            self._calls += 1
            await self._one(draw(self._number, "soak", self._calls))
        self._hang_up()

    async def _one(self, share: float) -> None:
        server = WEB_1 if share * 1000 % 1 < 0.5 else WEB_2
        deeds = (
            *(self._attach, self._attach, self._attach, self._detach, self._detach),
            *(self._server, self._log_in, self._look),
        )
        await deeds[int(share * len(deeds))](f"/servers/{server}/os-virtual-interfacesv2")

    async def _attach(self, path: str) -> None:
        await self._ask("POST", path, {"virtual_interface": {"network_id": ADDED_NETWORK}})

    async def _detach(self, path: str) -> None:
        told = await self._ask("GET", path) or {}
        for interface in told.get("virtual_interfaces", ()):
            if interface["ip_addresses"][0]["network_id"] == ADDED_NETWORK:
                await self._ask("DELETE", f"{path}/{interface['id']}")

    async def _log_in(self, _: str) -> None:
        told = await self._ask("POST", "/v2.0/tokens", LOG_IN) or {}
        self._token = told.get("access", {}).get("token", {}).get("id", self._token)

    async def _look(self, path: str) -> None:
        """Read what is there, and what is not."""
        for one in ("/os-networksv2", f"/servers/{WEB_1}", f"{path}-{self._calls}", "/v2.0"):
            await self._ask("GET", one)

    async def _server(self, _: str) -> None:
        """Create a server and delete it again."""
        wanted = {"server": {"name": "s", "imageRef": "1", "flavorRef": "2"}}
        await self._ask("POST", "/servers", wanted)
        told = await self._ask("GET", "/servers?name=s") or {}
        for server in told.get("servers", ()):
            if server["name"] == "s":
                await self._ask("DELETE", f"/servers/{server['id']}")

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """Return what is told, or None where no good answer came in time."""
        data = b"" if body is None else json.dumps(body).encode()
        try:
            reader, writer = self._pipe = self._pipe or await asyncio.open_connection(*self._at)
            writer.write(
                f"{method} {path} HTTP/1.1\r\nHost: sim\r\nX-Auth-Token: {self._token}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                + data
            )
            return await asyncio.wait_for(self._answer(reader), 5 if self._calls % 37 else 0.001)
        except (OSError, EOFError, TimeoutError, ValueError):
            self._hang_up()
            return None

    @staticmethod
    async def _answer(reader: asyncio.StreamReader) -> dict[str, Any] | None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        _, found, size = head.partition(b"content-length: ")
        body = await reader.readexactly(int(size.split(b"\r", 1)[0])) if found else b""
        value = json.loads(body or b"{}")
        return value if head[9:10] == b"2" else None

    def _hang_up(self) -> None:
        if self._pipe is not None:
            self._pipe[1].close()
            self._pipe = None


async def left_over(cloud: Simulator) -> tuple[int, int, int]:
    """Return how many tasks, threads and descriptors there are, once all is calm."""
    while cloud.journal.under_way:
        await cloud.clock.pause()
    for _ in range(20):
        await cloud.clock.pause()
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- names are enough
    return len(asyncio.all_tasks()), threading.active_count(), descriptors


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def load(cloud: Simulator, clients: list[Client]) -> None:
    await asyncio.gather(*(client.run(ROUND // CLIENTS) for client in clients))


async def test_mixed_load_under_faults_leaves_nothing_behind(
    make_cloud: MakeCloud, each_backend_url: str
) -> None:
    cloud = await make_cloud(backend=each_backend_url, scenario=FAULTS, journal_bytes=JOURNAL_BYTES)
    clients = [Client(cloud, number) for number in range(CLIENTS)]
    await load(cloud, clients)
    before = await left_over(cloud)

    for _ in range(2):
        await load(cloud, clients)

    assert await left_over(cloud) == before
    assert cloud.journal.dropped > ROUND
    assert len(cloud.journal) < JOURNAL_BYTES / 1000


@pytest.mark.long
async def test_memory_is_flat_in_a_long_run(
    make_cloud: MakeCloud, each_backend_url: str, soak_minutes: float
) -> None:
    cloud = await make_cloud(
        backend=each_backend_url, scenario=FAULTS, journal_bytes=20 * JOURNAL_BYTES
    )
    clients = [Client(cloud, number) for number in range(CLIENTS)]
    sizes: list[float] = []
    await load(cloud, clients)
    before = await left_over(cloud)
    end = cloud.clock.real() + soak_minutes * 30  # the two backends share the time

    while cloud.clock.real() < end:
        await load(cloud, clients)
        sizes.append(resident_mb())

    third = len(sizes) // 3
    middle, last = (statistics.median(part) for part in (sizes[third : 2 * third], sizes[-third:]))
    print(f"{cloud.journal.last} calls; {middle:.1f} MB, then {last:.1f} MB")  # noqa: T201 -- a figure
    assert await left_over(cloud) == before
    assert last - middle < 3
    assert cloud.journal.dropped > 0


def test_a_count_remembers_no_more_keys_than_it_may_and_those_used_last() -> None:
    counts: dict[str, int] = {}

    for number in range(MOST_KEYS + 10):
        count_up(counts, f"made-up-{number}")
        count_up(counts, "used all the time")

    assert MOST_KEYS * 0.98 < len(counts) <= MOST_KEYS
    assert counts["used all the time"] == MOST_KEYS + 10
