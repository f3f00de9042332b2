"""The journal as an HTTP Archive."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conftest import ApiOf, MakeCloud


async def test_each_call_that_has_ended_is_an_entry(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    cloud = await make_cloud(scenario="flaky-create", clock="manual", self_stepping=True)
    api = api_of(cloud)
    await api.attach()
    await api.get("/servers?limit=2")

    log = (await api.get("/_vifsim/journal/har")).json()["log"]

    refused, listed = log["entries"]
    assert log["version"] == "1.2"
    assert refused["request"]["method"] == "POST"
    assert refused["request"]["url"].startswith(f"{cloud.url}/servers/")
    assert refused["response"]["status"] == 503
    assert refused["_vifsim"]["decision"]["fault"] == 503
    assert listed["request"]["queryString"] == [{"name": "limit", "value": "2"}]
    assert listed["response"]["statusText"] == "OK"


async def test_a_lost_answer_has_status_0(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    cloud = await make_cloud()
    api = api_of(cloud)
    await cloud.add_rule({"match": "list_networks", "first": 1, "close": "before_headers"})
    await api.get("/os-networksv2")

    log = (await api.get("/_vifsim/journal/har")).json()["log"]

    assert log["entries"][0]["response"]["status"] == 0


async def test_no_token_is_in_it(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    api = api_of(await make_cloud())
    await api.log_in("demo")
    await api.get("/servers")

    told = await api.get("/_vifsim/journal/har")

    assert b"demo-token" not in told.body
    assert b"demo-password" not in told.body
