"""Time as a dependency: a clock that runs, runs faster, or stands until it is moved.

The house rule: this is the only module that reads the time or sleeps, but for `autojump`, which
moves a loop's own. Seconds everywhere, counted
from the start of the clock; `utc` and `epoch` alone know the calendar.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from vifsim.errors import ControlFault

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager

Mode = Literal["real", "scaled", "manual", "autojump"]

LONGEST_OFFSET = 30 * 366 * 86400.0
"""Seconds that a clock's date may be ahead: further than that a date cannot be told."""

_SAME_DATE = 1.0
"""Seconds by which two dates may differ and still be the same to a client."""

_SAME_TIME = 0.05
"""Seconds by which the clocks of two processes may differ."""

_SHORTEST = 1e-6
"""Seconds that a timer waits at least."""

_MOMENT = 0.005
_TURNS = 8
"""Turns of the loop that a woken task gets to do what fell due before time moves on."""


class Clock(ABC):
    """Where every layer gets its time from."""

    speed: float = 1.0
    """Simulated seconds in a real second; 0 while the clock stands."""

    @abstractmethod
    def now(self) -> float:
        """Return the seconds since the start, on the simulator's clock; never goes back."""

    @abstractmethod
    def real(self) -> float:
        """Return the seconds since the start as the client's own clock counts them."""

    @abstractmethod
    def epoch(self, at: float | None = None) -> float:
        """Return the simulated UTC time at `at` (default: now), in seconds since the epoch."""

    @abstractmethod
    def wall(self) -> float:
        """Return the date of the client's own clock, in seconds since the epoch."""

    @abstractmethod
    async def sleep_until(self, due: float) -> None:
        """Return when the clock has reached `due`, never before; at once if it has."""

    @abstractmethod
    def busy(self) -> AbstractContextManager[None]:
        """Return a context in which work goes on outside the loop, so that time must not jump."""

    @abstractmethod
    def client_seconds(self, delay: float) -> float:
        """Return how long a delay of this clock is for the client, seconds."""

    @abstractmethod
    async def pause(self, seconds: float = _MOMENT) -> None:
        """Let the loop turn for so long in real time, whatever the clock does."""

    @property
    @abstractmethod
    def is_virtual(self) -> bool:
        """Whether the simulated date is, or runs, away from the client's."""

    def utc(self, at: float | None = None) -> datetime:
        """Return the simulated date and time at `at` (default: now)."""
        return datetime.fromtimestamp(self.epoch(at), UTC)


