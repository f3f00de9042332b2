"""The moments that one can go back to: what there was before each call.

The house rule: a small world's moments are all kept, up to a thousand; a large one's cost a small,
fixed share of the time, and who asks for one that is not kept is told so. Moments are taken between
two calls, never awaited.

Source: control API, section 2, `rewind` (docs/control-api.md).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from vifsim.errors import ControlFault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.scenario.rule import Rule, Scenario

T = TypeVar("T", bound=Sized)

_MOST = 1000
_MOST_THINGS = 50_000
"""Things in all moments together: about 8 MB, which Python's garbage collector walks through."""
_SMALL = 500
"""Things up to which each moment is kept: copying them costs some ten microseconds."""
_SHARE = 400
"""Times that it took to keep a large moment which pass before the next is kept.

Letting go of moments and walking through them costs a multiple of copying, which alone is measured:
with 40, creates in a world of 2,000 servers took a fifth more.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What there was: the store, the rules and what they had counted, and the date.

    `state` is an engine's, with `at`, the clock's seconds that its times are counted by; `epoch`
    the simulated date in seconds.
    """

    store: Sized
    scenario: Scenario
    added: tuple[Rule, ...]
    removed: frozenset[str]
    state: Mapping[str, Any]
    epoch: float

    def __len__(self) -> int:
        """How many things it took to keep."""
        return len(self.store) + len(self.state.get("arrivals", ()))


def apart(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of what an engine counts: plain data in mappings and lists."""
    return {key: _apart(value) for key, value in state.items()}


def _apart(value: Any) -> Any:
    if isinstance(value, dict):
        return apart(cast("dict[str, Any]", value))
    return [*value] if isinstance(value, list) else value


class Moments(Generic[T]):
    """Keeps what there was before the last thousand calls.

    Args:
        take: returns the moment, or None where it cannot be kept.
        mark: returns what is equal for two moments between which nothing changed.
        clock: what it costs is measured by.
    """

    def __init__(
        self, take: Callable[[], T | None], mark: Callable[[], object], clock: Clock
    ) -> None:
        self._take = take
        self._mark = mark
        self._clock = clock
        self._last: object = None
        self._free_from = 0.0
        self._things = 0
        self._kept: deque[tuple[int, T | None]] = deque()

    def on_call(self, call: Call) -> None:
        """Keep the moment before a call that arrives; a listener of the journal."""
        if call.outcome.ending is not None:
            return
        mark = self._mark()
        if self._kept and mark == self._last and self._kept[-1][1] is not None:
            return  # nothing has changed since
        began = self._clock.real()
        if began < self._free_from:
            if self._kept and self._kept[-1][1] is not None:
                self._kept.append((call.seq, None))
            return
        moment = self._take()
        self._last = mark
        self._keep(call.seq, moment)
        if moment is not None and len(moment) > _SMALL:
            end = self._clock.real()
            fits = len(moment) <= _MOST_THINGS
            self._free_from = end + (end - began) * _SHARE if fits else math.inf

    def _keep(self, seq: int, moment: T | None) -> None:
        self._kept.append((seq, moment))
        self._things += 0 if moment is None else len(moment)
        while len(self._kept) > _MOST or self._things > _MOST_THINGS:
            _, gone = self._kept.popleft()
            self._things -= 0 if gone is None else len(gone)

    def before(self, seq: int) -> T:
        """Return what there was before the call with this `seq`.

        Raises:
            ControlFault: 409, it is not kept; the text names one that is.
        """
        place = bisect_right(self._kept, seq, key=lambda kept: kept[0])
        found = self._kept[place - 1][1] if place else None
        if found is None:
            near = next((at for at, kept in reversed(self._kept) if kept is not None), None)
            hint = "none is" if near is None else f"that before {near} is"
            raise ControlFault(409, f"the moment before entry {seq} is not kept, {hint}")
        return found

    def clear(self) -> None:
        """Forget all moments."""
        self._kept.clear()
        self._things = 0
        self._last = None
        self._free_from = 0.0
