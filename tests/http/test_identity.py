from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vifsim.http.bodies import load, schema_of
from vifsim.http.identity import quick_credentials

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud, Told
    from vifsim.simulator import Simulator

TENANT = "123456"
KEY = "RAX-KSKEY:apiKeyCredentials"
GOOD = {KEY: {"username": "demo", "apiKey": "demo-key"}}
UNPARSABLE = "Invalid request body: unable to parse Auth data"

TWO = {
    "tenants": [
        {
            "id": TENANT,
            "users": [
                {"name": "demo", "password": "p", "token": "demo-token"},
                {"name": "looker", "password": "p", "role": "observer", "token": "looker-token"},
            ],
        },
        {"id": "654321", "users": [{"name": "other", "password": "p", "token": "other-token"}]},
    ],
    "networks": [],
    "servers": [],
}


async def log_in(api: Api, auth: Any) -> Told:
    return await api.bearing(None).post("/v2.0/tokens", {"auth": auth})


# ── log in ──


async def test_a_log_in_tells_token_catalog_and_user_in_this_order(api: Api) -> None:
    told = await log_in(api, GOOD)

    access = told.json()["access"]
    assert list(access) == ["token", "serviceCatalog", "user"]
    assert access["token"]["RAX-AUTH:authenticatedBy"] == ["APIKEY"]
    assert access["user"]["RAX-AUTH:domainId"] == TENANT
    assert [role["name"] for role in access["user"]["roles"]] == [
        "compute:default",
        "identity:user-admin",
    ]


@pytest.mark.parametrize("role", ["observer", "creator"])
async def test_a_lesser_user_is_told_its_role(api: Api, role: str) -> None:
    credentials = {"username": role, "password": "demo-password"}

    told = await log_in(api, {"passwordCredentials": credentials})

    roles = told.json()["access"]["user"]["roles"]
    assert [item["name"] for item in roles] == ["compute:default", role]
    assert told.json()["access"]["token"]["RAX-AUTH:authenticatedBy"] == ["PASSWORD"]


@pytest.mark.parametrize(
    "auth",
    [
        None,
        [],
        {},
        {"tenantId": TENANT},
        {KEY: {"username": "demo"}},
        {KEY: {"apiKey": "demo-key"}},
        {KEY: {"username": 1, "apiKey": "demo-key"}},
        {KEY: []},
        {"passwordCredentials": {"username": "demo"}},
        {"token": {}},
        {"token": {"id": "demo-token"}},
        {**GOOD, "passwordCredentials": {"username": "demo", "password": "demo-password"}},
        {**GOOD, "tenantId": 123456},
    ],
    ids=str,
)
async def test_what_cannot_be_read_as_a_log_in_is_a_400(api: Api, auth: Any) -> None:
    told = await log_in(api, auth)

    assert (told.status, told.fault) == (400, "badRequest")
    assert told.message.startswith(UNPARSABLE)


async def test_a_tenant_is_named_by_id_or_by_name_not_both(api: Api) -> None:
    told = await log_in(api, {**GOOD, "tenantId": TENANT, "tenantName": TENANT})

    assert (told.status, told.fault) == (400, "badRequest")


@pytest.mark.parametrize(
    "auth",
    [
        {KEY: {"username": "demo", "apiKey": "wrong"}},
        {KEY: {"username": "nobody", "apiKey": "demo-key"}},
        {KEY: {"username": "demo", "apiKey": "demo-password"}},
        {"passwordCredentials": {"username": "demo", "password": "demo-key"}},
        {"passwordCredentials": {"username": "", "password": ""}},
        {**GOOD, "tenantId": "654321"},
        {"token": {"id": "wrong"}, "tenantId": TENANT},
        {"token": {"id": "demo-token"}, "tenantId": "654321"},
    ],
    ids=str,
)
async def test_a_wrong_secret_user_or_tenant_is_a_401(api: Api, auth: Any) -> None:
    told = await log_in(api, auth)

    assert (told.status, told.fault) == (401, "unauthorized")
    assert told.message == "Unable to authenticate user with credentials provided."
    assert told.headers["WWW-Authenticate"] == f"Keystone uri={api.url}/v2.0"


async def test_a_disabled_user_may_not_log_in_nor_call(api: Api, cloud: Simulator) -> None:
    caller = await api.log_in("demo")

    await cloud.amend("disable_user", user="demo")
    refused = await log_in(api, GOOD)
    dead = await caller.get("/servers")
    await cloud.amend("enable_user", user="demo")
    alive = await caller.get("/servers")

    assert (refused.status, refused.fault) == (403, "userDisabled")
    assert (dead.status, alive.status) == (401, 200)


