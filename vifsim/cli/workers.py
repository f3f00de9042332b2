"""`vifsim serve --workers N`: several processes that answer on one port, and who looks after them.

```
supervisor ──► worker 1 … N, each a simulator on the same database, each listening on the same port
    └── keeps the port; passes on signals; starts a new worker where one has died, and says so
```

The house rule: the supervisor answers no call; what the workers share is the database's.

Source: command line (docs/cli.md).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vifsim import backend as backends
from vifsim.errors import UsageError
from vifsim.http.listener import why

if TYPE_CHECKING:
    import argparse
    from collections.abc import Generator, Mapping

_MODULE = "vifsim.cli.worker"
_READY = b"ready"
_LONGEST = 30.0
"""Seconds between two attempts to replace a worker, at most; they begin with one."""


def check(options: argparse.Namespace) -> None:
    """Refuse what cannot be shared.

    Raises:
        UsageError: the number is none, the backend serves one process, or a flag does not fit.
    """
    if options.workers < 1:
        raise UsageError(f"--workers {options.workers} is not 1 or more")
    if options.workers == 1:
        return
    if not backends.find(options.backend).shares:
        scheme = options.backend.partition(":")[0]
        raise UsageError(
            f"--workers {options.workers}: a cloud in {scheme}: belongs to one process "
            "(--backend postgresql://user@host/database is shared by several)"
        )
    if options.watch:
        raise UsageError("--watch shows the calls of one process: leave it out, use the console")
    if not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError("--workers: this system lets only one process listen on a port")


def run(options: argparse.Namespace, settings: Mapping[str, Any]) -> int:
    """Serve with several workers until SIGTERM or SIGINT; return the exit code.

    Raises:
        UsageError: the port is taken.
    """
    with _kept_port(options.host, options.port) as port:
        supervisor = Supervisor({**settings, "port": port}, options.workers)
        return asyncio.run(supervisor.run(options.env_file))


@contextmanager
def _kept_port(host: str, port: int) -> Generator[int]:
    """Keep a port for the workers, and for nobody else, while the block runs."""
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as alone:
            # Others that share their port would not be noticed otherwise.
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            alone.bind(address)
            address = alone.getsockname()
        with socket.socket(family) as kept:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            kept.bind(address)
            yield address[1]
    except OSError as exc:
        raise UsageError(f"cannot listen on {host}:{port}: {why(exc)}") from exc


class Supervisor:
    """Starts workers, replaces those that die, and ends them together.

    Args:
        settings: what a worker is told, JSON-able.
        number: of workers.
    """

    def __init__(self, settings: Mapping[str, Any], number: int) -> None:
        self._settings = settings
        self._number = number
        self._workers: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    async def run(self, env_file: os.PathLike[str] | None) -> int:
        """Serve until a signal comes; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        try:
            # The first alone, so that what is wrong is said once, and a scenario begun once.
            told = "" if env_file is None else os.fspath(env_file)
            code = await self._start(1, {"env_file": told, "first": True})
            places = range(2, self._number + 1)
            codes = [code] if code else await asyncio.gather(*map(self._start, places))
            if any(codes) or self._stopping.is_set():
                return next(filter(None, codes), 0)
            sys.stdout.write(f"vifsim ready at {self._url()}\n")
            sys.stdout.flush()
            await asyncio.gather(*map(self._keep, list(self._workers)))
        finally:
            await self._end()
        return 0

    def _url(self) -> str:
        host = self._settings["host"]
        return f"http://{f'[{host}]' if ':' in host else host}:{self._settings['port']}"

    def _on_signal(self) -> None:
        """Pass a signal on; workers end in good order on the first, at once on the second."""
        self._stopping.set()
        for worker in self._workers.values():
            if worker.returncode is None:
                worker.terminate()

    async def _start(self, place: int, more: Mapping[str, Any] | None = None) -> int:
        """Start a worker and wait until it answers; return 0, or with what code it ended."""
        worker = self._workers[place] = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C comes from here alone
        )
        assert worker.stdin is not None  # noqa: S101 -- a pipe was asked for
        assert worker.stdout is not None  # noqa: S101 -- likewise
        worker.stdin.write(json.dumps({**self._settings, **(more or {})}).encode() + b"\n")
        if (await worker.stdout.readline()).strip() == _READY:
            return 0
        return await worker.wait() or 1

    async def _keep(self, place: int) -> None:
        """Replace a worker whenever it ends, until all shall."""
        pause = 0.0
        while not self._stopping.is_set():
            worker = self._workers[place]
            code = await worker.wait()
            if self._stopping.is_set():
                return
            how = f"by signal {-code}" if code < 0 else f"with code {code}"
            sys.stderr.write(
                f"worker {place} (pid {worker.pid}) ended {how}: a new one takes its place\n"
            )
            await self._rest(pause)
            if not self._stopping.is_set():
                failed = await self._start(place)
                pause = min(_LONGEST, pause * 2 or 1.0) if failed else 0.0

    async def _rest(self, seconds: float) -> None:
        if seconds:
            waiting = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait([waiting], timeout=seconds)
            waiting.cancel()

    async def _end(self) -> None:
        self._stopping.set()
        living = [worker for worker in self._workers.values() if worker.returncode is None]
        for worker in living:
            assert worker.stdin is not None  # noqa: S101 -- a pipe was asked for
            worker.stdin.close()  # the end of it ends a worker, as the supervisor's death would
        await asyncio.gather(*(worker.wait() for worker in living))
