"""The calls that the console makes beyond the rest of the control API, and `rewind`.

The house rule: as of `control`: it hands on what is asked, and knows no simulator.

Source: control API, section 2 (docs/control-api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from vifsim.errors import ControlFault
from vifsim.http.asking import read_json
from vifsim.http.problem import answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vifsim.http.needs import Rewinder, Watched

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Console:
    """The handlers of what the console asks.

    Args:
        rewinder: the simulator.
        watched: what is shown of it.
    """

    def __init__(self, rewinder: Rewinder, watched: Watched) -> None:
        self._rewinder = rewinder
        self._watched = watched

    def table(self) -> dict[str, dict[str, Handler]]:
        """Return the handler of each path, relative to the prefix, and method."""
        return {
            "/rewind": {"POST": self.post_rewind},
            "/moments/{before}": {"GET": self.get_moment},
            "/timeline": {"GET": self.get_timeline},
            "/clients": {"GET": self.get_clients},
            "/scenarios": {"GET": self.get_scenarios},
        }

    async def post_rewind(self, request: web.Request) -> web.Response:
        """Answer POST `rewind`."""
        body = await read_json(request, {"before"})
        before = body.get("before")
        if not isinstance(before, int) or isinstance(before, bool):
            raise ControlFault(400, "before is missing: the seq of a journal entry")
        await self._rewinder.rewind(before)
        return web.Response(status=204)

    async def get_moment(self, request: web.Request) -> web.Response:
        """Answer GET `moments/{before}`."""
        text = request.path.rpartition("/")[2]
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise ControlFault(404, f"no entry {text}")
        return answer(await self._rewinder.export_moment(int(text)))

    async def get_timeline(self, _: web.Request) -> web.Response:
        """Answer GET `timeline`."""
        return answer(self._watched.timeline())

    async def get_clients(self, _: web.Request) -> web.Response:
        """Answer GET `clients`."""
        return answer(self._watched.clients())

    async def get_scenarios(self, _: web.Request) -> web.Response:
        """Answer GET `scenarios`."""
        return answer(self._watched.shipped())