async def test_every_log_in_can_give_a_new_token(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    api = api_of(await make_cloud(world={"settings": {"reissue": "always"}}))

    one, two = await api.log_in("demo"), await api.log_in("demo")

    assert one.token != two.token
    assert [(await caller.get("/servers")).status for caller in (one, two)] == [200, 200]


async def test_a_log_in_works_where_the_header_holds_a_dead_token(api: Api) -> None:
    told = await api.bearing("dead").post("/v2.0/tokens", {"auth": GOOD})

    assert told.status == 200


async def test_the_region_is_a_setting(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    api = api_of(await make_cloud(world={"settings": {"region": "LON"}}))

    access = (await log_in(api, {**GOOD})).json()["access"]

    assert access["serviceCatalog"][0]["endpoints"][0]["region"] == "LON"
    assert access["user"]["RAX-AUTH:defaultRegion"] == "LON"


async def test_the_catalog_speaks_of_the_host_that_was_asked(api: Api) -> None:
    told = await api.post("/v2.0/tokens", {"auth": GOOD}, headers={"Host": "cloud.example:8774"})

    (service,) = told.json()["access"]["serviceCatalog"]
    assert service["endpoints"][0]["publicURL"] == f"http://cloud.example:8774/v2/{TENANT}"


# ── tokens ──


async def test_a_token_is_validated_without_a_catalog(api: Api) -> None:
    caller = await api.log_in("demo")

    told = await api.get(f"/v2.0/tokens/{caller.token}")

    access = told.json()["access"]
    assert access.keys() == {"token", "user"}
    assert access["token"]["id"] == caller.token
    assert access["user"]["name"] == "demo"


async def test_head_says_whether_a_token_is_good(api: Api) -> None:
    good = await api.ask("HEAD", "/v2.0/tokens/demo-token")
    bad = await api.ask("HEAD", "/v2.0/tokens/none")

    assert [(told.status, told.body) for told in (good, bad)] == [(200, b""), (404, b"")]


@pytest.mark.parametrize(
    ("tenant", "status"), [(TENANT, 200), ("654321", 404)], ids=["its own", "another"]
)
async def test_a_token_can_be_asked_for_its_tenant(api: Api, tenant: str, status: int) -> None:
    assert (await api.get(f"/v2.0/tokens/demo-token?belongsTo={tenant}")).status == status


@pytest.mark.parametrize("more", ["", "/endpoints"])
@pytest.mark.parametrize(
    ("bearer", "subject", "status"),
    [
        ("demo-token", "looker-token", 200),
        ("looker-token", "looker-token", 200),
        ("looker-token", "demo-token", 403),
        ("demo-token", "other-token", 403),
        ("demo-token", "none", 404),
        ("none", "demo-token", 401),
    ],
)
async def test_who_may_look_at_a_token(
    make_cloud: MakeCloud, api_of: ApiOf, bearer: str, subject: str, status: int, *, more: str
) -> None:
    api = api_of(await make_cloud(world=TWO)).bearing(bearer)

    assert (await api.get(f"/v2.0/tokens/{subject}{more}")).status == status


async def test_endpoints_are_those_of_the_catalog(api: Api) -> None:
    told = await api.get("/v2.0/tokens/demo-token/endpoints")

    assert told.json()["endpoints_links"] == []
    (endpoint,) = told.json()["endpoints"]
    assert endpoint["publicURL"] == f"{api.url}/v2/{TENANT}"
    assert endpoint.keys() == {
        "id",
        "tenantId",
        "region",
        "name",
        "type",
        "publicURL",
        "versionId",
        "versionInfo",
        "versionList",
    }


@pytest.mark.parametrize(
    ("bearer", "subject", "status"),
    [
        ("demo-token", "looker-token", 204),
        ("looker-token", "looker-token", 204),
        ("looker-token", "demo-token", 403),
        ("demo-token", "none", 404),
    ],
)
async def test_who_may_revoke_a_token(
    make_cloud: MakeCloud, api_of: ApiOf, bearer: str, subject: str, status: int
) -> None:
    api = api_of(await make_cloud(world=TWO))

    told = await api.bearing(bearer).delete(f"/v2.0/tokens/{subject}")
    after = await api.bearing(subject).get("/servers")

    assert told.status == status
    assert after.status == (401 if status == 204 or subject == "none" else 200)


async def test_the_callers_own_token_is_revoked_without_naming_it(api: Api) -> None:
    revoked = await api.delete("/v2.0/tokens")

    assert (revoked.status, revoked.body) == (204, b"")
    assert (await api.get("/servers")).status == 401


async def test_no_token_is_kept_in_the_journal(api: Api, cloud: Simulator) -> None:
    caller = await api.log_in("demo")
    await api.get(f"/v2.0/tokens/{caller.token}?belongsTo={TENANT}")
    await api.delete(f"/v2.0/tokens/{caller.token}")

    text = str(cloud.journal.documents(cloud.journal))

    assert str(caller.token) not in text
    assert "demo-token" not in text
    assert "demo-password" not in text


# ── tenants, extensions, versions ──


async def test_the_callers_tenant_is_told(api: Api) -> None:
    told = await api.get("/v2.0/tenants")

    assert told.json() == {"tenants": [{"id": TENANT, "name": TENANT, "enabled": True}]}


async def test_identity_has_no_extensions(api: Api) -> None:
    told = await api.get("/v2.0/extensions")

    assert told.json() == {"extensions": [], "extensions_links": []}
    assert (await api.get("/v2.0/extensions/any")).status == 404


@pytest.mark.parametrize(
    ("alias", "name", "namespace", "updated"),
    [
        (
            "os-virtual-interfacesv2",
            "VirtualInterfaces",
            "http://docs.openstack.org/compute/ext/virtual_interfacesv2/api/v1.1",
            "2011-08-17T00:00:00Z",
        ),
        (
            "os-networksv2",
            "OSNetworksV2",
            "http://docs.openstack.org/ext/services/api/v1.1",
            "2012-03-07T14:46:43Z",
        ),
    ],
)
async def test_compute_has_two_extensions(
    api: Api, alias: str, name: str, namespace: str, updated: str
) -> None:
    extension = (await api.get(f"/extensions/{alias}")).json()["extension"]
    every = (await api.get("/extensions")).json()["extensions"]

    assert extension in every
    assert len(every) == 2
    assert (extension["name"], extension["namespace"]) == (name, namespace)
    assert (extension["updated"], extension["links"]) == (updated, [])


async def test_the_version_of_compute_is_told(api: Api) -> None:
    version = (await api.bearing(None).get("/v2/")).json()["version"]

    assert version["updated"] == "2011-01-21T11:33:21Z"
    assert version["media-types"] == [
        {
            "base": "application/json",
            "type": "application/vnd.openstack.compute+json;version=2",
        }
    ]
    assert [link["rel"] for link in version["links"]] == ["self", "describedby"]


@pytest.mark.parametrize("path", ["/v2.0", "/v2.0/"])
async def test_the_version_of_identity_is_told(api: Api, path: str) -> None:
    version = (await api.bearing(None).get(path)).json()["version"]

    assert version["updated"] == "2012-01-21T11:33:21-06:00"
    assert list(version["media-types"]) == ["values"]


async def test_an_expiry_is_told_in_milliseconds(api: Api) -> None:
    for token in ("demo-token", (await api.log_in("demo")).token):
        told = await api.get(f"/v2.0/tokens/{token}")
        stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        assert re.fullmatch(stamp, told.json()["access"]["token"]["expires"])


# ── the quick way ──

WORDS = st.sampled_from(["demo", "demo-key", "", "123456"])
VALUES = st.one_of(WORDS, st.none(), st.integers(), st.lists(WORDS, max_size=1))
SECRETS = st.one_of(
    VALUES,
    st.dictionaries(st.sampled_from(["username", "apiKey", "password", "tenantId", "id"]), VALUES),
    st.fixed_dictionaries({"username": WORDS, "password": WORDS}),
    st.fixed_dictionaries({"username": WORDS, "apiKey": WORDS}),
)
LOG_INS = st.fixed_dictionaries(
    {
        "auth": st.dictionaries(
            st.sampled_from([KEY, "passwordCredentials", "token"]), SECRETS, max_size=2
        ).flatmap(
            lambda auth: st.dictionaries(
                st.sampled_from(["tenantId", "tenantName", "more"]), VALUES, max_size=2
            ).map(lambda more: auth | more)
        )
    }
)


@given(LOG_INS)
@example({"auth": {"passwordCredentials": {"username": "", "password": ""}, "tenantId": 0}})
def test_the_quick_way_reads_log_ins_as_the_schema_does(data: Any) -> None:
    quick = quick_credentials(data)

    if quick is not None:
        assert quick == load(schema_of("authenticate"), data)


@pytest.mark.parametrize("tenant", [{}, {"tenantId": TENANT}, {"tenantName": TENANT}])
@pytest.mark.parametrize(
    "given_", [GOOD, {"passwordCredentials": {"username": "demo", "password": "demo-password"}}]
)
def test_the_quick_way_takes_what_clients_send(given_: Any, tenant: dict[str, str]) -> None:
    assert quick_credentials({"auth": {**given_, **tenant}}) is not None
