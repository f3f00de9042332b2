"""A connection: when its requests' bytes came, and answers that are given at once.

aiohttp lets a task of the connection wait for a request, and makes another one for each. Where
nothing has to be waited for, both cost more than the answer: so the requests that come whole in one
turn of the loop are answered together in the next, and mostly that is all. One that has to wait
after all, for a delay say, is gone on with, without a task, with those that come when its time has
come. What is no everyday request is for aiohttp's task, as any is elsewhere.

The house rule: an arrival is stamped when its bytes come, before anything is parsed, so that time
spent in queues counts as part of a delay and not on top of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping  # noqa: TC003 -- a field of a tuple
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from aiohttp.web_protocol import RequestHandler

from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable

    from multidict import CIMultiDictProxy

    from vifsim.clock import Clock
    from vifsim.http.turns import Turns

    _Answer = tuple[web.Request, Coroutine[Any, Any, web.StreamResponse]]
    _Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
    Raw = tuple[tuple[bytes, bytes], ...]
    Kept = tuple[Mapping[str, str], int]

_SECRET = ("X-Auth-Token", "X-Subject-Token", "Authorization", "Proxy-Authorization", "Cookie")
_SECRET_BYTES = frozenset(name.lower().encode() for name in _SECRET)
_HEADERS_KEPT = 8
_SHOWN_KEPT = 256
_SHORT_BYTES = 4096
"""Headers up to this size are remembered by their connection: longer ones are no habit."""

_LARGE_BYTES = 65_536
"""Headers above this size are not kept, and end their connection: aiohttp keeps a connection's last
ones, and they may be a megabyte."""

_MOST_AT_ONCE = 65_536
"""Bytes that are read in one go. asyncio makes room for four times as many each time, which costs
more than all else that one byte of a slow client does."""


class Origin(NamedTuple):
    """Where a request comes from.

    `arrived`, and `connected`, when its connection was made, in unscaled seconds, are None where
    nobody stamped them; `headers` are without secrets, of `size_bytes`.
    """

    arrived: float | None
    connected: float | None
    conn: int
    peer: str
    headers: Mapping[str, str]
    size_bytes: int


def without_secrets(headers: CIMultiDictProxy[str]) -> Mapping[str, str]:
    """Return headers without tokens, authorization and cookies."""
    kept = headers.copy()
    for name in _SECRET:
        kept.popall(name, None)
    return kept


def size_of(raw: Iterable[tuple[bytes, bytes]]) -> int:
    """Return what headers take, roughly, in bytes."""
    return sum([120 + len(name) + len(value) for name, value in raw])


class _Sent(web.Response):
    """What aiohttp is given where everything is sent already, on a connection that goes on."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection goes on."""
        return True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing: the headers are sent."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the body is sent."""


SENT = _Sent()
"""The response whose bytes were handed over."""

_EVERYDAY = frozenset({"GET", "POST", "PUT", "DELETE"})


class Answering(Protocol):
    """What answers requests; `at_once` where that mostly needs no waiting, and then for futures."""

    @property
    def at_once(self) -> bool: ...  # noqa: D102 -- said above

    def handle(self, request: web.Request) -> Coroutine[Any, Any, web.StreamResponse]: ...  # noqa: D102 -- as above


_TOGETHER = 64
"""Requests that are answered before the first of the answers is written."""


class Rounds:
    """Answers together what has come in one turn of the loop.

    All of it has been read by then, all of it is answered, then all of it is written: going to the
    kernel and back between two answers takes their caches away, which makes each a third dearer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[StampedConnection] = []

    def add(self, connection: StampedConnection) -> None:
        """Let a connection's request be answered with those that come now."""
        if not self._waiting:
            self._loop.call_soon(self._answer)
        self._waiting.append(connection)

    def _answer(self) -> None:
        together, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
        if self._waiting:
            self._loop.call_soon(self._answer)
        for connection in together:
            connection.answer()
        for connection in together:
            connection.write_out()


