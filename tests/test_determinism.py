"""The same every time: one seed, one set of decisions, whatever order the calls come in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.conftest import ApiOf, MakeCloud
    from vifsim.simulator import Simulator

CLIENTS = 50
ROUNDS = 4
SCENARIO: dict[str, Any] = {
    "version": 1,
    "rules": [
        {"latency": {"uniform": ["1ms", "90ms"]}},
        {
            "name": "the-second-time",
            "match": "create_virtual_interface",
            "nth": 2,
            "per": "interface",
            "status": 503,
        },
        {"name": "lossy", "match": "create_*", "chance": 0.3, "at": "after_commit", "status": 504},
        {
            "name": "flaky",
            "match": "list_virtual_interfaces",
            "chance": 0.4,
            "status": 503,
            "retry_after": "1s",
            "spread": "9s",
        },
    ],
}
WORLD: dict[str, Any] = {
    "servers": [
        {"name": f"s-{n}", "id": f"0a000000-0000-4000-8000-{n:012}"} for n in range(CLIENTS)
    ]
}

Decisions = dict[str, list[tuple[Any, ...]]]


def decisions_of(cloud: Simulator) -> Decisions:
    """Return what was decided for each call key, by the number of the call."""
    found: dict[str, dict[int, tuple[Any, ...]]] = {}
    for entry in cloud.journal.documents(cloud.journal):
        key = f"{entry['operation']} {entry['server']} {entry['network']}"
        told, decision = entry["told"], entry["decision"]
        assert decision is not None
        found.setdefault(key, {})[entry["n"]] = (
            tuple(decision["fired"]),
            decision["delay_before"],
            told["status"],
            told["retry_after"],
            entry["committed"],
        )
    return {key: [numbered[n] for n in sorted(numbered)] for key, numbered in found.items()}


async def run(make_cloud: MakeCloud, api_of: ApiOf, *, seed: int, shuffle: int) -> Decisions:
    """Let all clients call at once, each its own server, and begin in an order of the test's."""
    cloud = await make_cloud(
        scenario=SCENARIO, seed=seed, world=WORLD, clock="manual", self_stepping=True
    )
    api = api_of(cloud)

    async def client(server: str) -> None:
        for _ in range(ROUNDS):
            await api.attach(server)
            await api.get(f"/servers/{server}/os-virtual-interfacesv2")

    order = [WORLD["servers"][n * shuffle % CLIENTS]["id"] for n in range(CLIENTS)]
    await asyncio.gather(*map(client, order))
    return decisions_of(cloud)


async def test_one_seed_decides_alike_for_each_call_key_whatever_order_the_calls_come_in(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    first = await run(make_cloud, api_of, seed=7, shuffle=1)
    second = await run(make_cloud, api_of, seed=7, shuffle=17)

    assert len(first) == 2 * CLIENTS
    assert all(len(numbered) == ROUNDS for numbered in first.values())
    assert first == second


async def test_another_seed_decides_otherwise(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    seven = await run(make_cloud, api_of, seed=7, shuffle=1)
    eight = await run(make_cloud, api_of, seed=8, shuffle=1)

    assert seven.keys() == eight.keys()
    assert sum(seven[key] != eight[key] for key in seven) > CLIENTS


async def test_what_counts_by_interface_decides_alike_on_every_key(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    decided = await run(make_cloud, api_of, seed=7, shuffle=1)

    creates = {key: rows for key, rows in decided.items() if key.startswith("create")}
    assert len(creates) == CLIENTS
    assert all("the-second-time" in rows[1][0] for rows in creates.values())
    assert not any("the-second-time" in rows[0][0] for rows in creates.values())
