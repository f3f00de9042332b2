"""How the app is served: a server of our own connections, and a runner that ends in time.

The house rule: aiohttp's router is asked about the control API alone.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, cast

from aiohttp import HttpVersion11, web
from yarl import URL

from vifsim.http.connection import Common, Shown, StampedConnection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterator

    from aiohttp.web_protocol import RequestHandler

    from vifsim.clock import Clock
    from vifsim.http.connection import Answering

_SHUTDOWN = 0.05
"""Seconds that idle connections get to end; aiohttp takes 0 for "no limit"."""


class StampingServer(web.Server):
    """Makes stamped connections."""

    def __init__(self, base: web.Server, common: Common) -> None:
        def make_request(*arguments: Any) -> web.BaseRequest:
            """Return the request that a task is to answer: the one that was begun, or new."""
            begun = arguments[2].begun
            return common.make_request(*arguments) if begun is None else begun.request

        super().__init__(
            base.request_handler,
            request_factory=make_request,
            handler_cancellation=True,
            **base._kwargs,  # noqa: SLF001 -- aiohttp names no other way to make connections of one's own
        )
        self._common = common
        self._numbers: Iterator[int] = count(1)

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
            common=self._common,
            number=next(self._numbers),
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

    What is not under `routed` goes straight to `answering`: aiohttp's router would look at it
    first, only to find that it has one route for everything.
    """

    def __init__(
        self, app: web.Application, clock: Clock, answering: Answering, *, routed: str
    ) -> None:
        super().__init__(
            app,
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=_SHUTDOWN,
        )
        self._clock = clock
        self._answering = answering
        self._routed = routed

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        router, answering, routed = server.request_handler, self._answering, self._routed

        def handle(request: web.Request) -> Awaitable[web.StreamResponse]:
            begun = cast("StampedConnection", request.protocol).take_begun()
            if begun is not None:
                return begun
            if request.rel_url.raw_path.startswith(routed):
                return router(request)
            return expecting(request) if "Expect" in request.headers else answering.handle(request)

        async def expecting(request: web.Request) -> web.StreamResponse:
            await expect(request)
            return await answering.handle(request)

        server.request_handler = cast(
            "Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]", handle
        )  # made by the app
        common = Common(
            clock=self._clock,
            answering=answering,
            make_request=server.request_factory,
            routed=routed,
            shown=Shown(),
        )
        return StampingServer(server, common)
