"""The shipped scenario `endless-outage`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play


async def test_it_never_ends_and_nobody_says_until_when(play: Play) -> None:
    played = await play("endless-outage")

    first = await played.api.attach()
    await played.wait(3600)
    later = await played.api.attach()

    assert (first.status, later.status) == (503, 503)
    assert "Retry-After" not in first.headers


async def test_who_gives_up_after_some_attempts_passes(play: Play) -> None:
    played = await play("endless-outage")

    for pause in (0.5, 1.1, 2.4, 4.2):
        assert (await played.api.attach()).status == 503
        await played.wait(pause)

    rules = played.cloud.scorecard_document()["rules"]
    assert rules["retries_capped"]["verdict"] == "pass"
