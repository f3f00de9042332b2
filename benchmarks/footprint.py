"""What importing, starting and idling cost, against aiohttp alone; each in a process of its own.

An installed package has its bytecode beside it, so the processes find theirs in a folder of its
own, wherever this is run. They have nothing to wait for: what they use of the processor is what
they take on a machine that has nothing else to do.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks.measure import Figure, Rounds, own_memory_bytes

if TYPE_CHECKING:
    from collections.abc import Generator

ROUNDS = 15
_IDLE_EXTRA_MB = 8
_SERVE = [sys.executable, "-m", "vifsim", "serve", "--port", "0"]
_BARE = [sys.executable, "-m", "benchmarks.bare"]


def _import(module: str, env: dict[str, str]) -> float:
    """Return the processor seconds of a process that imports a module."""
    with subprocess.Popen([sys.executable, "-c", f"import {module}"], env=env) as process:
        return _spent(process)


def _spent(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> float:
    """Return the processor seconds of a process from its start to its end."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return used.ru_utime + used.ru_stime


def _ready(command: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Return the processor seconds of a server to its ready line, and its memory then, MB."""
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=env,
    ) as process:
        assert process.stdout is not None
        assert "http://" in process.stdout.readline()
        held = own_memory_bytes(str(process.pid)) / 1e6
        process.kill()
        return _spent(process), held


@contextmanager
def _compiled() -> Generator[dict[str, str]]:
    """Give an environment in which the processes find the bytecode that the first one wrote."""
    with tempfile.TemporaryDirectory() as folder:
        env = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        for command in (_BARE, _SERVE):
            _ready(command, env)
        yield env


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return imports, cold starts and idle memory."""
    found = Rounds()
    with _compiled() as env:
        for _ in range(rounds):
            for module in ("aiohttp.web", "vifsim"):
                found.add(module, _import(module, env))
            for name, command in (("bare", _BARE), ("serve", _SERVE)):
                took, held = _ready(command, env)
                found.add(name, took)
                found.add(f"{name}, MB", held)
    bare_mb, ours_mb = found.median("bare, MB"), found.median("serve, MB")
    return [
        Figure(
            name="import vifsim, by import aiohttp.web",
            ratio=found.ratio("vifsim", "aiohttp.web"),
            mark=1.10,
            detail=f"{found.median('vifsim') * 1e3:.0f} ms by "
            f"{found.median('aiohttp.web') * 1e3:.0f} ms",
        ),
        Figure(
            name="vifsim serve to its ready line, by a bare app",
            ratio=found.ratio("serve", "bare"),
            mark=1.25,
            detail=f"{found.median('serve') * 1e3:.0f} ms by {found.median('bare') * 1e3:.0f} ms",
        ),
        Figure(
            name="idle memory beside a bare app, by 8 MB more",
            ratio=(ours_mb - bare_mb) / _IDLE_EXTRA_MB,
            mark=1.0,
            detail=f"{ours_mb:.1f} MB by {bare_mb:.1f} MB",
        ),
    ]
