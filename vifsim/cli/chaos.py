"""`vifsim chaos -- COMMAND`: a verdict on any client, in any language."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
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
from vifsim.clock import SimClock
from vifsim.errors import UsageError
from vifsim.scenario.fields import seconds_of
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
    parser.add_argument(
        "--fail-on",
        choices=["critical", "major", "minor"],
        default="major",
        help="exit with 1 where a rule of this severity or above failed (default: major)",
    )
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="FORM=FILE",
        help=f"write a report: {', '.join(FORMS)}; repeatable",
    )


def run(options: argparse.Namespace) -> int:
    """Run the client against each scenario, print what came of it, return the verdict.

    Raises:
        UsageError: a flag, a scenario or the command is wrong; nothing was run.
    """
    command: Sequence[str] = options.client or []
    check_command(command)
    reports = [_report(text) for text in options.report]
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
        time_limit=_seconds(options.time_limit),
    )
    finished = asyncio.run(_run_all(wanted, options.jobs))
    document = chaos_document(finished, standard=not options.scenario)
    for form, path in reports:
        _write(path, rendered(form, document, finished))
    _say(summary(document, finished))
    reached = any(one.reached for one in finished)
    if not reached:
        _say("The client never called the cloud: does it use VIFSIM_URL or OS_AUTH_URL?\n")
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
            _say(run_line(finished, score(finished.run), clock.now() - began) + "\n")
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


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _seconds(text: str) -> float:
    try:
        seconds = seconds_of(text)
    except Exception as exc:
        raise UsageError(f"--time-limit {text} is not a duration such as 120s") from exc
    if seconds <= 0:
        raise UsageError(f"--time-limit {text}: more than nothing")
    return seconds


def _report(text: str) -> tuple[str, Path]:
    form, mark, path = text.partition("=")
    if not mark or not path or form not in FORMS:
        raise UsageError(f"--report {text} is none of {', '.join(f'{f}=FILE' for f in FORMS)}")
    if not Path(path).parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {Path(path).parent}")
    return form, Path(path)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {path}: {exc.strerror}") from exc
