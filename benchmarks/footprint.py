"""What importing, starting and idling cost, against aiohttp alone; each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.measure import Figure, Rounds, own_memory_bytes

ROUNDS = 15
_INTERFACES = 20_000
_IDLE_EXTRA_MB = 8
_SERVE = [sys.executable, "-m", "vifsim", "serve", "--port", "0"]
_BARE = [sys.executable, "-m", "benchmarks.bare"]
_HELD = f"""
import asyncio, gc
from benchmarks.measure import own_memory_bytes
from benchmarks.serving import NETWORK, scenario, server_id
from vifsim.conformance import a_call
from vifsim.simulator import Simulator

async def main():
    async with Simulator(scenario=scenario({_INTERFACES})) as simulator:
        backend = simulator.faults.inner
        gc.collect()
        before = own_memory_bytes("self")
        for number in range({_INTERFACES}):
            call = a_call("123456", "demo")
            await backend.create_virtual_interface(call, server_id(number), NETWORK)
        gc.collect()
        print((own_memory_bytes("self") - before) / {_INTERFACES})

asyncio.run(main())
"""


def _import(module: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - began


def _ready(command: list[str]) -> float:
    """Return the seconds from nothing to the line that a server says when it is ready."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "http://" in process.stdout.readline()
        took = time.perf_counter() - began
        process.kill()
    return took


def _idle(command: list[str]) -> float:
    """Return the memory of a server that nobody has called yet, MB."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert "http://" in process.stdout.readline()
        held = own_memory_bytes(str(process.pid)) / 1e6
        process.kill()
    return held


def _bytes_each() -> float:
    done = subprocess.run([sys.executable, "-c", _HELD], check=True, capture_output=True, text=True)
    return float(done.stdout)


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return imports, cold starts, idle memory, and the memory of an interface."""
    found = Rounds()
    for _ in range(rounds):
        for module in ("aiohttp.web", "vifsim"):
            found.add(module, _import(module))
        found.add("bare", _ready(_BARE))
        found.add("serve", _ready(_SERVE))
    bare_mb, ours_mb = _idle(_BARE), _idle(_SERVE)
    each = _bytes_each()
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
        Figure(
            name="memory of an interface, one a server, by 700 bytes",
            ratio=each / 700,
            mark=1.0,
            detail=f"{each:.0f} bytes each of {_INTERFACES}",
        ),
    ]
