"""What is told apart between the beginning of a cloud and a later moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vifsim import Simulator
from vifsim.difference import Picture, differences, picture_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import aiohttp

    from vifsim.difference import Beginning

LOGIN = {"auth": {"passwordCredentials": {"username": "demo", "password": "demo-password"}}}
NETWORK = {"network": {"label": "backend", "cidr": "10.9.0.0/24"}}
SERVER = {"server": {"name": "job-1", "imageRef": "1", "flavorRef": "2"}}


@pytest.fixture
async def simulator() -> AsyncGenerator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def http(simulator: Simulator) -> AsyncGenerator[aiohttp.ClientSession]:
    async with simulator.aiohttp_client() as http:
        yield http


async def told(simulator: Simulator, begun: Beginning) -> list[str]:
    before = await begun.picture(simulator.backend)
    assert before is not None
    entries = simulator.journal.documents(simulator.journal)
    return differences(before, await picture_of(simulator.backend), entries)


async def test_a_cloud_that_was_only_read_is_as_it_was(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    begun = simulator.beginning()

    await http.get("os-networksv2")

    assert await told(simulator, begun) == []


async def test_each_thing_that_is_not_as_it_was_has_a_line_with_its_name_and_its_call(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    begun = simulator.beginning()
    web_1 = simulator.servers["web-1"]

    await http.post(f"{simulator.auth_url}/tokens", json=LOGIN)
    made = await (await http.post("os-networksv2", json=NETWORK)).json()
    wanted = {"virtual_interface": {"network_id": made["network"]["id"]}}
    await http.post(f"servers/{web_1}/os-virtual-interfacesv2", json=wanted)
    await http.post("servers", json=SERVER)
    await http.delete(f"servers/{simulator.servers['web-2']}")

    assert await told(simulator, begun) == [
        "+ network    backend  10.9.0.0/24  (entry 2)",
        "- server     web-2 on public, private  (entry 5)",
        "+ server     job-1 on public, private  (entry 4)",
        "+ interface  web-1 on backend  (entry 3)",
        "+ token      of demo  (entry 1)",
    ]


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "set_status": (
        {"server": "web-1", "status": "ERROR"},
        "~ server  web-1  status ACTIVE -> ERROR",
    ),
    "revoke_all_tokens": ({}, "- token  of demo"),
    "disable_user": ({"user": "creator"}, "~ user  creator creator -> creator, disabled"),
    "set_quotas": (
        {"tenant": "123456", "quotas": {"networks": 1}},
        "~ tenant  123456 quotas.networks 10 -> 1",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_was_changed_by_hand_is_told_as_well(simulator: Simulator, change: str) -> None:
    values, line = CHANGES[change]
    begun = simulator.beginning()

    await simulator.amend(change, **values)

    assert line in await told(simulator, begun)


async def test_a_setting_that_another_scenario_brings_is_told(simulator: Simulator) -> None:
    begun = simulator.beginning()

    await simulator.load({"version": 1, "world": {"settings": {"region": "ORD"}}})

    assert await told(simulator, begun) == ["~ settings  region DFW -> ORD"]


async def test_an_interface_that_was_replaced_is_gone_and_new(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    path = f"servers/{simulator.server_id}/os-virtual-interfacesv2"
    wanted = {"virtual_interface": {"network_id": simulator.network_id}}
    await http.post(path, json=wanted)
    (old,) = await simulator.state.interfaces(server="web-1", network="added_network")
    before = await picture_of(simulator.backend)

    await http.delete(f"{path}/{old.id}")
    await http.post(path, json=wanted)

    assert differences(before, await picture_of(simulator.backend)) == [
        "- interface  web-1 on added_network",
        "+ interface  web-1 on added_network",
    ]


async def test_many_things_of_a_kind_are_counted_not_listed(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    begun = simulator.beginning()

    for _ in range(15):
        await http.post("servers", json=SERVER)

    lines = await told(simulator, begun)
    assert len(lines) == 8
    assert lines[-1] == "… server  8 more new"


async def test_a_cloud_that_began_anew_is_compared_with_its_new_beginning(
    simulator: Simulator, http: aiohttp.ClientSession
) -> None:
    await http.post("servers", json=SERVER)
    await simulator.begin({"version": 1, "world": {"servers": []}}, 3)

    begun = simulator.beginning()

    assert await told(simulator, begun) == []


async def test_a_store_that_held_more_than_its_world_is_compared_with_what_it_held(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/cloud.db"
    async with Simulator(backend=url) as simulator, simulator.aiohttp_client() as http:
        await http.post("servers", json=SERVER)

    async with Simulator(backend=url) as simulator, simulator.aiohttp_client() as http:
        begun = simulator.beginning()
        await http.post("os-networksv2", json=NETWORK)

        assert await told(simulator, begun) == ["+ network  backend  10.9.0.0/24  (entry 1)"]


async def test_how_a_store_began_is_not_guessed(tmp_path: Path) -> None:
    async with Simulator(backend=f"sqlite:///{tmp_path}/cloud.db") as simulator:
        begun = simulator.beginning()

        await simulator.reset()

        assert await begun.picture(simulator.backend) is None


def test_pictures_without_tokens_differ_in_none() -> None:
    state: dict[str, Any] = {
        "settings": {"policy": {}, "quotas": {}},
        "tenants": [],
        "networks": [],
        "servers": [],
        "virtual_interfaces": [],
    }

    lines = differences(Picture(state=state), Picture(state=state, tokens=[{"digest": "x"}]))

    assert lines == []
