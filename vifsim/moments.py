"""The moments that one can go back to: what there was before each call.

A moment is a place in the store's own log and one in the log of arrivals, so that keeping it costs
next to nothing. What rules have counted is copied, and again only when one of them has counted.

The house rule: the moments before the last thousand calls are kept; where copying what rules have
counted takes long, it costs a small, fixed share of the time, and who asks for a moment that is not
kept is told so. Moments are taken between two calls, never awaited.

Source: control API, section 2, `rewind` (docs/control-api.md).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, Any, cast

from vifsim.errors import ControlFault
from vifsim.values import frozen, slotted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vifsim.arrivals import Arrivals
    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.scenario.rule import Rule, Scenario

_MOST = 1000
_SHARE = 400
"""Times that it took to copy what rules have counted which pass before it is copied again.

Letting go of copies and walking through them costs a multiple of copying, which alone is measured:
with 40, creates under rules that count by server took a fifth more.
"""
_FREE = 50e-6
"""Seconds that copying may take each time."""


@frozen
class Frame:
    """What many moments have in common: the rules, and what they had counted.

    `counted` is an engine's state without what each call changes; `arrivals` log the calls.
    """

    scenario: Scenario
    added: tuple[Rule, ...]
    removed: frozenset[str]
    counted: Mapping[str, Any]
    arrivals: Arrivals


@slotted
class Moment:
    """What there was before a call that came at `at`, the clock's seconds.

    `store` is a backend's own moment; `calls` and `arrived` are how many calls had been counted by
    the engine, and logged; `epoch` is the simulated date in seconds.
    """

    store: object
    frame: Frame
    calls: int
    arrived: int
    at: float
    epoch: float

    @property
    def state(self) -> Mapping[str, Any]:
        """An engine's state, with `at`, the clock's seconds that its times are counted by.

        Raises:
            ControlFault: 409, more calls have arrived since than the log holds.
        """
        arrivals = self.frame.arrivals.before(self.arrived)
        return {**self.frame.counted, "calls": self.calls, "arrivals": arrivals, "at": self.at}


def apart(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of what an engine counts: plain data in mappings and lists."""
    return {key: _apart(value) for key, value in state.items()}


def _apart(value: Any) -> Any:
    if isinstance(value, dict):
        return apart(cast("dict[str, Any]", value))
    return [*value] if isinstance(value, list) else value


class Frames:
    """The frame of now, made anew only where something in it has changed.

    Args:
        clock: what it costs is measured by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: tuple[object, ...] = ()
        self._frame: Frame | None = None
        self._free_from = self._took = 0.0

    def get(
        self, state: Mapping[str, Any], rules: object, make: Callable[[], Frame]
    ) -> Frame | None:
        """Return the frame, or None where it cannot be made anew as yet.

        Args:
            state: of an engine.
            rules: what is another object when the rules are others.
            make: returns the frame with a copy of `state`.
        """
        version = rules, state["t0"], state.get("walks")
        if version == self._of:
            return self._frame
        began = self._clock.real()
        if began < self._free_from:
            return None
        self._frame, self._of = make(), version
        end = self._clock.real()
        before, self._took = self._took, end - began
        cost = min(before, self._took)  # once, it may have been the machine that was busy
        self._free_from = end + cost * _SHARE if cost > _FREE else end
        return self._frame


class Moments:
    """Keeps what there was before the last thousand calls.

    Args:
        take: returns the moment at a time on the clock, or None where it cannot be kept.
        clock: see `Frames`.

    Attributes:
        frames: that moments have in common.
    """

    def __init__(self, take: Callable[[float], Moment | None], clock: Clock) -> None:
        self.frames = Frames(clock)
        self._take = take
        self._seqs: deque[int] = deque(maxlen=_MOST)
        self._kept: deque[Moment | None] = deque(maxlen=_MOST)

    def on_call(self, call: Call) -> None:
        """Keep the moment before a call that arrives; a listener of the journal."""
        if call.outcome.ending is None:
            self._seqs.append(call.seq)
            self._kept.append(self._take(call.arrived))

    def before(self, seq: int) -> Moment:
        """Return what there was before the call with this `seq`.

        Raises:
            ControlFault: 409, it is not kept; the text names one that is.
        """
        place = bisect_right(self._seqs, seq)
        found = self._kept[place - 1] if place else None
        if found is None:
            both = zip(reversed(self._seqs), reversed(self._kept), strict=True)
            near = next((at for at, kept in both if kept is not None), None)
            hint = "none is" if near is None else f"that before {near} is"
            raise ControlFault(409, f"the moment before entry {seq} is not kept, {hint}")
        return found

    def clear(self) -> None:
        """Forget all moments."""
        self._seqs.clear()
        self._kept.clear()
