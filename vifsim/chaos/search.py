"""The search for a schedule of faults that breaks a client, and for the smallest such schedule.

```
calm run ──► its calls are the sites
   │
   ▼ one fault: each site by kind by place, the first calls first
   ▼ two faults, the second at a call that only the first one caused
   ▼ two faults, drawn by the seed
broken ──► three runs of it ──► without one fault, then simpler faults, each kept on 2 runs of 3
```

The house rule: what runs a schedule is handed in, so nothing here knows clients or clouds.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import field, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from vifsim.chaos.faults import KINDS, Fault, Site, faults_at, is_survivable, schedule_of
from vifsim.draws import draw
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from vifsim.chaos.faults import Schedule

_CONFIRMING = 3
"""How often a schedule is run before it is believed; it must break the client in most of them."""
_MOST = 2


@frozen
class Trial:
    """What one schedule did to the client.

    Attributes:
        schedule: the faults.
        sites: how many calls of each operation the client made.
        symptoms: what shows that it is broken, the worst first; an exit code only where the
            schedule was survivable.
        reasons: of some symptoms, what was seen.
        calls: what the client did, call by call, in words.
    """

    schedule: Schedule
    sites: Mapping[str, int]
    symptoms: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict[str, str])
    calls: tuple[str, ...] = ()

    @property
    def reached(self) -> bool:
        """Whether the client called the cloud."""
        return bool(self.sites)


@frozen
class Found:
    """The smallest schedule that breaks the client, and what it breaks.

    Attributes:
        trial: of that schedule.
        symptom: that was kept while the schedule shrank.
        began_with: the faults that were found first.
        held: in how many of three runs the schedule broke the client.
    """

    trial: Trial
    symptom: str
    began_with: Schedule
    held: int

    def story(self) -> list[str]:
        """Return three lines: what befell the client, what it did, and what came of it."""
        faults = "; then ".join(map(str, self.trial.schedule)) or "nothing at all goes wrong"
        reason = self.trial.reasons.get(self.symptom, "")
        return [
            f"{faults[0].upper()}{faults[1:]}.",
            f"The client: {_abridged(self.trial.calls)}.",
            f"So: {self.symptom}{': ' if reason else ''}{reason} ({self.held} of 3 runs).",
        ]


@frozen
class Outcome:
    """What a hunt came to.

    Attributes:
        calm: the run without faults.
        runs: schedules that were run, those for shrinking included.
        found: None where nothing broke the client.
        flickers: schedules that broke it once and not again.
    """

    calm: Trial
    runs: int
    found: Found | None
    flickers: tuple[Schedule, ...] = ()


def _abridged(calls: Sequence[str], most: int = 8) -> str:
    if not calls:
        return "made no call"
    if len(calls) <= most:
        return ", ".join(calls)
    return f"{', '.join(calls[: most - 1])}, … {calls[-1]} ({len(calls)} calls)"


class Hunt:
    """One search.

    Args:
        run: runs the client under a schedule.
        time_limit: seconds that a run may take; what is survivable goes by it.
        runs: how many schedules are tried at most, besides those that confirm and shrink.
        seed: of the order in which pairs are tried.
        jobs: how many schedules are run at once.
        is_spent: whether the time for the whole search is over.
        on_trial: told of each trial.
    """

    def __init__(
        self,
        run: Callable[[Schedule], Awaitable[Trial]],
        *,
        time_limit: float,
        runs: int,
        seed: int,
        jobs: int = 1,
        is_spent: Callable[[], bool] = lambda: False,
        on_trial: Callable[[Trial], Any] = lambda _: None,
    ) -> None:
        self._run = run
        self._time_limit = time_limit
        self._left = runs
        self._seed = seed
        self._jobs = jobs
        self._is_spent = is_spent
        self._on_trial = on_trial
        self._made = 0
        self._caused: list[tuple[Fault, Site]] = []
        self._flickers: list[Schedule] = []

    async def search(self) -> Outcome:
        """Search until something is found or the runs or the time are spent."""
        calm = await self._trial(())
        found = await self._confirmed(calm) if calm.symptoms else None
        if found is None and calm.reached:
            singles = _singles(calm.sites)
            found = await self._first_broken(((fault,) for fault in singles), calm)
            found = found or await self._first_broken(self._caused_pairs(), calm)
            found = found or await self._first_broken(self._drawn_pairs(singles), calm)
        return Outcome(
            calm=calm,
            runs=self._made,
            found=await self._shrunk(found) if found else None,
            flickers=tuple(self._flickers),
        )

    async def _trial(self, schedule: Schedule) -> Trial:
        trial = await self._run(schedule)
        self._made += 1
        self._on_trial(trial)
        return trial

    async def _first_broken(self, schedules: Iterable[Schedule], calm: Trial) -> Found | None:
        """Return the first schedule that breaks the client and does so again."""
        waiting = iter(schedules)
        while self._left > 0 and not self._is_spent():
            batch = list(islice(waiting, min(self._jobs, self._left)))
            if not batch:
                return None
            self._left -= len(batch)
            for trial in await asyncio.gather(*map(self._trial, batch)):
                self._note_caused(trial, calm)
                found = await self._confirmed(trial) if trial.symptoms else None
                if found:
                    return found
        return None

    def _note_caused(self, trial: Trial, calm: Trial) -> None:
        """Keep the calls that the client made only because of a fault."""
        if len(trial.schedule) != 1 or trial.symptoms:
            return
        for operation, number in trial.sites.items():
            first = calm.sites.get(operation, 0) + 1
            self._caused += [
                (trial.schedule[0], Site(operation=operation, nth=nth))
                for nth in range(first, number + 1)
            ]

    def _caused_pairs(self) -> Iterator[Schedule]:
        for fault, site in sorted(self._caused, key=lambda pair: pair[1].nth):
            yield from self._lawful((fault, other) for other in faults_at(site))

    def _drawn_pairs(self, singles: Sequence[Fault]) -> Iterator[Schedule]:
        """Yield pairs of faults in an order that the seed draws, none twice."""
        size, seen = len(singles), set[tuple[int, int]]()
        pairs = size * (size - 1) // 2
        for number in range(20 * pairs):
            if len(seen) == pairs:
                return
            first, second = (int(draw(self._seed, "hunt", number, x) * size) for x in (1, 2))
            pair = (min(first, second), max(first, second))
            if first != second and pair not in seen:
                seen.add(pair)
                yield from self._lawful([(singles[pair[0]], singles[pair[1]])])

    def _lawful(self, pairs: Iterable[tuple[Fault, Fault]]) -> Iterator[Schedule]:
        """Yield pairs at two calls that a client can survive: of others the rules are known."""
        for one, other in pairs:
            schedule = schedule_of(one, other)
            if one.site != other.site and is_survivable(schedule, self._time_limit):
                yield schedule

    async def _confirmed(self, trial: Trial) -> Found | None:
        """Run a schedule until three runs are made; return what most of them show."""
        trials = [trial]
        while len(trials) < _CONFIRMING:
            trials.append(await self._trial(trial.schedule))
        shown = Counter(chain.from_iterable(one.symptoms for one in trials))
        for one in trials:
            for symptom in one.symptoms:
                if shown[symptom] >= _MOST:
                    return Found(
                        trial=one, symptom=symptom, began_with=trial.schedule, held=shown[symptom]
                    )
        self._flickers.append(trial.schedule)
        return None

    # ── shrinking ──

    async def _shrunk(self, found: Found) -> Found:
        """Return the found schedule without the faults that it does not need, and simpler."""
        for smaller in (without_one, simpler):
            while further := await self._first_held(smaller(found.trial.schedule), found):
                found = further
        return found

    async def _first_held(self, schedules: Iterable[Schedule], found: Found) -> Found | None:
        for schedule in schedules:
            if self._is_spent():
                return None
            trial, held = await self._holds(schedule, found.symptom)
            if trial:
                return replace(found, trial=trial, held=held)
        return None

    async def _holds(self, schedule: Schedule, symptom: str) -> tuple[Trial | None, int]:
        """Return a trial with the symptom, and how many of three runs show it, where most do."""
        shown: list[Trial] = []
        for number in range(1, _CONFIRMING + 1):
            trial = await self._trial(schedule)
            if symptom in trial.symptoms:
                shown.append(trial)
            if number - len(shown) >= _MOST:
                return None, len(shown)
        return shown[0], len(shown)


def _singles(sites: Mapping[str, int]) -> list[Fault]:
    """Return every single fault: at the first calls of all operations, then at the second."""
    deepest = max(sites.values(), default=0)
    return [
        fault
        for nth in range(1, deepest + 1)
        for kind in KINDS
        for operation, number in sites.items()
        if nth <= number
        for fault in faults_at(Site(operation=operation, nth=nth), [kind])
    ]


def without_one(schedule: Schedule) -> Iterator[Schedule]:
    """Yield a schedule without each of its faults; also with the later calls moved down.

    A fault that is gone may have caused a call, so that what followed it is now one call earlier.
    """
    for gone in schedule:
        rest = [fault for fault in schedule if fault is not gone]
        yield schedule_of(*rest)
        moved = [_moved_down(fault) if _is_later(fault, gone) else fault for fault in rest]
        if moved != rest and len({fault.site for fault in moved}) == len(moved):
            yield schedule_of(*moved)


def _is_later(fault: Fault, gone: Fault) -> bool:
    return fault.site.operation == gone.site.operation and fault.site.nth > gone.site.nth


def _moved_down(fault: Fault) -> Fault:
    return replace(fault, site=replace(fault.site, nth=fault.site.nth - 1))


def simpler(schedule: Schedule) -> Iterator[Schedule]:
    """Yield a schedule with one fault made simpler: an earlier call, a simpler kind or place."""
    for place, fault in enumerate(schedule):
        for other in _simpler_faults(fault):
            changed = (*schedule[:place], other, *schedule[place + 1 :])
            if len({one.site for one in changed}) == len(changed):
                yield schedule_of(*changed)


def _simpler_faults(fault: Fault) -> Iterator[Fault]:
    if fault.site.nth > 1:
        yield replace(fault, site=replace(fault.site, nth=1))
    if fault.site.nth > _MOST:
        yield _moved_down(fault)
    yield from _before(fault, faults_at(fault.site))


def _before(fault: Fault, known: Sequence[Fault]) -> Sequence[Fault]:
    return known[: known.index(fault)]
