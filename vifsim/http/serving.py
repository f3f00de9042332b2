"""How a simulator is served: a server of our own connections, and a runner that ends in time.

The house rule: aiohttp's application takes no part; only who serves a simulator himself has one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from aiohttp import HttpVersion11, web
from yarl import URL

from vifsim.http.codec import MAX_BODY_BYTES
from vifsim.http.connection import Common, Rounds, Shown, StampedConnection
from vifsim.http.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp.web_protocol import RequestHandler

    from vifsim.clock import Clock
    from vifsim.http.connection import Answering

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_SHOWN = Shown()
"""One for all servers of the process: the clients of one test send what those of others do."""

_SHUTDOWN = 0.05
"""Seconds that idle connections get to end; aiohttp takes 0 for "no limit"."""


class StampingServer(web.Server):
    """Makes stamped connections."""

    def __init__(self, handler: _Handler, common: Common) -> None:
        def make_request(*arguments: Any) -> web.BaseRequest:
            """Return a request: a new one, or the one that is answered and not sent."""
            unsent = arguments[2].unsent
            return common.make_request(*arguments) if unsent is None else unsent[0]

        super().__init__(
            cast("Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]", handler),
            request_factory=make_request,
            handler_cancellation=True,
            access_log=None,
        )
        self._common = common
        self._numbers: Iterator[int] = count(1)

    def end_idle(self) -> None:
        """End all connections that wait for a request."""
        for connection in self.connections:
            if isinstance(connection, StampedConnection):
                connection.end_if_idle()

    def set_back(self, seconds: float) -> None:
        """Count the times of open connections from a start that is so many seconds later."""
        for connection in self.connections:
            if isinstance(connection, StampedConnection):
                connection.set_back(seconds)

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


class Life(NamedTuple):
    """What is to be done before a simulator is served, and after.

    `let_go` ends what would go on for ever; `end` is only done where `begin` was.
    """

    begin: Callable[[], Awaitable[None]]
    let_go: Callable[[], Awaitable[None]]
    end: Callable[[], Awaitable[None]]


class Runner(web.BaseRunner):
    """Serves a simulator over stamped connections.

    Args:
        clock: that stamps.
        answering: what answers whatever is not under `routed`.
        routed: how paths begin that `router` answers.
        router: answers them.
        life: what is done before and after.
    """

    def __init__(
        self, clock: Clock, answering: Answering, *, routed: str, router: _Handler, life: Life
    ) -> None:
        super().__init__(shutdown_timeout=_SHUTDOWN)
        self._clock = clock
        self._answering = answering
        self._routed = routed
        self._router = router
        self._life = life
        self._begun = False

    async def _make_server(self) -> web.Server:
        await self._life.begin()
        self._begun = True
        make_request = partial(
            web.Request, loop=asyncio.get_running_loop(), client_max_size=MAX_BODY_BYTES
        )
        common = Common(
            rounds=Rounds(asyncio.get_running_loop()),
            turns=Turns(asyncio.get_running_loop()),
            clock=self._clock,
            answering=self._answering,
            make_request=make_request,
            routed=self._routed,
            shown=_SHOWN,
        )
        return StampingServer(self._handle, common)

    def _handle(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        unsent = cast("StampedConnection", request.protocol).take_unsent()
        if unsent is not None:
            return unsent[1]
        return self._expecting(request) if "Expect" in request.headers else self._answer(request)

    async def _expecting(self, request: web.Request) -> web.StreamResponse:
        await expect(request)
        return await self._answer(request)

    def _answer(self, request: web.Request) -> Awaitable[web.StreamResponse]:
        if request.rel_url.raw_path.startswith(self._routed):
            return self._router(request)
        return self._answering.handle(request)

    async def shutdown(self) -> None:
        """End what would go on for ever."""
        await self._life.let_go()

    async def _cleanup_server(self) -> None:
        if self._begun:
            self._begun = False
            await self._life.end()
