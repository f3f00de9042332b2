"""What bytes leave: a whole answer, part of one, none, or the wrong ones.

The house rule: the answer is finished when it comes here; what is done to it is done by its
`WireEffect`. The journal's entry is closed by `closing` just before the last byte is handed over.

Source: scenario format, the table of faults (docs/scenarios.md).
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import HttpVersion11, web
from aiohttp.helpers import rfc822_formatted_time

from vifsim.exchange import (
    Answer,
    WireCorrupt,
    WireDrip,
    WireKeepaliveCut,
    WireMidBody,
    WireReset,
    WireTruncate,
    answer_of,
)
from vifsim.http.codec import HTML_TYPE, as_list, as_object
from vifsim.http.connection import SENT, StampedConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from vifsim.clock import Clock
    from vifsim.exchange import Ending, WireEffect
    from vifsim.http.codec import Reply

    Closing = Callable[[Answer | None, Ending], None]

_PAGE = b"<html><head><title>Welcome</title></head><body>It works!</body></html>"
_LINGER_NOT = struct.pack("ii", 1, 0)


def cut(request: web.BaseRequest, effect: WireEffect) -> None:
    """End the connection without an answer: with a RST, or with a FIN.

    A RST is what a socket sends that is closed with a linger of zero seconds; a transport that is
    aborted alone sends a FIN.
    """
    transport = request.transport
    if transport is None:
        return
    if isinstance(effect, WireReset):
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
    else:
        transport.close()


async def send(
    request: web.BaseRequest,
    reply: Reply,
    effect: WireEffect,
    closing: Closing,
    clock: Clock,
) -> web.StreamResponse:
    """Send an answer, as its effect says.

    Of an answer without a body, to HEAD say, nothing can be spoiled or held back; where its end
    would be cut off, it is whole and then the connection ends.

    Raises:
        ConnectionError: the client is gone.
    """
    bare = request.method == "HEAD" or not reply.body
    match effect:
        case WireCorrupt() if reply.status < 300 and not bare:
            return await _send_spoiled(request, reply, effect, closing)
        case WireDrip() if not bare:
            return await _drip(request, reply, effect, closing, clock)
        case WireTruncate() | WireMidBody() if not bare:
            kept = _kept(len(reply.body), effect)
            return await _send_part(request, reply, len(reply.body), kept, closing)
        case WireKeepaliveCut() | WireTruncate() | WireMidBody():
            return await _send_and_cut(request, reply, closing)
        case _:
            return await send_whole(request, reply, closing)


async def _send_and_cut(
    request: web.BaseRequest, reply: Reply, closing: Closing
) -> web.StreamResponse:
    response = await send_whole(request, reply, closing)
    if isinstance(request.protocol, StampedConnection):
        request.protocol.flush()
    if request.transport is not None:
        request.transport.close()
    return response


async def _send_spoiled(
    request: web.BaseRequest, reply: Reply, effect: WireCorrupt, closing: Closing
) -> web.StreamResponse:
    if effect.form == "content_length":
        promised = len(reply.body) + effect.surplus
        return await _send_part(request, reply, promised, len(reply.body), closing)
    spoiled, changed = corrupt(reply, effect)
    return await send_whole(request, spoiled, closing, spoiled=changed)


async def send_whole(
    request: web.BaseRequest, reply: Reply, closing: Closing, *, spoiled: bool = False
) -> web.StreamResponse:
    """Send an answer as it is.

    Raises:
        ConnectionError: the client is gone.
    """
    reply.headers["Content-Type"] = reply.content_type
    if isinstance(request.protocol, StampedConnection) and _is_plain(request, reply):
        data = _head(reply) + reply.body
        closing(answer_of(reply.status, reply.retry_after, spoiled, len(reply.body)), "completed")
        if request.protocol.hand_over(data):
            await request.protocol.drained()
        return SENT
    response = web.Response(body=reply.body, status=reply.status, headers=reply.headers)
    await response.prepare(request)
    closing(answer_of(reply.status, reply.retry_after, spoiled, len(reply.body)), "completed")
    await response.write_eof()
    return response


_REASONS = {status.value: status.phrase for status in HTTPStatus}
_BODILESS = frozenset({204, 304})


def _is_plain(request: web.BaseRequest, reply: Reply) -> bool:
    """Say whether an answer can be written in one piece, by hand.

    aiohttp's own way, which knows HTTP/1.0, HEAD and connections that end, costs three times as
    much; `tests/http/test_wire.py` holds that both write the same bytes.
    """
    return (
        request.version == HttpVersion11
        and request.keep_alive
        and request.method != "HEAD"
        and reply.status not in _BODILESS
    )


def _head(reply: Reply) -> bytes:
    """Return the status line and the headers."""
    headers = reply.headers
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
        raise ValueError("a header holds a line break")
    date = "" if "Date" in headers else f"Date: {rfc822_formatted_time()}\r\n"
    status = f"{reply.status} {_REASONS.get(reply.status, '')}"
    length = len(reply.body)
    return f"HTTP/1.1 {status}\r\n{fields}Content-Length: {length}\r\n{date}\r\n".encode()


async def _start(request: web.BaseRequest, reply: Reply, promised: int) -> web.StreamResponse:
    headers = {**reply.headers, "Content-Type": reply.content_type}
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = promised
    await response.prepare(request)
    return response


async def _send_part(
    request: web.BaseRequest, reply: Reply, promised: int, kept: int, closing: Closing
) -> web.StreamResponse:
    """Promise so many bytes, send the first `kept` of the body, then a FIN."""
    response = await _start(request, reply, promised)
    closing(
        Answer(reply.status, reply.retry_after, spoiled=True, size_bytes=promised), "server_cut"
    )
    if kept:
        await response.write(reply.body[:kept])
    if request.transport is not None:
        request.transport.close()
    return response


def _kept(size_bytes: int, effect: WireTruncate | WireMidBody) -> int:
    """Return how many bytes of a body are sent: at least one less than all."""
    if isinstance(effect, WireMidBody):
        kept = size_bytes // 2
    elif effect.size_bytes is not None:
        kept = effect.size_bytes
    else:
        kept = int(size_bytes * (effect.share or 0.0))
    return max(0, min(kept, size_bytes - 1))


async def _drip(
    request: web.BaseRequest, reply: Reply, effect: WireDrip, closing: Closing, clock: Clock
) -> web.StreamResponse:
    """Send the headers at once and the body in pieces, each at its time."""
    response = await _start(request, reply, len(reply.body))
    start = clock.now()
    answer = Answer(reply.status, reply.retry_after, size_bytes=len(reply.body))
    pieces = drip_pieces(len(reply.body), effect)
    for index, (due, begin, end) in enumerate(pieces):
        await clock.sleep_until(start + due)
        if index == len(pieces) - 1:
            closing(answer, "completed")
        await response.write(reply.body[begin:end])
    await response.write_eof()
    return response


def drip_pieces(size_bytes: int, effect: WireDrip) -> list[tuple[float, int, int]]:
    """Return when each piece of a dripped body is due, seconds, and its first and end byte."""
    if not size_bytes:
        return []
    if effect.rate is None:
        chunks = max(1, min(effect.chunks, size_bytes))
        pause = effect.over / (chunks - 1) if chunks > 1 else 0.0
        edges = [size_bytes * index // chunks for index in range(chunks + 1)]
    else:
        step = max(1, int(effect.rate / 10))
        pause = step / effect.rate
        edges = [*range(0, size_bytes, step), size_bytes]
    return [
        (index * pause, begin, end) for index, (begin, end) in enumerate(itertools.pairwise(edges))
    ]


def corrupt(reply: Reply, effect: WireCorrupt) -> tuple[Reply, bool]:
    """Return an answer whose body is spoiled, and whether it differs from what it was."""
    match effect.form:
        case "not_json":
            body: bytes = b"this is not JSON: " + reply.body[:32]
        case "cut_json":
            body = reply.body[: len(reply.body) // 2]
        case "html":
            return replace(reply, body=_PAGE, content_type=HTML_TYPE), True
        case _:
            body = _edited(reply.body, effect)
    return replace(reply, body=body), body != reply.body


def _edited(body: bytes, effect: WireCorrupt) -> bytes:
    try:
        value = json.loads(body)
    except ValueError:
        return body
    before = json.dumps(value)
    if effect.form == "empty_list":
        _empty_lists(value)
    else:
        _edit(value, effect)
    after = json.dumps(value)  # compared as text: 1 and true are equal in Python alone
    return body if after == before else after.encode()


def _empty_lists(value: Any) -> None:
    """Empty every list at the top level of an answer."""
    top = as_object(value)
    for key in top or ():
        if top is not None and as_list(top[key]) is not None:
            top[key] = []


def _edit(value: Any, effect: WireCorrupt) -> None:
    """Drop or set the value at a path; one that is not there changes nothing."""
    *parents, last = effect.path
    for step in parents:
        key = _key(value, step)
        if key is None:
            return
        value = value[key]
    key = _key(value, last)
    if key is None:
        return
    if effect.form == "drop":
        del value[key]
    else:
        value[key] = effect.value


def _key(value: Any, step: str | int) -> str | int | None:
    """Return what a step of a path means here, or None where there is no such thing."""
    inner = as_object(value)
    if inner is not None:
        return str(step) if str(step) in inner else None
    several = as_list(value)
    there = several is not None and isinstance(step, int) and step < len(several)
    return step if there else None
