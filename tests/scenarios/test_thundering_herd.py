"""The shipped scenario `thundering-herd`, met by a small client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import Told
    from tests.scenarios.conftest import Play, Played

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


async def herd(played: Played, size: int) -> list[Told]:
    """Let so many lists begin at once, and time pass until all are answered."""
    calls = asyncio.gather(*(played.api.get(VIFS) for _ in range(size)))
    loop = asyncio.get_running_loop()
    while played.cloud.journal.under_way < size:
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn
    await played.wait(1.0)
    return await calls


async def test_during_the_outage_all_are_refused(play: Play) -> None:
    played = await play("thundering-herd", self_stepping=False)

    assert {told.status for told in await herd(played, 5)} == {503}


async def test_a_herd_that_comes_back_at_once_overruns_two_workers_and_their_queue(
    play: Play,
) -> None:
    played = await play("thundering-herd", self_stepping=False)
    await herd(played, 1)
    await played.wait(2.0)

    told = await herd(played, 10)

    assert sorted(answer.status for answer in told) == [200] * 6 + [503] * 4
    served = [entry for entry in played.entries()[1:] if entry["told"]["status"] == 200]
    waits = sorted(round(entry["end"] - entry["arrived"], 3) for entry in served)
    assert waits == [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]


async def test_who_comes_one_after_the_other_is_served(play: Play) -> None:
    played = await play("thundering-herd")
    await played.api.get(VIFS)
    await played.wait(2.0)

    assert [(await played.api.get(VIFS)).status for _ in range(10)] == [200] * 10
