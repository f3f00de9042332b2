"""Runs suites as `python -m pytest` does, each in a process of its own that begins half started.

What a suite with clouds imports takes longer than most suites here take to run. So this process
imports it once, and forks for each order: a line of JSON in, the exit code out.

The house rule: nothing of ours that is only imported when a test asks for it is imported here, and
no plugin of pytest, which wants to be the first to import them.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from importlib import import_module

import pytest

IMPORTED = ("aiohttp.web", "httpx", "marshmallow", "yaml", "vifsim.facade", "vifsim.http.app")


@dataclass(frozen=True, slots=True)
class Order:
    """A suite to run: where, with what arguments and variables, and where its output goes."""

    folder: str
    arguments: list[str]
    environment: dict[str, str]
    output: str
    errors: str


def run(order: Order) -> None:
    """Become the process of a suite, and run it."""
    for path, descriptor in ((os.devnull, 0), (order.output, 1), (order.errors, 2)):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if descriptor else os.O_RDONLY
        os.dup2(os.open(path, flags), descriptor)
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.folder)
    sys.path[0] = order.folder
    sys.exit(pytest.main(order.arguments))


def main() -> None:
    """Answer orders until there are no more."""
    for name in IMPORTED:
        import_module(name)
    for line in sys.stdin:
        order = Order(**json.loads(line))
        child = os.fork()
        if child == 0:
            run(order)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201 -- the answer


if __name__ == "__main__":
    main()
