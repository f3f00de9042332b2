"""`vifsim serve`: a simulated cloud until it is stopped."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import shlex
import signal
import sys
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vifsim.cli import workers
from vifsim.cli.output import write
from vifsim.errors import UsageError
from vifsim.http.access import Access
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator
    from contextlib import AbstractContextManager

DEFAULT_PORT = 8774
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_WANTED_FILES = 65_536
_COLLECTED_EVERY = 10_000, 50, 2
"""New objects between two looks of the collector, of which each fiftieth is at older ones and each
hundredth at all. Python's 700 and each tenth suit programs with small heaps: a look at what two
thousand calls hold that came together takes 80 ms, and all of them wait for it."""

_JOURNAL_MIB = 32
"""What the journal may take: some 20,000 calls. It may run for weeks, and nobody may read it."""

_DRAIN = 4.0
"""Seconds that calls under way get to end after the first signal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument(
        "--port", type=int, default=DEFAULT_PORT, help=f"0: a free one (default {DEFAULT_PORT})"
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=1,
        metavar="N",
        help="processes that answer; more than one with PostgreSQL (default 1)",
    )
    parser.add_argument("--backend", default="memory:", metavar="URL", help="default memory:")
    parser.add_argument(
        "--scenario",
        action="append",
        default=[],
        metavar="NAME|FILE",
        help="how the cloud misbehaves; repeatable",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of ids and draws")
    parser.add_argument(
        "--clock",
        choices=["real", "manual"],
        default="real",
        help="manual: time stands until it is advanced",
    )
    parser.add_argument("--speed", type=float, metavar="N", help="simulated seconds in a real one")
    parser.add_argument(
        "--env-file", type=Path, metavar="PATH", help="write the variables that a client needs"
    )
    parser.add_argument(
        "--watch", action="store_true", help="show the calls as they come, on standard error"
    )
    parser.add_argument(
        "--control-token", metavar="TOKEN", help="of the control API; or VIFSIM_CONTROL_TOKEN"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further Host; repeatable",
    )
    parser.add_argument(
        "--journal-size",
        type=int,
        default=_JOURNAL_MIB,
        metavar="MIB",
        help=f"above it the journal drops its oldest calls (default {_JOURNAL_MIB})",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT.

    Raises:
        UsageError: a flag is wrong, the port is taken, the store cannot be opened.
    """
    if not 0 <= options.port < 65536:
        raise UsageError(f"port {options.port} is not 0 to 65535")
    if options.journal_size < 1:
        raise UsageError(f"--journal-size {options.journal_size} is not 1 or more, in MiB")
    workers.check(options)
    prepare()
    if options.workers > 1:
        told = settings(options)
        del told["access"]
        token, hosts = _entry(options)
        return workers.run(options, told | {"token": token, "hosts": hosts})
    return asyncio.run(_serve(Simulator(**settings(options)), options))


def prepare() -> None:
    """Make the process ready to serve: where its logs go, how many files it may open."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(message)s"
    )
    _raise_file_limit()


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of the simulator that the flags describe.

    Raises:
        UsageError: two flags do not go together.
    """
    if options.speed is not None and options.clock == "manual":
        raise UsageError("--speed is for a running clock: leave --clock manual out")
    clock: dict[str, Any] = {"clock": options.clock}
    if options.speed is not None:
        clock = {"clock": "scaled", "speed": options.speed}
    return {
        "scenario": options.scenario or None,
        "seed": options.seed,
        "backend": options.backend,
        "host": options.host,
        "port": options.port,
        "access": access(options),
        "journal_bytes": options.journal_size << 20,
        **clock,
    }


def access(options: argparse.Namespace) -> Access:
    """Return who may use the control API.

    Raises:
        UsageError: bound beyond loopback without a token.
    """
    token, hosts = _entry(options)
    return Access(token, frozenset(hosts))


def _entry(options: argparse.Namespace) -> tuple[str | None, list[str]]:
    """Return the control API's token, and the names under which the simulator is reached."""
    token = options.control_token or os.environ.get("VIFSIM_CONTROL_TOKEN") or None
    if options.host not in _LOOPBACK and token is None:
        raise UsageError(
            f"--host {options.host} opens the control API to others: "
            "give --control-token TOKEN or VIFSIM_CONTROL_TOKEN"
        )
    return token, [*options.allow_host, options.host]


async def _serve(simulator: Simulator, options: argparse.Namespace) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, stopping)
    async with running(simulator):
        if options.env_file is not None:
            write_env_file(options.env_file, simulator.env())
        if not simulator.backend.durable:
            sys.stderr.write(
                "nothing is kept after the end: --backend sqlite:///demo.db keeps it\n"
            )
        sys.stdout.write(f"vifsim ready at {simulator.url}\n")
        sys.stdout.flush()
        with _watching(simulator) if options.watch else nullcontext():
            await stopping.wait()
    return 0


@asynccontextmanager
async def running(simulator: Simulator) -> AsyncGenerator[None]:
    """Run a simulator while the block runs; then let the calls under way end."""
    await simulator.start()
    _spare_the_collector()
    try:
        yield
        await simulator.drain(_DRAIN)
    finally:
        await simulator.stop()


def _watching(simulator: Simulator) -> AbstractContextManager[object]:
    from vifsim.cli.watch import Watch  # noqa: PLC0415 -- rich is slow to import

    return Watch(simulator)


def _spare_the_collector() -> None:
    """Let the garbage collector look at what calls leave, and not at the world, time and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECTED_EVERY)


def on_signal(stopping: asyncio.Event) -> None:
    """Stop in good order on the first signal, at once on the second."""
    if stopping.is_set():
        os._exit(1)
    stopping.set()


def write_env_file(path: Path, variables: dict[str, str]) -> None:
    """Write `export` lines.

    Raises:
        UsageError: the file cannot be written.
    """
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    write(path, "".join(lines))


def _raise_file_limit() -> None:
    """Let the process hold as many connections as the system allows, or say that it cannot."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED_FILES if hard == resource.RLIM_INFINITY else min(hard, _WANTED_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if wanted < 10_240:
        sys.stderr.write(
            f"only {wanted} files may be open: a burst of connections may be refused\n"
        )