@frozen
class Common:
    """What all connections of a server have in common.

    `rounds` answer what comes in one turn of the loop; `turns` are taken by requests that were sent
    ahead; `make_request` is aiohttp's way to make a request; paths that begin with `routed` are its
    router's; `shown` are headers as they may be seen.
    """

    rounds: Rounds
    turns: Turns
    clock: Clock
    answering: Answering
    make_request: Callable[..., web.BaseRequest]
    routed: str
    shown: Shown


async def _given(result: web.StreamResponse | BaseException) -> web.StreamResponse:
    if isinstance(result, BaseException):
        raise result
    return result


class StampedConnection(RequestHandler):
    """A connection that knows its number, its peer, and when it and each request's bytes came."""

    __slots__ = (
        "_arrivals",
        "_arrived",
        "_aside",
        "_common",
        "_first",
        "_made_at",
        "_number",
        "_others",
        "_out",
        "_parked",
        "_peer",
        "_unsent",
    )

    def __init__(self, manager: web.Server, *, common: Common, number: int, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._common = common
        self._number = number
        self._peer = ""
        self._made_at = 0.0
        self._arrived: float | None = None  # when the request came that is answered now
        self._arrivals: list[float] | None = None  # of those that aiohttp's task is to answer
        self._first: tuple[Raw, Kept] = (), ({}, 0)  # most connections send no other
        self._others: dict[Raw, Kept] | None = None
        self._parked: _Answer | None = None  # what waits
        self._unsent: _Answer | None = None  # what aiohttp's task is to send
        self._aside: asyncio.Future[None] | None = None  # aiohttp's, while an answer is made
        self._out: bytes = b""  # the answer, until those of others are made

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the peer and the moment."""
        super().connection_made(transport)
        wire: Any = transport
        if hasattr(wire, "max_size"):  # of asyncio's own loops
            wire.max_size = _MOST_AT_ONCE
        name = transport.get_extra_info("peername")
        self._peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or "")
        self._made_at = self._common.clock.real()

    def set_back(self, seconds: float) -> None:
        """Count from a start of the clock that is so many seconds later."""
        self._made_at -= seconds

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let the transport go at once: asyncio's refers to itself, and would wait for a collector.

        Ten thousand clients that leave together leave 10 MB otherwise, for minutes.
        """
        transport: Any = self.transport
        super().connection_lost(exc)
        if hasattr(transport, "_read_ready_cb"):
            transport._read_ready_cb = None  # noqa: SLF001 -- it has no other end
        self._cut_parked()
        unsent = self.take_unsent()
        if unsent is not None:
            unsent[1].close()

    def data_received(self, data: bytes) -> None:
        """Stamp the requests that these bytes complete the headers of."""
        arrived = self._common.clock.now() if data else None  # none: its parser is to go on
        before = self._request_count
        waiter, self._waiter = self._waiter, None  # whom aiohttp would wake with any request
        super().data_received(data)
        self._waiter = waiter
        count = self._request_count - before
        if not count:
            return
        if arrived is None:
            arrived = self._common.clock.now()
        idle = waiter is not None and not waiter.done()
        if idle and count == 1 and self._is_everyday():
            self._aside, self._waiter = waiter, None
            self._arrived = arrived
            self._common.rounds.add(self)
            return
        self._arrivals = [*(self._arrivals or ()), *(arrived,) * count]
        self._forget_what_broke()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        elif self._current_request is not None:
            self._end_broken_body(self._current_request)

    def _forget_what_broke(self) -> None:
        """Let bytes that are no HTTP go: their error refers to the frame that holds both.

        Half a thousand endless headers would leave 60 MB to the collector otherwise.
        """
        message = self._messages[-1][0]
        if not isinstance(message, RawRequestMessage):
            message.exc.__traceback__ = None

    def _is_everyday(self) -> bool:
        """Say whether the request that has come is whole, and nothing about it is out of the way.

        Whether its client expects to be told to go on does not matter: it has gone on.
        """
        message, payload = self._messages[0]
        return (
            self._common.answering.at_once
            and isinstance(message, RawRequestMessage)
            and message.method in _EVERYDAY
            and not message.should_close
            and not message.upgrade
            and payload.is_eof()
            and message.path.startswith("/")
            and not message.path.startswith(self._common.routed)
            and not self._paused
        )

    def answer(self) -> None:
        """Begin the request that has come, or go on with it; mostly that is all.

        What aiohttp must still send is left for its task.
        """
        if self._force_close:
            return
        request, answer = self._parked or self._begin()
        self._parked = None
        try:
            waits_for = answer.send(None)
        except StopIteration as end:
            if end.value is SENT:
                self._end_request()
            else:
                self._unsent = request, _given(end.value)
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 -- aiohttp deals with it
            self._unsent = request, _given(exc)
        else:
            self._parked = request, answer
            self._wake_after(waits_for)

    def _begin(self) -> _Answer:
        message, payload = self._messages[0]
        writer = StreamWriter(self, self._loop)
        request: Any = self._common.make_request(message, payload, self, writer, self._task_handler)
        return request, self._common.answering.handle(request)

    def _wake_after(self, waits_for: Any) -> None:
        """Go on once what was yielded is done, as asyncio's tasks do."""
        if waits_for is None:  # only for others to have a turn
            self._loop.call_soon(self._wake)
        else:
            waits_for._asyncio_future_blocking = False  # noqa: SLF001 -- so one says that one waits
            waits_for.add_done_callback(self._wake)

    def _wake(self, _: object = None) -> None:
        if self._parked is not None:
            self._common.rounds.add(self)

    def _cut_parked(self) -> None:
        """Let what waits know that it waits in vain."""
        parked, self._parked = self._parked, None
        if parked is not None:
            with suppress(asyncio.CancelledError, StopIteration):
                parked[1].throw(asyncio.CancelledError())

    def _end_request(self) -> None:
        """Do what aiohttp's task does after an answer."""
        parser, server = self._parser, self._manager
        assert parser is not None and server is not None  # noqa: S101, PT018 -- it is connected
        self._messages.popleft()
        parser.message_consumed()
        server.requests_count += 1
        ends = self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:  # it fell due while the answer was made
            self._keepalive_handle = self._loop.call_at(ends, self._process_keepalive)

    def write_out(self) -> None:
        """Write the answer, and let aiohttp's task go on with what is left to do."""
        self.flush()
        if self._parked is not None and not self._force_close:
            return
        waiter, self._aside = self._aside, None
        assert waiter is not None  # noqa: S101 -- it was put aside for this request
        self._waiter = waiter
        if self._force_close:
            waiter.cancel()
        elif self._close and self._unsent is None:
            self.force_close()  # after what is written, and before what was sent behind it
        elif self._messages and not waiter.done():
            waiter.set_result(None)

    def flush(self) -> None:
        """Write what was handed over, now."""
        data, self._out = self._out, b""
        if data and self.transport is not None:
            self.transport.write(data)

    @property
    def unsent(self) -> _Answer | None:
        """What aiohttp's task is to send: the request, and what gives its response."""
        return self._unsent

    def take_unsent(self) -> _Answer | None:
        """Return what aiohttp's task is to send, once."""
        unsent, self._unsent = self._unsent, None
        return unsent

    def cut_call(self) -> None:
        """End the call that is under way, and the connection: it gets no answer."""
        if self._parked is not None:
            self._cut_parked()
            self.force_close()
        elif self._task_handler is not None:
            self._task_handler.cancel()

    def _handle_request(  # pyright: ignore[reportIncompatibleMethodOverride]  # called alike
        self,
        request: web.BaseRequest,
        start_time: float | None,
        request_handler: _Handler,
    ) -> Coroutine[Any, Any, tuple[web.StreamResponse, bool]]:
        """Answer a request in aiohttp's task; one that others were sent behind takes its turn."""
        if self._unsent is None:
            self._arrived = self._arrivals.pop(0) if self._arrivals else None
            if self._messages:
                return self._handle_in_turn(request, start_time, request_handler)
        return super()._handle_request(request, start_time, request_handler)

    async def _handle_in_turn(
        self, request: web.BaseRequest, start_time: float | None, request_handler: _Handler
    ) -> tuple[web.StreamResponse, bool]:
        await self._common.turns.take()
        return await super()._handle_request(request, start_time, request_handler)

    def _end_broken_body(self, current: web.BaseRequest) -> None:
        """Let the reader of a body know that the parser has given it up; aiohttp lets it wait."""
        message = self._messages[-1][0]
        if current.content.is_eof() or isinstance(message, RawRequestMessage):
            return
        self._messages.pop()
        current.content.set_exception(web.RequestPayloadError(str(message.exc)))
        self.close()

    def log_exception(self, *args: Any, **kwargs: Any) -> None:
        """Log what is not the client's doing; broken bytes are, and a token may be among them."""
        if isinstance(kwargs.get("exc_info"), (HttpProcessingError, web.RequestPayloadError)):
            self.logger.info("%s has sent what is no HTTP; it was refused", self._peer)
        else:
            super().log_exception(*args, **kwargs)

    def end_if_idle(self) -> None:
        """End the connection where no request has come that is not answered yet.

        aiohttp's task waits then; elsewhere it may hold a request that nothing else tells of.
        """
        if self._waiter is not None and not self._waiter.done():
            self.force_close()

    def hand_over(self, data: bytes) -> bool:
        """Write a whole answer; return whether the client reads too slowly to go on.

        Raises:
            ConnectionError: the client is gone.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if self._aside is None:
            transport.write(data)
            return self._paused
        self._out = data
        return False

    async def drained(self) -> None:
        """Wait until the client has read enough of what was written.

        Raises:
            ConnectionError: the client is gone.
        """
        await self._drain_helper()

    def stamped(self, request: web.Request) -> Origin:
        """Return when the bytes of the request that is handled now came, from where, its headers.

        Those of the last few kinds of request are remembered, so that a journal keeps them once;
        the secrets among them are forgotten with the connection.
        """
        raw = request.raw_headers
        kept = self._first[1] if raw == self._first[0] else self._recall(request, raw)
        return Origin(self._arrived, self._made_at, self._number, self._peer, *kept)

    def _recall(self, request: web.Request, raw: Raw) -> Kept:
        kept = None if self._others is None else self._others.get(raw)
        if kept is not None:
            return kept
        size_bytes = size_of(raw)
        if size_bytes > _SHORT_BYTES:
            if size_bytes > _LARGE_BYTES:
                self.close()  # once the answer is sent
                return {}, 0
            return without_secrets(request.headers), size_bytes
        kept = self._common.shown(request), size_bytes
        if not self._first[0]:
            self._first = raw, kept
        elif self._others is None or len(self._others) >= _HEADERS_KEPT:
            self._others = {raw: kept}
        else:
            self._others[raw] = kept
        return kept


class Shown:
    """Headers without secrets, once for all connections that send the same."""

    def __init__(self) -> None:
        self._known: dict[Raw, Mapping[str, str]] = {}

    def __call__(self, request: web.Request) -> Mapping[str, str]:
        """Return the headers of a request."""
        raw = tuple([pair for pair in request.raw_headers if pair[0].lower() not in _SECRET_BYTES])
        shown = self._known.get(raw)
        if shown is None:
            if len(self._known) >= _SHOWN_KEPT:
                self._known.clear()
            shown = self._known[raw] = without_secrets(request.headers)
        return shown
