"""`vifsim scenarios list|show|check`: what ships, and whether a file is sound."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vifsim.errors import UsageError
from vifsim.scenario.schema import load_named, shipped_names

if TYPE_CHECKING:
    import argparse

    from vifsim.scenario.rule import Scenario

ACTIONS = ("list", "show", "check")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("scenario", nargs="?", metavar="NAME|FILE")


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
    return 0


def _warn(source: str, scenario: Scenario) -> None:
    from vifsim.http.openapi import documented_statuses  # noqa: PLC0415 -- only a check needs it
    from vifsim.scenario.lint import lint  # noqa: PLC0415 -- likewise

    for problem in lint(scenario, documented_statuses()):
        place = f"{source}:{problem.line}:{problem.column}" if problem.line else source
        sys.stderr.write(f"{place}: warning: {problem.detail} ({problem.hint})\n")
