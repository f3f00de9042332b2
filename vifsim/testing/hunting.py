"""`hunt`: the smallest schedule of faults that breaks a client written with asyncio.

The client runs on the loop of the simulator, whose time jumps: a wait costs nothing.

The house rule: a search is repeated by its seed, so no run reads a real clock or a random number.

Source: docs/chaos.md.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from vifsim.chaos.faults import scenario_of
from vifsim.chaos.finding import found_text
from vifsim.chaos.judging import Judge
from vifsim.chaos.search import Hunt, Outcome, Trial
from vifsim.clock import SimClock
from vifsim.errors import UsageError
from vifsim.simulator import Simulator
from vifsim.values import frozen

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable

    from vifsim.chaos.faults import Schedule
    from vifsim.chaos.search import Found
    from vifsim.exchange import Call

    Client = Callable[[Simulator], Awaitable[object]]

_CALM_CALLS = 10_000
_MORE_CALLS = (20, 100)
"""Calls after which a client has no end: where time stands still, no time limit would say so.

So many on a calm cloud; after that so many times the calm run's, and so many besides.
"""

_TIME_LIMIT = 120.0


@frozen
class HuntResult:
    """What a hunt came to; true where something was found.

    Attributes:
        outcome: the calm run, how many schedules were run, and what was found.
        scenario: the text of the scenario that breaks the client; None where nothing does.
    """

    outcome: Outcome
    scenario: str | None

    @property
    def story(self) -> str:
        """What befell the client, what it did and what came of it; empty where nothing did."""
        found = self.outcome.found
        return "\n".join(found.story()) if found else ""

    def __bool__(self) -> bool:
        return self.outcome.found is not None

    def expect_nothing(self) -> None:
        """Fail with the story and the scenario where something was found.

        Raises:
            AssertionError: a schedule of faults breaks the client.
        """
        if self.outcome.found:
            raise AssertionError(f"{self.story}\n\n{self.scenario}")


def hunt(
    client: Client,
    *,
    seed: int = 1,
    runs: int = 200,
    budget: float | None = None,
    time_limit: float = _TIME_LIMIT,
    folder: str | os.PathLike[str] | None = None,
) -> HuntResult:
    """Search for a schedule of faults that breaks a client, and shrink it to the smallest.

    Args:
        client: takes a `Simulator` and does its work against `simulator.url`; it is broken where
            it raises although every fault can be survived, fails a critical or major rule of the
            scorecard, leaves more interfaces than on a calm cloud, or does not end in time.
        seed: repeats a search.
        runs: how many schedules are tried at most.
        budget: real seconds that the search may take; None for as many as it needs.
        time_limit: simulated seconds that one run may take.
        folder: where `found-SEED.yaml` is written; None for nowhere.

    Raises:
        UsageError: a loop is running already, an argument is not sound, or the client never
            called the simulator.
    """
    if runs < 1 or time_limit <= 0 or seed < 0:
        raise UsageError("hunt needs runs of 1 or more, a time_limit above 0, a seed of 0 or more")
    _check_no_loop()
    clock, trials = SimClock(), _Trials(client, Judge(time_limit), seed)
    due = None if budget is None else clock.now() + budget
    search = Hunt(
        trials.run,
        time_limit=time_limit,
        runs=runs,
        seed=seed,
        is_spent=lambda: due is not None and clock.now() >= due,
    )
    outcome = asyncio.run(search.search())
    if not outcome.calm.reached:
        raise UsageError("the client never called the simulator: it is at simulator.url")
    text = trials.text(outcome.found) if outcome.found else None
    if text is not None and folder is not None:
        (Path(folder) / f"found-{seed}.yaml").write_text(text, "utf-8")
    return HuntResult(outcome=outcome, scenario=text)


def _check_no_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError("hunt runs a loop of its own: call it from a test that is not async")


class _Trials:
    """Runs a client, each time against a simulator of its own."""

    def __init__(self, client: Client, judge: Judge, seed: int) -> None:
        self._client = client
        self._judge = judge
        self._seed = seed
        self._most_calls = _CALM_CALLS

    async def run(self, schedule: Schedule) -> Trial:
        """Run it once under a schedule."""
        scenario = scenario_of(
            schedule, name=f"found-{self._seed}", seed=self._seed, keeps=self._judge.allowed
        )
        async with Simulator(scenario=scenario, seed=self._seed, clock="autojump") as simulator:
            ended, failure = await self._ran(simulator)
            run = simulator.run_so_far()
        trial = self._judge.trial(schedule, run, ended=ended, failure=failure)
        if not schedule:
            times, more = _MORE_CALLS
            self._most_calls = times * sum(trial.sites.values()) + more
        return trial

    def text(self, found: Found) -> str:
        """Return what was found as a scenario."""
        return found_text(found, seed=self._seed, keeps=self._judge.keeps or 0)

    async def _ran(self, simulator: Simulator) -> tuple[bool, str | None]:
        """Return whether the client ended by itself, and what it raised."""
        work = asyncio.ensure_future(self._client(simulator))

        def stop_endless(call: Call) -> None:
            if call.seq > self._most_calls:
                work.cancel()

        simulator.journal.listeners.append(stop_endless)
        clock = simulator.clock
        timer = asyncio.ensure_future(clock.sleep_until(clock.now() + self._judge.time_limit))
        await asyncio.wait({work, timer}, return_when=asyncio.FIRST_COMPLETED)
        ended = work.done() and not work.cancelled()
        timer.cancel()
        work.cancel()
        await asyncio.wait({work, timer})
        error = work.exception() if ended else None
        return ended, f"raised {type(error).__name__}" if error else None
