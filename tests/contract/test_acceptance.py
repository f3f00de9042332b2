"""The acceptance checklist of the contract, line by line.

Source: API contract, section 12 (docs/api.md).
"""

from __future__ import annotations

import asyncio
import re
from hashlib import sha1
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.model import SERVER_STATUSES

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud, Told
    from vifsim.simulator import Simulator

TENANT = "123456"
WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
WEB_2 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
PUBLIC = "00000000-0000-0000-0000-000000000000"
PRIVATE = "11111111-1111-1111-1111-111111111111"
UNKNOWN = "99999999-9999-4999-8999-999999999999"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"
ATTACH = {"virtual_interface": {"network_id": ADDED_NETWORK}}
REQUEST_ID = re.compile(r"req-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
BARE: dict[str, Any] = {"servers": [{"name": "bare", "networks": []}]}


@pytest.fixture
def backend_url(each_backend_url: str) -> str:
    return each_backend_url


def new_server(**keys: Any) -> dict[str, Any]:
    return {"server": {"name": "new", "imageRef": "1", "flavorRef": "2", **keys}}


# ── 1 ──


@pytest.mark.parametrize("prefix", ["", f"/v2/{TENANT}"])
async def test_line_1_the_seed_request_is_answered_on_both_paths(api: Api, prefix: str) -> None:
    told = await api.post(prefix + VIFS, ATTACH)

    assert told.status == 200
    (interface,) = told.json().pop("virtual_interfaces")
    assert interface.keys() == {"id", "mac_address", "ip_addresses"}
    (address,) = interface["ip_addresses"]
    assert address == {
        "address": "192.168.0.1",
        "network_id": ADDED_NETWORK,
        "network_label": "added_network",
    }
    assert re.fullmatch(r"BC:76:4E(:[0-9A-F]{2}){3}", interface["mac_address"])


# ── 2 ──


async def test_line_2_a_created_network_is_110_bytes(api: Api) -> None:
    body = {"network": {"label": "superprivate", "cidr": "192.168.0.0/24"}}

    told = await api.post("/os-networksv2", body)

    assert len(told.body) == 110


async def test_line_2_a_shown_network_is_114_bytes(api: Api) -> None:
    network = await api.new_network("superprivate_xml", "192.168.0.0/24")

    told = await api.get(f"/os-networksv2/{network}")

    assert len(told.body) == 114


async def test_line_2_a_deleted_network_answers_58_bytes_of_plain_text(api: Api) -> None:
    network = await api.new_network()

    told = await api.delete(f"/os-networksv2/{network}")

    assert (told.status, len(told.body)) == (202, 58)
    assert told.body == b"202 Accepted\n\nThe request is accepted for processing.\n\n   "
    assert told.headers["Content-Type"] == "text/plain; charset=UTF-8"


# ── 3, 4, 5 ──


async def refusals(api: Api, cloud: Simulator) -> dict[str, Told]:
    """One answer for every way in which the healthy cloud refuses, none of them injected."""
    observer = await api.log_in("observer")
    return {
        "400": await api.post(VIFS, {}),
        "401": await api.bearing("wrong").get("/servers"),
        "401 tenant": await api.get("/v2/654321/servers"),
        "401 login": await api.post(
            "/v2.0/tokens",
            {"auth": {"passwordCredentials": {"username": "demo", "password": "no"}}},
        ),
        "403": await observer.post(VIFS, ATTACH),
        "403 network": await api.delete(f"/os-networksv2/{PUBLIC}"),
        "404": await api.get(f"/servers/{UNKNOWN}"),
        "404 path": await api.get("/nowhere"),
        "405": await api.ask("PUT", VIFS),
        "406": await api.get("/servers", headers={"Accept": "application/xml"}),
        "409": await _duplicate(api),
        "413": await api.post(VIFS, data=b"x" * 114_689),
        "415": await api.post(VIFS, data=b"<a/>", headers={"Content-Type": "text/xml"}),
        "501": await api.get("/images"),
    }


async def _duplicate(api: Api) -> Told:
    await api.attach()
    return await api.attach()


FAULT_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    406: "computeFault",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
}


