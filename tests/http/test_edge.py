from __future__ import annotations

import asyncio
import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.draws import RequestIds

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, Connect, MakeCloud, RawClient, Told
    from vifsim.exchange import Call
    from vifsim.simulator import Simulator

TENANT = "123456"
WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
WEB_2 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
UNKNOWN = "99999999-9999-4999-8999-999999999999"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"
ATTACH = {"virtual_interface": {"network_id": ADDED_NETWORK}}
XML = {"Accept": "application/xml"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
NEVER = {"name": "never", "match": "*", "after": 1_000_000, "status": 500}


def rules(*found: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"version": 1, "rules": list(found), **keys}


def post(body: bytes, *headers: str, path: str = VIFS) -> bytes:
    """A create as it goes over the wire; the length stands in the headers unless they say it."""
    lines = [f"POST {path} HTTP/1.1", "Host: x", "X-Auth-Token: demo-token", *headers]
    if not any(line.startswith(("Content-Length", "Transfer-Encoding")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def last(cloud: Simulator) -> Call:
    found = cloud.journal.find(cloud.journal.last)
    assert found is not None
    return found


async def ended(cloud: Simulator) -> Call:
    """The last call, once it is over."""
    while cloud.journal.under_way or not cloud.journal.last:
        await cloud.clock.pause()
    return last(cloud)


# ── the order of checks: a request wrong in two ways has one answer ──

Case = tuple[int, str, str, "dict[str, Any]"]
ORDER: list[tuple[str, int, str, str, dict[str, Any]]] = [
    ("no token, unknown path", 401, "GET", "/nowhere", {"token": None}),
    ("no token, method", 401, "PUT", VIFS, {"token": None}),
    ("no token, out of scope", 401, "GET", "/images", {"token": None}),
    ("no token, foreign tenant", 401, "GET", "/v2/654321/servers", {"token": None}),
    ("foreign tenant, unknown path", 401, "GET", "/v2/654321/nowhere", {}),
    ("foreign tenant, role", 401, "POST", "/v2/654321/servers", {"token": "observer-token"}),
    ("unknown path, Accept", 404, "GET", "/nowhere", {"headers": XML}),
    ("method, role", 405, "PUT", VIFS, {"token": "observer-token"}),
    ("out of scope, Accept", 501, "GET", "/images", {"headers": XML}),
    ("role, Accept", 403, "POST", VIFS, {"token": "observer-token", "headers": XML}),
    ("role, body", 403, "POST", VIFS, {"token": "observer-token", "data": b"{"}),
    ("role, unknown", 403, "DELETE", f"/servers/{UNKNOWN}", {"token": "creator-token"}),
    ("Accept, too large", 406, "POST", VIFS, {"headers": XML, "data": b" " * 114_689}),
    ("Accept, type", 406, "POST", VIFS, {"headers": XML | FORM, "data": b"a=b"}),
    ("Accept, server", 406, "GET", f"/servers/{UNKNOWN}", {"headers": XML}),
    ("too large, type", 413, "POST", VIFS, {"headers": FORM, "data": b" " * 114_689}),
    ("type, malformed", 415, "POST", VIFS, {"headers": FORM, "data": b"{"}),
    (
        "malformed, server",
        400,
        "POST",
        f"/servers/{UNKNOWN}/os-virtual-interfacesv2",
        {"data": b"{"},
    ),
    ("query, server", 400, "GET", f"/servers/{UNKNOWN}/os-virtual-interfacesv2?limit=x", {}),
    (
        "server, network",
        404,
        "POST",
        f"/servers/{UNKNOWN}/os-virtual-interfacesv2",
        {"body": {"virtual_interface": {"network_id": UNKNOWN}}},
    ),
    (
        "state, network",
        409,
        "POST",
        f"/servers/{WEB_2}/os-virtual-interfacesv2",
        {"body": {"virtual_interface": {"network_id": UNKNOWN}}},
    ),
    ("state, interface", 409, "DELETE", f"/servers/{WEB_2}/os-virtual-interfacesv2/{UNKNOWN}", {}),
]


@pytest.fixture
async def roles(make_cloud: MakeCloud) -> Simulator:
    """A cloud whose users all have tokens; web-2 is being built."""
    users = [
        {"name": name, "role": role, "token": f"{name}-token"}
        for name, role in (("demo", "admin"), ("observer", "observer"), ("creator", "creator"))
    ]
    cloud = await make_cloud(
        world={"tenants": [{"id": TENANT, "users": users}]}, scenario=rules(NEVER)
    )
    await cloud.amend("set_status", server="web-2", status="BUILD")
    return cloud


@pytest.mark.parametrize("case", [item[1:] for item in ORDER], ids=[item[0] for item in ORDER])
async def test_of_two_mistakes_the_earlier_check_answers(
    roles: Simulator, api_of: ApiOf, case: Case
) -> None:
    status, method, path, options = case
    given = dict(options)
    api = api_of(roles).bearing(given.pop("token", "demo-token"))

    told = await api.ask(method, path, **given)

    assert told.status == status


@pytest.mark.parametrize(
    "case",
    [
        *(item[1:] for item in ORDER),
        (200, "GET", "/servers", {}),
        (200, "GET", "/", {"token": None}),
        (300, "GET", "/v1.1", {"token": None}),
        (200, "GET", "/v2.0/extensions", {}),
        (400, "POST", "/v2.0/tokens", {"body": {}, "token": None}),
        (405, "PUT", "/", {"token": None}),
        (200, "POST", VIFS, {"body": ATTACH}),
        (404, "GET", "/extensions/none", {}),
        (404, "GET", f"/servers/{WEB_1}/ips/none", {}),
        (400, "POST", VIFS, {"data": b"zzz", "headers": {"Content-Encoding": "gzip"}}),
    ],
)
async def test_the_engine_is_asked_exactly_once(
    roles: Simulator, api_of: ApiOf, case: Case
) -> None:
    status, method, path, options = case
    given = dict(options)
    api = api_of(roles).bearing(given.pop("token", "demo-token"))

    told = await api.ask(method, path, **given)

    assert told.status == status
    assert roles.rule_counts("never") == (1, 0)


@pytest.mark.parametrize(
    ("method", "path", "token"),
    [
        ("GET", "/", None),
        ("GET", "/servers", None),
        ("GET", "/nowhere", "demo-token"),
        ("PUT", VIFS, "demo-token"),
        ("POST", VIFS, "demo-token"),
        ("POST", "/v2.0/tokens", None),
        ("GET", "/v3", None),
    ],
)
async def test_an_outage_covers_what_would_be_refused_anyway(
    make_cloud: MakeCloud, api_of: ApiOf, method: str, path: str, token: str | None
) -> None:
    api = api_of(await make_cloud(scenario=rules({"match": "*", "status": 503})))

    told = await api.bearing(token).ask(method, path)

    assert (told.status, told.fault) == (503, "serviceUnavailable")


async def test_a_malformed_create_counts_as_a_create(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    api = api_of(await make_cloud(scenario=rules({"match": "create_*", "nth": 2, "status": 503})))

    statuses = [(await api.post(VIFS, data=b"{")).status for _ in range(3)]

    assert statuses == [400, 503, 400]


async def test_a_bad_token_uses_up_no_budget(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    api = api_of(await make_cloud(world={"settings": {"rate_limits": "documented"}}))

    refused = [(await api.bearing("wrong").post(VIFS, ATTACH)).status for _ in range(6)]
    told = await api.post(VIFS, ATTACH)

    assert refused == [401] * 6
    assert told.status == 200


async def test_a_mistake_uses_up_budget(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    api = api_of(await make_cloud(world={"settings": {"rate_limits": "documented"}}))

    statuses = [(await api.post(VIFS, {})).status for _ in range(5)]

    assert statuses == [400, 400, 400, 400, 413]


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_foreign_tenant_in_the_path_is_refused_as_the_setting_says(
    make_cloud: MakeCloud, api_of: ApiOf, status: int
) -> None:
    api = api_of(await make_cloud(world={"settings": {"tenant_mismatch_status": status}}))

    told = await api.get("/v2/654321/servers")

    assert told.status == status


@pytest.mark.parametrize("headers", [{"Accept": "application/json;q=0"}, {"Accept": "text/html"}])
async def test_a_client_that_takes_no_json_gets_a_406_in_json(
    api: Api, headers: dict[str, str]
) -> None:
    told = await api.get("/servers", headers=headers)

    assert (told.status, told.fault) == (406, "computeFault")


async def test_an_xml_suffix_is_a_406(api: Api) -> None:
    assert (await api.get("/servers.xml")).status == 406


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "APPLICATION/JSON; charset=utf-8",
        "application/vnd.openstack.compute+json",
        "text/plain",
        None,
    ],
)
async def test_json_is_read_under_these_types(api: Api, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}

    told = await api.post(VIFS, data=json.dumps(ATTACH).encode(), headers=headers)

    assert told.status == 200


@pytest.mark.parametrize("kind", ["application/xml", "text/html", "multipart/form-data", "x"])
@pytest.mark.parametrize(("setting", "name"), [(415, "badMediaType"), (400, "badRequest")])
async def test_another_type_is_refused_as_the_setting_says(
    make_cloud: MakeCloud, api_of: ApiOf, kind: str, setting: int, name: str
) -> None:
    api = api_of(await make_cloud(world={"settings": {"bad_media_type_status": setting}}))

    told = await api.post(VIFS, data=b"{}", headers={"Content-Type": kind})

    assert (told.status, told.fault) == (setting, name)


async def test_a_body_that_nobody_needs_is_ignored(api: Api) -> None:
    interface = (await api.interfaces())[0]["id"]

    told = await api.ask("DELETE", f"{VIFS}/{interface}", data=b"<xml", headers=FORM)

    assert told.status == 200


# ── headers ──


async def test_an_answer_has_the_services_headers_once(api: Api) -> None:
    told = await api.get("/servers")

    found = {name: told.headers.getall(name) for name in told.headers}
    assert found.keys() == {
        "Content-Length",
        "Content-Type",
        "Date",
        "Server",
        "Via",
        "X-Compute-Request-Id",
    }
    assert all(len(values) == 1 for values in found.values())
    assert found["Server"] == ["Jetty(9.2.z-SNAPSHOT)"]
    assert found["Via"] == ["1.1 Repose (Repose/6.2.1.2)"]
    assert found["Date"][0].endswith(" GMT")


async def test_server_and_via_are_settings(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    world = {"settings": {"server_header": "Jetty(8.0.y.z-SNAPSHOT)", "via_header": "1.1 x"}}
    api = api_of(await make_cloud(world=world))

    told = await api.get("/servers")

    assert (told.headers["Server"], told.headers["Via"]) == ("Jetty(8.0.y.z-SNAPSHOT)", "1.1 x")


async def test_an_empty_200_says_its_length_and_type(api: Api) -> None:
    interface = (await api.interfaces())[0]["id"]

    told = await api.delete(f"{VIFS}/{interface}")

    assert (told.status, told.body) == (200, b"")
    assert told.headers["Content-Length"] == "0"
    assert told.headers["Content-Type"] == "application/json"


async def test_a_204_says_no_length(api: Api) -> None:
    told = await api.delete(f"/servers/{WEB_1}")

    assert (told.status, told.body) == (204, b"")
    assert "Content-Length" not in told.headers
    assert told.headers["Content-Type"] == "application/json"


async def test_no_answer_is_chunked(api: Api) -> None:
    answers = [
        await api.get("/servers/detail"),
        await api.post(VIFS, ATTACH),
        await api.get("/nowhere"),
        await api.delete(f"/servers/{WEB_1}"),
    ]

    assert not any("Transfer-Encoding" in told.headers for told in answers)


async def test_head_is_answered_like_get_without_the_body(api: Api) -> None:
    got = await api.get("/servers")
    told = await api.ask("HEAD", "/servers")

    assert (told.status, told.body) == (200, b"")
    assert told.headers["Content-Length"] == str(len(got.body))


async def test_a_new_server_says_where_it_is(api: Api) -> None:
    body = {"server": {"name": "new", "imageRef": "1", "flavorRef": "2"}}

    told = await api.post("/servers", body)

    found = told.json()["server"]["id"]
    assert told.headers["Location"] == f"{api.url}/v2/{TENANT}/servers/{found}"


async def test_the_request_ids_repeat_with_the_seed(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    async def ids(seed: int) -> list[str]:
        api = api_of(await make_cloud(seed=seed))
        return [(await api.get("/servers")).headers["X-Compute-Request-Id"] for _ in range(3)]

    one, again, other = await ids(1), await ids(1), await ids(2)

    assert one == again
    assert not set(one) & set(other)


async def test_the_journal_keeps_the_id_that_was_sent(api: Api, cloud: Simulator) -> None:
    told = await api.get("/servers")

    assert last(cloud).id == told.headers["X-Compute-Request-Id"]


# ── injected answers ──


@pytest.mark.parametrize(
    ("rule", "name", "has_id", "further"),
    [
        ({"status": 400}, "badRequest", True, set[str]()),
        ({"status": 401}, "unauthorized", False, {"WWW-Authenticate"}),
        ({"status": 403}, "forbidden", True, set[str]()),
        ({"status": 404}, "itemNotFound", True, set[str]()),
        ({"status": 405}, "badMethod", True, {"Allow"}),
        ({"status": 409}, "conflictingRequest", True, set[str]()),
        ({"status": 413}, "overLimit", True, set[str]()),
        ({"status": 413, "retry_after": "9s"}, "overLimit", False, {"Retry-After"}),
        ({"status": 415}, "badMediaType", True, set[str]()),
        ({"status": 429, "retry_after": "9s"}, "overLimit", False, {"Retry-After"}),
        ({"status": 500}, "computeFault", True, set[str]()),
        ({"status": 501}, "notImplemented", True, set[str]()),
        ({"status": 502, "body": "fault"}, "computeFault", False, set[str]()),
        ({"status": 503}, "serviceUnavailable", True, set[str]()),
        ({"status": 503, "retry_after": "9s"}, "serviceUnavailable", True, {"Retry-After"}),
        ({"status": 504, "body": "fault"}, "computeFault", False, set[str]()),
        ({"expire_token": True}, "unauthorized", False, {"WWW-Authenticate"}),
    ],
    ids=str,
)
async def test_an_injected_answer_carries_what_the_real_one_would(
    make_cloud: MakeCloud,
    api_of: ApiOf,
    rule: dict[str, Any],
    name: str,
    further: set[str],
    *,
    has_id: bool,
) -> None:
    api = api_of(await make_cloud(scenario=rules({"name": "it", **rule})))

    told = await api.get("/servers")

    assert told.fault == name
    expected = {"Content-Length", "Content-Type", "Date", "Server", "Via", "X-Vifsim-Fault"}
    assert told.headers.keys() == expected | further | (
        {"X-Compute-Request-Id"} if has_id else set()
    )
    assert told.headers["X-Vifsim-Fault"] == "it"


@pytest.mark.parametrize("status", [502, 504])
async def test_a_gateways_answer_is_a_page(
    make_cloud: MakeCloud, api_of: ApiOf, status: int
) -> None:
    api = api_of(await make_cloud(scenario=rules({"status": status})))

    told = await api.get("/servers")

    assert told.status == status
    assert told.headers["Content-Type"] == "text/html; charset=UTF-8"
    assert b"<html" in told.body


@pytest.mark.parametrize(
    ("form", "kind", "start"),
    [
        ("text", "text/plain; charset=UTF-8", b"Busy & <gone>"),
        ("xml", "application/xml", b'<fault code="503"><message>Busy &amp; &lt;gone&gt;</message>'),
        ("html", "text/html; charset=UTF-8", b"<html"),
        ("empty", "application/json", b""),
    ],
)
async def test_a_rule_chooses_the_form_of_the_body(
    make_cloud: MakeCloud, api_of: ApiOf, form: str, kind: str, start: bytes
) -> None:
    rule = {"status": 503, "message": "Busy & <gone>", "body": form}
    api = api_of(await make_cloud(scenario=rules(rule)))

    told = await api.get("/servers")

    assert told.headers["Content-Type"] == kind
    assert told.body.startswith(start)
    assert bool(told.body) == bool(start)


async def test_a_rule_adds_headers(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    rule = {"status": 405, "headers": {"Allow": "GET", "X-More": "yes"}}
    api = api_of(await make_cloud(scenario=rules(rule)))

    told = await api.get("/servers")

    assert (told.headers["Allow"], told.headers["X-More"]) == ("GET", "yes")


async def test_only_a_rule_that_made_the_answer_is_named(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    slow = {"name": "slow", "latency": "1ms"}
    api = api_of(await make_cloud(scenario=rules(slow)))

    told = await api.get("/servers")

    assert "X-Vifsim-Fault" not in told.headers


@pytest.mark.parametrize(
    "world", [{"settings": {"profile": "live"}}, {"settings": {"rate_limits": "documented"}}]
)
async def test_the_live_profile_and_the_documented_limits_name_no_rule(
    make_cloud: MakeCloud, api_of: ApiOf, world: dict[str, Any]
) -> None:
    rule = {"match": "list_servers", "status": 503}
    cloud = await make_cloud(world=world, scenario=rules(rule))
    api = api_of(cloud)

    for _ in range(4):
        await api.attach()
    limited = await api.attach()
    injected = await api.get("/servers")

    assert limited.status == 413
    assert "X-Vifsim-Fault" not in limited.headers
    assert ("X-Vifsim-Fault" in injected.headers) == (world["settings"].get("profile") is None)


async def test_an_injected_403_of_a_delete_is_json_under_live(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    rule = {"match": "delete_network", "status": 403}
    cloud = await make_cloud(world={"settings": {"profile": "live"}}, scenario=rules(rule))

    told = await api_of(cloud).delete(f"/os-networksv2/{ADDED_NETWORK}")

    assert (told.status, told.fault) == (403, "forbidden")


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_a_401_of_a_delete_is_json_under_live(
    make_cloud: MakeCloud, api_of: ApiOf, token: str | None
) -> None:
    cloud = await make_cloud(world={"settings": {"profile": "live"}})

    told = await api_of(cloud).bearing(token).delete(f"/os-networksv2/{ADDED_NETWORK}")

    assert (told.status, told.fault) == (401, "unauthorized")


async def test_a_role_that_may_not_delete_is_told_so_in_json_under_live(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(world={"settings": {"profile": "live"}})
    creator = await api_of(cloud).log_in("creator")

    told = await creator.delete(f"/os-networksv2/{ADDED_NETWORK}")

    assert (told.status, told.fault) == (403, "forbidden")


# ── Retry-After and the clock ──


@pytest.mark.parametrize("clock", ["manual", "scaled"])
async def test_no_date_is_told_by_auto_under_a_virtual_clock(
    make_cloud: MakeCloud, api_of: ApiOf, clock: str
) -> None:
    world = {"settings": {"retry_after": "date"}}
    api = api_of(await make_cloud(clock=clock, world=world, scenario=rules({"limit": "1/1m"})))

    await api.get("/servers")
    told = await api.get("/servers")

    assert told.status == 413
    assert told.headers["Retry-After"].isdigit()


async def test_no_date_is_told_by_auto_once_a_real_clock_was_moved(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    world = {"settings": {"retry_after": "date"}}
    cloud = await make_cloud(world=world, scenario=rules({"limit": "1/1m"}))
    api = api_of(cloud)

    await api.get("/servers")
    before = await api.get("/servers")
    await cloud.advance_clock("10s")
    after = await api.get("/servers")

    assert before.headers["Retry-After"].endswith("GMT")
    assert after.headers["Retry-After"].isdigit()


@pytest.mark.parametrize(("speed", "told"), [(1.0, "60"), (7.0, "9"), (60.0, "1"), (1000.0, "1")])
async def test_a_scaled_clock_tells_the_clients_seconds_rounded_up(
    make_cloud: MakeCloud, api_of: ApiOf, speed: float, told: str
) -> None:
    rule = {"status": 503, "retry_after": "60s"}
    cloud = await make_cloud(clock="scaled", speed=speed, scenario=rules(rule))

    answer = await api_of(cloud).get("/servers")

    assert answer.headers["Retry-After"] == told
    answered = last(cloud).outcome.answer
    assert answered is not None
    assert answered.retry_after == float(told)


# ── the journal's entry, and clients that leave ──


@pytest.mark.parametrize("path", ["/servers", "/nowhere", "/v3"])
async def test_an_entry_is_finished_before_its_client_sees_the_answer(
    raw: RawClient, cloud: Simulator, path: str
) -> None:
    await raw.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: demo-token\r\n\r\n".encode())

    head = await raw.head()
    seen = last(cloud).outcome

    assert seen.ending == "completed"
    assert seen.answer is not None
    assert head.split()[1] == str(seen.answer.status).encode()


async def test_an_entry_opens_when_the_headers_are_in(raw: RawClient, cloud: Simulator) -> None:
    body = json.dumps(ATTACH).encode()
    request = post(body)

    await raw.send(request[: -len(body)])
    while not cloud.journal.last:
        await cloud.clock.pause()
    opened = last(cloud)

    assert (opened.operation, opened.user, opened.outcome.ending) == (
        "create_virtual_interface",
        "demo",
        None,
    )


async def test_a_slow_body_is_waited_for(raw: RawClient, cloud: Simulator) -> None:
    body = json.dumps(ATTACH).encode()
    request = post(body)

    for start in range(0, len(request), 50):
        await raw.send(request[start : start + 50])
        await cloud.clock.pause()
    head = await raw.head()

    assert head.startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_leaves_amid_its_body_has_created_nothing(
    raw: RawClient, cloud: Simulator
) -> None:
    await raw.send(post(json.dumps(ATTACH).encode())[:-10])
    while not cloud.journal.last:
        await cloud.clock.pause()

    raw.close()
    gone = await ended(cloud)

    assert (gone.outcome.ending, gone.outcome.effects) == ("client_gone", ())
    assert cloud.edge.defects == 0


async def test_a_client_that_leaves_while_it_waits_is_noted(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual", scenario=rules({"latency": "1h"}))

    asking = asyncio.create_task(api_of(cloud).attach())
    while not cloud.journal.last:
        await cloud.clock.pause()
    asking.cancel()
    gone = await ended(cloud)

    assert (gone.outcome.ending, gone.outcome.answer, gone.outcome.effects) == (
        "client_gone",
        None,
        (),
    )


async def test_what_was_committed_for_a_client_that_left_stays(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    rule = {"latency": "1h", "at": "after_commit"}
    cloud = await make_cloud(clock="manual", scenario=rules(rule))

    asking = asyncio.create_task(api_of(cloud).attach())
    while not (cloud.journal.last and last(cloud).outcome.effects):
        await cloud.clock.pause()
    asking.cancel()
    gone = await ended(cloud)

    assert gone.outcome.ending == "client_gone"
    state = await cloud.state_document()
    assert "added_network" in {item["network"] for item in state["virtual_interfaces"]}


async def test_a_reset_cuts_the_calls_under_way(
    make_cloud: MakeCloud, api_of: ApiOf, connect: Connect
) -> None:
    cloud = await make_cloud(clock="manual", scenario=rules({"match": "get_*", "latency": "1h"}))
    client = await connect(cloud)
    await client.send(b"GET /limits HTTP/1.1\r\nHost: x\r\nX-Auth-Token: demo-token\r\n\r\n")
    while not cloud.journal.last:
        await cloud.clock.pause()

    await cloud.reset()

    assert await client.rest() == b""
    assert (cloud.journal.last, cloud.journal.under_way) == (0, 0)
    assert (await api_of(cloud).get("/servers")).status == 200


# ── bodies ──


async def test_a_body_far_too_large_is_refused_before_it_is_read(raw: RawClient) -> None:
    await raw.send(post(b"", "Content-Length: 1000000000000"))

    head = await raw.head()

    assert head.startswith(b"HTTP/1.1 413 ")
    assert b"Retry-After" not in head


async def test_a_client_that_asks_first_is_let_go_on(raw: RawClient) -> None:
    body = json.dumps(ATTACH).encode()
    await raw.send(post(body, "Expect: 100-continue")[: -len(body)])

    goes_on = await raw.head()
    await raw.send(body)
    head = await raw.head()

    assert goes_on == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert head.startswith(b"HTTP/1.1 200 ")


async def test_another_expectation_is_ignored(api: Api) -> None:
    told = await api.get("/servers", headers={"Expect": "the unexpected"})

    assert told.status == 200


async def test_a_compressed_body_is_read(api: Api) -> None:
    body = gzip.compress(json.dumps(ATTACH).encode())

    told = await api.post(VIFS, data=body, headers={"Content-Encoding": "gzip"})

    assert told.status == 200


async def test_a_compressed_body_counts_by_what_it_holds(api: Api) -> None:
    body = gzip.compress(json.dumps(ATTACH).encode() + b" " * 200_000)

    told = await api.post(VIFS, data=body, headers={"Content-Encoding": "gzip"})

    assert len(body) < 1000
    assert (told.status, told.fault) == (413, "overLimit")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (("Transfer-Encoding: chunked",), b"zz\r\n{}\r\n0\r\n\r\n"),
        (("Transfer-Encoding: chunked",), b"2\r\n{}xx0\r\n\r\n"),
        (("Content-Length: 2", "Content-Length: 3"), b"{}}"),
        (("Content-Length: 2", "Transfer-Encoding: chunked"), b"2\r\n{}\r\n0\r\n\r\n"),
        (("Content-Encoding: gzip", "Content-Length: 3"), b"zzz"),
    ],
)
async def test_a_body_that_is_broken_on_the_wire_is_refused_and_is_no_defect(
    raw: RawClient, cloud: Simulator, headers: tuple[str, ...], body: bytes
) -> None:
    smuggled = b"DELETE /servers/%s HTTP/1.1\r\nHost: x\r\nX-Auth-Token: demo-token\r\n\r\n"
    await raw.send(post(body, *headers) + smuggled % WEB_2.encode())

    head = await raw.head()

    assert head.split()[1] == b"400"
    assert cloud.edge.defects == 0
    if not headers[0].startswith("Content-Encoding"):
        await raw.rest()
        assert "web-2" in {item["name"] for item in (await cloud.state_document())["servers"]}


async def test_a_body_that_breaks_after_a_while_ends_the_call_and_the_connection(
    raw: RawClient, cloud: Simulator
) -> None:
    await raw.send(post(b"2\r\n{}\r\n", "Transfer-Encoding: chunked"))
    while not cloud.journal.last:
        await cloud.clock.pause()

    await raw.send(b"zz\r\n")
    answer = await raw.rest()
    call = await ended(cloud)

    assert b" 400 " in answer[:20]
    assert call.outcome.effects == ()
    assert cloud.edge.defects == 0


async def test_a_client_that_ends_its_half_amid_the_body_is_done(
    raw: RawClient, cloud: Simulator
) -> None:
    await raw.send(post(b"{", "Content-Length: 100"))
    while not cloud.journal.last:
        await cloud.clock.pause()

    raw.writer.write_eof()
    await raw.rest()
    call = await ended(cloud)

    assert (call.outcome.effects, cloud.edge.defects) == ((), 0)


# ── connections ──


async def test_requests_sent_together_are_answered_in_order(raw: RawClient) -> None:
    one = b"GET /servers?limit=%d HTTP/1.1\r\nHost: x\r\nX-Auth-Token: demo-token\r\n\r\n"
    await raw.send(one % 0 + one % 1 + one % 2)

    counts: list[int] = []
    for _ in range(3):
        head = await raw.head()
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        counts.append(len(json.loads(await raw.exactly(length))["servers"]))

    assert counts == [0, 1, 2]


async def test_a_defect_is_a_plain_500_that_names_the_exception(
    make_cloud: MakeCloud, api_of: ApiOf, caplog: pytest.LogCaptureFixture
) -> None:
    cloud = await make_cloud()

    async def broken(*_: object) -> None:
        raise LookupError("secret detail")

    cloud.backend.list_networks = broken  # type: ignore[method-assign,assignment]  # a defect on purpose
    told: Told = await api_of(cloud).get("/os-networksv2")

    assert (told.status, told.fault) == (500, "computeFault")
    assert "LookupError" in told.message
    assert "secret detail" not in told.message
    assert "secret detail" in caplog.text
    assert cloud.edge.defects == 1
    cloud.edge.last_defect = None


async def test_the_journal_keeps_each_requests_own_headers(api: Api, cloud: Simulator) -> None:
    for agent in ("one", "two", "one"):
        await api.get("/servers", headers={"User-Agent": agent, "Cookie": "secret"})

    kept = [entry["headers"] for entry in cloud.journal.documents(cloud.journal)]

    assert [headers["User-Agent"] for headers in kept] == ["one", "two", "one"]
    assert not any("Cookie" in headers or "X-Auth-Token" in headers for headers in kept)


def test_no_two_request_ids_are_alike() -> None:
    ids, others = RequestIds(7), RequestIds(8)

    found = {ids(number) for number in range(100_000)}

    assert len(found) == 100_000
    assert not found & {others(number) for number in range(1000)}
    uuid = r"req-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert all(re.fullmatch(uuid, one) for one in (ids(0), ids(1), ids(99_999)))
