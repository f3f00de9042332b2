"""Four processes on one database under load: nothing lost, nothing twice, whatever falls over."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import aiohttp
import asyncpg
import pytest

from vifsim.clock import SimClock

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from tests.backends.conftest import Cluster

pytestmark = [pytest.mark.postgres, pytest.mark.long]

PUBLIC = "00000000-0000-0000-0000-000000000000"
WORLD = """
version: 1
world:
  settings: {quotas: {instances: null, ram: null, networks: null, servers_per_network: null}}
  networks: [{label: stage, cidr: 10.0.0.0/8}]
"""


@dataclass(slots=True)
class Served:
    """A process that serves."""

    process: asyncio.subprocess.Process
    url: str


@dataclass(slots=True)
class Told:
    """What clients were told."""

    statuses: Counter[int | str] = field(default_factory=Counter[int | str])
    made: dict[str, str] = field(default_factory=dict[str, str])
    gone: set[str] = field(default_factory=set[str])
    unsure: set[str] = field(default_factory=set[str])


@pytest.fixture
async def url(postgres: Cluster) -> str:
    """A store of which nothing exists yet."""
    url = postgres.url("load")
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA IF EXISTS load CASCADE")
    await connection.close()
    return url


@asynccontextmanager
async def served(url: str, scenario: str) -> AsyncGenerator[Served]:
    """Run `vifsim serve` while the block runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vifsim", "serve", "--port", "0"),
        *("--backend", url, "--scenario", scenario),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await process.stdout.readline()).decode()
        assert line.startswith("vifsim ready at "), line
        yield Served(process, line.split()[-1])
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture
async def four(url: str, tmp_path: Any) -> AsyncIterator[list[Served]]:
    """Four processes, started at once on an empty database."""
    (tmp_path / "world.yaml").write_text(WORLD, "utf-8")
    async with AsyncExitStack() as stack:
        yield await asyncio.gather(
            *(
                stack.enter_async_context(served(url, str(tmp_path / "world.yaml")))
                for _ in range(4)
            )
        )


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(
        headers={"X-Auth-Token": "demo-token"}, connector=aiohttp.TCPConnector(limit=0)
    ) as session:
        yield session


async def ask(
    client: aiohttp.ClientSession, method: str, url: str, body: Any = None
) -> tuple[int | str, Any]:
    """Return status and document of a call; the name of the error where there was no answer."""
    try:
        async with client.request(method, url, json=body) as response:
            text = await response.read()
            document = await response.json(content_type=None) if text.strip() else None
            return response.status, document
    except (aiohttp.ClientError, TimeoutError) as exc:
        return type(exc).__name__, None


async def vifs(client: aiohttp.ClientSession, cloud: Served) -> list[dict[str, Any]]:
    """Return all virtual interfaces."""
    _, document = await ask(client, "GET", f"{cloud.url}/_vifsim/state")
    ids = {server["name"]: server["id"] for server in document["servers"]}
    return [{**one, "server": ids[one["server"]]} for one in document["virtual_interfaces"]]


async def new_servers(client: aiohttp.ClientSession, cloud: Served, number: int) -> list[str]:
    """Return the ids of new servers that are attached to nothing."""
    made: list[str] = []
    for _ in range(number):
        name = f"new-{uuid4()}"
        new: dict[str, Any] = {"name": name, "imageRef": "1", "flavorRef": "2", "networks": []}
        _, document = await ask(client, "POST", f"{cloud.url}/servers", {"server": new})
        made.append(document["server"]["id"])
    return made


async def stage_of(client: aiohttp.ClientSession, cloud: Served) -> str:
    _, document = await ask(client, "GET", f"{cloud.url}/os-networksv2")
    found: list[str] = [one["id"] for one in document["networks"] if one["label"] == "stage"]
    return found[0]


async def come_and_go(
    client: aiohttp.ClientSession,
    server: str,
    network: str,
    told: Told,
    *,
    pick: Callable[[], Served],
    more: Callable[[], bool],
) -> None:
    """Attach a server, look, and detach it, again and again, each call through another process."""
    while more():
        path = f"/servers/{server}/os-virtual-interfacesv2"
        body = {"virtual_interface": {"network_id": network}}
        status, document = await ask(client, "POST", pick().url + path, body)
        told.statuses[status] += 1
        if status != 200:
            if not isinstance(status, int) or status == 503:
                told.unsure.add(server)
            await pause(0.01)
            continue
        made = document["virtual_interfaces"][0]["id"]
        told.made[made] = server
        status, document = await ask(client, "GET", pick().url + path)
        told.statuses[status] += 1
        if status == 200:
            assert made in [one["id"] for one in document["virtual_interfaces"]]
        if not more():
            return
        status, _ = await ask(client, "DELETE", f"{pick().url}{path}/{made}")
        told.statuses[status] += 1
        if status == 200:
            told.gone.add(made)
        else:
            told.unsure.add(server)


