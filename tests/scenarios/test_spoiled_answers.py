"""The shipped scenario `spoiled-answers`, met by a small client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Told
    from tests.scenarios.conftest import Play

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


def is_json(told: Told) -> bool:
    try:
        json.loads(told.body)
    except ValueError:
        return False
    return True


async def test_good_answers_arrive_broken(play: Play) -> None:
    played = await play("spoiled-answers")

    listed = [await played.api.get(VIFS) for _ in range(4)]
    made = await played.api.attach()

    assert [told.status for told in [*listed, made]] == [200] * 5
    assert [is_json(told) for told in [*listed, made]] == [False, True, False, True, False]


async def test_who_looks_again_finds_that_the_create_took_effect(play: Play) -> None:
    played = await play("spoiled-answers")
    await played.api.attach()
    with pytest.raises(json.JSONDecodeError):
        await played.api.interfaces()

    found = await played.api.interfaces()

    assert [one["ip_addresses"][0]["network_label"] for one in found][-1] == "added_network"
