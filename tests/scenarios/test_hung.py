"""The shipped scenario `hung`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
WANTED = {"virtual_interface": {"network_id": "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"}}


async def test_who_does_not_wait_for_ever_gets_it_at_the_second_try(play: Play) -> None:
    played = await play("hung", self_stepping=False)
    path = f"{played.cloud.url}/servers/{WEB_1}/os-virtual-interfacesv2"
    async with httpx.AsyncClient(headers={"X-Auth-Token": played.cloud.token}) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(path, json=WANTED, timeout=0.2)
        listed = await client.get(path)

        again = await client.post(path, json=WANTED)

    assert len(listed.json()["virtual_interfaces"]) == 2
    assert again.status_code == 200
    assert played.entries()[0]["outcome"] == "client_gone"
