"""How the app is served: connections that stamp their arrivals, and a runner that ends in time.

The house rule: an arrival is stamped when its bytes come, before anything is parsed, so that time
spent in queues counts as part of a delay and not on top of it.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- a field of a tuple
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from yarl import URL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable, Iterator

    from multidict import CIMultiDictProxy

    from vifsim.clock import Clock

    Raw = tuple[tuple[bytes, bytes], ...]
    Kept = tuple[Mapping[str, str], int]
    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_SECRET = ("X-Auth-Token", "X-Subject-Token", "Authorization", "Proxy-Authorization", "Cookie")
_SECRET_BYTES = frozenset(name.lower().encode() for name in _SECRET)
_HEADERS_KEPT = 8
_SHOWN_KEPT = 256
_SHORT_BYTES = 4096
"""Headers up to this size are remembered by their connection: longer ones are no habit."""

_SHUTDOWN = 0.05
"""Seconds that idle connections get to end; aiohttp takes 0 for "no limit"."""

_LARGE_BYTES = 65_536
"""Headers above this size are not kept, and end their connection: aiohttp keeps a connection's last
ones, and they may be a megabyte."""


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
    return sum(120 + len(name) + len(value) for name, value in raw)


class StampedConnection(RequestHandler):
    """A connection that knows its number, its peer, and when it and each request's bytes came."""

    __slots__ = (
        "_arrivals",
        "_clock",
        "_first",
        "_made_at",
        "_number",
        "_others",
        "_peer",
        "_shown",
    )

    def __init__(
        self, manager: web.Server, *, clock: Clock, number: int, shown: _Shown, **kwargs: Any
    ) -> None:
        super().__init__(manager, **kwargs)
        self._clock = clock
        self._number = number
        self._peer = ""
        self._made_at = 0.0
        self._arrivals: list[float] = []  # mostly of one, where a deque takes ten times the room
        self._shown = shown
        self._first: tuple[Raw, Kept] = (), ({}, 0)  # most connections send no other
        self._others: dict[Raw, Kept] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the peer and the moment."""
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        self._peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or "")
        self._made_at = self._clock.real()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let the transport go at once: asyncio's refers to itself, and would wait for a collector.

        Ten thousand clients that leave together leave 10 MB otherwise, for minutes.
        """
        transport: Any = self.transport
        super().connection_lost(exc)
        if hasattr(transport, "_read_ready_cb"):
            transport._read_ready_cb = None  # noqa: SLF001 -- it has no other end

    def data_received(self, data: bytes) -> None:
        """Stamp the requests that these bytes complete the headers of."""
        arrived = self._clock.now()
        before = self._request_count
        super().data_received(data)
        count = self._request_count - before
        if count:
            self._arrivals.extend((arrived,) * count)
            if self._current_request is not None:
                self._end_broken_body(self._current_request)

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
        if isinstance(kwargs.get("exc_info"), HttpProcessingError):
            self.logger.info("%s has sent what is no HTTP; it was refused", self._peer)
        else:
            super().log_exception(*args, **kwargs)

    def end_if_idle(self) -> None:
        """End the connection where no request has come that is not answered yet."""
        if self._current_request is None and not self._messages:
            self.force_close()

    def hand_over(self, data: bytes) -> bool:
        """Write a whole answer; return whether the client reads too slowly to go on.

        Raises:
            ConnectionError: the client is gone.
        """
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(data)
        return self._paused

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
        arrived = self._arrivals.pop(0) if self._arrivals else None
        raw = request.raw_headers
        kept = self._first[1] if raw == self._first[0] else self._recall(request, raw)
        return Origin(arrived, self._made_at, self._number, self._peer, *kept)

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
        kept = self._shown(request), size_bytes
        if not self._first[0]:
            self._first = raw, kept
        elif self._others is None or len(self._others) >= _HEADERS_KEPT:
            self._others = {raw: kept}
        else:
            self._others[raw] = kept
        return kept


class _Shown:
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


class StampingServer(web.Server):
    """Makes stamped connections."""

    def __init__(self, base: web.Server, clock: Clock) -> None:
        super().__init__(
            base.request_handler,
            request_factory=base.request_factory,
            handler_cancellation=True,
            **base._kwargs,  # noqa: SLF001 -- aiohttp names no other way to make connections of one's own
        )
        self._clock = clock
        self._numbers: Iterator[int] = count(1)
        self._shown = _Shown()

    def end_idle(self) -> None:
        """End all connections that wait for a request."""
        for connection in self.connections:
            if isinstance(connection, StampedConnection):
                connection.end_if_idle()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 -- aiohttp's interface
        """End all connections; those over TLS would go on until their client says farewell."""
        transports = list(self._connections.values())
        await super().shutdown(timeout)
        for transport in transports:
            if transport.get_extra_info("sslcontext") is not None:
                transport.abort()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which connections live."""
        return self._loop

    def __call__(self) -> RequestHandler:
        """Return the protocol of a new connection."""
        return StampedConnection(
            self,
            clock=self._clock,
            number=next(self._numbers),
            shown=self._shown,
            loop=self._loop,
            **self._kwargs,
        )


class Everything(web.Resource):
    """What answers on every path that no other resource takes, `*` and `//` too.

    aiohttp's own catch-all pattern does not match those, and costs a regular expression a request.
    """

    @property
    def canonical(self) -> str:
        """Where the resource stands in the router's index."""
        return "/"

    def add_prefix(self, prefix: str) -> None:
        """Refuse to stand elsewhere.

        Raises:
            NotImplementedError: always; links and the control API are at the root.
        """
        raise NotImplementedError(prefix)

    def get_info(self) -> Any:
        """Return what aiohttp shows of a resource."""
        return {"path": "/"}

    def raw_match(self, path: str) -> bool:  # noqa: ARG002 -- aiohttp's interface
        """Return whether a new route at `path` belongs to this resource."""
        return False

    def url_for(self, **_: str) -> URL:
        """Return the root."""
        return URL("/")

    def _match(self, path: str) -> dict[str, str]:  # noqa: ARG002 -- aiohttp's interface
        return {}


async def expect(request: web.Request) -> None:
    """Let a client that waits for it go on; any other expectation is ignored."""
    waits = request.headers.get("Expect", "").lower() == "100-continue"
    if waits and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


class Runner(web.AppRunner):
    """Serves an application over stamped connections.

    What is not under `routed` goes straight to `handler`: aiohttp's router would look at it first,
    only to find that it has one route for everything.
    """

    def __init__(
        self, app: web.Application, clock: Clock, handler: Handler, *, routed: str
    ) -> None:
        super().__init__(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN,
        )
        self._clock = clock
        self._handler = handler
        self._routed = routed

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        router, handler, routed = server.request_handler, self._handler, self._routed

        def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
            if request.rel_url.raw_path.startswith(routed):
                return router(request)
            return expecting(request) if "Expect" in request.headers else handler(request)

        async def expecting(request: web.Request) -> web.StreamResponse:
            await expect(request)
            return await handler(request)

        server.request_handler = cast(
            "Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]", handle
        )  # made by the app
        return StampingServer(server, self._clock)
