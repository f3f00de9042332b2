"""The shipped scenario `flaky-create`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play


async def test_a_client_that_tries_again_gets_through_the_third_time(play: Play) -> None:
    played = await play("flaky-create")

    told = [await played.api.attach() for _ in range(3)]

    assert [answer.status for answer in told] == [503, 503, 200]
    assert [entry["committed"] for entry in played.entries()] == [False, False, True]


async def test_nothing_else_is_refused(play: Play) -> None:
    played = await play("flaky-create")

    assert len(await played.api.interfaces()) == 2
