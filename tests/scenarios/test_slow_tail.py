"""The shipped scenario `slow-tail`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play


async def test_half_of_the_answers_are_quick_and_a_few_are_very_slow(play: Play) -> None:
    played = await play("slow-tail")
    for _ in range(500):
        assert (await played.api.get("/limits")).status == 200

    durations = sorted(entry["end"] - entry["arrived"] for entry in played.entries())

    assert 0.03 < durations[250] < 0.05
    assert 1 <= sum(duration > 2.0 for duration in durations) <= 15
    assert durations[-1] <= 4.0 + 1e-6