class SimClock(Clock):
    """A clock that can be steered while it runs: real, scaled or manual, and moved ahead.

    Args:
        mode: "real", "scaled" (`speed` simulated seconds in each real one), "manual" (stands
            until it is moved) or "autojump" (follows a loop whose time jumps, see `follow`).
        speed: only with "scaled".
        steps_itself: with "manual", whether a sleep moves the clock instead of waiting for
            somebody to move it; a caller that waits for its own request could not.
        monotonic: real seconds, from anywhere.
    """

    def __init__(
        self,
        *,
        mode: Mode = "real",
        speed: float = 1.0,
        steps_itself: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self._born = self._anchor = monotonic()
        self._base = 0.0
        self._wall_start = time.time()
        self._steps_itself = steps_itself
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._ranks = count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = math.inf
        self._busy = 0
        self.mode: Mode = mode
        self.speed = _speed(mode, speed)

    def now(self) -> float:
        return self._base + (self._monotonic() - self._anchor) * self.speed

    def real(self) -> float:
        return self._monotonic() - self._born

    def epoch(self, at: float | None = None) -> float:
        return self._wall_start + (self.now() if at is None else at)

    def wall(self) -> float:
        return time.time()

    def client_seconds(self, delay: float) -> float:
        return delay / self.speed if self.speed else delay

    @property
    def is_virtual(self) -> bool:
        return self.mode != "real" or abs(self.offset) > _SAME_DATE

    @contextmanager
    def busy(self) -> Generator[None]:
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1

    def is_busy(self) -> bool:
        """Return whether work goes on outside the loop."""
        return self._busy > 0

    def follow(self, monotonic: Callable[[], float]) -> None:
        """Begin again at 0 seconds, which a loop's own time counts from now on."""
        self._monotonic = monotonic
        self.restart()

    @property
    def offset(self) -> float:
        """Seconds by which the simulated date is ahead of the machine's."""
        return self.epoch() - time.time()

    def shift_to_offset(self, offset: float) -> None:
        """Set the simulated date to `offset` seconds ahead of the machine's; `now` stays."""
        self._wall_start += offset - self.offset

    def restart(self) -> None:
        """Begin again at 0 seconds and at the machine's date; sleepers are not woken."""
        self._base = 0.0
        self._born = self._anchor = self._monotonic()
        self._wall_start = time.time()

    def steer(self, mode: Mode, speed: float = 1.0) -> None:
        """Go on from now in another mode."""
        self._base = self.now()
        self._anchor = self._monotonic()
        self.mode = mode
        self.speed = _speed(mode, speed)
        self._arm()

    def told(self) -> dict[str, Any]:
        """Return where the clock stands, for `take` of another process's clock."""
        return {
            "mode": self.mode,
            "speed": self.speed,
            "now": self.now(),
            "real": self.real(),
            "epoch": self.epoch(),
            "wall": time.time(),
        }

    async def take(self, told: Mapping[str, Any]) -> None:
        """Go on as another process's clock does, by what it has told.

        What falls due on the way ahead is run. Where the other is behind, by more than machines
        may differ, this one goes back: it has begun again.
        """
        speed = _speed(told["mode"], told["speed"])
        passed = max(0.0, time.time() - told["wall"])
        self.steer(told["mode"], told["speed"])
        ahead = told["now"] + passed * speed - self.now()
        if ahead < -_SAME_TIME:
            self._base += ahead
        elif ahead > (_SAME_TIME if speed else 0.0):
            await self.advance(ahead)
        self._wall_start = told["epoch"] - told["now"]
        self._born = self._monotonic() - told["real"] - passed
        self._arm()

    async def advance(self, by: float) -> None:
        """Move the clock ahead by `by` seconds and run everything that falls due on the way.

        Raises:
            ControlFault: 400, `by` is negative; time cannot go backwards.
        """
        if not by >= 0 or math.isinf(by):
            raise ControlFault(400, f"time cannot go back or for ever: {by} s")
        target = self.now() + by
        while self._sleepers and self._sleepers[0][0] <= target:
            self._move_to(self._sleepers[0][0])
            await self._let_run()
        self._move_to(target)
        await self._let_run()

    async def sleep_until(self, due: float) -> None:
        if self._steps_itself and self.mode == "manual" and not math.isinf(due):
            self._move_to(due)
            return
        while self.now() < due:
            future = asyncio.get_running_loop().create_future()
            entry = (due, next(self._ranks), future)
            heapq.heappush(self._sleepers, entry)
            self._arm()
            try:
                await future
            except asyncio.CancelledError:
                self._forget(entry)
                raise

    async def pause(self, seconds: float = _MOMENT) -> None:
        await asyncio.sleep(seconds)

    async def _let_run(self) -> None:
        """Let the tasks that were woken go on until they wait for time or end."""
        while True:
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if not self._busy:
                return
            # Work outside the loop ends on another thread, and who waits for it has turns to come.
            await asyncio.sleep(0.001)

    def _move_to(self, target: float) -> None:
        # More than once where the sum is rounded down: a sleeper is never woken early.
        while (ahead := target - self.now()) > 0:
            self._base += ahead
        self._wake()

    def _wake(self) -> None:
        now = self.now()
        while self._sleepers and self._sleepers[0][0] <= now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
        self._arm()

    def _forget(self, entry: tuple[float, int, asyncio.Future[None]]) -> None:
        """Take a cancelled sleeper out. Linear, but only clients that leave cause it."""
        if entry in self._sleepers:
            self._sleepers.remove(entry)
            heapq.heapify(self._sleepers)

    def _arm(self) -> None:
        """Set the loop's one timer to the earliest sleeper."""
        due = self._sleepers[0][0] if self._sleepers and self.speed else math.inf
        if self._timer is not None:
            if due == self._timer_due and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        self._timer_due = due
        if not math.isinf(due):
            loop = asyncio.get_running_loop()
            # Never nothing: rounded down, it would ring too early for ever where time stands.
            left = max(_SHORTEST, (due - self.now()) / self.speed)
            self._timer = loop.call_later(left, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._timer_due = math.inf
        self._wake()


def _speed(mode: Mode, speed: float) -> float:
    return {"real": 1.0, "scaled": speed, "manual": 0.0, "autojump": 1.0}[mode]
