"""What stock clients demand, and what breaks them: that we do none of it.

Source: API contract, section 14 (docs/api.md).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud
    from vifsim.simulator import Simulator

TENANT = "123456"
WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"
KEY = {"RAX-KSKEY:apiKeyCredentials": {"username": "demo", "apiKey": "demo-key"}}
PASSWORD = {"passwordCredentials": {"username": "demo", "password": "demo-password"}}


async def access(api: Api) -> dict[str, Any]:
    told = await api.bearing(None).post("/v2.0/tokens", {"auth": KEY})
    found: dict[str, Any] = told.json()["access"]
    return found


# ── the short list ──


@pytest.mark.parametrize("credentials", [KEY, PASSWORD], ids=["key", "password"])
@pytest.mark.parametrize("beside", [{}, {"tenantId": TENANT}, {"tenantName": TENANT}], ids=str)
async def test_item_1_every_log_in_is_understood(
    api: Api, credentials: dict[str, Any], beside: dict[str, str]
) -> None:
    told = await api.bearing(None).post("/v2.0/tokens", {"auth": {**credentials, **beside}})

    assert told.status == 200


@pytest.mark.parametrize("key", ["tenantId", "tenantName"])
async def test_item_1_the_tenant_may_stand_inside_the_credentials(api: Api, key: str) -> None:
    inner = {**PASSWORD["passwordCredentials"], key: TENANT}

    told = await api.bearing(None).post("/v2.0/tokens", {"auth": {"passwordCredentials": inner}})

    assert told.status == 200


async def test_item_1_a_token_logs_in_with_its_tenant(api: Api) -> None:
    token = (await access(api))["token"]["id"]

    body = {"auth": {"token": {"id": token}, "tenantId": TENANT}}
    told = await api.bearing(None).post("/v2.0/tokens", body)

    assert told.json()["access"]["token"]["RAX-AUTH:authenticatedBy"] == ["APIKEY"]


async def test_item_1_bad_credentials_are_a_401(api: Api) -> None:
    wrong = {"passwordCredentials": {"username": "demo", "password": "wrong"}}

    told = await api.bearing(None).post("/v2.0/tokens", {"auth": wrong})

    assert (told.status, told.fault) == (401, "unauthorized")


async def test_item_2_a_token_and_its_user_are_told_whole(api: Api) -> None:
    found = await access(api)

    token, user = found["token"], found["user"]
    assert token["tenant"] == {"id": TENANT, "name": TENANT}
    assert re.fullmatch(r"[0-9a-f]{32}", token["id"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", token["expires"])
    expires = datetime.fromisoformat(token["expires"])
    assert timedelta(hours=23) < expires - datetime.now(UTC) <= timedelta(hours=24)  # noqa: TID251 -- as the client does
    assert user.keys() >= {"id", "name", "roles", "RAX-AUTH:defaultRegion"}
    assert isinstance(user["roles"], list)


async def test_item_3_the_catalog_holds_one_compute_service_that_clients_find(
    api: Api, cloud: Simulator
) -> None:
    (service,) = (await access(api))["serviceCatalog"]

    assert (service["name"], service["type"]) == ("cloudServersOpenStack", "compute")
    (endpoint,) = service["endpoints"]
    assert endpoint["region"] == "DFW"
    assert endpoint["publicURL"] == f"{cloud.url}/v2/{TENANT}"
    assert endpoint["versionId"] == "2"
    assert endpoint["tenantId"] == TENANT
    assert "internalURL" not in endpoint


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", VIFS, 400),
        ("GET", "/nowhere", 404),
        ("PUT", VIFS, 405),
        ("GET", "/os-networksv2/x", 404),
    ],
)
async def test_item_4_a_fault_is_one_object_with_a_code_and_a_text(
    api: Api, method: str, path: str, status: int
) -> None:
    told = await api.ask(method, path)

    assert told.status == status
    assert told.headers["Content-Type"] == "application/json"
    ((_, content),) = told.json().items()
    assert content.keys() == {"code", "message"}


async def test_item_4_a_401_is_such_a_fault_too(api: Api) -> None:
    told = await api.bearing("wrong").get("/servers")

    assert told.json() == {"unauthorized": {"code": 401, "message": "Unauthorized"}}


async def test_item_5_the_statuses_that_clients_check_are_exact(api: Api) -> None:
    made = await api.post("/os-networksv2", {"network": {"label": "a", "cidr": "10.0.0.0/24"}})
    network = made.json()["network"]["id"]
    attached = await api.attach(WEB_1, network)
    in_use = await api.delete(f"/os-networksv2/{network}")
    interface = attached.json()["virtual_interfaces"][0]["id"]
    detached = await api.delete(f"{VIFS}/{interface}")
    removed = await api.delete(f"/os-networksv2/{network}")

    statuses = [told.status for told in (made, attached, in_use, detached, removed)]

    assert statuses == [200, 200, 403, 200, 202]


@pytest.mark.parametrize("path", ["/", "/v2", "/servers", "/limits", "/extensions", "/nowhere"])
async def test_item_6_a_compute_answer_has_a_request_id(api: Api, path: str) -> None:
    told = await api.get(path)

    assert told.headers["X-Compute-Request-Id"].startswith("req-")


@pytest.mark.parametrize("path", ["/v2.0/tenants", "/v2.0/extensions"])
async def test_item_6_an_identity_answer_has_none(api: Api, path: str) -> None:
    told = await api.get(path)

    assert told.status == 200
    assert "X-Compute-Request-Id" not in told.headers


@pytest.mark.parametrize("token", [None, "wrong", "demo-token"])
async def test_item_7_versions_are_told_to_anybody(api: Api, token: str | None) -> None:
    told = await api.bearing(token).get("/")

    assert told.status == 200
    (version,) = told.json()["versions"]
    assert version["id"] == "v2.0"
    (link,) = version["links"]
    assert link == {"rel": "self", "href": f"{api.url}/v2/"}


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_item_7_the_version_itself_is_there_too(api: Api, path: str) -> None:
    told = await api.bearing(None).get(path)

    assert told.status == 200
    assert told.json()["version"]["status"] == "CURRENT"


@pytest.mark.parametrize("path", ["/servers", "/servers/detail"])
async def test_item_8_a_marker_at_the_end_gives_an_empty_list(api: Api, path: str) -> None:
    first = (await api.get(path)).json()["servers"]

    told = await api.get(f"{path}?marker={first[-1]['id']}")

    assert told.json() == {"servers": []}


DETAIL = {
    "OS-DCF:diskConfig",
    "OS-EXT-STS:power_state",
    "OS-EXT-STS:task_state",
    "OS-EXT-STS:vm_state",
    "accessIPv4",
    "accessIPv6",
    "addresses",
    "config_drive",
    "created",
    "flavor",
    "hostId",
    "id",
    "image",
    "key_name",
    "links",
    "metadata",
    "name",
    "progress",
    "status",
    "tenant_id",
    "updated",
    "user_id",
}


async def test_item_9_a_server_is_told_whole(api: Api) -> None:
    one = (await api.get(f"/servers/{WEB_1}")).json()["server"]
    many = (await api.get("/servers/detail")).json()["servers"]

    assert all(server.keys() == DETAIL for server in (one, *many))
    assert [link["rel"] for link in one["links"]] == ["self", "bookmark"]
    assert one["flavor"].keys() == one["image"].keys() == {"id", "links"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "*/*"},
        {"Accept": ""},
        {"X-OpenStack-Nova-API-Version": "2.latest"},
        {"Accept": "text/html, application/json;q=0.5"},
        {"Accept": "application/vnd.openstack.compute+json;version=2"},
    ],
    ids=str,
)
async def test_item_10_json_comes_whatever_is_asked_for_beside(
    api: Api, headers: dict[str, str]
) -> None:
    told = await api.get("/servers", headers=headers)

    assert told.status == 200
    assert told.headers["Content-Type"] == "application/json"


# ── what each deviation breaks ──


async def test_a_new_token_lives_well_over_five_minutes_at_every_log_in(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual")
    api = api_of(cloud)

    lives: list[float] = []
    for _ in range(30):
        expires = datetime.fromisoformat((await access(api))["token"]["expires"])
        lives.append(expires.timestamp() - cloud.clock.epoch())
        await cloud.advance_clock("59m")

    assert min(lives) > 3000


@pytest.mark.parametrize("user", ["demo", "observer", "creator"])
async def test_every_user_has_roles_and_a_region(api: Api, user: str) -> None:
    credentials = {"username": user, "password": "demo-password"}

    told = await api.post("/v2.0/tokens", {"auth": {"passwordCredentials": credentials}})

    found = told.json()["access"]["user"]
    assert found["roles"][0]["name"] == "compute:default"
    assert all(role.keys() >= {"id", "name"} for role in found["roles"])
    assert found["RAX-AUTH:defaultRegion"] == "DFW"


async def test_the_public_url_has_no_slash_at_its_end(api: Api) -> None:
    (service,) = (await access(api))["serviceCatalog"]

    assert not service["endpoints"][0]["publicURL"].endswith("/")


async def test_what_the_catalog_names_is_served(api: Api) -> None:
    (service,) = (await access(api))["serviceCatalog"]
    (endpoint,) = service["endpoints"]

    paths = [
        endpoint[key].removeprefix(api.url) + more
        for key, more in (("publicURL", "/servers"), ("versionInfo", ""), ("versionList", ""))
    ]

    assert [(await api.get(path)).status for path in paths] == [200, 200, 200]


async def test_a_fault_is_never_flat_nor_a_text_nor_called_error(api: Api) -> None:
    (name,) = (await api.get("/nowhere")).json()

    assert name == "itemNotFound"


@pytest.mark.parametrize("path", ["/", "/v2", "/v2/", "/v2.0", "/servers", "/os-networksv2", VIFS])
async def test_json_comes_as_application_json_without_a_charset(api: Api, path: str) -> None:
    told = await api.get(path)

    assert told.headers["Content-Type"] == "application/json"


async def test_the_duplicate_is_a_conflict(api: Api) -> None:
    await api.attach()

    told = await api.attach()

    assert (told.status, told.fault) == (409, "conflictingRequest")
    assert told.message.startswith("Instance is already attached to network")


async def test_the_root_is_no_300(api: Api) -> None:
    told = await api.bearing(None).get("/")

    assert (told.status, list(told.json())) == (200, ["versions"])


@pytest.mark.parametrize("path", ["/servers", "/servers/detail"])
async def test_paging_ends(api: Api, path: str) -> None:
    seen: list[str] = []
    marker = ""
    for _ in range(5):
        page = (await api.get(f"{path}?limit=1{marker}")).json()["servers"]
        seen += [server["id"] for server in page]
        if not page:
            break
        marker = f"&marker={page[-1]['id']}"

    assert len(seen) == len(set(seen)) == 3
