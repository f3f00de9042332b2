"""The shipped scenario `told-to-wait`, met by a small client."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play


WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"


async def test_the_first_create_is_told_the_seconds_and_the_second_succeeds(play: Play) -> None:
    played = await play("told-to-wait")

    refused, made = [await played.api.attach() for _ in range(2)]

    assert (refused.status, refused.headers["Retry-After"]) == (413, "2")
    assert made.status == 200


async def test_the_first_delete_is_told_a_date(play: Play) -> None:
    played = await play("told-to-wait")
    await played.api.attach()
    made = (await played.api.attach()).json()["virtual_interfaces"][0]["id"]

    refused, gone = [
        await played.api.delete(f"/servers/{WEB_1}/os-virtual-interfacesv2/{made}")
        for _ in range(2)
    ]

    assert refused.status == 503
    assert parsedate_to_datetime(refused.headers["Retry-After"]).tzinfo is not None
    assert gone.status == 200
