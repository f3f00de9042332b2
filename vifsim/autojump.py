"""Time that jumps: while a loop has nothing to do, it goes to its next timer at once.

```
select(timeout) ──► anything to read, write or run? ──yes──► as ever, and time stands
                          │ no
                          ├─ a store at work on its thread?  wait for it, and time stands
                          ├─ an executor at work?            wait for it, and time runs
                          └─ else                            time := the next timer's
```

The house rule: time stands while anything can run, so a slow machine causes no time-out, and moves
only here. Whoever works on another thread says so by `Clock.busy`, or is not known to work.

Source: docs/time.md.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from vifsim.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from selectors import BaseSelector

_TICK = 1e-9
"""Seconds that a turn of the loop takes: a loop over `while time() < due` must come to its end."""

_POLL = 0.05
"""Real seconds after which a wait for a store looks again, should nobody wake the loop."""

_GRACE = 0.0 if sys.platform == "linux" else 0.001
"""Real seconds that bytes get to arrive. Linux hands them over before the sender goes on."""


class Autojump:
    """The time of one loop, which jumps while at least one user of it is there.

    Args:
        loop: asyncio's own; another has no selector to be asked through.

    Raises:
        UsageError: it is another loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        selector = getattr(loop, "_selector", None)
        if selector is None:
            raise UsageError(
                f"time cannot jump on {type(loop).__module__}.{type(loop).__name__} "
                "(run the test on asyncio's own event loop)"
            )
        self.loop = loop
        self._loop = cast("Any", loop)  # parts of it are replaced, which its type does not foresee
        self._selector: BaseSelector = selector
        self._select: Callable[[float | None], list[Any]] = selector.select
        self._run_in_executor: Callable[..., asyncio.Future[Any]] = loop.run_in_executor
        self._now = loop.time()
        self._outside = 0
        self._users: list[Callable[[], bool]] = []

    def time(self) -> float:
        """Return the loop's time, seconds; it never goes back."""
        return self._now

    def enter(self, is_busy: Callable[[], bool]) -> None:
        """Take a user in; with the first one time begins to jump."""
        if not self._users:
            self._now = self._loop.time()
            self._loop.time = self.time
            self._loop.run_in_executor = self._in_executor
            cast("Any", self._selector).select = self._wait
        self._users.append(is_busy)

    def leave(self, is_busy: Callable[[], bool]) -> bool:
        """Return whether that was the last user, with whom the jumping ends."""
        self._users.remove(is_busy)
        if self._users:
            return False
        ahead = self._now - time.monotonic()
        self._loop.time = lambda: time.monotonic() + ahead
        del self._loop.run_in_executor
        del cast("Any", self._selector).select
        return True

    def _in_executor(self, *args: Any) -> asyncio.Future[Any]:
        future = self._run_in_executor(*args)
        self._outside += 1
        future.add_done_callback(self._is_done)
        return future

    def _is_done(self, _: asyncio.Future[Any]) -> None:
        self._outside -= 1

    def _wait(self, timeout: float | None = None) -> list[Any]:
        """Stand in for the selector's `select`."""
        self._now += _TICK
        if timeout is None or timeout <= 0:
            return self._select(timeout)
        events = self._select(0)
        if events:
            return events
        if any(is_busy() for is_busy in self._users):
            return self._select(min(timeout, _POLL))
        if self._outside:
            return self._wait_in_real_time(timeout)
        if events := self._look_again():
            return events
        self._now += timeout
        return events

    def _look_again(self) -> list[Any]:
        """Return what arrives after all: another thread, or the kernel, may be just about to."""
        os.sched_yield()
        return self._select(_GRACE)

    def _wait_in_real_time(self, timeout: float) -> list[Any]:
        """Wait as long as without jumps: the work may itself ask this loop, and wait for it."""
        began = time.monotonic()
        events = self._select(timeout)
        self._now += min(timeout, time.monotonic() - began)
        return events


_jumping: dict[asyncio.AbstractEventLoop, Autojump] = {}
"""The loops whose time jumps now; a loop leaves with its last user, so that none is kept alive."""


def enter(is_busy: Callable[[], bool]) -> Autojump:
    """Let the time of the running loop jump from now on, except while `is_busy()`.

    All that enter on one loop share its time; it jumps until the last of them has left.

    Raises:
        UsageError: the loop is not asyncio's own.
    """
    loop = asyncio.get_running_loop()
    jump = _jumping.get(loop) or Autojump(loop)
    jump.enter(is_busy)
    _jumping[loop] = jump
    return jump


def leave(jump: Autojump, is_busy: Callable[[], bool]) -> None:
    """End what `enter` began; the loop's time goes on from where it stands."""
    if jump.leave(is_busy):
        del _jumping[jump.loop]