def check(found: list[dict[str, Any]], servers: list[str], told: Told) -> None:
    """Hold what exists against what was told."""
    ours = {one["id"]: one["server"] for one in found if one["server"] in set(servers)}
    addresses = [(one["network"], text) for one in found for text in one["addresses"]]
    assert max(Counter(addresses).values()) == 1
    assert max(Counter(one["mac_address"] for one in found).values()) == 1
    kept = {made: server for made, server in told.made.items() if made not in told.gone}
    lost = kept.keys() - ours.keys()
    assert {told.made[made] for made in lost} <= told.unsure  # a detachment that nobody told of
    assert not told.gone & ours.keys()
    assert {ours[made] for made in ours.keys() - kept.keys()} <= told.unsure


async def pause(seconds: float) -> None:
    """Let real time pass: what falls over, falls over in it."""
    await SimClock().pause(seconds)


def turns(clouds: list[Served]) -> Callable[[], Served]:
    """Return what names one process after the other."""
    calls = iter(range(1 << 60))
    return lambda: clouds[next(calls) % len(clouds)]


async def load(
    client: aiohttp.ClientSession,
    four: list[Served],
    calls: int | None,
    beside: Callable[[], Awaitable[None]] | None = None,
) -> tuple[list[str], Told]:
    """Run clients for so many calls, or while something else happens."""
    servers = await new_servers(client, four[0], 60)
    network, told = await stage_of(client, four[0]), Told()
    done = False

    def more() -> bool:
        return not done if calls is None else sum(told.statuses.values()) < calls

    pick = turns(four)
    # Two clients for each of the last servers: they meet.
    running = [
        asyncio.ensure_future(come_and_go(client, server, network, told, pick=pick, more=more))
        for server in (*servers, *servers[50:])
    ]
    if beside is not None:
        await beside()
        done = True
    await asyncio.gather(*running)
    return servers, told


async def test_of_1000_attaches_of_one_pair_through_four_exactly_one_wins(
    four: list[Served], client: aiohttp.ClientSession
) -> None:
    (server,) = await new_servers(client, four[0], 1)
    body = {"virtual_interface": {"network_id": await stage_of(client, four[0])}}
    pick = turns(four)

    answers = await asyncio.gather(
        *(
            ask(client, "POST", f"{pick().url}/servers/{server}/os-virtual-interfacesv2", body)
            for _ in range(1000)
        )
    )

    assert Counter(status for status, _ in answers) == {200: 1, 409: 999}


async def test_20000_mixed_calls_through_four_lose_nothing(
    four: list[Served], client: aiohttp.ClientSession
) -> None:
    servers, told = await load(client, four, 20_000)

    assert set(told.statuses) <= {200, 404, 409}
    told.unsure.update(servers[50:])  # where two clients met, either may have detached the other's
    check(await vifs(client, four[1]), servers, told)
    sys.stdout.write(f"answers: {dict(told.statuses)}\n")


async def test_a_database_that_is_away_is_a_503_and_nothing_answered_is_lost(
    four: list[Served], client: aiohttp.ClientSession, postgres: Cluster
) -> None:
    async def away() -> None:
        await pause(2)
        await asyncio.to_thread(postgres.stop)
        await pause(5)
        await asyncio.to_thread(postgres.start)
        await pause(3)

    servers, told = await load(client, four, None, away)
    after = [await ask(client, "GET", f"{cloud.url}/os-networksv2") for cloud in four]

    assert told.statuses[503] > 0
    assert set(told.statuses) <= {200, 404, 409, 503}
    assert [status for status, _ in after] == [200] * 4
    told.unsure.update(servers[50:])
    check(await vifs(client, four[1]), servers, told)
    sys.stdout.write(f"answers: {dict(told.statuses)}\n")


async def test_a_process_that_is_killed_is_not_noticed_by_the_others(
    four: list[Served], client: aiohttp.ClientSession
) -> None:
    killed, *others = four

    async def kill() -> None:
        busy = asyncio.ensure_future(load(client, [killed], None, lambda: pause(3)))
        await pause(2)
        os.kill(killed.process.pid, signal.SIGKILL)
        await asyncio.gather(busy, return_exceptions=True)
        await pause(2)

    servers, told = await load(client, others, None, kill)

    assert set(told.statuses) <= {200, 404, 409}
    assert told.statuses[200] > 100
    told.unsure.update(servers[50:])
    check(await vifs(client, others[0]), servers, told)
    sys.stdout.write(f"answers: {dict(told.statuses)}\n")
