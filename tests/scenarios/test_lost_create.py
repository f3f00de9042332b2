"""The shipped scenario `lost-create`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_2 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02"


async def test_the_interface_is_made_and_the_client_is_told_nothing(play: Play) -> None:
    played = await play("lost-create")

    with pytest.raises(aiohttp.ClientOSError):
        await played.api.attach()

    assert len(await played.api.interfaces()) == 3


async def test_an_honest_blind_retry_is_a_conflict(play: Play) -> None:
    played = await play("lost-create")
    with pytest.raises(aiohttp.ClientOSError):
        await played.api.attach()

    assert (await played.api.attach()).status == 409


async def test_a_client_that_looks_first_goes_on_with_what_it_finds(play: Play) -> None:
    played = await play("lost-create")
    with pytest.raises(aiohttp.ClientOSError):
        await played.api.attach()

    found = [
        interface["id"]
        for interface in await played.api.interfaces()
        if interface["ip_addresses"][0]["network_label"] == "added_network"
    ]

    (entry, *_) = played.entries()
    assert found == [entry["effects"][0]["id"]]


async def test_the_second_create_is_answered(play: Play) -> None:
    played = await play("lost-create")
    with pytest.raises(aiohttp.ClientOSError):
        await played.api.attach()

    assert (await played.api.attach(WEB_2)).status == 200
