"""A way to a cloud without a port: client and server joined by two transports in memory.

What one side writes is handed to the other on the other's loop, in order, so that keep-alive,
chunks, time-outs and a client that leaves are what they are over a socket. A RST arrives as a
`ConnectionResetError`, a FIN as the end of the stream.

The house rule: no byte is looked at here.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.client_proto import ResponseHandler

_HIGH_WATER = 64 * 1024
"""Bytes that may wait for a side that has paused before the other is told to pause too."""


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory.

    Args:
        loop: of the protocol at this end.
        peername: what the other side is called here.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, peername: tuple[str, int]) -> None:
        super().__init__({"peername": peername})
        self._loop = loop
        self._soon = loop.call_soon_threadsafe
        self._protocol: asyncio.BaseProtocol | None = None
        self._peer: MemoryTransport | None = None
        self._closing = False
        self._reading = True
        self._waiting: list[bytes] = []
        self._size = 0
        self._full = False
        self._ended: list[Exception | None] = []

    def join(self, peer: MemoryTransport, protocol: asyncio.BaseProtocol) -> None:
        """Connect this end with the other one and with its protocol."""
        self._peer = peer
        self._protocol = protocol
        if peer._loop is self._loop:
            self._soon = self._loop.call_soon  # which, unlike the other, need not wake anybody

    # ── what this end does ──

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand bytes to the other end."""
        if self._peer is not None and not self._closing:
            self._peer.soon(partial(self._peer.take, bytes(data)))

    def close(self) -> None:
        """End the connection: the other end reads what was sent, and then the end."""
        self._end(None)

    def abort(self) -> None:
        """End the connection at once: the other end is reset."""
        self._end(ConnectionResetError("Connection reset by peer"))

    def _end(self, told: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._loop.call_soon(self._lose, None)
        if self._peer is not None:
            self._peer.soon(partial(self._peer.lose, told))

    def is_closing(self) -> bool:
        """Whether the connection has ended or is about to."""
        return self._closing

    def pause_reading(self) -> None:
        """Let bytes wait."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take what waits, and go on."""
        if self._reading:
            return
        self._reading = True
        waiting, self._waiting = self._waiting, []
        self._size = 0
        for data in waiting:
            self.take(data)
        if self._full and self._peer is not None:
            self._full = False
            self._peer.soon(self._peer.may_write)
        for told in self._ended:
            self.lose(told)

    def is_reading(self) -> bool:
        """Whether bytes are taken as they come."""
        return self._reading

    def get_write_buffer_size(self) -> int:
        """Return how many bytes wait for the other end."""
        return 0 if self._peer is None else self._peer._size  # noqa: SLF001 -- the other half

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: the limit is fixed."""

    def can_write_eof(self) -> bool:
        """Say that one direction cannot end alone."""
        return False

    # ── what the other end does here, on this end's loop ──

    def soon(self, act: Callable[[], None]) -> None:
        """Let something happen here, on this end's loop."""
        if not self._loop.is_closed():
            self._soon(act)

    def take(self, data: bytes) -> None:
        """Take bytes from the other end."""
        if self._closing:
            return
        if not self._reading:
            self._waiting.append(data)
            self._size += len(data)
            if self._size > _HIGH_WATER and not self._full and self._peer is not None:
                self._full = True
                self._peer.soon(self._peer.must_wait)
            return
        cast("asyncio.Protocol", self._protocol).data_received(data)

    def lose(self, told: Exception | None) -> None:
        """Learn that the other end has ended the connection."""
        if not self._reading and self._waiting:
            self._ended = [told]
            return
        if self._closing:
            return
        self._closing = True
        if told is None:
            cast("asyncio.Protocol", self._protocol).eof_received()
        self._lose(told)

    def _lose(self, told: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(told)

    def must_wait(self) -> None:
        """Let the protocol pause: the other end does not read."""
        if self._protocol is not None and not self._closing:
            self._protocol.pause_writing()

    def may_write(self) -> None:
        """Let the protocol go on where it was paused."""
        protocol = self._protocol
        if protocol is not None and getattr(protocol, "writing_paused", False):
            protocol.resume_writing()


class MemoryConnector(aiohttp.BaseConnector):
    """An aiohttp connector whose every connection leads to one cloud, whatever the URL's host.

    Args:
        accept: makes the server's side of a connection, on the server's loop.
        server_loop: that loop.
    """

    allowed_protocol_schema_set = frozenset({"http", "", "ws"})

    def __init__(
        self, accept: Callable[[], asyncio.Protocol], server_loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._accept = accept
        self._server_loop = server_loop
        self._ports = iter(range(1, 1 << 62))

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,  # noqa: ARG002 -- aiohttp's interface
        traces: list[Any],  # noqa: ARG002 -- likewise
        timeout: aiohttp.ClientTimeout,  # noqa: ARG002, ASYNC109 -- likewise
    ) -> ResponseHandler:
        here = asyncio.get_running_loop()
        name = ("memory", next(self._ports))
        ours = MemoryTransport(here, ("memory", 0))
        theirs = MemoryTransport(self._server_loop, name)
        client = self._factory()
        if self._server_loop is here:
            self._accept_here(ours, theirs, client)
        else:
            accepted = self._accept_there(ours, theirs, client)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(accepted, self._server_loop))
        client.connection_made(ours)
        return client

    def _accept_here(
        self, ours: MemoryTransport, theirs: MemoryTransport, client: asyncio.BaseProtocol
    ) -> None:
        """Make the server's side, on its loop."""
        server = self._accept()
        ours.join(theirs, client)
        theirs.join(ours, server)
        server.connection_made(theirs)

    async def _accept_there(
        self, ours: MemoryTransport, theirs: MemoryTransport, client: asyncio.BaseProtocol
    ) -> None:
        self._accept_here(ours, theirs, client)
