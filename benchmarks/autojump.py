"""How long 10,000 seconds of injected delay take where time jumps and nothing else happens.

Run it as `python benchmarks/autojump.py`; it exits with 1 where the mark is missed.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp

from vifsim.simulator import Simulator

CALLS, DELAY = 10, 1000
ROUNDS = 25
MARK = 0.050
"""Real seconds that the calls may take."""


async def measure() -> tuple[float, float]:
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


def main() -> int:
    rounds = [asyncio.run(measure()) for _ in range(ROUNDS)]
    simulated = rounds[0][0]
    real = sorted(real for _, real in rounds)
    median = real[ROUNDS // 2]
    print(
        f"{simulated:.0f} s of delay in {CALLS} calls: median {median * 1000:.1f} ms, "
        f"worst {real[-1] * 1000:.1f} ms of {ROUNDS} rounds (mark: {MARK * 1000:.0f} ms)"
    )
    return 0 if median < MARK else 1


if __name__ == "__main__":
    sys.exit(main())
