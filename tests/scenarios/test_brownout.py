"""The shipped scenario `brownout`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play, Played

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


async def refusals(played: Played, until: float) -> tuple[int, int]:
    """Call over and over until a time; return how many calls were refused, and how many made."""
    refused = made = 0
    while (began := played.cloud.clock.now()) < until:
        told = await played.api.get(VIFS)
        assert told.status in {200, 503}
        refused += told.status == 503
        made += 1
        if played.cloud.clock.now() == began:
            await played.wait(0.05)
    return refused, made


async def test_a_third_is_refused_at_first_then_fewer_and_at_last_none(play: Play) -> None:
    played = await play("brownout")

    during = await refusals(played, 8.0)
    recovering = await refusals(played, 12.0)
    after = await refusals(played, 14.0)

    assert 0.2 < during[0] / during[1] < 0.5
    assert 0 < recovering[0] / recovering[1] < during[0] / during[1]
    assert after[0] == 0


async def test_calls_are_slow_until_it_has_recovered_and_refusals_are_held(play: Play) -> None:
    played = await play("brownout")
    await refusals(played, 14.0)

    durations: dict[bool, list[float]] = {True: [], False: []}
    for entry in played.entries():
        took = entry["end"] - entry["arrived"]
        durations[entry["arrived"] < 12.0].append(took)
        assert entry["told"]["status"] == 200 or took >= 0.25

    assert min(durations[True]) > 0.0
    assert max(durations[False]) == 0.0
