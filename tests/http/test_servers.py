from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud
    from vifsim.simulator import Simulator

TENANT = "123456"
WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
WEB_2 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02"
DB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a03"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
UNKNOWN = "99999999-9999-4999-8999-999999999999"


def new_server(**keys: Any) -> dict[str, Any]:
    return {"server": {"name": "new", "imageRef": "1", "flavorRef": "2", **keys}}


async def shown(api: Api, server: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"/servers/{server}")).json()["server"]
    return found


async def listed(api: Api, query: str = "", path: str = "/servers") -> list[str]:
    told = await api.get(path + query)
    assert told.status == 200, told.body
    return [server["name"] for server in told.json()["servers"]]


# ── create ──


async def test_a_created_server_is_told_in_brief_with_its_password(api: Api) -> None:
    told = await api.post("/servers", new_server())

    assert told.status == 202
    server = told.json()["server"]
    assert server.keys() == {"OS-DCF:diskConfig", "id", "links", "adminPass"}
    assert re.fullmatch(r"[A-Za-z0-9]{12}", server["adminPass"])
    base = f"{api.url}/v2/{TENANT}/servers/{server['id']}"
    assert server["links"][0] == {"rel": "self", "href": base}
    assert server["links"][1] == {"rel": "bookmark", "href": base.replace("/v2/", "/")}
    assert told.headers["Location"] == base


async def test_the_bookmark_is_shown_and_not_served(api: Api) -> None:
    link = (await shown(api, WEB_1))["links"][1]["href"]

    assert (await api.get(link.removeprefix(api.url))).status == 404


async def test_a_password_is_never_shown_again(api: Api) -> None:
    server = await api.boot()

    assert "adminPass" not in await shown(api, server)


async def test_a_server_is_active_at_once_and_keeps_what_it_was_given(api: Api) -> None:
    body = new_server(
        name="n" * 255,
        imageRef="http://x/v2/1/images/70a599e0-31e7-49b7-b260-868f441e862b",
        flavorRef="http://x/v2/1/flavors/3/",
        metadata={"My Key": "my value"},
        key_name="key",
        config_drive=True,
        personality=[{"path": "/a", "contents": ""}],
        user_data="",
        min_count=1,
        max_count="1",
        **{"OS-DCF:diskConfig": "MANUAL"},
    )

    server = await shown(api, (await api.post("/servers", body)).json()["server"]["id"])

    assert (server["status"], server["progress"]) == ("ACTIVE", 100)
    assert (server["OS-EXT-STS:vm_state"], server["OS-EXT-STS:power_state"]) == ("active", 1)
    assert server["image"]["id"] == "70a599e0-31e7-49b7-b260-868f441e862b"
    assert server["flavor"]["id"] == "3"
    assert server["metadata"] == {"My Key": "my value"}
    assert (server["key_name"], server["config_drive"]) == ("key", "True")
    assert server["OS-DCF:diskConfig"] == "MANUAL"
    assert re.fullmatch(r"[0-9a-f]{56}", server["hostId"])


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({}, "server: is missing"),
        ({"server": []}, "server: is not an object"),
        ({"server": {}}, "is missing"),
        (new_server(name=""), "server.name"),
        (new_server(name=" "), "server.name"),
        (new_server(name="x" * 256), "server.name"),
        (new_server(name=1), "server.name: is not a text"),
        (new_server(imageRef=""), "server.imageRef"),
        (new_server(imageRef=None), "server.imageRef"),
        (new_server(flavorRef=2), "server.flavorRef"),
        (new_server(min_count=2), "server.min_count"),
        (new_server(max_count=0), "server.max_count"),
        (new_server(metadata=[]), "server.metadata"),
        (new_server(metadata={"a": 1}), "server.metadata.a"),
        (new_server(metadata={"a": "é" * 128}), "server.metadata.a"),
        (new_server(metadata={"k" * 256: "a"}), "server.metadata.kkk"),
        (new_server(accessIPv4="x"), "server.accessIPv4"),
        (new_server(accessIPv4="::1"), "server.accessIPv4"),
        (new_server(accessIPv6="10.0.0.1"), "server.accessIPv6"),
        (new_server(key_name=1), "server.key_name"),
        (new_server(**{"OS-DCF:diskConfig": "auto"}), "must be either 'MANUAL' or 'AUTO'."),
        (new_server(**{"OS-DCF:diskConfig": 1}), "OS-DCF:diskConfig"),
    ],
)
async def test_a_wrong_server_is_refused_and_named(api: Api, body: Any, part: str) -> None:
    told = await api.post("/servers", body)

    assert (told.status, told.fault) == (400, "badRequest")
    assert part in told.message


