from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.clock import SimClock
from vifsim.errors import ControlFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from vifsim.clock import Mode


class Machine:
    """The machine's own clock, moved by hand, and the timers that a loop was asked for."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.timers: list[tuple[float, Callable[[], object]]] = []

    def __call__(self) -> float:
        return self.seconds

    def call_later(self, delay: float, ring: Callable[[], object], *_: Any) -> asyncio.TimerHandle:
        self.timers.append((delay, ring))
        loop = asyncio.get_running_loop()
        return asyncio.TimerHandle(math.inf, ring, (), loop)

    def ring(self, *, after: float) -> float:
        """Let the last timer ring when `after` seconds have passed; return what it asked for."""
        delay, ring = self.timers.pop()
        self.seconds += after
        ring()
        return delay


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
async def timers(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", machine.call_later)
    return machine


async def sleeper(clock: SimClock, due: float) -> asyncio.Task[None]:
    """Return a task that has begun to sleep."""
    task = asyncio.ensure_future(clock.sleep_until(due))
    await clock.advance(0)
    return task


# ── reading ──


@pytest.mark.parametrize(
    ("mode", "speed", "seen"), [("real", 1.0, 10.0), ("scaled", 60.0, 600.0), ("manual", 1.0, 0.0)]
)
def test_a_clock_runs_as_fast_as_its_mode_says(
    machine: Machine, mode: Mode, speed: float, seen: float
) -> None:
    clock = SimClock(mode=mode, speed=speed, monotonic=machine)

    machine.seconds += 10.0

    assert clock.now() == seen
    assert clock.real() == 10.0


def test_the_date_goes_with_the_clock(machine: Machine) -> None:
    clock = SimClock(mode="scaled", speed=60.0, monotonic=machine)
    before = clock.epoch()

    machine.seconds += 10.0

    assert clock.epoch() == before + 600.0
    assert clock.epoch(0.0) == before
    assert clock.utc(0.0).timestamp() == pytest.approx(before)


def test_a_delay_in_the_clients_seconds_is_shorter_on_a_fast_clock() -> None:
    assert SimClock(mode="scaled", speed=60.0).client_seconds(90.0) == 1.5
    assert SimClock(mode="manual").client_seconds(90.0) == 90.0


def test_steering_goes_on_from_now(machine: Machine) -> None:
    clock = SimClock(monotonic=machine)
    machine.seconds += 5.0

    clock.steer("scaled", 10.0)
    machine.seconds += 1.0
    clock.steer("manual")
    machine.seconds += 100.0

    assert clock.now() == 15.0
    assert clock.real() == 106.0


async def test_a_restart_begins_at_zero(machine: Machine) -> None:
    clock = SimClock(mode="manual", monotonic=machine)
    await clock.advance(3600.0)
    ahead = clock.offset

    clock.restart()

    assert (clock.now(), clock.real()) == (0.0, 0.0)
    assert ahead == pytest.approx(3600.0, abs=60.0)
    assert clock.offset == pytest.approx(0.0, abs=60.0)


def test_a_date_is_shifted_without_moving_the_clock() -> None:
    clock = SimClock(mode="manual")

    clock.shift_to_offset(86400.0)

    assert clock.now() == 0.0
    assert clock.offset == pytest.approx(86400.0, abs=60.0)
    assert clock.is_virtual


# ── sleeping until somebody moves the clock ──


async def test_a_manual_clock_wakes_nobody_by_itself(timers: Machine) -> None:
    clock = SimClock(mode="manual", monotonic=timers)

    task = await sleeper(clock, 1.0)
    timers.seconds += 100.0
    await clock.advance(0)

    assert not task.done()
    assert timers.timers == []
    task.cancel()


async def test_advancing_wakes_those_who_are_due_and_no_others() -> None:
    clock = SimClock(mode="manual")
    early, exact, late = [await sleeper(clock, due) for due in (1.0, 5.0, 5.000001)]

    await clock.advance(5.0)

    assert (early.done(), exact.done(), late.done()) == (True, True, False)
    assert clock.now() == 5.0
    late.cancel()


async def test_what_falls_due_on_the_way_runs_in_order_and_at_its_own_time() -> None:
    clock = SimClock(mode="manual")
    seen: list[tuple[str, float]] = []

    async def walk(name: str, *dues: float) -> None:
        for due in dues:
            await clock.sleep_until(due)
            seen.append((name, clock.now()))

    tasks = [asyncio.ensure_future(walk("a", 3.0, 7.0)), asyncio.ensure_future(walk("b", 2.0, 6.0))]
    await clock.advance(0)
    await clock.advance(10.0)

    assert seen == [("b", 2.0), ("a", 3.0), ("b", 6.0), ("a", 7.0)]
    assert all(task.done() for task in tasks)


async def test_sleepers_of_one_moment_wake_in_the_order_in_which_they_lay_down() -> None:
    clock = SimClock(mode="manual")
    seen: list[int] = []

    async def sleep(number: int) -> None:
        await clock.sleep_until(1.0)
        seen.append(number)

    tasks = [asyncio.ensure_future(sleep(number)) for number in range(20)]
    await clock.advance(0)
    await clock.advance(1.0)

    assert seen == list(range(20))
    assert all(task.done() for task in tasks)


async def test_time_does_not_pass_what_works_outside_the_loop() -> None:
    clock = SimClock(mode="manual")
    seen: list[float] = []

    async def work_between_two_sleeps() -> None:
        await clock.sleep_until(1.0)
        with clock.busy():
            await asyncio.to_thread(sum, range(1000))
        await clock.sleep_until(2.0)
        seen.append(clock.now())

    task = asyncio.ensure_future(work_between_two_sleeps())
    await clock.advance(0)
    await clock.advance(10.0)

    assert seen == [2.0]
    assert task.done()


async def test_a_due_time_that_has_passed_is_no_sleep() -> None:
    clock = SimClock(mode="manual")
    await clock.advance(5.0)

    await clock.sleep_until(5.0)
    await clock.sleep_until(-math.inf)

    assert clock.now() == 5.0


async def test_a_cancelled_sleeper_is_forgotten(timers: Machine) -> None:
    clock = SimClock(monotonic=timers)
    first, second = await sleeper(clock, 1.0), await sleeper(clock, 2.0)

    first.cancel()
    await clock.advance(0)
    timers.seconds += 2.0
    timers.ring(after=0.0)
    await clock.advance(0)

    assert first.cancelled()
    assert second.done()


@pytest.mark.parametrize("by", [-1.0, math.inf, math.nan])
async def test_time_goes_neither_back_nor_for_ever(by: float) -> None:
    clock = SimClock(mode="manual")

    with pytest.raises(ControlFault) as caught:
        await clock.advance(by)

    assert caught.value.status == 400
    assert clock.now() == 0.0


# ── sleeping while the clock runs ──


async def test_a_timer_that_rings_early_wakes_nobody(timers: Machine) -> None:
    clock = SimClock(monotonic=timers)
    task = await sleeper(clock, 1.0)

    asked = timers.ring(after=0.999)
    await clock.advance(0)
    woken_early = task.done()
    asked_again = timers.ring(after=0.001)
    await clock.advance(0)

    assert asked == 1.0
    assert asked_again == pytest.approx(0.001)
    assert not woken_early
    assert task.done()


async def test_a_scaled_clock_asks_for_real_seconds(timers: Machine) -> None:
    clock = SimClock(mode="scaled", speed=60.0, monotonic=timers)
    task = await sleeper(clock, 120.0)

    asked = timers.ring(after=2.0)
    await clock.advance(0)

    assert asked == 2.0
    assert task.done()


async def test_an_earlier_sleeper_moves_the_timer_forward(timers: Machine) -> None:
    clock = SimClock(monotonic=timers)
    late, early = await sleeper(clock, 9.0), await sleeper(clock, 1.0)

    asked = [delay for delay, _ in timers.timers]
    timers.ring(after=1.0)
    await clock.advance(0)

    assert asked == [9.0, 1.0]
    assert (late.done(), early.done()) == (False, True)
    late.cancel()


async def test_a_running_clock_is_moved_ahead_too(timers: Machine) -> None:
    clock = SimClock(monotonic=timers)
    task = await sleeper(clock, 3600.0)

    await clock.advance(3600.0)
    timers.seconds += 1.0

    assert task.done()
    assert clock.now() == 3601.0
    assert clock.real() == 1.0


async def test_a_sleeper_goes_on_when_a_manual_clock_begins_to_run(timers: Machine) -> None:
    clock = SimClock(mode="manual", monotonic=timers)
    task = await sleeper(clock, 10.0)

    clock.steer("scaled", 5.0)
    asked = timers.ring(after=2.0)
    await clock.advance(0)

    assert asked == 2.0
    assert task.done()


async def test_a_clock_that_steps_itself_moves_instead_of_waiting() -> None:
    clock = SimClock(mode="manual", steps_itself=True)

    await clock.sleep_until(0.1 + 0.2)
    await clock.sleep_until(0.1)

    assert clock.now() == 0.1 + 0.2


async def test_a_sleep_for_ever_ends_only_by_cancelling() -> None:
    clock = SimClock(mode="manual", steps_itself=True)
    task = await sleeper(clock, math.inf)

    await clock.advance(1e9)
    task.cancel()
    await clock.advance(0)

    assert task.cancelled()


@pytest.mark.parametrize("loop_of", ["asyncio", "uvloop"])
def test_of_ten_thousand_sleeps_none_ends_early(loop_of: str) -> None:
    make_loop = pytest.importorskip(loop_of).new_event_loop
    early: list[float] = []

    async def sleep(clock: SimClock, due: float) -> None:
        await clock.sleep_until(due)
        if (now := clock.now()) < due:
            early.append(due - now)

    async def sleep_often() -> None:
        clock = SimClock()
        await asyncio.gather(*(sleep(clock, 0.3 * number / 10_000) for number in range(10_000)))

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(sleep_often())

    assert early == []
