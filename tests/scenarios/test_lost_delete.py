"""The shipped scenario `lost-delete`, met by a small client.

The client is httpx's: aiohttp's own repeats a DELETE whose connection breaks, unasked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play, Played

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


async def attached(played: Played) -> str:
    """Attach a server and return the path of the interface."""
    told = await played.api.attach()
    return f"{VIFS}/{told.json()['virtual_interfaces'][0]['id']}"


def client_of(played: Played) -> httpx.AsyncClient:
    """Return a client that sends each request once."""
    return httpx.AsyncClient(
        base_url=played.cloud.url, headers={"X-Auth-Token": played.cloud.token}
    )


async def test_the_interface_is_gone_and_the_client_is_told_nothing(play: Play) -> None:
    played = await play("lost-delete")
    made = await attached(played)

    async with client_of(played) as client:
        with pytest.raises(httpx.ReadError):
            await client.delete(made)

    assert made not in [f"{VIFS}/{one['id']}" for one in await played.api.interfaces()]


async def test_who_tries_again_finds_nothing_and_may_call_it_done(play: Play) -> None:
    played = await play("lost-delete")
    made = await attached(played)
    async with client_of(played) as client:
        with pytest.raises(httpx.ReadError):
            await client.delete(made)

        again = await client.delete(made)

    assert again.status_code == 404
    assert played.cloud.scorecard_document()["rules"]["gone_delete_is_done"]["verdict"] == "pass"


async def test_a_client_that_repeats_by_itself_never_notices(play: Play) -> None:
    played = await play("lost-delete")
    made = await attached(played)

    told = await played.api.delete(made)

    assert told.status == 404
    assert [entry["told"] is None for entry in played.entries()] == [False, True, False]