@pytest.mark.parametrize(("items", "status"), [(40, 202), (41, 403)])
async def test_a_server_takes_40_items_of_metadata(api: Api, items: int, status: int) -> None:
    body = new_server(metadata={f"key-{i}": "value" for i in range(items)})

    assert (await api.post("/servers", body)).status == status


async def test_given_access_addresses_win_over_the_servers_own(api: Api) -> None:
    body = new_server(accessIPv4="192.0.2.7", accessIPv6="2001:db8::7")

    server = await shown(api, (await api.post("/servers", body)).json()["server"]["id"])

    assert (server["accessIPv4"], server["accessIPv6"]) == ("192.0.2.7", "2001:db8::7")


@pytest.mark.parametrize(
    ("quotas", "text"),
    [
        ({"instances": 3}, "Quota exceeded for instances: Requested 1, but already used 3 of 3"),
        ({"ram": 2047}, "Quota exceeded for ram: Requested 512, but already used 1536 of 2047 ram"),
    ],
)
async def test_a_quota_is_a_403_that_says_not_to_wait(
    make_cloud: MakeCloud, api_of: ApiOf, quotas: dict[str, int], text: str
) -> None:
    api = api_of(await make_cloud(world={"settings": {"quotas": quotas}}))

    told = await api.post("/servers", new_server())

    assert (told.status, told.fault, told.headers["Retry-After"]) == (403, "forbidden", "0")
    assert told.message.startswith(text)


@pytest.mark.parametrize(
    ("policy", "networks", "text"),
    [
        (
            {"required": ["public"]},
            [ADDED_NETWORK],
            "Networks (00000000-0000-0000-0000-000000000000) required but missing",
        ),
        ({"exactly_isolated": 1}, [], "Exactly 1 isolated network(s) must be attached"),
        ({"banned": ["added_network"]}, [ADDED_NETWORK], f"Networks ({ADDED_NETWORK}) not allowed"),
    ],
)
async def test_an_account_policy_forbids_a_boot(
    make_cloud: MakeCloud, api_of: ApiOf, policy: dict[str, Any], networks: list[str], text: str
) -> None:
    api = api_of(await make_cloud(world={"settings": {"policy": policy}}))

    told = await api.post("/servers", new_server(networks=[{"uuid": item} for item in networks]))

    assert (told.status, told.message) == (403, text)


# ── life ──


