"""Clients that mean no good, or know no better: the simulator answers the others, and goes on."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from vifsim.arrivals import call_key
from vifsim.conformance import a_call
from vifsim.draws import draw

if TYPE_CHECKING:
    from tests.conftest import Api, Connect, RawClient
    from vifsim.simulator import Simulator

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
PATH = f"/servers/{WEB_1}/os-virtual-interfacesv2"
BODY = json.dumps({"virtual_interface": {"network_id": ADDED_NETWORK}}).encode()
GOOD = (
    f"POST {PATH} HTTP/1.1\r\nHost: sim\r\nX-Auth-Token: demo-token\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
).encode() + BODY
PIECES = (
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b"Content-Length: 7\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
)


def head(*lines: str) -> bytes:
    """Return a request's head with these lines."""
    return "\r\n".join((f"POST {PATH} HTTP/1.1", "Host: sim", *lines, "", "")).encode()


SMUGGLED = b"GET /os-networksv2 HTTP/1.1\r\nHost: sim\r\nX-Auth-Token: demo-token\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: +5",),
        ("Content-Length: -5",),
        ("Content-Length: 5, 6",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("X: a\nContent-Length: 5",),
    ],
)
async def test_a_request_that_two_servers_would_read_differently_is_refused_and_ends(
    raw: RawClient, cloud: Simulator, lines: tuple[str, ...]
) -> None:
    await raw.send(head(*lines, "X-Auth-Token: demo-token") + b"0\r\n\r\n" + SMUGGLED)

    told = await asyncio.wait_for(raw.rest(), 10)

    assert told.count(b"HTTP/1.1 ") <= 1
    assert told[:12] in {b"HTTP/1.1 400", b"HTTP/1.0 400"}
    assert "list_networks" not in {call.operation for call in cloud.journal}


async def test_a_body_of_many_keys_or_deep_nesting_is_refused(api: Api) -> None:
    many = json.dumps({str(number): 0 for number in range(9000)}).encode()

    told = [
        (await api.post(PATH, data=data, headers={"Content-Type": "application/json"})).status
        for data in (many, b"[" * 100_000, b'{"a":' * 19_000)
    ]

    assert told == [400, 400, 400]


async def test_headers_without_end_are_refused(raw: RawClient) -> None:
    await raw.send(b"GET / HTTP/1.1\r\nHost: sim\r\nX: " + b"a" * 100_000)

    told = await asyncio.wait_for(raw.rest(), 10)

    assert told[:12] in {b"HTTP/1.1 400", b"HTTP/1.0 400"}


async def test_clients_that_never_finish_do_not_stop_another(
    cloud: Simulator, connect: Connect, api: Api
) -> None:
    for _ in range(200):
        slow = await connect(cloud)
        await slow.send(GOOD[: 20 + len(GOOD) // 2])

    told = await asyncio.gather(*(api.attach() for _ in range(20)))

    assert sorted(answer.status for answer in told) == [200, *[409] * 19]


def spoiled(number: int) -> bytes:
    """Return the `number`-th broken request: some bytes cut, changed, doubled or put in."""
    data = bytearray(GOOD)
    for step in range(1 + int(draw(number, "steps") * 4)):
        place = int(draw(number, step, "place") * len(data))
        match int(draw(number, step, "what") * 4):
            case 0:
                del data[place : place + 1 + int(draw(number, step, "size") * 20)]
            case 1 if data:
                data[min(place, len(data) - 1)] = int(draw(number, step, "byte") * 256)
            case 2:
                data[place:place] = data[place : place + 40]
            case _:
                data[place:place] = PIECES[int(draw(number, step, "piece") * len(PIECES))]
    return bytes(data)


async def fuzz(cloud: Simulator, connect: Connect, numbers: range) -> None:
    """Send broken requests on connections of their own, and end each: none may hang or be a 500."""
    for number in numbers:
        client = await connect(cloud)
        await client.send(spoiled(number))
        client.writer.write_eof()
        told = await asyncio.wait_for(client.rest(), 10)
        client.close()
        assert b"HTTP/1.1 5" not in told, spoiled(number)


async def test_no_bytes_make_the_simulator_fail(
    cloud: Simulator, connect: Connect, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    await fuzz(cloud, connect, range(250))

    assert cloud.edge.defects == 0
    assert caplog.text == ""
    assert (await api.get("/os-networksv2")).status == 200


@pytest.mark.long
@pytest.mark.parametrize("part", range(50))
async def test_50_000_broken_requests_make_no_failure(
    cloud: Simulator, connect: Connect, part: int
) -> None:
    await fuzz(cloud, connect, range(part * 1000, (part + 1) * 1000))

    assert cloud.edge.defects == 0


async def test_the_log_has_one_quiet_line_of_broken_bytes_and_no_token(
    raw: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await raw.send(b"GET / HTTP/1.1\r\nHost: sim\r\nX-Auth-Token: sesame\0\r\n\r\n")
        told = await asyncio.wait_for(raw.rest(), 10)

    assert told[:12] == b"HTTP/1.0 400"
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)
    assert "sesame" not in caplog.text


async def test_the_log_has_one_quiet_line_of_a_body_that_is_not_what_it_says(
    raw: RawClient, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST /v2.0/tokens HTTP/1.1\r\nHost: sim\r\nContent-Encoding: gzip\r\n"
    with caplog.at_level(logging.INFO, logger="aiohttp.server"):
        await raw.send(head + b"Content-Length: 6\r\n\r\nsesame")
        told = await asyncio.wait_for(raw.rest(), 10)

    assert told[:12] == b"HTTP/1.1 400"
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)


async def test_a_filter_that_could_be_searched_for_without_end_is_answered(api: Api) -> None:
    await api.boot("a" * 250 + "!")

    told = await asyncio.wait_for(api.get("/servers?name=(a%2B)%2B%24"), 10)

    assert (told.status, told.json()) == (200, {"servers": []})


async def test_a_connection_ends_after_headers_that_are_larger_than_any_client_needs(
    raw: RawClient,
) -> None:
    large = "".join(f"X-{number}: {'a' * 8000}\r\n" for number in range(10))
    await raw.send(f"GET /v2.0 HTTP/1.1\r\nHost: sim\r\n{large}\r\n".encode())

    told = await asyncio.wait_for(raw.rest(), 10)

    assert told.startswith(b"HTTP/1.1 200")


async def test_a_client_that_sends_all_before_it_reads_is_answered_in_order(
    raw: RawClient,
) -> None:
    requests = [f"GET /v2.0/{n} HTTP/1.1\r\nHost: sim\r\n" for n in range(2000)]
    requests[-1] += "Connection: close\r\n"
    sending = asyncio.create_task(raw.send("".join(f"{one}\r\n" for one in requests).encode()))

    told = await asyncio.wait_for(raw.rest(), 20)
    await sending

    assert told.count(b"HTTP/1.1 401") == 2000


def test_ids_of_any_length_count_under_keys_of_bounded_length() -> None:
    servers = ("a", "a" * 8000, "a" * 8001)

    short, long, other = (call_key(a_call(server=server)) for server in servers)

    assert len({short, long, other}) == 3
    assert max(map(len, (short, long, other))) < 256
