"""What clients that mean no good do: `python -m benchmarks.attacks NAME HOST:PORT` does it once.

Each runs in a process of its own, at a pace that leaves the server room: the question is what one
such call costs the others, and what is left of it, not whether a busy server is slow.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from benchmarks.serving import server_id

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    Attack = Callable[[str, int], Coroutine[Any, Any, None]]

SECONDS = 8.0
"""How long those last that hold on."""
MANY = 100_000
_PIPES = 16
_PATH = f"/servers/{server_id(1)}/os-virtual-interfacesv2"
_HEAD = f"POST {_PATH} HTTP/1.1\r\nHost: sim\r\nX-Auth-Token: demo-token\r\n"
_LIST = f"GET {_PATH} HTTP/1.1\r\nHost: sim\r\nX-Auth-Token: demo-token\r\n\r\n".encode()
_OPEN = 1000


def _post(body: bytes) -> bytes:
    """Return a request to create that carries a body, and its promised length."""
    head = f"{_HEAD}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _chunked(body: bytes, promised: str | None = None) -> bytes:
    size = f"{len(body):x}" if promised is None else promised
    head = f"{_HEAD}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + f"{size}\r\n".encode() + body + b"\r\n0\r\n\r\n"


async def _held(host: str, port: int, first: bytes, drops: bytes) -> None:
    """Hold connections open that begin so, and then say one byte at a time."""
    pipes = [await asyncio.open_connection(host, port) for _ in range(_OPEN)]
    for _, writer in pipes:
        writer.write(first)
    until, place = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        for _, writer in pipes:
            writer.write(drops[place : place + 1])
        place = (place + 1) % len(drops)
        await asyncio.sleep(0.5)
    for _, writer in pipes:
        writer.close()


async def slow_headers(host: str, port: int) -> None:
    """A thousand connections whose headers never end."""
    await _held(host, port, f"{_HEAD}X-Slow: ".encode(), b"abc")


async def slow_bodies(host: str, port: int) -> None:
    """A thousand whose bodies never end, each with 16 KB of it sent."""
    whole = _post(b" " * 100_000)
    await _held(host, port, whole[:16_384], b" ")


async def half_open(host: str, port: int) -> None:
    """A thousand connections that say nothing, end their half, or are reset."""
    until = time.monotonic() + SECONDS
    kept = [await asyncio.open_connection(host, port) for _ in range(_OPEN)]
    while time.monotonic() < until:
        for _ in range(20):
            _, writer = await asyncio.open_connection(host, port)
            writer.write(_HEAD.encode())
            writer.write_eof()
            _, other = await asyncio.open_connection(host, port)
            other.write(_HEAD.encode())
            other.transport.abort()
        await asyncio.sleep(0.2)
    for _, writer in kept:
        writer.close()


async def _each(host: str, port: int, sent: list[bytes], pause: float) -> None:
    """Send one after the other, each on a connection of its own, for the time that there is."""
    until = time.monotonic() + SECONDS
    number = 0
    while time.monotonic() < until:
        reader, writer = await asyncio.open_connection(host, port)
        with suppress(ConnectionError, TimeoutError):
            writer.write(sent[number % len(sent)])
            await writer.drain()
            await asyncio.wait_for(reader.read(65536), 1)
        writer.close()
        number += 1
        await asyncio.sleep(pause)


async def many_keys(host: str, port: int) -> None:
    """JSON with a million keys, with and without a promised length, and as many as fit."""
    million = json.dumps({str(number): 0 for number in range(1_000_000)}).encode()
    fitting = json.dumps({str(number): 0 for number in range(11_000)}).encode()
    inner = json.dumps({"virtual_interface": {str(number): 0 for number in range(10_000)}})
    await _each(
        host, port, [_post(million), _chunked(million), _post(fitting), _post(inner.encode())], 0.1
    )


async def deep_nesting(host: str, port: int) -> None:
    """JSON that is nested as deep as fits."""
    lists = b"[" * 50_000 + b"]" * 50_000
    objects = b'{"a":' * 18_000 + b"1" + b"}" * 18_000
    await _each(host, port, [_post(lists), _post(objects), _post(b"[" * 100_000)], 0.1)


async def huge_headers(host: str, port: int) -> None:
    """Headers that are as large as they may be, on connections that stay, and then larger."""
    most = "".join(f"X-{number}: {'a' * 8000}\r\n" for number in range(100))
    more = "".join(f"X-{number}: a\r\n" for number in range(20_000))
    good = (_LIST[:-2].decode() + most + "\r\n").encode()
    pipes: list[asyncio.StreamWriter] = []
    for _ in range(200):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(good)
        await writer.drain()
        await reader.readuntil(b"\r\n\r\n")
        pipes.append(writer)
        await asyncio.sleep(0.01)
    endless = [_HEAD.encode() + b"X: " + b"a" * 5_000_000, _HEAD.encode() + more.encode()]
    await _each(host, port, endless, 0.1)
    for writer in pipes:
        writer.close()


async def pipelining(host: str, port: int) -> None:
    """Twenty clients that each send ten thousand requests and read no answer."""
    pipes = [await asyncio.open_connection(host, port) for _ in range(20)]
    for _, writer in pipes:
        writer.write(_LIST * 10_000)
    await asyncio.sleep(SECONDS)
    for _, writer in pipes:
        writer.transport.abort()


async def chunked_lies(host: str, port: int) -> None:
    """Chunks whose sizes are no sizes, or are not what comes."""
    lies = ["ffffffffffffffff", "7fffffffffffffff", "-1", "0x10", "", "zz", "5;" + "a" * 60_000]
    await _each(host, port, [_chunked(b"{}", lie) for lie in lies], 0.02)


async def smuggling(host: str, port: int) -> None:
    """Requests that two servers would read differently."""
    shapes = (
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Content-Length: +5",
    )
    sent = [f"{_HEAD}{shape}\r\n\r\n0\r\n\r\n".encode() + _LIST for shape in shapes]
    await _each(host, port, sent, 0.02)


async def _spread(host: str, port: int, requests: Iterator[bytes]) -> None:
    """Send requests over a few connections, in small bursts with pauses between them."""

    async def talk() -> None:
        reader, writer = await asyncio.open_connection(host, port)
        for request in requests:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
            await reader.readexactly(size)
            await asyncio.sleep(0.008)
        writer.close()

    await asyncio.gather(*(talk() for _ in range(_PIPES)))


async def tokens(host: str, port: int) -> None:
    """A hundred thousand tokens that nobody has given out."""
    await _spread(
        host,
        port,
        (
            f"GET {_PATH} HTTP/1.1\r\nHost: sim\r\nX-Auth-Token: {n:032x}\r\n\r\n".encode()
            for n in range(MANY)
        ),
    )


async def log_ins(host: str, port: int) -> None:
    """A hundred thousand log-ins, each for a token of its own."""
    body = b'{"auth":{"passwordCredentials":{"username":"demo","password":"demo-password"}}}'
    head = (
        "POST /v2.0/tokens HTTP/1.1\r\nHost: sim\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    await _spread(host, port, (head.encode() + body for _ in range(MANY)))


async def count_keys(host: str, port: int) -> None:
    """A hundred thousand servers that are not there, each a key of its own to count under."""
    ids = (f"{n:08x}-{'a' * 3000 if n % 100 == 0 else 'x'}" for n in range(MANY))
    await _spread(
        host,
        port,
        (
            f"GET /servers/{one}/os-virtual-interfacesv2 HTTP/1.1\r\nHost: sim\r\n"
            "X-Auth-Token: demo-token\r\n\r\n".encode()
            for one in ids
        ),
    )


async def honest(host: str, port: int) -> None:
    """No attack: what as many good calls do, at the same pace."""
    await _spread(host, port, (_LIST for _ in range(MANY)))


ATTACKS: dict[str, Attack] = {
    attack.__name__: attack
    for attack in (
        slow_headers,
        slow_bodies,
        half_open,
        many_keys,
        deep_nesting,
        huge_headers,
        pipelining,
        chunked_lies,
        smuggling,
        tokens,
        log_ins,
        count_keys,
    )
}

if __name__ == "__main__":
    os.nice(10)  # they have as long as it takes; the server and its client have not
    name, address = sys.argv[1:]
    host, _, port = address.partition(":")
    asyncio.run({**ATTACKS, "honest": honest}[name](host, int(port)))
