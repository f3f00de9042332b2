"""What the fault decorator costs where it decides nothing, against the store that it decorates.

Each round attaches, lists and detaches on the store itself and through the decorator, in this
process: no sockets, no JSON, no journal.
"""

from __future__ import annotations

import asyncio
import gc
import time
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Figure, Rounds
from benchmarks.serving import NETWORK, SERVERS, scenario, server_id
from vifsim.exchange import Call
from vifsim.model import InterfaceId, NetworkId, ServerId
from vifsim.simulator import Simulator
from vifsim_backends.faults import FaultBackend

if TYPE_CHECKING:
    from vifsim.backend import Backend

ROUNDS = 50
_SERVERS = 300
_NETWORK = NetworkId(NETWORK)
_OPERATIONS = ("create_virtual_interface", "list_virtual_interfaces", "delete_virtual_interface")


def _rules(number: int) -> list[dict[str, Any]]:
    """Return rules of which none matches: half name other operations, half another server."""
    elsewhere = {"operation": "delete_network"}
    return [
        {
            "name": f"r{place}",
            "match": {"operation": _OPERATIONS[place % 3], "server": f"s{SERVERS - 1}"}
            if place % 2
            else elsewhere,
            "first": 1,
            "status": 503,
        }
        for place in range(number)
    ]


def _calls(operation: str) -> list[Call]:
    return [
        Call(
            seq=number,
            id=f"req-{number}",
            operation=operation,
            method="POST",
            path="/",
            headers={},
            peer="",
            conn=1,
            arrived=0.0,
            real_arrived=0.0,
            user="demo",
            tenant="123456",
            server=server_id(number),
            network=NETWORK,
        )
        for number in range(_SERVERS)
    ]


async def _round(backend: Backend) -> float:
    """Return the CPU seconds of a call."""
    creates, lists, deletes = (_calls(operation) for operation in _OPERATIONS)
    servers = [ServerId(server_id(number)) for number in range(_SERVERS)]
    gc.collect()
    gc.disable()
    began = time.process_time()
    made: list[InterfaceId] = []
    for call, server in zip(creates, servers, strict=True):
        made.append((await backend.create_virtual_interface(call, server, _NETWORK)).id)
    for call, server in zip(lists, servers, strict=True):
        await backend.list_virtual_interfaces(call, server)
    for call, server, interface in zip(deletes, servers, made, strict=True):
        await backend.delete_virtual_interface(call, server, interface)
    took = time.process_time() - began
    gc.enable()
    return took / (3 * _SERVERS)


def _decorator(simulator: Simulator) -> FaultBackend:
    assert isinstance(simulator.faults, FaultBackend)
    return simulator.faults


async def _measure(rounds: int) -> Rounds:
    found = Rounds()
    without: dict[str, Any] = {**scenario(), "rules": []}
    under_rules = {**scenario(), "rules": _rules(50)}
    async with Simulator(scenario=without) as off, Simulator(scenario=under_rules) as on:
        none, fifty = _decorator(off), _decorator(on)
        subjects = {"inner": none.inner, "none": none, "inner of 50": fifty.inner, "50": fifty}
        for _ in range(rounds):
            for name, backend in subjects.items():
                found.add(name, await _round(backend))
    return found


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the least cost through the decorator by the least without it."""
    found = asyncio.run(_measure(rounds))

    def figure(name: str, ours: str, theirs: str, mark: float) -> Figure:
        least = (min(found.costs[ours]) * 1e6, min(found.costs[theirs]) * 1e6)
        return Figure(
            name=name,
            ratio=found.least_ratio(ours, theirs),
            mark=mark,
            detail=f"{least[0]:.1f} us by {least[1]:.1f} us, least of {rounds} rounds",
        )

    return [
        figure("fault decorator, no rules", "none", "inner", 1.03),
        figure("fault decorator, 50 rules that do not match", "50", "inner of 50", 1.15),
    ]
