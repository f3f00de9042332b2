"""The door on the network: a port that is taken at once, or when somebody first asks where it is.

The house rule: nothing is served here; a runner does that.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections import deque
from typing import TYPE_CHECKING

from aiohttp import web

from vifsim.errors import UsageError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from vifsim.clock import Clock
    from vifsim.http.serving import Runner

_BACKLOG = 4096
"""Connections that may wait to be accepted: a burst of thousands is refused otherwise."""

_LOOPBACK = "127.0.0.1"

_LEFT = 4
"""Ports that were left and are still watched: a client that goes on does so soon."""

_TURNS = 4
"""Turns of the loop from a connection that is accepted to a server that knows of it."""


class Listener:
    """Where a runner listens.

    A free port of the loopback address cannot be refused, so it is taken when `url` is first read:
    a client in the same process may come by `connector()` and need none.

    Args:
        host: to listen on.
        port: to listen on; 0: a free one.
        shared: whether other processes may listen on the same port.
        context: with which https is spoken, if it is.
    """

    def __init__(
        self,
        host: str,
        port: int,
        shared: bool,  # noqa: FBT001 -- a place is host, port and this
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._host, self._port, self._shared, self._context = host, port, shared, context
        self._lock = threading.Lock()
        self._runner: Runner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._taken: socket.socket | None = None
        self._site: web.SockSite | None = None
        self._starting: asyncio.Task[None] | None = None
        self._left: deque[asyncio.Server] = deque()
        self._late: set[asyncio.BaseTransport] = set()
        self.known_url = ""

    async def open(self, runner: Runner, loop: asyncio.AbstractEventLoop) -> None:
        """Listen, where that cannot wait.

        Raises:
            UsageError: the address cannot be listened on.
        """
        self._runner, self._loop = runner, loop
        if self._port == 0 and self._host == _LOOPBACK and not self._shared:
            return
        site = web.TCPSite(
            runner,
            self._host,
            self._port,
            backlog=_BACKLOG,
            ssl_context=self._context,
            reuse_port=self._shared or None,
        )
        try:
            await site.start()
        except OSError as exc:
            raise self._refused(exc) from exc
        self.known_url = self._url_of(runner.addresses[0])

    def url(self) -> str:
        """Return where the runner is, which can be reached from now on; from any thread.

        It is empty before `open`, and what it was after `close`.

        Raises:
            UsageError: no port can be had.
        """
        with self._lock:
            if not self.known_url and self._loop is not None:
                try:
                    self._taken = socket.create_server((_LOOPBACK, 0), backlog=_BACKLOG)
                except OSError as exc:
                    raise self._refused(exc) from exc
                self.known_url = self._url_of(self._taken.getsockname())
                self._loop.call_soon_threadsafe(self._serve)
        return self.known_url

    def _serve(self) -> None:
        """Accept what comes, and what has come since the port was taken."""
        if self._taken is not None and self._runner is not None and self._loop is not None:
            self._site = web.SockSite(
                self._runner, self._taken, ssl_context=self._context, backlog=_BACKLOG
            )
            self._starting = self._loop.create_task(self._site.start())

    async def move(self, note: Callable[[str], None]) -> bool:
        """Leave a port that was free for another one, which is taken when `url` is read again.

        Args:
            note: told what each client asks for that comes to the port which was left.

        Returns:
            Whether there was such a port.
        """
        with self._lock:
            taken, starting, site = self._taken, self._starting, self._site
            if taken is None or starting is None or site is None or self._loop is None:
                return False
            loop = self._loop
            self._taken = self._starting = self._site = None
            self.known_url = ""
        await starting
        left = taken.dup()
        await site.stop()
        self._left.append(await loop.create_server(lambda: _Late(note, self._late), sock=left))
        if len(self._left) > _LEFT:
            self._left.popleft().close()
        return True

    async def close(self, clock: Clock) -> None:
        """Take no port and accept nothing any more; what was accepted is the runner's to end.

        An asyncio server that is closed just after it has accepted a connection never closes that
        connection (CPython 3.11), so it gets the turns that it needs to know of it.
        """
        with self._lock:
            loop, self._loop = self._loop, None
        while self._left:
            self._left.pop().close()
        for transport in list(self._late):
            transport.close()
        if self._starting is not None:
            await self._starting
            if loop is not None and self._taken is not None:
                loop.remove_reader(self._taken)
        elif self._taken is not None:
            self._taken.close()
        if self._runner is not None and self._runner.sites:
            for _ in range(_TURNS):
                await clock.pause(0)

    def _url_of(self, address: tuple[str, int]) -> str:
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"http{'' if self._context is None else 's'}://{host}:{address[1]}"

    def _refused(self, exc: OSError) -> UsageError:
        return UsageError(f"cannot listen on {self._host}:{self._port}: {why(exc)}")


class _Late(asyncio.Protocol):
    """A client that comes to a port which was left: what it asks is noted, and it is cut."""

    def __init__(self, note: Callable[[str], None], there: set[asyncio.BaseTransport]) -> None:
        self._note = note
        self._there = there
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for what it asks."""
        self._transport = transport
        self._there.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's interface
        """Forget it."""
        if self._transport is not None:
            self._there.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        """Note the method and the path, or else that something came."""
        line = data.partition(b"\r\n")[0].decode("latin-1")
        self._note(" ".join(line.split()[:2]) if line.isprintable() else "something encrypted")
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.abort()


def why(exc: OSError) -> str:
    """Return why nothing can listen at an address, and what would help."""
    if isinstance(exc, socket.gaierror):
        return "there is no such host (--host takes an address of this machine)"
    text = os.strerror(exc.errno) if exc.errno else str(exc)
    if exc.errno == errno.EADDRNOTAVAIL:
        return f"{text} (--host takes an address of this machine)"
    return f"{text} (--port 0 takes a free one)"
