"""A cloud without a port: what goes through memory is what would go through a socket."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest

from vifsim.clock import SimClock
from vifsim.connector import MemoryTransport
from vifsim.errors import UsageError
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vifsim.facade import Cloud

LIST = "http://cloud/os-networksv2"
ATTACH = "http://cloud/servers/3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01/os-virtual-interfacesv2"
WANTED = {"virtual_interface": {"network_id": "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"}}


@pytest.fixture
async def client(cloud: Simulator) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"X-Auth-Token": cloud.token}
    async with aiohttp.ClientSession(connector=cloud.connector(), headers=headers) as session:
        yield session


async def test_calls_are_answered_over_one_connection_that_is_kept(
    cloud: Simulator, client: aiohttp.ClientSession
) -> None:
    statuses = [(await client.get(LIST)).status for _ in range(3)]
    made = await client.post(ATTACH, json=WANTED)

    assert statuses == [200, 200, 200]
    assert (await made.json())["virtual_interfaces"][0]["mac_address"].startswith("BC:76:4E")
    assert {entry["conn"] for entry in cloud.journal.documents(cloud.journal)} == {1}


async def test_many_at_once_are_told_apart(cloud: Simulator, client: aiohttp.ClientSession) -> None:
    answers = await asyncio.gather(*(client.post(ATTACH, json=WANTED) for _ in range(50)))

    assert sorted(answer.status for answer in answers) == [200] + [409] * 49
    assert len({entry["peer"] for entry in cloud.journal.documents(cloud.journal)}) > 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"reset": True}, aiohttp.ClientError),
        ({"close": "before_headers"}, aiohttp.ServerDisconnectedError),
        ({"close": "mid_body"}, aiohttp.ClientPayloadError),
        ({"truncate": "40%"}, aiohttp.ClientPayloadError),
    ],
)
async def test_faults_on_the_wire_are_felt(
    cloud: Simulator,
    client: aiohttp.ClientSession,
    fault: dict[str, object],
    error: type[Exception],
) -> None:
    await cloud.add_rule({"match": "create_virtual_interface", **fault})

    with pytest.raises(error):
        await (await client.post(ATTACH, json=WANTED)).read()


async def test_a_client_that_leaves_is_noticed(
    cloud: Simulator, client: aiohttp.ClientSession
) -> None:
    await cloud.add_rule({"match": "list_networks", "hang": "forever"})

    with pytest.raises(TimeoutError):
        await client.get(LIST, timeout=aiohttp.ClientTimeout(total=0.05))

    while cloud.journal.under_way:
        await cloud.clock.pause(0.01)
    assert [entry["outcome"] for entry in cloud.journal.documents(cloud.journal)] == ["client_gone"]


async def test_a_large_body_arrives_whole(client: aiohttp.ClientSession) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1000
        yield b'{"virtual_interface": {"network_id": "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"}}'

    told = await client.post(ATTACH, data=pieces(), headers={"Content-Type": "application/json"})

    assert told.status == 200


async def test_a_cloud_in_a_thread_is_reached_from_the_tests_loop(vifsim: Cloud) -> None:
    async with aiohttp.ClientSession(
        connector=vifsim.connector(), headers={"X-Auth-Token": vifsim.token}
    ) as session:
        statuses = [answer.status for answer in [await session.get(LIST) for _ in range(3)]]

    assert statuses == [200, 200, 200]


def test_a_simulator_that_does_not_run_has_no_connections() -> None:
    with pytest.raises(UsageError, match="does not run"):
        Simulator().connector()


async def test_a_client_that_comes_through_memory_takes_no_port(
    client: aiohttp.ClientSession, cloud: Simulator
) -> None:
    answer = await client.get(LIST)

    assert answer.status == 200
    assert cloud.known_url == ""


async def test_a_port_is_there_as_soon_as_its_url_is_known(cloud: Simulator) -> None:
    url = cloud.url

    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))):
        pass

    assert url == cloud.known_url == cloud.url


async def test_a_port_that_was_just_taken_ends_with_its_cloud() -> None:
    simulator = await Simulator().start()
    port = int(simulator.url.rpartition(":")[2])

    await simulator.stop()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_threads_that_ask_at_once_are_told_one_url() -> None:
    async with Simulator() as simulator:
        asked = [asyncio.to_thread(lambda: simulator.url) for _ in range(8)]

        urls = await asyncio.gather(*asked)

    assert len(set(urls)) == 1


def test_a_cloud_that_has_ended_still_tells_what_happened() -> None:
    with Simulator() as cloud:
        pass

    assert list(cloud.journal) == []
    with pytest.raises(UsageError, match="the cloud has ended"):
        cloud.reset()


class Writer(asyncio.Protocol):
    """One side of a connection, which notes when it is told to pause and to go on."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @property
    def writing_paused(self) -> bool:
        return self.told[-1:] == ["pause"]

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("go on")


async def test_who_writes_to_one_that_does_not_read_pauses_until_it_does() -> None:
    loop = asyncio.get_running_loop()
    ours, theirs = MemoryTransport(loop, ("memory", 0)), MemoryTransport(loop, ("memory", 1))
    writer = Writer()
    ours.join(theirs, writer)
    theirs.join(ours, Writer())
    theirs.pause_reading()

    for _ in range(5):
        ours.write(b"x" * 30_000)
    await turns()
    paused = writer.told.copy()
    theirs.resume_reading()
    await turns()

    assert (paused, writer.told) == (["pause"], ["pause", "go on"])


async def turns() -> None:
    """Let what is scheduled run."""
    for _ in range(4):
        await SimClock().pause(0)
