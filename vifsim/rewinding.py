"""Going back to before a call, and looking at what there was.

The house rule: a moment is taken for every call that comes, so taking one does next to nothing;
all that takes time waits until somebody goes back.

Source: control API, section 2, `rewind` and `moments` (docs/control-api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vifsim.errors import ControlFault
from vifsim.moments import Frame, Moment, Moments, apart
from vifsim.rulebook import moved
from vifsim.scenario.engine import arrivals_of

if TYPE_CHECKING:
    from vifsim.backend import Backend
    from vifsim.clock import SimClock
    from vifsim.journal import Journal
    from vifsim.rulebook import Rulebook


class Rewinding:
    """The way back of a simulator.

    Args:
        backend: that goes back.
        book: whose rules and counts go back with it.
        clock: whose date does.
        journal: of all calls, which goes on.

    Attributes:
        moments: that are kept; `on_call` listens to the calls of this process.
    """

    def __init__(self, backend: Backend, book: Rulebook, clock: SimClock, journal: Journal) -> None:
        self._backend = backend
        self._book = book
        self._faults = book.faults
        self._clock = clock
        self._journal = journal
        self.moments = Moments(self._moment, clock)
        self._frames = self.moments.frames

    async def go_back(self, before: int) -> None:
        """Let world, rules and date be as they were before an entry; the journal goes on.

        Raises:
            ControlFault: 404, no such entry; 409, that moment is not kept.
        """
        moment = self._before(before)
        state = moved(moment.state, self._clock.now())
        await self._backend.go_back(moment.store)
        self._clock.shift_to_offset(moment.epoch - self._clock.wall())
        frame = moment.frame
        self._book.become(frame.scenario, frame.added, frame.removed, state)

    async def exported(self, before: int) -> dict[str, Any]:
        """Return the moment before an entry as a scenario, and as a test that repeats the call.

        Raises:
            ControlFault: as `go_back`.
        """
        from vifsim.export import exported  # noqa: PLC0415 -- only who exports needs it

        moment = self._before(before)
        call = self._journal.find(before)
        if call is None:
            raise ControlFault(404, f"no entry {before}")
        world = await self._backend.state_at(moment.store)
        (entry,) = self._journal.documents([call])
        return exported(entry, moment, world, self._backend.seed)

    def _before(self, seq: int) -> Moment:
        if not 0 < seq <= self._journal.last:
            raise ControlFault(404, f"no entry {seq}")
        if self._backend.moment() is None:
            raise ControlFault(
                409, "this backend keeps no moments: take a snapshot, or use --backend memory:"
            )
        return self.moments.before(seq)

    def _moment(self, at: float) -> Moment | None:
        store = self._backend.moment()
        state = self._faults.state
        frame = self._frames.get(state, self._book.engine, self._frame)
        if store is None or frame is None:
            return None
        arrived = frame.arrivals.total
        return Moment(store, frame, state["calls"], arrived, at, self._clock.epoch(at))

    def _frame(self) -> Frame:
        state = self._faults.state
        counted = {key: state[key] for key in state if key not in {"calls", "arrivals"}}
        return Frame(
            scenario=self._book.scenario,
            added=tuple(self._book.added),
            removed=frozenset(self._book.removed),
            counted=apart(counted),
            arrivals=arrivals_of(state),
        )
