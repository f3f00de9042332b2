"""The shipped scenario `maintenance`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play


async def test_everything_is_down_for_five_seconds_with_a_page_for_people(play: Play) -> None:
    played = await play("maintenance")

    statuses = [(await played.api.get("/servers")).status]
    await played.wait(2.0)
    told = await played.api.get("/servers")
    statuses += [told.status, (await played.api.attach()).status]
    await played.wait(5.0)
    statuses.append((await played.api.get("/servers")).status)

    assert statuses == [200, 503, 503, 200]
    assert told.headers["Content-Type"].startswith("text/html")
    assert b"<html" in told.body


async def test_who_waits_as_told_comes_back_when_it_is_over(play: Play) -> None:
    played = await play("maintenance")
    await played.api.get("/servers")
    await played.wait(2.0)

    refused = await played.api.get("/servers")
    await played.wait(int(refused.headers["Retry-After"]))

    assert refused.headers["Retry-After"] == "5"
    assert (await played.api.get("/servers")).status == 200


async def test_a_log_in_is_refused_too(play: Play) -> None:
    played = await play("maintenance")
    await played.api.get("/servers")
    await played.wait(3.0)

    body = {"auth": {"passwordCredentials": {"username": "demo", "password": "demo-password"}}}

    assert (await played.api.post("/v2.0/tokens", body)).status == 503
