"""Connections: what they remember of their requests, and what they leave when they end."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

import pytest
from aiohttp.http_exceptions import HttpProcessingError

from vifsim.errors import ApiFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Api, Connect
    from vifsim.simulator import Simulator

VIFS = "/servers/99999999-9999-4999-8999-999999999999/os-virtual-interfacesv2"


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def left(kind: type) -> int:
    return sum(isinstance(thing, kind) for thing in gc.get_objects())


async def asked(cloud: Simulator, *headers: str) -> None:
    """Ask over a socket of the test's own, and leave."""
    loop = asyncio.get_running_loop()
    host, port = cloud.url.removeprefix("http://").split(":")
    with socket.socket() as sock:
        sock.settimeout(0)
        await loop.sock_connect(sock, (host, int(port)))
        lines = ["GET /v2.0 HTTP/1.1", f"Host: {host}", *headers]
        await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
        assert (await loop.sock_recv(sock, 65_536)).startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("no_collector")
async def test_a_connection_that_ended_leaves_nothing_to_a_collector(cloud: Simulator) -> None:
    before = left(asyncio.Transport)

    for _ in range(5):
        await asked(cloud)
    await cloud.clock.pause()

    assert left(asyncio.Transport) == before


@pytest.mark.parametrize(
    ("method", "path", "token", "status"),
    [
        ("GET", VIFS, "unknown", 401),
        ("GET", VIFS, "demo-token", 404),
        ("GET", "/nowhere", "demo-token", 404),
        ("PUT", VIFS, "demo-token", 405),
        ("POST", VIFS, "demo-token", 400),
        ("POST", "/v2.0/tokens", None, 400),
    ],
)
@pytest.mark.usefixtures("no_collector")
async def test_a_refusal_leaves_nothing_to_a_collector(
    api: Api, method: str, path: str, token: str | None, status: int
) -> None:
    before = left(ApiFault)

    told = [await api.bearing(token).ask(method, path, data=b"{") for _ in range(5)]

    assert [one.status for one in told] == [status] * 5
    assert left(ApiFault) == before


@pytest.mark.usefixtures("no_collector")
async def test_bytes_that_are_no_http_leave_nothing_to_a_collector(
    connect: Connect, cloud: Simulator
) -> None:
    before = left(HttpProcessingError)

    for _ in range(5):
        client = await connect(cloud)
        await client.send(b"GET /v2.0 HTTP/1.1\r\nX-Long: " + b"a" * 20_000)
        assert b" 400 " in await client.head()
        client.close()
    await cloud.clock.pause()

    assert left(HttpProcessingError) == before


async def test_clients_that_send_ahead_let_another_in_between(
    connect: Connect, cloud: Simulator, api: Api
) -> None:
    eager = [await connect(cloud) for _ in range(10)]
    for client in eager:
        await client.send(b"GET /v2.0 HTTP/1.1\r\nHost: x\r\n\r\n" * 200)

    await api.get("/v2.0")
    meanwhile = cloud.journal.last
    for client in eager:
        for _ in range(200):
            await client.head()

    assert meanwhile < 1000
    assert cloud.journal.last == 2001


async def test_connections_that_send_the_same_headers_keep_them_once(cloud: Simulator) -> None:
    for token in "ab":
        await asked(cloud, "User-Agent: one/1", f"X-Auth-Token: {token}")
    await asked(cloud, "User-Agent: two/1", "X-Auth-Token: a")

    first, second, third = [call.headers for call in cloud.journal]
    assert first is second
    assert dict(first) == {"Host": "127.0.0.1", "User-Agent": "one/1"}
    assert dict(third) == {"Host": "127.0.0.1", "User-Agent": "two/1"}
