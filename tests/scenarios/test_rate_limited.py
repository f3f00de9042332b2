"""The shipped scenario `rate-limited`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
WEB_2 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02"
DB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a03"


async def test_the_fifth_create_is_refused_until_the_minute_is_over(play: Play) -> None:
    played = await play("rate-limited")

    told = [await played.api.attach(server) for server in (WEB_1, WEB_2, DB_1, WEB_1, WEB_2)]
    await played.wait(int(told[4].headers["Retry-After"]))

    assert [answer.status for answer in told] == [200, 200, 200, 409, 413]
    assert told[4].headers["Retry-After"] == "60"
    assert (await played.api.attach()).status == 409


async def test_who_comes_back_early_is_told_how_much_is_left(play: Play) -> None:
    played = await play("rate-limited")
    for _ in range(4):
        await played.api.attach()

    left: list[str] = []
    for _ in range(3):
        left.append((await played.api.attach()).headers["Retry-After"])
        await played.wait(20.0)

    assert left == ["60", "40", "20"]


async def test_another_user_has_a_minute_of_its_own(play: Play) -> None:
    played = await play("rate-limited")
    for _ in range(5):
        await played.api.attach()

    other = await played.api.log_in("creator")

    assert (await other.attach(WEB_2)).status == 200
