"""One of the processes of `vifsim serve --workers N`, started by its supervisor.

It reads what to serve from the first line of standard input, and ends where that is closed.

The house rule: as `serve`, but for who says that the cloud is ready.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from vifsim.cli import serve
from vifsim.errors import UsageError
from vifsim.http.access import Access
from vifsim.simulator import Simulator


def main() -> int:
    """Serve; return the exit code."""
    told: dict[str, Any] = json.loads(sys.stdin.readline())
    try:
        serve.prepare()
        return asyncio.run(_serve(told))
    except UsageError as exc:
        sys.stderr.write(f"vifsim: {exc}\n")
        return exc.exit_code


async def _serve(told: dict[str, Any]) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serve.on_signal, stopping)
    loop.add_reader(sys.stdin.fileno(), _on_input, stopping)
    first, env_file = told.pop("first", False), told.pop("env_file", "")
    token, hosts = told.pop("token"), told.pop("hosts")
    if not first:
        told |= {"scenario": None, "clock": "real", "speed": 1.0}  # the others' hold
    simulator = Simulator(**told, access=Access(token, frozenset(hosts)), reuse_port=True)
    async with serve.running(simulator):
        if env_file:
            serve.write_env_file(Path(env_file), simulator.env())
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await stopping.wait()
    return 0


def _on_input(stopping: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), 1):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stopping.set()


if __name__ == "__main__":
    sys.exit(main())
