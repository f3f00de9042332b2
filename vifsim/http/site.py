"""Where a cloud is reached: its port, its certificate, and the server behind both.

The house rule: what is open is closed here, whatever failed in between; nothing is answered here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vifsim.errors import UsageError
from vifsim.http.access import PREFIX
from vifsim.http.listener import Listener
from vifsim.http.serving import Runner, StampingServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from vifsim.clock import Clock
    from vifsim.connector import MemoryConnector
    from vifsim.http.edge import Edge
    from vifsim.http.serving import Life
    from vifsim.http.tls import Authority

    Router = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """What listens for an edge.

    Args:
        edge: that answers.
        clock: whose real seconds count.
        place: host, port, and whether other processes may listen there too.
        tls: whether to serve https with a throw-away certificate.
    """

    def __init__(
        self, edge: Edge, clock: Clock, place: tuple[str, int, bool], *, tls: bool
    ) -> None:
        self._edge = edge
        self._clock = clock
        self._place, self._tls = place, tls
        self._listener = Listener(*place)
        self._authority: Authority | None = None
        self._runner: Runner | None = None

    async def open(self, router: Router, life: Life) -> None:
        """Begin what is served, and listen.

        Args:
            router: that answers what is not the edge's.
            life: what begins and ends with the site.

        Raises:
            UsageError: the address cannot be listened on, or what is served does not begin.
        """
        context = None
        if self._tls:
            from vifsim.http.tls import Authority  # noqa: PLC0415 -- only with TLS

            self._authority = Authority()
            context = self._authority.context
        runner = Runner(self._clock, self._edge, routed=PREFIX, router=router, life=life)
        self._listener = Listener(*self._place, context)
        try:
            await runner.setup()
            await self._listener.open(runner, asyncio.get_running_loop())
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self._edge.ending = False

    async def close(self) -> None:
        """Cut parked calls, stop listening and end what is served."""
        runner, self._runner = self._runner, None
        if runner is not None:
            self._edge.cut_calls()
            await self._listener.close(self._clock)
            await runner.cleanup()
        if self._authority is not None:
            self._authority.close()
            self._authority = None

    async def move(self, note: Callable[[str], None]) -> None:
        """Leave a free port for another one, and end the connections to it; see `Listener.move`."""
        moved = await self._listener.move(note)
        if moved and self._runner is not None and isinstance(self._runner.server, StampingServer):
            self._runner.server.end_idle()

    def set_back(self, seconds: float) -> None:
        """Let open connections know that the clock begins again, which is so many seconds later."""
        if self._runner is not None and isinstance(self._runner.server, StampingServer):
            self._runner.server.set_back(seconds)

    async def drain(self, seconds: float) -> None:
        """Take no new call, and let those under way end, for so long at most."""
        if self._runner is not None:
            await self._listener.close(self._clock)
            for site in list(self._runner.sites):
                await site.stop()
            self._edge.ending = True
            if isinstance(self._runner.server, StampingServer):
                self._runner.server.end_idle()
            due = self._clock.real() + seconds
            while self._edge.under_way and self._clock.real() < due:
                await self._clock.pause()

    @property
    def url(self) -> str:
        """Where the site is, without a slash at the end; reading it may take a port."""
        return self._listener.url()

    @property
    def known_url(self) -> str:
        """The same where a port is taken, else empty."""
        return self._listener.known_url

    @property
    def ca_file(self) -> str | None:
        """Path of the certificate that clients must trust, None without TLS."""
        return None if self._authority is None else self._authority.ca_file

    def connector(self) -> MemoryConnector:
        """Return an aiohttp connector that leads here without a port.

        Raises:
            UsageError: the site is not open.
        """
        from vifsim.connector import MemoryConnector  # noqa: PLC0415 -- only who asks needs it

        server = None if self._runner is None else self._runner.server
        if not isinstance(server, StampingServer):
            raise UsageError("the simulator does not run: start it before you connect")
        return MemoryConnector(server, server.loop)
