"""What a user's suite does with the fixture, in both modes of pytest-asyncio and without it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import aiohttp
import pytest

from vifsim import SIMULATOR, Cloud, Simulator, create_app

if TYPE_CHECKING:
    from pytest_aiohttp.plugin import AiohttpClient


def body_for(cloud: Cloud | Simulator) -> dict[str, Any]:
    return {"virtual_interface": {"network_id": cloud.network_id}}


def path_of(cloud: Cloud | Simulator) -> str:
    return f"/servers/{cloud.server_id}/os-virtual-interfacesv2"


def attach(cloud: Cloud) -> int:
    headers = {"X-Auth-Token": cloud.token, "Content-Type": "application/json"}
    sent = Request(cloud.url + path_of(cloud), json.dumps(body_for(cloud)).encode(), headers)  # noqa: S310 -- the cloud's own URL
    try:
        with urlopen(sent, timeout=10) as answer:  # noqa: S310 -- likewise
            return int(answer.status)
    except HTTPError as refused:
        with refused:
            return refused.code


@pytest.mark.parametrize("number", range(3))
def test_each_test_has_a_fresh_world(vifsim: Cloud, number: int) -> None:
    vifsim.rule(match="create_virtual_interface", first=2, status=503)

    told = [attach(vifsim) for _ in range(4)]

    assert told == [503, 503, 200, 409]
    vifsim.journal.calls("create_virtual_interface").told(told).exactly(4)
    vifsim.effects.exactly_once("create_virtual_interface", server="web-1")


@pytest.mark.vifsim(scenario="flaky-create", seed=7, backend="memory:", clock="manual")
def test_the_marker_sets_the_cloud_up(vifsim: Cloud) -> None:
    before = vifsim.clock.now()

    vifsim.clock.advance("1h")

    assert vifsim.clock.now() - before == 3600
    assert attach(vifsim) == 503


@pytest.mark.asyncio
async def test_an_async_test_asks_the_cloud_too(vifsim: Cloud) -> None:
    headers = {"X-Auth-Token": vifsim.token}

    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(vifsim.url + path_of(vifsim), json=body_for(vifsim)) as answer,
    ):
        status = answer.status

    assert status == 200


@pytest.mark.asyncio
@pytest.mark.vifsim(scenario={"version": 1, "rules": [{"latency": "1h"}]})
async def test_an_hour_passes_at_once(vifsim_autojump: Simulator) -> None:
    headers = {"X-Auth-Token": vifsim_autojump.token}
    patience = aiohttp.ClientTimeout(total=7200)

    async with (
        aiohttp.ClientSession(headers=headers, timeout=patience) as session,
        session.get(vifsim_autojump.url + path_of(vifsim_autojump)) as answer,
    ):
        status = answer.status

    assert status == 200


@pytest.mark.asyncio
async def test_the_cloud_is_an_application_for_pytest_aiohttp(
    aiohttp_client: AiohttpClient,
) -> None:
    app = create_app(seed=7)
    client = await aiohttp_client(app)
    cloud = app[SIMULATOR]

    answer = await client.post(
        path_of(cloud), json=body_for(cloud), headers={"X-Auth-Token": cloud.token}
    )

    assert answer.status == 200
