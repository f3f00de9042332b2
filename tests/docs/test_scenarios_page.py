"""Each example on the page about scenarios loads, and does to a client what stands beside it."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp
import pytest

from vifsim.http.openapi import documented_statuses
from vifsim.scenario.lint import lint
from vifsim.scenario.schema import load_text
from vifsim.simulator import Simulator

PAGE = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```yaml ?([^\n]*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
WHOLE = aiohttp.ClientTimeout(total=60)
METHODS = {"create": "POST", "list": "GET"}


async def told(simulator: Simulator, method: str, calls: int) -> list[str]:
    """Return the statuses of calls one after the other, "None" for no answer."""
    path = f"{simulator.url}/servers/{simulator.server_id}/os-virtual-interfacesv2"
    body = {"virtual_interface": {"network_id": simulator.network_id}}
    found: list[str] = []
    async with aiohttp.ClientSession(headers={"X-Auth-Token": simulator.token}) as session:
        for _ in range(calls):
            sent = body if method == "POST" else None
            try:
                async with session.request(method, path, json=sent, timeout=WHOLE) as answer:
                    found.append(str(answer.status))
            except aiohttp.ClientConnectionError:
                found.append("None")
    return found


def test_every_example_says_what_a_client_meets() -> None:
    assert len(EXAMPLES) >= 7
    assert all(METHODS.keys() & {promise.partition(" ")[0]} for promise, _ in EXAMPLES)


@pytest.mark.parametrize(
    ("promise", "text"), EXAMPLES, ids=[str(place) for place in range(len(EXAMPLES))]
)
async def test_an_example_does_what_it_promises(promise: str, text: str) -> None:
    scenario = load_text(text, source="docs/scenarios.md")
    what, *statuses = promise.split()

    async with Simulator(clock="autojump", scenario=scenario) as simulator:
        found = await told(simulator, METHODS[what], len(statuses))

    assert found == statuses
    assert lint(scenario, documented_statuses()) == []
    assert simulator.edge.last_defect is None
