"""Turns for requests that a client sends ahead of its answers.

From CPython 3.12 on aiohttp answers all that a connection has sent ahead before anything else gets
a turn: seconds, where the client sends thousands.

The house rule: whoever sends one request at a time never waits here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Turns:
    """Gives one request a turn in each turn of the loop, first come, first served."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Wait for a turn; who is cancelled meanwhile takes none."""
        turn = self._loop.create_future()
        if not self._waiting:
            self._loop.call_soon(self._give)
        self._waiting.append(turn)
        await turn

    def _give(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                break
        if self._waiting:
            self._loop.call_soon(self._give)
