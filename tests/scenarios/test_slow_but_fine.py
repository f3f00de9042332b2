"""The shipped scenario `slow-but-fine`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play


async def test_who_waits_two_seconds_is_served(play: Play) -> None:
    played = await play("slow-but-fine")

    told = await played.api.attach()

    entry = played.entries()[-1]
    assert told.status == 200
    assert entry["end"] - entry["arrived"] >= 2.0
    rules = played.cloud.scorecard_document()["rules"]
    assert rules["timeout_not_too_short"]["verdict"] == "pass"
