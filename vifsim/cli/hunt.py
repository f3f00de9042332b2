"""`vifsim hunt -- COMMAND`: the smallest schedule of faults that breaks a client."""

from __future__ import annotations

import asyncio
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from vifsim.chaos.command import check_command
from vifsim.chaos.faults import scenario_of
from vifsim.chaos.finding import found_text
from vifsim.chaos.judging import Judge
from vifsim.chaos.runs import Order, run_one
from vifsim.chaos.search import Hunt
from vifsim.cli import FOUND, OK, UNREACHED
from vifsim.cli.flags import duration_of
from vifsim.cli.output import say, write
from vifsim.clock import SimClock
from vifsim.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.status import Status

    from vifsim.chaos.faults import Schedule
    from vifsim.chaos.runs import Finished
    from vifsim.chaos.search import Outcome, Trial

TAKES_COMMAND = True

_SAID_EVERY = 25
"""Where the output is no terminal, a line is written each time so many runs are over."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.usage = f"{parser.prog} [options] -- COMMAND"
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the search (1)")
    parser.add_argument(
        "--runs", type=int, default=200, metavar="N", help="try so many schedules (default 200)"
    )
    parser.add_argument(
        "--budget", default="10m", metavar="TIME", help="search for so long (default 10m)"
    )
    parser.add_argument(
        "--time-limit", default="30s", metavar="TIME", help="of each run (default 30s)"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many runs at once")


def run(options: argparse.Namespace) -> int:
    """Search, write what was found, and return 1 where it was anything.

    Raises:
        UsageError: a flag or the command is wrong; nothing was run.
    """
    command: Sequence[str] = options.client or []
    check_command(command, "hunt")
    for flag in ("runs", "jobs"):
        if getattr(options, flag) < 1:
            raise UsageError(f"--{flag} {getattr(options, flag)}: at least 1")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: 0 or more")
    limit = duration_of("time-limit", options.time_limit)
    client = _Client(command, options.seed, Judge(limit), SimClock())
    path = Path(f"found-{options.seed}.yaml")
    _check_writable(path)
    outcome = asyncio.run(_searched(options, client, duration_of("budget", options.budget)))
    return _told(outcome, client, path)


@dataclass
class _Client:
    """A command, and how it is run and judged."""

    command: Sequence[str]
    seed: int
    judge: Judge
    clock: SimClock

    async def trial(self, schedule: Schedule) -> Trial:
        """Run the command under a schedule."""
        order = Order(
            scenario=f"found-{self.seed}",
            repeat=1,
            command=self.command,
            seed=self.seed,
            clients=1,
            time_limit=self.judge.time_limit,
        )
        scenario = scenario_of(
            schedule, name=order.scenario, seed=self.seed, keeps=self.judge.allowed
        )
        finished = await run_one(order, self.clock, scenario)
        (ending,) = finished.endings
        in_time = ending.ended != "time_limit"
        return self.judge.trial(schedule, finished.run, ended=in_time, failure=_failure(finished))


def _failure(finished: Finished) -> str | None:
    (ending,) = finished.endings
    if ending.ended == "signal":
        return "ended by a signal"
    return f"exit code {ending.exit_code}" if ending.exit_code else None


async def _searched(options: argparse.Namespace, client: _Client, budget: float) -> Outcome:
    due = client.clock.now() + budget
    console = Console(stderr=True)
    with console.status("a run without faults") as status:
        hunt = Hunt(
            client.trial,
            time_limit=client.judge.time_limit,
            runs=options.runs,
            seed=options.seed,
            jobs=options.jobs,
            is_spent=lambda: client.clock.now() >= due,
            on_trial=_Progress(status if console.is_terminal else None),
        )
        return await hunt.search()


class _Progress:
    """Says how far the search is: in place on a terminal, else a line now and then."""

    def __init__(self, status: Status | None) -> None:
        self._status = status
        self._number = 0

    def __call__(self, trial: Trial) -> None:
        """Say what has just been tried."""
        self._number += 1
        tried = ", ".join(fault.id for fault in trial.schedule) or "no fault"
        broken = f": {trial.symptoms[0]}" if trial.symptoms else ""
        if self._status:
            self._status.update(f"run {self._number}: {tried}{broken}")
        elif broken or self._number % _SAID_EVERY == 0:
            say(f"run {self._number}: {tried}{broken}\n")


def _told(outcome: Outcome, client: _Client, path: Path) -> int:
    for schedule in outcome.flickers:
        say(f"note  it failed once, and not again, when {'; '.join(map(str, schedule))}\n")
    if not outcome.calm.reached:
        say("The client never called the cloud: does it use VIFSIM_URL or OS_AUTH_URL?\n")
        return UNREACHED
    found, keeps = outcome.found, client.judge.keeps or 0
    if found is None:
        say(f"Nothing found in {outcome.runs} runs.\n")
        return OK
    write(path, found_text(found, seed=client.seed, keeps=keeps))
    again = shlex.join(["vifsim", "chaos", "--scenario", str(path), "--", *client.command])
    say("\n".join([f"Found in {outcome.runs} runs:", *found.story(), f"again: {again}", ""]))
    return FOUND


def _check_writable(path: Path) -> None:
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder")