async def test_a_build_goes_through_its_tasks_to_active(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual", world={"settings": {"build_time": "30s"}})
    api = api_of(cloud)
    server = await api.boot()

    steps: list[tuple[str, str | None, int, str]] = []
    for wait in ("15s", "10s", "5s", "0s"):
        now = await shown(api, server)
        steps.append((now["status"], now["OS-EXT-STS:task_state"], now["progress"], now["hostId"]))
        await cloud.advance_clock(wait)

    assert [step[:3] for step in steps] == [
        ("BUILD", "scheduling", 0),
        ("BUILD", "networking", 50),
        ("BUILD", "spawning", 83),
        ("ACTIVE", None, 100),
    ]
    assert [bool(step[3]) for step in steps] == [False, False, False, True]


async def test_a_failed_build_says_why(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    cloud = await make_cloud(world={"settings": {"build_time": "1h"}})
    api = api_of(cloud)
    server = await api.boot()

    await cloud.amend("fail_build", server=server, message="No valid host was found.")

    now = await shown(api, server)
    assert now["status"] == "ERROR"
    assert now["fault"].keys() == {"code", "created", "message", "details"}
    assert now["fault"]["message"] == "No valid host was found."


async def test_a_deletion_takes_its_time(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    cloud = await make_cloud(clock="manual", world={"settings": {"delete_time": "30s"}})
    api = api_of(cloud)

    told = await api.delete(f"/servers/{WEB_1}")
    during = await shown(api, WEB_1)
    await cloud.advance_clock("30s")
    after = await api.get(f"/servers/{WEB_1}")

    assert told.status == 204
    assert during["OS-EXT-STS:task_state"] == "deleting"
    assert (after.status, after.message) == (404, "Instance could not be found")


async def test_a_deleted_server_is_gone_from_every_view(api: Api) -> None:
    await api.delete(f"/servers/{WEB_1}")

    statuses = [
        (await api.get(f"/servers/{WEB_1}{more}")).status
        for more in ("", "/ips", "/ips/public", "/os-virtual-interfacesv2")
    ]

    assert statuses == [404] * 4
    assert (await api.delete(f"/servers/{WEB_1}")).status == 404
    assert await listed(api) == ["db-1", "web-2"]


# ── lists ──


@pytest.mark.parametrize("path", ["/servers", "/servers/detail"])
@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["db-1", "web-2", "web-1"]),
        ("?limit=2", ["db-1", "web-2"]),
        (f"?marker={DB_1}", ["web-2", "web-1"]),
        (f"?marker={DB_1.upper()}&limit=1", ["web-2"]),
        ("?offset=1", ["web-2", "web-1"]),
        ("?offset=1&limit=1", ["web-2"]),
        ("?offset=9", []),
        ("?name=web", ["web-2", "web-1"]),
        ("?name=^web-[1]$", ["web-1"]),
        ("?name=web&limit=1&offset=1", ["web-1"]),
        ("?status=ACTIVE", ["db-1", "web-2", "web-1"]),
        ("?status=NONSENSE", []),
        ("?image=1&flavor=2", ["db-1", "web-2", "web-1"]),
        ("?flavor=9", []),
        ("?unknown=1&_=2", ["db-1", "web-2", "web-1"]),
        ("?limit=1001", ["db-1", "web-2", "web-1"]),
        ("?changes-since=2015-01-01T00:00:00Z", ["db-1", "web-2", "web-1"]),
        ("?changes-since=2100-01-01T00:00:00%2B01:00", []),
    ],
)
async def test_a_list_is_filtered_and_paged(
    api: Api, path: str, query: str, names: list[str]
) -> None:
    assert await listed(api, query, path) == names


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("limit=x", "limit param must be an integer"),
        ("limit=-1", "limit param must be positive"),
        ("limit=--1", "limit param must be an integer"),
        ("offset=1.0", "offset param must be an integer"),
        (f"marker={UNKNOWN}", f"marker [{UNKNOWN}] not found"),
        ("marker=", "marker [] not found"),
        ("changes-since=yesterday", "changes-since"),
        ("name=(", "regular expression"),
    ],
)
@pytest.mark.parametrize("path", ["/servers", "/servers/detail"])
async def test_a_wrong_parameter_is_refused(api: Api, path: str, query: str, text: str) -> None:
    told = await api.get(f"{path}?{query}")

    assert (told.status, told.fault) == (400, "badRequest")
    assert text in told.message


