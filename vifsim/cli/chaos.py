"""`vifsim chaos -- COMMAND`: a verdict on any client, in any language."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rich.console import Console

from vifsim.chaos.command import check_command
from vifsim.chaos.report import (
    FORMS,
    chaos_document,
    chaos_exit_code,
    rendered,
    run_line,
    summary,
)
from vifsim.chaos.runs import MATRIX, Finished, Order, orders, run_one
from vifsim.cli.flags import add_verdict_flags, duration_of, report_of
from vifsim.cli.output import say, write
from vifsim.clock import SimClock
from vifsim.errors import UsageError
from vifsim.scenario.schema import load_named
from vifsim.scorecard import score

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

TAKES_COMMAND = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.usage = f"{parser.prog} [options] -- COMMAND"
    parser.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="run this one; repeatable (default: the standard matrix)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of faults, ids and draws")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="run each so often")
    parser.add_argument("--clients", type=int, default=1, metavar="N", help="so many at once")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many runs at once")
    parser.add_argument(
        "--time-limit", default="120s", metavar="TIME", help="of each run (default 120s)"
    )
    add_verdict_flags(parser, FORMS)


def run(options: argparse.Namespace) -> int:
    """Run the client against each scenario, print what came of it, return the verdict.

    Raises:
        UsageError: a flag, a scenario or the command is wrong; nothing was run.
    """
    command: Sequence[str] = options.client or []
    check_command(command)
    reports = [report_of(text, FORMS) for text in options.report]
    for flag in ("repeat", "clients", "jobs"):
        if getattr(options, flag) < 1:
            raise UsageError(f"--{flag} {getattr(options, flag)}: at least 1")
    scenarios = options.scenario or list(MATRIX)
    for name in scenarios:
        load_named(name)
    wanted = orders(
        scenarios,
        command,
        seed=options.seed,
        repeat=options.repeat,
        clients=options.clients,
        time_limit=duration_of("time-limit", options.time_limit),
    )
    finished = asyncio.run(_run_all(wanted, options.jobs))
    document = chaos_document(finished, standard=not options.scenario)
    for form, path in reports:
        write(path, rendered(form, document, finished))
    say(summary(document, finished))
    reached = any(one.reached for one in finished)
    if not reached:
        say("The client never called the cloud: does it use VIFSIM_URL or OS_AUTH_URL?\n")
    return chaos_exit_code(document, fail_on=options.fail_on, reached=reached)


async def _run_all(wanted: Sequence[Order], jobs: int) -> list[Finished]:
    clock = SimClock()
    free = asyncio.Semaphore(jobs)
    console = Console(stderr=True)

    async def one(number: int, order: Order) -> Finished:
        async with free:
            where = f"{order.scenario} ({number} of {len(wanted)})"
            began = clock.now()
            with console.status(where) if console.is_terminal and jobs == 1 else _Quiet():
                finished = await run_one(order, clock)
            say(run_line(finished, score(finished.run), clock.now() - began) + "\n")
            return finished

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number, order)) for number, order in enumerate(wanted, 1)]
    return [task.result() for task in tasks]


class _Quiet:
    """What stands for the spinner where the output is no terminal."""

    def __enter__(self) -> None:
        """Show nothing."""

    def __exit__(self, *_: object) -> None:
        """Leave nothing."""