async def test_line_3_every_refusal_has_one_top_key_and_its_status_as_code(
    api: Api, cloud: Simulator
) -> None:
    found = await refusals(api, cloud)

    assert {case: told.status for case, told in found.items()} == {
        case: int(case[:3]) for case in found
    }
    assert {case: told.fault for case, told in found.items()} == {
        case: FAULT_NAMES[int(case[:3])] for case in found
    }
    assert {told.headers["Content-Type"] for told in found.values()} == {"application/json"}


async def test_line_3_a_refused_head_request_has_no_body(api: Api) -> None:
    told = await api.ask("HEAD", f"/servers/{UNKNOWN}")

    assert (told.status, told.body) == (404, b"")


async def test_line_4_compute_answers_have_a_fresh_request_id(api: Api, cloud: Simulator) -> None:
    found = await refusals(api, cloud)
    answers = [told for case, told in found.items() if not case.startswith("401")]
    answers += [await api.get("/servers"), await api.delete(f"/servers/{WEB_2}")]

    ids = [told.headers["X-Compute-Request-Id"] for told in answers]

    assert len(set(ids)) == len(ids)
    assert all(REQUEST_ID.fullmatch(found) for found in ids)


async def test_line_4_a_401_and_a_rate_413_have_no_request_id(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(scenario={"version": 1, "rules": [{"limit": "1/1m"}]})
    api = api_of(cloud)

    answers = [await api.bearing(None).get("/servers")]
    answers += [await api.get("/servers") for _ in range(2)]

    assert [told.status for told in answers] == [401, 200, 413]
    assert "X-Compute-Request-Id" not in answers[0].headers
    assert "X-Compute-Request-Id" not in answers[2].headers


async def test_line_5_every_401_names_the_keystone_and_every_405_what_is_allowed(
    api: Api, cloud: Simulator
) -> None:
    found = await refusals(api, cloud)

    for case, told in found.items():
        assert ("Allow" in told.headers) == case.startswith("405")
        assert ("WWW-Authenticate" in told.headers) == case.startswith("401")
    assert found["401"].headers["WWW-Authenticate"] == f"Keystone uri={cloud.url}/v2.0"
    assert found["405"].headers["Allow"] == "GET, POST"


# ── 6 ──


async def views(api: Api, server: str) -> list[dict[str, list[str]]]:
    """The addresses of a server by label, as the four views tell them."""
    listed: dict[str, list[str]] = {}
    for interface in await api.interfaces(server):
        for address in interface["ip_addresses"]:
            listed.setdefault(address["network_label"], []).append(address["address"])
    shown = (await api.get(f"/servers/{server}")).json()["server"]["addresses"]
    ips = (await api.get(f"/servers/{server}/ips")).json()["addresses"]
    by_label: dict[str, Any] = {}
    for label in ips:
        by_label |= (await api.get(f"/servers/{server}/ips/{label}")).json()
    return [
        {label: sorted(found) for label, found in listed.items()},
        *(
            {label: sorted(item["addr"] for item in found) for label, found in view.items()}
            for view in (shown, ips, by_label)
        ),
    ]


async def test_line_6_the_four_views_of_a_servers_addresses_agree_at_every_step(api: Api) -> None:
    before = await views(api, WEB_1)
    (interface,) = (await api.attach()).json()["virtual_interfaces"]
    attached = await views(api, WEB_1)
    await api.delete(f"{VIFS}/{interface['id']}")
    detached = await views(api, WEB_1)

    for step in (before, attached, detached):
        assert all(view == step[0] for view in step)
    assert attached[0] == {**before[0], "added_network": ["192.168.0.1"]}
    assert detached == before


# ── 7 ──


async def test_line_7_public_gives_v6_then_v4_and_private_one_v4(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    users = [{"name": "demo", "token": "demo-token"}]
    world: dict[str, Any] = {**BARE, "tenants": [{"id": "820712", "users": users}], "networks": []}
    api = api_of(cloud := await make_cloud(world=world))
    server = cloud.server_id

    (public,) = (await api.attach(server, PUBLIC)).json()["virtual_interfaces"]
    (private,) = (await api.attach(server, PRIVATE)).json()["virtual_interfaces"]

    v6, v4 = (item["address"] for item in public["ip_addresses"])
    octets = public["mac_address"].lower().split(":")
    digest = sha1(b"820712", usedforsecurity=False).hexdigest()
    host = f"{digest[:4]}:{digest[4:8]}:ff{octets[3]}:{octets[4]}{octets[5]}"
    assert v6 == f"2001:0db8:7810:0512:{host}"
    assert v6.split(":")[4:6] == ["7e32", "e3ee"]
    assert v4 == "198.51.100.1"
    (only,) = private["ip_addresses"]
    assert only["address"].startswith("10.176.")


# ── 8, 9, 10 ──


async def test_line_8_of_50_concurrent_attaches_one_wins_and_one_address_is_used(
    api: Api, cloud: Simulator
) -> None:
    answers = await asyncio.gather(*(api.attach() for _ in range(50)))

    assert sorted(told.status for told in answers) == [200] + [409] * 49
    document = await cloud.state_document()
    there = [v for v in document["virtual_interfaces"] if v["network"] == "added_network"]
    assert [v["addresses"] for v in there] == [["192.168.0.1"]]


async def test_line_9_a_slash_30_has_room_for_two(api: Api) -> None:
    network = await api.new_network(cidr="10.0.0.0/30")
    servers = [await api.boot(networks=[]) for _ in range(3)]

    answers = [await api.attach(server, network) for server in servers]
    first = answers[0].json()["virtual_interfaces"][0]["id"]
    await api.delete(f"/servers/{servers[0]}/os-virtual-interfacesv2/{first}")
    again = await api.attach(servers[2], network)

    assert [told.status for told in answers] == [200, 200, 400]
    assert answers[2].message.startswith(f"No more addresses in network {network}")
    assert again.status == 200


async def test_line_10_one_server_too_many_on_a_network_leaves_no_trace(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    servers = [{"name": f"s{i}", "networks": ["added_network"]} for i in range(250)]
    unbounded = {"quotas": {"instances": None, "ram": None}}
    world: dict[str, Any] = {
        "servers": [*servers, {"name": "last", "networks": []}],
        "settings": unbounded,
    }
    cloud = await make_cloud(world=world)
    api = api_of(cloud)
    before = await cloud.snapshot()

    told = await api.attach(cloud.servers["last"])
    booted = await api.post("/servers", new_server(networks=[{"uuid": ADDED_NETWORK}]))

    assert (told.status, booted.status) == (400, 400)
    assert told.message.startswith("Too many instances attached")
    assert booted.message == told.message
    after = await cloud.snapshot()
    assert (after["world"], after["sequences"]) == (before["world"], before["sequences"])


async def test_line_10_an_11th_network_leaves_no_trace(api: Api, cloud: Simulator) -> None:
    for _ in range(9):
        await api.new_network()
    before = await cloud.snapshot()

    told = await api.post("/os-networksv2", {"network": {"label": "a", "cidr": "10.0.0.0/24"}})

    assert (told.status, told.fault) == (400, "badRequest")
    assert "too many networks" in told.message
    after = await cloud.snapshot()
    assert (after["world"], after["sequences"]) == (before["world"], before["sequences"])


# ── 11, 12 ──


async def test_line_11_a_network_goes_when_nothing_is_attached_to_it(api: Api) -> None:
    (interface,) = (await api.attach()).json()["virtual_interfaces"]
    path = f"/os-networksv2/{ADDED_NETWORK}"

    attached = await api.delete(path)
    await api.delete(f"{VIFS}/{interface['id']}")
    detached = await api.delete(path)
    gone = await api.delete(path)

    assert [attached.status, detached.status, gone.status] == [403, 202, 404]
    assert "Network has active ports" in attached.message


@pytest.mark.parametrize(
    ("cidr", "part"),
    [
        ("", "No CIDR"),
        (None, "No CIDR"),
        ("192.168.0.0/31", "does not contain enough"),
        ("192.168.0.0", "does not contain enough"),
        ("2001:db8::/127", "does not contain enough"),
        ("nonsense", "CIDR is malformed"),
        ("192.168.0.5/24", "CIDR is malformed"),
        ("192.168.0.0/255.255.255.0", "CIDR is malformed"),
        ("0.0.0.0/0", "CIDR is malformed"),
    ],
)
async def test_line_12_texts_that_clients_match_on_are_there(
    api: Api, cidr: str | None, part: str
) -> None:
    told = await api.post("/os-networksv2", {"network": {"label": "a", "cidr": cidr}})

    assert (told.status, told.fault) == (400, "badRequest")
    assert part in told.message


async def test_line_12_a_missing_cidr_says_so(api: Api) -> None:
    told = await api.post("/os-networksv2", {"network": {"label": "a"}})

    assert told.status == 400
    assert "No CIDR" in told.message


# ── 13 ──

ALLOWED = {"ACTIVE", "PAUSED", "SHUTOFF"}


@pytest.mark.parametrize("task_state", [None, "deleting", "networking"])
@pytest.mark.parametrize("status", [s for s in SERVER_STATUSES if s != "DELETED"])
async def test_line_13_a_servers_state_decides_over_attach_and_detach(
    api: Api, cloud: Simulator, status: str, task_state: str | None
) -> None:
    public = (await api.interfaces())[0]["id"]
    await cloud.amend("set_status", server="web-1", status=status, task_state=task_state)

    attach = await api.attach()
    detach = await api.delete(f"{VIFS}/{public}")
    listed = await api.get(VIFS)

    good = status in ALLOWED and task_state is None
    assert [attach.status, detach.status] == ([200, 200] if good else [409, 409])
    assert listed.status == 200
    if not good:
        assert attach.fault == detach.fault == "conflictingRequest"
        assert "state is" in attach.message


async def test_line_13_a_deleted_server_is_not_there(api: Api, cloud: Simulator) -> None:
    public = (await api.interfaces())[0]["id"]
    await cloud.amend("set_status", server="web-1", status="DELETED")

    answers = [await api.attach(), await api.delete(f"{VIFS}/{public}"), await api.get(VIFS)]

    assert {told.status for told in answers} == {404}
    assert {told.message for told in answers} == {"Instance could not be found"}


# ── 14 ──

TWO_TENANTS = {
    "tenants": [
        {"id": TENANT, "users": [{"name": "demo", "token": "demo-token"}]},
        {"id": "654321", "users": [{"name": "other", "token": "other-token"}]},
    ],
    "networks": [
        {"label": "mine", "cidr": "10.0.0.0/24", "tenant": TENANT},
        {"label": "theirs", "cidr": "10.0.0.0/24", "tenant": "654321"},
    ],
    "servers": [
        {"name": "mine", "tenant": TENANT},
        {"name": "theirs", "tenant": "654321"},
    ],
}


async def test_line_14_what_another_tenant_has_is_like_what_nobody_has(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    api = api_of(cloud := await make_cloud(world=TWO_TENANTS))
    other = api.bearing("other-token")
    theirs, network = cloud.servers["theirs"], cloud.networks["theirs"]
    mine, interface = cloud.servers["mine"], (await other.interfaces(theirs))[0]["id"]
    pairs = [
        ("GET", "/servers/{}", theirs, None),
        ("DELETE", "/servers/{}", theirs, None),
        ("GET", "/servers/{}/ips", theirs, None),
        ("GET", "/servers/{}/ips/public", theirs, None),
        ("GET", "/servers/{}/os-virtual-interfacesv2", theirs, None),
        ("POST", "/servers/{}/os-virtual-interfacesv2", theirs, ATTACH),
        ("DELETE", f"/servers/{mine}/os-virtual-interfacesv2/{{}}", interface, None),
        ("GET", "/os-networksv2/{}", network, None),
        ("DELETE", "/os-networksv2/{}", network, None),
    ]

    for method, path, foreign, body in pairs:
        told = await api.ask(method, path.format(foreign), body)
        unknown = await api.ask(method, path.format(UNKNOWN), body)
        assert (told.status, told.body) == (404, unknown.body)
        assert _steady(told) == _steady(unknown)


async def test_line_14_a_foreign_network_cannot_be_attached(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    api = api_of(cloud := await make_cloud(world=TWO_TENANTS))
    mine, theirs = cloud.servers["mine"], cloud.networks["theirs"]

    foreign, unknown = await api.attach(mine, theirs), await api.attach(mine, UNKNOWN)

    assert (foreign.status, foreign.body) == (404, unknown.body)


def _steady(told: Told) -> dict[str, str]:
    changing = {"x-compute-request-id", "date"}
    return {key: value for key, value in told.headers.items() if key.lower() not in changing}


# ── 15 ──

READS = [
    "/servers",
    "/servers/detail",
    f"/servers/{WEB_1}",
    f"/servers/{WEB_1}/ips",
    VIFS,
    "/os-networksv2",
    f"/os-networksv2/{ADDED_NETWORK}",
    "/limits",
    "/extensions",
]
CREATES = [
    ("/servers", new_server()),
    (VIFS, ATTACH),
    ("/os-networksv2", {"network": {"label": "a", "cidr": "10.0.0.0/24"}}),
]
DELETES = [f"{VIFS}/{UNKNOWN}", f"/os-networksv2/{UNKNOWN}", f"/servers/{WEB_2}"]


@pytest.mark.parametrize("role", ["observer", "creator", "demo"])
async def test_line_15_a_role_decides_over_every_call(api: Api, role: str) -> None:
    caller = await api.log_in(role)

    reads = {(await caller.get(path)).status for path in READS}
    creates = {(await caller.post(path, body)).status for path, body in CREATES}
    deletes = {(await caller.delete(path)).status for path in DELETES}

    assert reads == {200}
    assert creates == ({403} if role == "observer" else {200, 202})
    assert deletes == ({404, 204} if role == "demo" else {403})


# ── 16 ──


async def test_line_16_a_token_ends_after_24_hours(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    cloud = await make_cloud(clock="manual")
    api = await api_of(cloud).log_in("demo")

    await cloud.advance_clock("86399s")
    before = await api.get("/servers")
    await cloud.advance_clock("1s")
    after = await api.get("/servers")

    assert (before.status, after.status) == (200, 401)


async def test_line_16_a_log_in_gives_the_same_token_until_its_last_hour(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual")
    api = api_of(cloud)

    first = (await api.log_in("demo")).token
    await cloud.advance_clock("22h")
    again = (await api.log_in("demo")).token
    await cloud.advance_clock("1h")
    late = (await api.log_in("demo")).token

    assert first == again != late
    assert (await api.bearing(first).get("/servers")).status == 200


async def test_line_16_a_revoked_token_is_dead(api: Api) -> None:
    caller = await api.log_in("demo")

    revoked = await caller.delete("/v2.0/tokens")
    after = await caller.get("/servers")
    again = await api.log_in("demo")

    assert (revoked.status, after.status) == (204, 401)
    assert again.token != caller.token


# ── 17 ──


async def test_line_17_the_fifth_attach_of_a_minute_is_refused_to_the_second(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual", world={"settings": {"rate_limits": "documented"}})
    api = api_of(cloud)

    first = [(await api.attach()).status for _ in range(4)]
    await cloud.advance_clock("12.5s")
    fifth = await api.attach()
    await cloud.advance_clock("47s")
    early = await api.attach()
    await cloud.advance_clock("0.5s")
    late = await api.attach()

    assert first == [200, 409, 409, 409]
    assert (fifth.status, fifth.headers["Retry-After"]) == (413, "48")
    assert (early.status, early.headers["Retry-After"]) == (413, "1")
    assert late.status == 409


async def test_line_17_the_26th_list_of_a_minute_is_refused(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual", world={"settings": {"rate_limits": "documented"}})
    api = api_of(cloud)

    statuses = [(await api.get(VIFS)).status for _ in range(26)]
    await cloud.advance_clock("60s")
    late = await api.get(VIFS)

    assert statuses == [200] * 25 + [413]
    assert late.status == 200


# ── 18 ──


async def test_line_18_the_documented_413_has_a_moment_and_the_known_texts(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    api = api_of(await make_cloud(scenario={"version": 1, "rules": [{"limit": "1/1m"}]}))

    await api.get("/servers")
    told = await api.get("/servers")

    content = told.json()["overLimit"]
    assert content.keys() == {"code", "message", "details", "retryAt"}
    assert (content["message"], content["details"]) == ("OverLimit Retry...", "Error Details...")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", content["retryAt"])
    assert 1 <= int(told.headers["Retry-After"]) <= 60


async def test_line_18_a_date_and_a_raw_text_can_be_asked_for(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    rules = [
        {"first": 1, "status": 503, "retry_after": {"date": "30s"}},
        {"status": 503, "retry_after": {"raw": "soon"}},
    ]
    api = api_of(await make_cloud(scenario={"version": 1, "rules": rules}))

    dated, raw = await api.get("/servers"), await api.get("/servers")

    date = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    assert re.fullmatch(date, dated.headers["Retry-After"])
    assert raw.headers["Retry-After"] == "soon"


# ── 19 ──


def padded(size_bytes: int) -> bytes:
    start, end = b'{"virtual_interface": {"network_id": "', b'"}}'
    body = start + ADDED_NETWORK.encode() + end
    return body + b" " * (size_bytes - len(body))


async def _in_chunks(body: bytes) -> Any:
    for start in range(0, len(body), 16_384):
        yield body[start : start + 16_384]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size_bytes", "status"), [(114_688, 200), (114_689, 413)])
async def test_line_19_a_body_has_a_longest_size(
    api: Api, size_bytes: int, status: int, *, chunked: bool
) -> None:
    body = padded(size_bytes)

    told = await api.post(VIFS, data=_in_chunks(body) if chunked else body)

    assert told.status == status
    assert "Retry-After" not in told.headers


# ── 20 ──

WRONG: list[Any] = [
    [],
    {},
    "text",
    1,
    {"virtual_interface": []},
    {"virtual_interface": None},
    {"virtual_interface": {}},
    {"virtual_interface": {"network_id": None}},
    {"virtual_interface": {"network_id": 1}},
    {"virtual_interface": {"network_id": [ADDED_NETWORK]}},
    {"virtual_interface": {"network_id": "not-a-uuid"}},
    {"virtual_interface": {"network_id": f"{ADDED_NETWORK}\n"}},
]
MALFORMED = [
    b"",
    b" ",
    b"{",
    b'{"virtual_interface": {"network_id": NaN}}',
    b'{"virtual_interface": Infinity}',
    b"\xff\xfe",
    b'{"virtual_interface": {"network_id": "\\ud800"}}',
    b"[" * 100_000,
    b"1" * 10_000,
]


@pytest.mark.parametrize("body", WRONG, ids=str)
async def test_line_20_a_wrong_body_is_refused_and_changes_nothing(
    api: Api, cloud: Simulator, body: Any
) -> None:
    before = await cloud.snapshot()

    told = await api.post(VIFS, body)

    assert (told.status, told.fault) == (400, "badRequest")
    after = await cloud.snapshot()
    assert (after["world"], after["sequences"]) == (before["world"], before["sequences"])


@pytest.mark.parametrize("path", [VIFS, "/os-networksv2", "/servers", "/v2.0/tokens"])
@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
async def test_line_20_a_malformed_body_is_refused(api: Api, body: bytes, path: str) -> None:
    told = await api.post(path, data=body)

    assert (told.status, told.fault) == (400, "badRequest")
    start = "Invalid request body: unable to parse Auth data"
    assert told.message.startswith(start if "tokens" in path else "Malformed request body")


@pytest.mark.parametrize("text", ["not-a-uuid", "0", ADDED_NETWORK + "0", "%F0%9F%92%A9", "%ff"])
async def test_line_20_an_id_in_a_path_that_is_no_uuid_is_unknown(api: Api, text: str) -> None:
    answers = [
        await api.get(f"/servers/{text}"),
        await api.get(f"/os-networksv2/{text}"),
        await api.delete(f"{VIFS}/{text}"),
    ]

    assert {told.status for told in answers} == {404}


# ── 21 ──


async def test_line_21_a_full_last_page_leads_to_an_empty_one(api: Api, cloud: Simulator) -> None:
    first = (await api.get("/servers?limit=3&name=.")).json()
    (link,) = first["servers_links"]
    second = await api.get(link["href"].removeprefix(cloud.url))

    assert len(first["servers"]) == 3
    href = f"{cloud.url}/v2/{TENANT}/servers?limit=3&name=.&marker={WEB_1}"
    assert link == {"rel": "next", "href": href}
    assert second.json() == {"servers": []}


async def test_line_21_limit_0_is_an_empty_page_without_a_link(api: Api) -> None:
    told = await api.get("/servers?limit=0")

    assert told.json() == {"servers": []}


async def test_line_21_an_unknown_marker_is_refused(api: Api) -> None:
    told = await api.get(f"/servers?marker={UNKNOWN}")

    assert (told.status, told.message) == (400, f"marker [{UNKNOWN}] not found")


# ── 22 ──


@pytest.mark.parametrize(
    ("networks", "labels"),
    [
        (list[Any](), list[str]()),
        (None, ["public", "private"]),
        ([{"uuid": ADDED_NETWORK}, {"uuid": PRIVATE}], ["added_network", "private"]),
    ],
)
async def test_line_22_a_boot_attaches_what_it_says(
    api: Api, networks: Any, labels: list[str]
) -> None:
    told = await api.post("/servers", new_server(networks=networks))

    found = await api.interfaces(told.json()["server"]["id"])
    assert [item["ip_addresses"][0]["network_label"] for item in found] == labels


async def test_line_22_a_boot_that_says_nothing_gets_public_and_private(api: Api) -> None:
    server = await api.boot()

    found = await api.interfaces(server)

    assert [item["ip_addresses"][0]["network_id"] for item in found] == [PUBLIC, PRIVATE]


@pytest.mark.parametrize(
    ("networks", "part"),
    [
        ([{"uuid": PUBLIC}, {"uuid": PUBLIC}], "Duplicate networks"),
        ([{"uuid": UNKNOWN}], UNKNOWN),
        ([{"uuid": "x"}], "networks.0.uuid"),
        ([dict[str, Any]()], "networks.0.uuid"),
        (["x"], "networks.0"),
        ({}, "networks"),
        ([{"port": UNKNOWN}], "networks.0.port"),
    ],
)
async def test_line_22_a_boot_with_wrong_networks_makes_nothing(
    api: Api, cloud: Simulator, networks: Any, part: str
) -> None:
    before = await cloud.snapshot()

    told = await api.post("/servers", new_server(networks=networks))

    assert (told.status, told.fault) == (400, "badRequest")
    assert part in told.message
    after = await cloud.snapshot()
    assert (after["world"], after["sequences"]) == (before["world"], before["sequences"])


# ── 23 ──

LIVE = {
    "duplicate": (409, 400),
    "attach while building": (409, 200),
    "detach of nothing": (404, 200),
    "fifth attach": (409, 413),
    "unknown network": ("application/json", "text/plain; charset=UTF-8"),
    "network in use": ("application/json", "text/plain; charset=UTF-8"),
    "fault header": (True, False),
}


async def _behaviour(cloud: Simulator, api: Api) -> dict[str, object]:
    await cloud.add_rule({"name": "five", "match": "list_tenants", "status": 503})
    found: dict[str, object] = {"first": (await api.attach()).status}
    found["duplicate"] = (await api.attach()).status
    await cloud.amend("set_status", server="web-2", status="BUILD")
    found["attach while building"] = (await api.attach(WEB_2)).status
    found["detach of nothing"] = (await api.delete(f"{VIFS}/{UNKNOWN}")).status
    await api.attach()
    found["fifth attach"] = (await api.attach()).status
    for case, network in (("unknown network", UNKNOWN), ("network in use", ADDED_NETWORK)):
        told = await api.delete(f"/os-networksv2/{network}")
        found[case] = told.headers["Content-Type"]
        found[f"status of {case}"] = told.status
    found["fault header"] = "X-Vifsim-Fault" in (await api.get("/v2.0/tenants")).headers
    found["list"] = (await api.get(VIFS)).status
    found["wrong type"] = (await api.post("/servers", data=b"{}", headers=_XML)).status
    found["foreign tenant"] = (await api.get("/v2/654321/servers")).status
    found["role"] = (await (await api.log_in("observer")).post("/servers", {})).status
    return found


_XML = {"Content-Type": "application/xml"}


async def test_line_23_the_profiles_differ_where_the_contract_says(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    docs = await make_cloud(backend="memory:")
    live = await make_cloud(backend="memory:", world={"settings": {"profile": "live"}})

    one = await _behaviour(docs, api_of(docs))
    two = await _behaviour(live, api_of(live))

    assert {key: (one[key], two[key]) for key in one if one[key] != two[key]} == LIVE


async def test_line_23_live_tells_a_date_when_to_come_back(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(world={"settings": {"profile": "live"}})
    api = api_of(cloud)

    answers = [await api.attach() for _ in range(5)]

    assert answers[4].headers["Retry-After"].endswith(" GMT")


async def test_line_23_a_setting_of_its_own_wins_over_the_profile(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    settings = {"profile": "live", "duplicate_vif_status": 409, "rate_limits": "none"}
    api = api_of(await make_cloud(world={"settings": settings}))

    answers = [(await api.attach()).status for _ in range(6)]

    assert answers == [200] + [409] * 5


# ── 24 is tests/clients: real clients, unmodified ──
