"""A cloud in PostgreSQL, judged on a real server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

import aiohttp
import asyncpg
import pytest

from vifsim.clock import SimClock
from vifsim.conformance import (
    BLUE,
    ONE,
    BackendConformance,
    a_call,
    attach,
    attached,
    check_portable,
    log_in,
    world,
)
from vifsim.errors import BackendError, Conflict, ServiceUnavailable
from vifsim.model import NewServer, Settings, VirtualInterface
from vifsim.simulator import Simulator
from vifsim_backends.memory import MemoryBackend
from vifsim_backends.postgres import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.backends.conftest import Cluster
    from vifsim.backend import Backend
    from vifsim.clock import Clock
    from vifsim.model import ServerId

ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"

pytestmark = pytest.mark.postgres


def new_store(cluster: Cluster, tmp_path: Path) -> str:
    """Return the URL of a store of which nothing exists yet."""
    return cluster.url(f"t{blake2b(str(tmp_path).encode(), digest_size=8).hexdigest()}")


class TestPostgresBackend(BackendConformance):
    @pytest.fixture(autouse=True)
    def _store(self, postgres: Cluster, url: str, tmp_path: Path) -> None:
        self.cluster, self.url, self.folder = postgres, url, tmp_path

    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        url = self.url if tmp_path == self.folder else new_store(self.cluster, tmp_path)
        return PostgresBackend(url, clock=clock)


@pytest.fixture
async def url(postgres: Cluster) -> str:
    """An empty store. Its tables stay from test to test: making them takes longer than a test."""
    url = postgres.url("suite")
    connection = await asyncpg.connect(url)
    if await connection.fetchval("SELECT to_regclass('meta')") is not None:
        await connection.execute("DELETE FROM meta; DELETE FROM journal")
        await connection.execute("DELETE FROM arrivals; DELETE FROM rule_counts")
        await connection.execute(
            "UPDATE journal_head SET run = run + 1, last = 0, cleared = 0, dropped = 0"
        )
    await connection.close()
    return url


@pytest.fixture
def new_url(postgres: Cluster, tmp_path: Path) -> str:
    """A store of which nothing exists yet."""
    return new_store(postgres, tmp_path)


@pytest.fixture
async def four(new_url: str) -> AsyncIterator[list[Backend]]:
    """Four backends over one database, started at once on nothing."""
    made: list[Backend] = [
        PostgresBackend(new_url, clock=SimClock(mode="manual")) for _ in range(4)
    ]
    await asyncio.gather(*(backend.open(world()) for backend in made))
    yield made
    for backend in made:
        await backend.close()


async def new_server(backend: Backend) -> ServerId:
    """Return the id of a new server that is attached to nothing."""
    new = NewServer(name="new", image_ref="1", flavor_ref="2", networks=())
    return (await backend.create_server(a_call(), new)).server.id


async def test_of_concurrent_attaches_through_four_exactly_one_wins(four: list[Backend]) -> None:
    attempts = [backend.create_virtual_interface(a_call(), ONE, BLUE) for backend in four * 50]

    outcomes = await asyncio.gather(*attempts, return_exceptions=True)

    assert sum(isinstance(outcome, VirtualInterface) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 199
    assert [len(await attached(backend)) for backend in four] == [1, 1, 1, 1]


async def test_a_token_of_one_is_good_at_the_others_at_once(four: list[Backend]) -> None:
    access = await log_in(four[0])

    known = await asyncio.gather(*(backend.identify(access.text) for backend in four))
    await four[1].revoke_token(a_call(), access.text)
    ended = await asyncio.gather(*(backend.identify(access.text) for backend in four))

    assert all(identity is not None for identity in known)
    assert ended == [None] * 4


async def test_settings_of_one_hold_at_the_others(four: list[Backend]) -> None:
    await four[0].configure(Settings(region="ORD"))

    await four[1].identify("whoever")

    assert four[1].settings.region == "ORD"


async def test_memory_and_postgres_restore_one_another(url: str) -> None:
    clock = SimClock(mode="manual")
    memory = MemoryBackend("memory:", clock=clock)
    postgres = PostgresBackend(url, clock=clock)
    await memory.open(world())
    await postgres.open(world(seed=99))
    await attach(memory)

    await check_portable(memory, postgres)
    await check_portable(postgres, memory)

    await postgres.close()


@dataclass(slots=True)
class Visitor:
    """Attaches and detaches a server again and again, and remembers what it was told."""

    server: ServerId
    answers: set[str] = field(default_factory=set[str])
    held: str | None = None
    sure: bool = True

    async def come_and_go(self, backend: Backend, busy: asyncio.Event) -> None:
        while busy.is_set():
            try:
                await self.once(backend)
            except ServiceUnavailable:
                self.answers.add("away")
                await backend.clock.pause()
            except Conflict:
                return  # an attachment was committed whose answer was lost

    async def once(self, backend: Backend) -> None:
        self.sure = False
        made = await backend.create_virtual_interface(a_call(), self.server, BLUE)
        self.held, self.sure = made.id, True
        await backend.identify("whoever")
        self.sure = False
        await backend.delete_virtual_interface(a_call(), self.server, made.id)
        self.held, self.sure = None, True
        self.answers.add("done")


async def test_a_server_that_went_away_is_a_503_until_it_is_back_and_loses_nothing(
    postgres: Cluster, url: str
) -> None:
    backend = PostgresBackend(url, clock=SimClock(mode="manual"))
    await backend.open(world())
    visitors = [Visitor(await new_server(backend)) for _ in range(8)]
    busy = asyncio.Event()
    busy.set()

    running = [asyncio.create_task(one.come_and_go(backend, busy)) for one in visitors]
    await asyncio.to_thread(postgres.stop)
    with pytest.raises(ServiceUnavailable):
        await backend.identify("whoever")
    await asyncio.to_thread(postgres.start)
    made = await attach(backend)
    busy.clear()
    await asyncio.gather(*running)

    assert [found.id for found in await attached(backend)] == [made.id]
    assert all("away" in one.answers for one in visitors)
    for one in visitors:
        found = [interface.id for interface in await attached(backend, one.server)]
        assert not one.sure or found == [one.held] * (one.held is not None)
    await backend.close()


async def test_simulators_over_one_database_are_one_cloud(url: str) -> None:
    body = {"virtual_interface": {"network_id": ADDED_NETWORK}}

    async with Simulator(backend=url) as one, Simulator(backend=url) as other:
        path = f"/servers/{one.server_id}/os-virtual-interfacesv2"
        async with aiohttp.ClientSession(headers={"X-Auth-Token": one.token}) as client:
            first = await client.post(one.url + path, json=body)
            second = await client.post(other.url + path, json=body)
            listed = await (await client.get(other.url + path)).json()

    made = (await first.json())["virtual_interfaces"][0]["id"]
    assert (first.status, second.status) == (200, 409)
    assert made in [found["id"] for found in listed["virtual_interfaces"]]


async def test_mixed_operations_through_four_lose_nothing(four: list[Backend]) -> None:
    async def come_and_go(number: int) -> ServerId:
        backend, other = four[number % 4], four[(number + 1) % 4]
        server = await new_server(backend)
        made = await other.create_virtual_interface(a_call(), server, BLUE)
        if number % 2:
            await backend.delete_virtual_interface(a_call(), server, made.id)
        return server

    servers = await asyncio.gather(*(come_and_go(number) for number in range(40)))

    found = [await attached(four[0], server) for server in servers]
    addresses = [one.addresses for interfaces in found for one in interfaces]
    assert len(set(servers)) == 40
    assert [len(interfaces) for interfaces in found] == [1, 0] * 20
    assert len(set(addresses)) == 20


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("postgresql://vifsim@/postgres?host=/nowhere", "see that it runs"),
        ("postgresql://vifsim@localhost:nonsense/x", "write postgresql://"),
        ("postgresql://vifsim:s3/cret@localhost/x", "encode what is special"),
    ],
    ids=["nobody there", "no address", "a slash in the password"],
)
async def test_a_database_that_cannot_be_used_is_refused_with_a_hint(url: str, hint: str) -> None:
    backend = PostgresBackend(url, clock=SimClock(mode="manual"))

    with pytest.raises(BackendError, match=hint) as told:
        await backend.open(world())
    assert "s3" not in str(told.value)
