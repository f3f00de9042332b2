"""Which rules hold, and what is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vifsim.errors import ControlFault, ScenarioError
from vifsim.rulebook import moved

if TYPE_CHECKING:
    from tests.conftest import Api, MakeCloud
    from vifsim.simulator import Simulator

BUSY = {"name": "busy", "match": "list_networks", "status": 503}


async def test_a_rule_that_came_with_a_snapshot_is_told_of_in_an_export(
    make_cloud: MakeCloud,
) -> None:
    first, second = await make_cloud(), await make_cloud()
    await first.add_rule(BUSY)

    await second.restore(await first.snapshot())

    (told,) = second.export_header()["added"]
    assert (told["id"], told["removed"]) == ("busy", False)


async def test_a_rule_that_is_not_sound_changes_nothing(cloud: Simulator) -> None:
    before = cloud.scenario_document()

    with pytest.raises(ScenarioError):
        cloud.put_rule({**BUSY, "status": 99})

    assert cloud.scenario_document() == before


async def test_a_rule_that_is_not_there_cannot_be_dropped(cloud: Simulator) -> None:
    with pytest.raises(ControlFault, match="no rule busy"):
        cloud.drop_rule("busy")


async def test_counts_go_on_where_another_rule_is_added(cloud: Simulator, api: Api) -> None:
    cloud.put_rule(BUSY)
    await api.get("/os-networksv2")

    cloud.put_rule({**BUSY, "name": "later"})

    assert cloud.rule_counts("busy") == (1, 1)


async def test_a_rule_under_the_id_of_a_removed_one_counts_anew(cloud: Simulator, api: Api) -> None:
    cloud.put_rule(BUSY)
    await api.get("/os-networksv2")
    cloud.drop_rule("busy")

    cloud.put_rule(BUSY)

    assert cloud.rule_counts("busy") == (0, 0)


def test_times_move_with_the_clock_that_they_are_told_by() -> None:
    state = {
        "at": 10.0,
        "t0": 4.0,
        "calls": 2,
        "rules": {"limit": {"windows": {"a": [8.0, 2]}}, "queue": {"workers": [11.0]}},
    }

    there = moved(state, 100.0)

    assert there == {
        "t0": 94.0,
        "calls": 2,
        "rules": {"limit": {"windows": {"a": [98.0, 2]}}, "queue": {"workers": [101.0]}},
    }
    assert state["t0"] == 4.0
