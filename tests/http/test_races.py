"""Many clients at once over real sockets: the rules hold, and nothing is used up twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud
    from vifsim.simulator import Simulator

CALLERS = 1000


@pytest.fixture
def backend_url(each_backend_url: str) -> str:
    return each_backend_url


async def test_of_1000_attaches_of_one_pair_exactly_one_wins(cloud: Simulator, api: Api) -> None:
    told = await asyncio.gather(*(api.attach() for _ in range(CALLERS)))

    assert Counter(answer.status for answer in told) == {200: 1, 409: CALLERS - 1}
    assert len(await addresses(cloud)) == 1


async def test_servers_that_attach_at_once_get_addresses_of_their_own(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    names = [f"s{number}" for number in range(200)]
    world: dict[str, Any] = {
        "settings": {"quotas": {"instances": None, "ram": None}},
        "servers": [{"name": name, "networks": []} for name in names],
    }
    cloud = await make_cloud(world=world)
    api = api_of(cloud)

    told = await asyncio.gather(*(api.attach(cloud.servers[name]) for name in names))

    assert Counter(answer.status for answer in told) == {200: len(names)}
    assert len(set(await addresses(cloud))) == len(names)


async def addresses(cloud: Simulator) -> list[str]:
    """Return every address in use on the demo network."""
    state = await cloud.state_document()
    return [
        address
        for interface in state["virtual_interfaces"]
        if interface["network"] == "added_network"
        for address in interface["addresses"]
    ]
