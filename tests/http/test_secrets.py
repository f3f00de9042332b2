"""Secrets stay where they are, and the control API is for those who may use it: all of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.http import access as access_module
from vifsim.http.access import PREFIX, Access
from vifsim.http.control import Control

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.conftest import Api, ApiOf, MakeCloud
    from vifsim.simulator import Simulator

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
SECRETS = {name: f"sesame-{name}" for name in ("password", "api_key", "token")}
WORLD: dict[str, Any] = {"tenants": [{"id": "123456", "users": [{"name": "ann", **SECRETS}]}]}
BEARER = "sesame-control"
PAGES = ("/_vifsim", "/_vifsim/", "/_vifsim/reference", "/_vifsim/page/main.js")
"""What holds nothing of the cloud."""


def control_calls(cloud: Simulator) -> list[tuple[str, str]]:
    """Return the method and path of each call of the control API, from its own table."""
    return [
        (method, PREFIX + re.sub(r"\{[^}]*\}", "1", path))
        for path, methods in Control(cloud, cloud.documents, Access()).routes.items()
        for method in methods
    ]


async def told_to_each(cloud: Simulator, api: Api, headers: Mapping[str, str]) -> list[int]:
    """Return what each call of the control API is answered with these headers."""
    return [
        (await api.ask(method, path, headers=headers)).status
        for method, path in control_calls(cloud)
    ]


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}]
)
async def test_nothing_of_the_control_api_is_for_pages_and_names_of_strangers(
    cloud: Simulator, api: Api, headers: dict[str, str]
) -> None:
    told = await told_to_each(cloud, api, headers)
    pages = [(await api.get(path, headers=headers)).status for path in PAGES]

    assert len(told) > 20
    assert {*told, *pages} == {403}


async def test_where_there_is_a_token_all_but_the_page_needs_it(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(access=Access(BEARER))
    api = api_of(cloud)

    told = await told_to_each(cloud, api, {"Authorization": "Bearer sesame"})
    pages = [(await api.get(path)).status for path in PAGES]

    assert set(told) == {401}
    assert pages == [308, 200, 200, 200]


async def test_the_token_is_compared_in_constant_time(
    make_cloud: MakeCloud, api_of: ApiOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = await make_cloud(access=Access(BEARER))
    compared: list[tuple[bytes, bytes]] = []

    def watched(given: bytes, wanted: bytes) -> bool:
        compared.append((given, wanted))
        return False

    monkeypatch.setattr(access_module, "compare_digest", watched)
    told = await api_of(cloud).get("/_vifsim/health", headers={"Authorization": f"Bearer {BEARER}"})

    assert told.status == 401
    assert compared == [(BEARER.encode(), BEARER.encode())]


async def use_every_secret(api: Api) -> list[str]:
    """Send each secret wherever a client may; return the tokens and passwords that are told."""
    ann = {"username": "ann"}
    logins = [
        {"passwordCredentials": {**ann, "password": SECRETS["password"]}},
        {"passwordCredentials": {**ann, "password": "sesame-wrong"}},
        {"RAX-KSKEY:apiKeyCredentials": {**ann, "apiKey": SECRETS["api_key"]}},
        {"tenantName": "123456", "token": {"id": SECRETS["token"]}},
        {"passwordCredentials": {**ann, "password": SECRETS["password"], "sesame-key": 1}},
    ]
    told = [await api.post("/v2.0/tokens", {"auth": login}) for login in logins]
    made = told[0].json()["access"]["token"]["id"]
    token = SECRETS["token"]
    for path in (
        f"/v2.0/tokens/{token}",
        f"/v2.0/tokens/{token}?belongsTo=1",
        f"/v2.0/tokens/{token}/endpoints",
        f"/v2.0/tokens/{token}/nothing",
        f"/v2.0/tokens/{token}/",
        f"/v2.0//tokens/{token}",
        f"/v2.0/%74okens/{token}",
        f"/v2.0/tokens%2F{token}",
        f"/v2.0/tokens/{made}",
        f"/v2/123456/tokens/{token}",
        f"/tokens/{token}",
    ):
        for method in ("GET", "HEAD", "PUT"):
            await api.ask(method, path)
    headers = {"Authorization": f"Basic {token}", "Cookie": f"t={token}", "X-Subject-Token": token}
    await api.get("/servers", headers=headers)
    await api.bearing("sesame-nobody").get("/servers")
    server = {"name": "s", "imageRef": "1", "flavorRef": "2", "adminPass": "sesame-admin"}
    booted = await api.post("/servers", {"server": server})
    await api.delete(f"/v2.0/tokens/{made}")
    return [made, booted.json()["server"]["adminPass"]]


async def test_no_secret_is_in_anything_that_is_kept_shown_or_written(
    make_cloud: MakeCloud, api_of: ApiOf, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    cloud = await make_cloud(world=WORLD, access=Access(BEARER))
    api = api_of(cloud)
    bearer = {"Authorization": f"Bearer {BEARER}"}
    await api.get("/_vifsim/metrics", headers=bearer)

    told = await use_every_secret(api)

    shown = [caplog.text]
    for method, path in control_calls(cloud):
        if method == "GET" and not path.endswith("/events"):
            shown.append((await api.get(path, headers=bearer)).body.decode())
    cloud.journal.export(tmp_path / "journal.ndjson")
    shown.append((tmp_path / "journal.ndjson").read_text("utf-8"))
    text = "\n".join(shown)
    assert [secret for secret in (*told, "sesame") if secret in text] == []
    assert text.count("/v2.0/tokens/") > 20


async def test_an_export_has_a_scenarios_world_without_its_secrets(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(scenario={"version": 1, "name": "own", "world": WORLD})

    exported = (await api_of(cloud).get("/_vifsim/journal/export")).body.decode()

    assert '\\"name\\": \\"ann\\"' in exported
    assert "sesame" not in exported
