"""The shipped scenario `server-building`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
DB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a03"


async def test_a_server_refuses_interfaces_until_it_is_built(play: Play) -> None:
    played = await play("server-building")

    early = await played.api.attach()
    await played.wait(3.0)

    assert early.status == 409
    assert (await played.api.attach()).status == 200


async def test_a_client_that_watches_the_status_knows_when(play: Play) -> None:
    played = await play("server-building")

    seen: list[str] = []
    while not seen or seen[-1] != "ACTIVE":
        seen.append((await played.api.get(f"/servers/{WEB_1}")).json()["server"]["status"])
        await played.wait(1.0)

    assert seen == ["BUILD", "BUILD", "BUILD", "ACTIVE"]
    assert (await played.api.attach()).status == 200


async def test_a_server_that_is_ready_takes_one_at_once(play: Play) -> None:
    played = await play("server-building")

    assert (await played.api.attach(DB_1)).status == 200
