"""`vifsim serve` with many connections and many calls under way, and how it ends then."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import signal
import sys
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence
    from pathlib import Path

ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
WANTED = json.dumps({"virtual_interface": {"network_id": ADDED_NETWORK}})
LIST_NETWORKS = "/os-networksv2"
METRICS = "/_vifsim/metrics"
SERVERS = 3000
SOURCES = [f"127.0.0.{number}" for number in range(1, 6)]
"""Each has ports of its own, so that there are enough for all connections."""


def server_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def world(servers: int) -> dict[str, Any]:
    """Return a scenario with so many servers, each free to be attached."""
    return {
        "version": 1,
        "world": {
            "settings": {
                "quotas": {"instances": None, "ram": None, "servers_per_network": None},
            },
            "networks": [{"id": ADDED_NETWORK, "label": "added", "cidr": "10.0.0.0/8"}],
            "servers": [
                {"id": server_id(number), "name": f"s{number}", "networks": []}
                for number in range(servers)
            ],
        },
    }


@dataclass(slots=True)
class Served:
    """A `vifsim serve` in a process of its own."""

    process: asyncio.subprocess.Process
    host: str
    port: int

    async def ask(
        self, method: str, path: str, body: str = "", *, source: str = "127.0.0.1"
    ) -> int:
        """Return the status of a call on a connection of its own, 0 where none comes."""
        reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=(source, 0))
        try:
            writer.write(self.request(method, path, body))
            return await status_of(reader)
        except (ConnectionError, asyncio.IncompleteReadError):
            return 0
        finally:
            writer.close()

    def request(self, method: str, path: str, body: str = "") -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            "X-Auth-Token: demo-token\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    async def rule(self, **keys: Any) -> None:
        assert await self.ask("POST", "/_vifsim/rules", json.dumps(keys)) == 201

    async def until_under_way(self, operation: str, count: int) -> None:
        """Wait until the journal shows so many calls of an operation."""
        path = f"/_vifsim/journal?operation={operation}&limit=1000"
        while len((await self.document(path))["entries"]) < count:
            pass

    async def under_way(self) -> int:
        """Return how many calls have no end yet."""
        (found,) = re.findall(rb"\nvifsim_calls_under_way ([0-9]+)", await self.told(METRICS))
        return int(found)

    async def document(self, path: str) -> Any:
        """Return what the control API says."""
        return json.loads(await self.told(path))

    async def told(self, path: str) -> bytes:
        """Return the body of the control API's answer."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(
            self.request("GET", path).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
        told = await reader.read()
        writer.close()
        return told.partition(b"\r\n\r\n")[2]

    async def end(self) -> tuple[int, str]:
        """Return the exit code and what was said to people, once the process has ended."""
        _, errors = await asyncio.wait_for(self.process.communicate(), 30)
        assert self.process.returncode is not None
        return self.process.returncode, errors.decode()


async def status_of(reader: asyncio.StreamReader) -> int:
    """Read one whole answer; return its status, 0 where the connection ends before it."""
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
    await reader.readexactly(size)
    return int(head[9:12])


@asynccontextmanager
async def serving(*options: str, limits: str = "") -> AsyncGenerator[Served]:
    """Run `vifsim serve` while the block runs; `limits` are said before, to set limits."""
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", f'{limits} exec "$0" "$@"', sys.executable, "-m", "vifsim", "serve"),
        *("--port", "0", *options),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    host, _, port = line.strip().rpartition("/")[2].partition(":")
    try:
        yield Served(process, host, int(port))
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "many.yaml"
    path.write_text(json.dumps(world(SERVERS)), "utf-8")
    return str(path)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process hold as many connections as it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def hold_all(count: int, *, limits: str = "") -> Counter[int]:
    """Have so many calls under way at once, each on its connection; return their statuses."""
    async with serving("--clock", "manual", limits=limits) as served:
        await served.rule(match="list_networks", latency="1h")
        calls = [
            asyncio.create_task(
                served.ask("GET", LIST_NETWORKS, source=SOURCES[number % len(SOURCES)])
            )
            for number in range(count)
        ]
        while await served.under_way() < count:
            assert not any(call.done() for call in calls)
        assert await served.ask("POST", "/_vifsim/clock/advance", '{"by": "1h"}') == 200
        return Counter(await asyncio.gather(*calls))


async def test_a_burst_of_calls_is_answered_though_few_files_may_be_open_at_first() -> None:
    told = await hold_all(300, limits="ulimit -Sn 200;")

    assert told == {200: 300}


async def test_a_low_limit_on_files_is_said_in_one_line() -> None:
    async with serving(limits="ulimit -n 4000;") as served:
        served.process.terminate()
        code, errors = await served.end()

    assert code == 0
    assert errors.splitlines()[0] == (
        "only 4000 files may be open: a burst of connections may be refused"
    )


@pytest.mark.long
@pytest.mark.usefixtures("many_files")
async def test_of_10_000_calls_that_are_under_way_at_once_none_is_refused_or_lost() -> None:
    told = await hold_all(10_000)

    assert told == {200: 10_000}


def options_of(backend: str, tmp_path: Path) -> Sequence[str]:
    return () if backend == "memory" else ("--backend", f"sqlite:///{tmp_path}/cloud.db")


@pytest.mark.parametrize("backend", ["memory", "sqlite"])
async def test_told_to_end_it_answers_what_is_under_way_and_cuts_only_what_hangs(
    backend: str, scenario: str, tmp_path: Path
) -> None:
    async with serving("--scenario", scenario, *options_of(backend, tmp_path)) as served:
        await served.rule(match="list_networks", hang="forever")
        await served.rule(match="create_virtual_interface", latency="1s")
        hung = [asyncio.create_task(served.ask("GET", LIST_NETWORKS)) for _ in range(20)]
        parked = [
            asyncio.create_task(
                served.ask("POST", f"/servers/{server_id(n)}/os-virtual-interfacesv2", WANTED)
            )
            for n in range(100)
        ]
        await served.until_under_way("list_networks", 20)
        await served.until_under_way("create_virtual_interface", 100)

        served.process.terminate()

        code, _ = await served.end()
        assert await asyncio.gather(*parked) == [200] * 100
        assert await asyncio.gather(*hung) == [0] * 20
        assert code == 0


async def attach_until_the_end(served: Served, numbers: Iterator[int]) -> list[int]:
    """Attach one server after the other on one connection; return those that were answered."""
    reader, writer = await asyncio.open_connection(served.host, served.port)
    done: list[int] = []
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        for number in numbers:
            path = f"/servers/{server_id(number)}/os-virtual-interfacesv2"
            writer.write(served.request("POST", path, WANTED))
            assert await status_of(reader) == 200
            done.append(number)
    writer.close()
    return done


async def test_told_to_end_under_load_it_has_answered_all_that_it_did(
    scenario: str, tmp_path: Path
) -> None:
    options = options_of("sqlite", tmp_path)
    async with serving("--scenario", scenario, *options) as served:
        numbers = iter(range(SERVERS))
        clients = [asyncio.create_task(attach_until_the_end(served, numbers)) for _ in range(16)]
        await served.until_under_way("create_virtual_interface", 50)

        served.process.send_signal(signal.SIGTERM)

        code, errors = await served.end()
        answered = [number for part in await asyncio.gather(*clients) for number in part]

    async with serving(*options) as again:
        kept = (await again.document("/_vifsim/state"))["virtual_interfaces"]
    assert (code, errors) == (0, "")
    assert sorted(one["server"] for one in kept) == sorted(f"s{number}" for number in answered)
    assert 50 <= len(answered) < SERVERS
