"""The shipped scenario `documented-limits`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_2 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02"


async def test_the_fifth_create_of_a_minute_conflicts_counted_is_over_the_limit(
    play: Play,
) -> None:
    played = await play("documented-limits")

    told = [await played.api.attach() for _ in range(5)]

    assert [answer.status for answer in told] == [200, 409, 409, 409, 413]
    assert 1 <= int(told[4].headers["Retry-After"]) <= 60
    assert told[4].fault == "overLimit"


async def test_who_waits_as_told_goes_on(play: Play) -> None:
    played = await play("documented-limits")
    for _ in range(4):
        await played.api.attach()

    refused = await played.api.attach(WEB_2)
    await played.wait(int(refused.headers["Retry-After"]))

    assert refused.status == 413
    assert (await played.api.attach(WEB_2)).status == 200


async def test_the_limits_say_what_is_left(play: Play) -> None:
    played = await play("documented-limits")
    await played.api.attach()

    document = (await played.api.get("/limits")).json()

    left = {
        (rate["uri"], limit["verb"]): limit["remaining"]
        for rate in document["limits"]["rate"]
        for limit in rate["limit"]
    }
    assert left["/servers/{id}/os-virtual-interfacesv2", "POST"] == 3
    assert left["*", "POST"] == 99
