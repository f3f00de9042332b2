"""The shipped scenario `proxy-errors`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


async def test_a_create_that_timed_out_at_the_gateway_went_through(play: Play) -> None:
    played = await play("proxy-errors")

    told = await played.api.attach()

    assert told.status == 504
    assert told.headers["Content-Type"].startswith("text/html")
    assert "X-Compute-Request-Id" not in told.headers
    assert len(await played.api.interfaces()) == 3


async def test_each_fourth_call_is_a_page_of_the_gateway(play: Play) -> None:
    played = await play("proxy-errors")

    told = [await played.api.get(VIFS) for _ in range(8)]

    assert [answer.status for answer in told] == [200, 200, 200, 502, 200, 200, 200, 502]
    assert b"502 Bad Gateway" in told[3].body


async def test_a_client_that_reads_pages_as_failures_and_looks_before_it_retries_gets_there(
    play: Play,
) -> None:
    played = await play("proxy-errors")

    for _ in range(6):
        told = await played.api.get(VIFS)
        if told.status == 200 and len(told.json()["virtual_interfaces"]) == 3:
            break
        if told.status == 200:
            await played.api.attach()

    created = [entry for entry in played.entries() if entry["effects"]]
    assert len(created) == 1
