"""The shipped scenario `token-expiry`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


async def test_each_token_dies_with_its_third_call(play: Play) -> None:
    played = await play("token-expiry")

    told = [await played.api.get(VIFS) for _ in range(4)]

    assert [answer.status for answer in told] == [200, 200, 401, 401]


async def test_a_client_that_logs_in_again_goes_on(play: Play) -> None:
    played = await play("token-expiry")
    api = played.api

    done = log_ins = 0
    while done < 7:
        told = await api.get(VIFS)
        if told.status == 401:
            api = await api.log_in("demo")
            log_ins += 1
        else:
            done += 1

    assert log_ins == 3
