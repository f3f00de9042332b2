"""`vifsim scenarios list|show|check|plan`: what ships, whether a file is sound, what it will do."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from marshmallow import ValidationError

from vifsim.errors import UsageError
from vifsim.model import OPERATIONS
from vifsim.scenario.plan import plan
from vifsim.scenario.schema import load_named, load_world, shipped_names

if TYPE_CHECKING:
    import argparse

    from vifsim.scenario.rule import Scenario

_MOST_CALLS = 10_000
ACTIONS = ("list", "show", "check", "plan")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=ACTIONS, help="list needs no scenario")
    parser.add_argument("scenario", nargs="?", metavar="NAME|FILE", help="shipped, or a file")
    parser.add_argument("--operation", choices=OPERATIONS, metavar="NAME", help="that is planned")
    parser.add_argument("--calls", type=_calls, default=20, metavar="N", help="1 to 10000")
    parser.add_argument("--every", type=_pace, metavar="DURATION", help="from one to the next")
    parser.add_argument(
        "--seed", type=_seed, metavar="N", help="of every draw (default: the scenario's)"
    )


def _calls(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_CALLS:
        raise UsageError(f"--calls {text} is not 1 to {_MOST_CALLS}")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--seed {text} is not a whole number, 0 or more")
    return int(text)


def _pace(text: str) -> float:
    from vifsim.scenario.durations import seconds_of  # noqa: PLC0415 -- slow to import

    try:
        seconds = seconds_of(text)
    except ValidationError as exc:
        raise UsageError(f"--every {text} is not a duration such as 250ms") from exc
    if not seconds > 0:
        raise UsageError("--every is a duration above 0")
    return seconds


def run(options: argparse.Namespace) -> int:
    """List, show or check.

    Raises:
        UsageError: no scenario is named, there is none, or it is broken.
    """
    if options.action == "list":
        for name in shipped_names():
            sys.stdout.write(f"{name:20}{load_named(name).description}\n")
        return 0
    if options.scenario is None:
        raise UsageError(f"which scenario? vifsim scenarios {options.action} NAME|FILE")
    scenario = load_named(options.scenario)
    if options.action == "show":
        sys.stdout.write(scenario.text)
    elif options.action == "check":
        _warn(options.scenario, scenario)
    elif options.action == "plan":
        _plan(scenario, options)
    return 0


def _plan(scenario: Scenario, options: argparse.Namespace) -> None:
    from rich.console import Console  # noqa: PLC0415 -- only a plan is drawn

    from vifsim.cli.drawing import drawn  # noqa: PLC0415 -- likewise

    made = plan(
        scenario,
        load_world(scenario.world, scenario.seed or 0 if options.seed is None else options.seed),
        operation=options.operation,
        calls=options.calls,
        every=options.every,
    )
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        sys.stdout.writelines(f"{line.plain.rstrip()}\n" for line in drawn(made))
        return
    for line in drawn(made):
        console.print(line, no_wrap=True, crop=False, soft_wrap=True)


def _warn(source: str, scenario: Scenario) -> None:
    from vifsim.http.openapi import documented_statuses  # noqa: PLC0415 -- only a check needs it
    from vifsim.scenario.lint import lint  # noqa: PLC0415 -- likewise

    for problem in lint(scenario, documented_statuses()):
        place = f"{source}:{problem.line}:{problem.column}" if problem.line else source
        sys.stderr.write(f"{place}: warning: {problem.detail} ({problem.hint})\n")
