"""When what many moments have in common is copied anew."""

from __future__ import annotations

import pytest

from vifsim.arrivals import Arrivals
from vifsim.clock import SimClock
from vifsim.moments import Frame, Frames
from vifsim.scenario.rule import Scenario


class CopyingClock(SimClock):
    """A clock whose real time stands but for copies, which take so many seconds each."""

    def __init__(self, *copies: float) -> None:
        super().__init__(mode="manual")
        self.at = 0.0
        self._copies = list(copies)

    def real(self) -> float:
        return self.at

    def frame(self) -> Frame:
        self.at += self._copies.pop(0)
        return Frame(
            scenario=Scenario(name="none"),
            added=(),
            removed=frozenset(),
            counted={},
            arrivals=Arrivals(),
        )


def kept(clock: CopyingClock, rounds: int) -> list[bool]:
    """Return for each change of the rules whether a frame is had at once."""
    frames = Frames(clock)
    return [frames.get({"t0": 0.0}, object(), clock.frame) is not None for _ in range(rounds)]


def test_copies_that_take_next_to_nothing_are_always_made() -> None:
    assert kept(CopyingClock(*[10e-6] * 5), 5) == [True] * 5


def test_one_copy_that_took_long_leaves_the_next_free() -> None:
    assert kept(CopyingClock(10e-6, 0.02, 10e-6, 10e-6), 4) == [True] * 4


def test_copies_that_take_long_are_made_now_and_then() -> None:
    assert kept(CopyingClock(*[0.02] * 3), 5) == [True, True, False, False, False]


def test_a_copy_that_takes_long_is_made_again_when_its_share_of_time_has_passed() -> None:
    clock = CopyingClock(0.001, 0.001, 0.001)
    frames = Frames(clock)
    for _ in range(2):
        frames.get({"t0": 0.0}, object(), clock.frame)

    clock.at += 0.39
    early = frames.get({"t0": 0.0}, object(), clock.frame)
    clock.at += 0.02
    late = frames.get({"t0": 0.0}, object(), clock.frame)

    assert early is None
    assert late is not None


def test_nothing_is_copied_while_nothing_has_changed() -> None:
    clock, rules = CopyingClock(0.02), object()
    frames = Frames(clock)

    first = frames.get({"t0": 0.0}, rules, clock.frame)
    again = frames.get({"t0": 0.0}, rules, clock.frame)

    assert first is again
    assert clock.at == pytest.approx(0.02)
