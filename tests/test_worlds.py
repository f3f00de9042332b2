"""Which names a simulator knows of what is in its world."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import MakeCloud
    from vifsim.simulator import Simulator


async def test_a_scenario_without_a_world_leaves_the_names_of_what_exists(
    make_cloud: MakeCloud,
) -> None:
    cloud = await make_cloud(scenario={"version": 1, "world": {"servers": [{"name": "kept"}]}})
    known = cloud.servers

    await cloud.load("rate-limited")

    assert cloud.servers == known
    assert list(known) == ["kept"]


async def test_a_reset_looks_names_up_again(make_cloud: MakeCloud) -> None:
    cloud = await make_cloud(scenario={"version": 1, "world": {"servers": [{"name": "kept"}]}})
    await cloud.load("rate-limited")

    await cloud.reset()

    assert "kept" not in cloud.servers


async def test_networks_that_are_always_there_are_known_by_label(cloud: Simulator) -> None:
    assert cloud.networks["public"] == "00000000-0000-0000-0000-000000000000"
    assert cloud.networks["private"] == "11111111-1111-1111-1111-111111111111"