async def test_changes_since_shows_what_was_deleted(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    cloud = await make_cloud(clock="manual")
    api = api_of(cloud)
    await cloud.advance_clock("1h")
    since = cloud.clock_document()["utc"]
    await api.delete(f"/servers/{WEB_1}")
    await api.attach(WEB_2)

    told = await api.get(f"/servers/detail?changes-since={since}")

    assert [
        (s["name"], s["status"]) for s in told.json()["servers"] if s["status"] == "DELETED"
    ] == [("web-1", "DELETED")]


@pytest.mark.parametrize("path", ["/servers", "/servers/detail", f"/v2/{TENANT}/servers"])
async def test_a_full_page_links_to_the_next_with_its_filters(api: Api, path: str) -> None:
    told = await api.get(f"{path}?limit=1&name=web&status=ACTIVE")

    (link,) = told.json()["servers_links"]
    bare = path.removeprefix(f"/v2/{TENANT}")
    query = f"limit=1&name=web&status=ACTIVE&marker={WEB_2}"
    assert link == {"rel": "next", "href": f"{api.url}/v2/{TENANT}{bare}?{query}"}
    following = await api.get(link["href"].removeprefix(api.url))
    assert [server["name"] for server in following.json()["servers"]] == ["web-1"]


@pytest.mark.parametrize("query", ["", "?limit=4", "?limit=0", "?limit=1&name=nobody"])
async def test_a_page_that_is_not_full_links_nowhere(api: Api, query: str) -> None:
    assert "servers_links" not in (await api.get(f"/servers{query}")).json()


async def test_a_page_is_no_longer_than_the_setting(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    api = api_of(await make_cloud(world={"settings": {"max_limit": 2}}))

    asked, unasked = await api.get("/servers?limit=50"), await api.get("/servers")

    assert len(asked.json()["servers"]) == len(unasked.json()["servers"]) == 2
    assert "limit=2&" in asked.json()["servers_links"][0]["href"]
    assert "servers_links" not in unasked.json()


# ── addresses ──


async def test_addresses_are_told_by_label_with_v4_first(api: Api) -> None:
    told = (await api.get(f"/servers/{WEB_1}/ips")).json()["addresses"]

    assert [item["version"] for item in told["public"]] == [4, 6]
    assert (await api.get(f"/servers/{WEB_1}/ips/public")).json() == {"public": told["public"]}


async def test_the_addresses_of_nobody_have_a_text_of_their_own(api: Api) -> None:
    told = await api.get(f"/servers/{UNKNOWN}/ips")

    assert (told.status, told.message) == (404, "Instance does not exist")


async def test_an_unknown_label_is_a_404(api: Api) -> None:
    assert (await api.get(f"/servers/{WEB_1}/ips/none")).status == 404


# ── limits ──


async def test_the_documented_limits_are_told_in_their_order(api: Api) -> None:
    rates = (await api.get("/limits")).json()["limits"]["rate"]

    found = [
        (rate["uri"], limit["verb"], limit["value"], limit["unit"])
        for rate in rates
        for limit in rate["limit"]
    ]
    assert found == [
        ("*", "GET", 1000, "MINUTE"),
        ("*", "POST", 100, "MINUTE"),
        ("/servers/{id}/os-virtual-interfacesv2", "GET", 25, "MINUTE"),
        ("/servers/{id}/os-virtual-interfacesv2", "POST", 4, "MINUTE"),
        ("/os-networksv2", "POST", 100, "DAY"),
        ("/servers *", "POST", 1000, "DAY"),
    ]
    assert all(re.compile(rate["regex"]) for rate in rates)


async def test_limits_tell_what_is_left_and_are_not_counted(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual", world={"settings": {"rate_limits": "documented"}})
    api = api_of(cloud)
    for _ in range(4):
        await api.attach()
    for _ in range(3):
        await api.get("/limits")

    rates = (await api.get("/limits")).json()["limits"]["rate"]

    left = {
        (rate["uri"], limit["verb"]): (limit["remaining"], limit["next-available"])
        for rate in rates
        for limit in rate["limit"]
    }
    assert left["/servers/{id}/os-virtual-interfacesv2", "POST"][0] == 0
    assert left["*", "GET"][0] == 1000
    assert left["*", "POST"][0] == 96
    assert left["/servers *", "POST"][0] == 996
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert all(re.fullmatch(stamp, moment) for _, moment in left.values())
    later = left["/servers/{id}/os-virtual-interfacesv2", "POST"][1]
    assert later > left["*", "GET"][1]


async def test_absolute_limits_tell_what_is_used(api: Api, cloud: Simulator) -> None:
    await cloud.amend("set_quotas", tenant=TENANT, quotas={"instances": 7, "ram": None})

    found = (await api.get("/limits")).json()["limits"]["absolute"]

    assert found == {
        "maxTotalInstances": 7,
        "maxTotalRAMSize": -1,
        "maxTotalCores": -1,
        "maxTotalPrivateNetworks": 10,
        "maxServerMeta": 40,
        "maxImageMeta": 40,
        "maxPersonality": 5,
        "maxPersonalitySize": 1000,
        "totalInstancesUsed": 3,
        "totalRAMUsed": 1536,
        "totalCoresUsed": 3,
        "totalPrivateNetworksUsed": 1,
    }


async def test_an_attachment_limit_can_count_by_server(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    settings = {"rate_limits": "documented", "vif_limit_scope": "server"}
    api = api_of(await make_cloud(world={"settings": settings}))

    one = [(await api.attach(WEB_1)).status for _ in range(5)]
    other = await api.attach(WEB_2)

    assert one == [200, 409, 409, 409, 413]
    assert other.status == 200
