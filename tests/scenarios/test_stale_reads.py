"""The shipped scenario `stale-reads`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


async def test_what_was_made_is_listed_a_second_later(play: Play) -> None:
    played = await play("stale-reads")
    await played.api.attach()

    early = len(await played.api.interfaces())
    await played.wait(1.0)

    assert (early, len(await played.api.interfaces())) == (2, 3)


async def test_what_was_deleted_is_listed_for_a_second_more(play: Play) -> None:
    played = await play("stale-reads")
    before = await played.api.interfaces()
    await played.api.delete(f"{VIFS}/{before[0]['id']}")

    early = await played.api.interfaces()
    await played.wait(1.0)

    assert early == before
    assert await played.api.interfaces() == before[1:]


async def test_who_takes_the_list_for_the_truth_meets_a_conflict(play: Play) -> None:
    played = await play("stale-reads")
    await played.api.attach()

    assert len(await played.api.interfaces()) == 2
    assert (await played.api.attach()).status == 409
