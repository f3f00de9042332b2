"""The shipped scenario `lost-delete`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


async def test_the_interface_is_gone_and_the_client_is_told_nothing(play: Play) -> None:
    played = await play("lost-delete")
    made = (await played.api.attach()).json()["virtual_interfaces"][0]["id"]

    with pytest.raises(aiohttp.ClientOSError):
        await played.api.delete(f"{VIFS}/{made}")

    assert made not in [interface["id"] for interface in await played.api.interfaces()]


async def test_who_tries_again_finds_nothing_and_may_call_it_done(play: Play) -> None:
    played = await play("lost-delete")
    made = (await played.api.attach()).json()["virtual_interfaces"][0]["id"]
    with pytest.raises(aiohttp.ClientOSError):
        await played.api.delete(f"{VIFS}/{made}")

    again = await played.api.delete(f"{VIFS}/{made}")

    assert again.status == 404
    assert played.cloud.scorecard_document()["rules"]["gone_delete_is_done"]["verdict"] == "pass"
