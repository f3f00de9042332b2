"""How long 10,000 seconds of injected delay take where time jumps and nothing else happens."""

from __future__ import annotations

import asyncio
import statistics
import time

import aiohttp

from benchmarks.measure import Figure
from vifsim.simulator import Simulator

CALLS, DELAY = 10, 1000
ROUNDS = 25
MARK = 0.050
"""Real seconds that the calls may take."""


async def run() -> tuple[float, float]:
    """Return the simulated and the real seconds of all calls together."""
    scenario = {"version": 1, "rules": [{"latency": f"{DELAY}s"}]}
    forever = aiohttp.ClientTimeout(total=None)
    async with (
        Simulator(clock="autojump", scenario=scenario) as simulator,
        aiohttp.ClientSession(timeout=forever) as session,
    ):
        began, really_began = simulator.clock.now(), time.perf_counter()
        for _ in range(CALLS):
            async with session.get(f"{simulator.url}/v2.0") as answer:
                await answer.read()
        return simulator.clock.now() - began, time.perf_counter() - really_began


def measure() -> list[Figure]:
    """Return the median by the mark, which is a time and no ratio to anything."""
    rounds = [asyncio.run(run()) for _ in range(ROUNDS)]
    median = statistics.median(real for _, real in rounds)
    worst = max(real for _, real in rounds)
    detail = (
        f"median {median * 1000:.1f} ms, worst {worst * 1000:.1f} ms of {ROUNDS} rounds, "
        f"by {MARK * 1000:.0f} ms"
    )
    name = f"{rounds[0][0]:.0f} s of delay in {CALLS} calls"
    return [Figure(name=name, ratio=median / MARK, mark=1.0, detail=detail)]
