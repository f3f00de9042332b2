"""The shipped scenario `flapping`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


async def test_it_is_up_and_down_in_turns_of_two_seconds(play: Play) -> None:
    played = await play("flapping")

    statuses: list[int] = []
    for _ in range(8):
        statuses.append((await played.api.get(VIFS)).status)
        await played.wait(1.0)

    assert statuses == [200, 200, 503, 503, 200, 200, 503, 503]


async def test_who_waits_as_told_comes_back_when_it_is_up(play: Play) -> None:
    played = await play("flapping")
    await played.api.get(VIFS)
    await played.wait(2.5)

    refused = await played.api.get(VIFS)
    await played.wait(int(refused.headers["Retry-After"]))

    assert (refused.status, refused.headers["Retry-After"]) == (503, "2")
    assert (await played.api.get(VIFS)).status == 200
