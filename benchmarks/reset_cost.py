"""A reset of a large world, against one of a small world, by the same few calls in between."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

from benchmarks.measure import Figure, Rounds
from benchmarks.serving import NETWORK, server_id
from vifsim.conformance import a_call
from vifsim.model import DEMO_TENANT, ServerId
from vifsim.simulator import Simulator

ROUNDS = 30
_SMALL, _LARGE = 100, 100_000
_CALLS = 3


def _world(interfaces: int) -> dict[str, Any]:
    """Return a world of servers that have one interface each."""
    return {
        "settings": {
            "quotas": {"instances": None, "ram": None, "servers_per_network": None},
        },
        "networks": [{"id": NETWORK, "label": "big", "cidr": "10.0.0.0/8"}],
        "servers": [
            {"id": server_id(number), "name": f"s{number}", "networks": ["big"]}
            for number in range(interfaces)
        ],
    }


async def _reset(simulator: Simulator) -> float:
    """Change a little, and return the seconds that it takes to begin again."""
    server = ServerId(simulator.server_id)
    for _ in range(_CALLS):
        call = a_call(DEMO_TENANT, "demo")
        (first, *_) = await simulator.backend.list_virtual_interfaces(call, server)
        await simulator.backend.delete_virtual_interface(call, server, first.id)
        await simulator.backend.create_virtual_interface(call, server, first.network_id)
    began = time.process_time()
    await simulator.reset()
    return time.process_time() - began


async def _measure(rounds: int) -> Rounds:
    found = Rounds()
    async with Simulator(world=_world(_SMALL)) as small, Simulator(world=_world(_LARGE)) as large:
        gc.collect()
        gc.freeze()
        for number in range(rounds + 1):
            for name, simulator in (("small", small), ("large", large)):
                took = await _reset(simulator)
                if number:
                    found.add(name, took)
    return found


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the ratio of a large world's reset to a small one's."""
    found = asyncio.run(_measure(rounds))
    return [
        Figure(
            name=f"reset of {_LARGE:,} interfaces, by one of {_SMALL}",
            ratio=found.ratio("large", "small"),
            mark=1.3,
            detail=f"{found.median('large') * 1e6:.0f} us by {found.median('small') * 1e6:.0f} us",
        )
    ]
