"""Each fault as a raw socket meets it: the bytes, the end, and what the journal says."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.exchange import WireCorrupt, WireDrip
from vifsim.http.codec import Reply
from vifsim.http.wire import corrupt, drip_pieces

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import ApiOf, Connect, MakeCloud, RawClient
    from vifsim.simulator import Simulator

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"
ATTACH = json.dumps({"virtual_interface": {"network_id": ADDED_NETWORK}}).encode()
END = b"\r\n\r\n"


def request(method: str = "POST", path: str = VIFS, body: bytes = ATTACH) -> bytes:
    """Return a request as it goes over the wire."""
    if method != "POST":
        body = b""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: demo-token\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def rules(*found: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "rules": list(found)}


def entries(cloud: Simulator) -> list[dict[str, Any]]:
    return cloud.journal.documents(cloud.journal)


def length(head: bytes) -> int:
    (value,) = (
        line.partition(b":")[2]
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length:")
    )
    return int(value)


@pytest.fixture
def cloud_with(make_cloud: MakeCloud) -> Callable[..., Any]:
    """Start a cloud with these rules, whose clock moves itself where something waits."""

    async def start(*found: dict[str, Any], **settings: Any) -> Simulator:
        given: dict[str, Any] = {"clock": "manual", "self_stepping": True, **settings}
        return await make_cloud(scenario=rules(*found), **given)

    return start


@pytest.fixture
def meet(cloud_with: Callable[..., Any], connect: Connect) -> Callable[..., Any]:
    """Send one request to a cloud with one rule; return the cloud and the connection."""

    async def send(
        fault: dict[str, Any], method: str = "POST", path: str = VIFS
    ) -> tuple[Simulator, RawClient]:
        cloud = await cloud_with(fault)
        raw = await connect(cloud)
        await raw.send(request(method, path))
        return cloud, raw

    return send


# ── no answer ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize("at", ["before", "after_commit"])
async def test_a_reset_is_seen_as_a_reset_by_the_peer(
    meet: Callable[..., Any], at: str, method: str
) -> None:
    _, raw = await meet({"reset": True, "at": at}, method)

    with pytest.raises(ConnectionResetError):
        await raw.rest()


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD"])
@pytest.mark.parametrize("at", ["before", "after_commit"])
@pytest.mark.parametrize("fault", [{"close": "before_headers"}, {"hang": "60s"}], ids=str)
async def test_a_close_and_a_hang_end_without_a_byte(
    meet: Callable[..., Any], fault: dict[str, Any], at: str, method: str
) -> None:
    _, raw = await meet({**fault, "at": at}, method)

    assert await raw.rest() == b""


async def test_a_hang_is_silent_for_its_time(meet: Callable[..., Any]) -> None:
    cloud, raw = await meet({"hang": "60s"})
    await raw.rest()

    (entry,) = entries(cloud)

    assert entry["end"] - entry["arrived"] == pytest.approx(60.0, abs=1e-5)


async def test_a_hang_comes_on_top_of_a_latency(
    cloud_with: Callable[..., Any], connect: Connect
) -> None:
    cloud = await cloud_with({"latency": "2s"}, {"hang": "60s"})
    raw = await connect(cloud)
    await raw.send(request())
    await raw.rest()

    (entry,) = entries(cloud)

    assert entry["end"] - entry["arrived"] == pytest.approx(62.0, abs=1e-5)


async def test_a_hang_for_ever_ends_when_the_cloud_is_reset(
    make_cloud: MakeCloud, connect: Connect
) -> None:
    cloud = await make_cloud(scenario=rules({"hang": "forever"}), clock="manual")
    raw = await connect(cloud)
    await raw.send(request())
    await _until(lambda: cloud.journal.under_way == 1)

    await cloud.clock.advance(10 * 365 * 86400.0)
    still = cloud.journal.under_way
    cloud.edge.cut_calls()

    assert still == 1
    assert await raw.rest() == b""


async def test_a_client_that_leaves_a_hang_is_known_to_be_gone(
    make_cloud: MakeCloud, connect: Connect
) -> None:
    cloud = await make_cloud(scenario=rules({"hang": "forever"}), clock="manual")
    raw = await connect(cloud)
    await raw.send(request())
    await _until(lambda: cloud.journal.under_way == 1)

    raw.close()
    await _until(lambda: cloud.journal.under_way == 0)

    (entry,) = entries(cloud)
    assert (entry["outcome"], entry["told"]) == ("client_gone", None)


async def _until(holds: Callable[[], bool]) -> None:
    loop = asyncio.get_running_loop()
    while not holds():
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn


@pytest.mark.parametrize("fault", [{"reset": True}, {"close": "before_headers"}], ids=str)
async def test_a_request_that_was_sent_behind_a_cut_one_is_not_carried_out(
    cloud_with: Callable[..., Any], connect: Connect, fault: dict[str, Any]
) -> None:
    cloud = await cloud_with({"match": "get_server", "first": 1, **fault})
    raw = await connect(cloud)

    await raw.send(request("GET", f"/servers/{WEB_1}") + request())
    with pytest.raises(ConnectionResetError) if "reset" in fault else nullcontext():
        await raw.rest()

    assert [entry["operation"] for entry in entries(cloud)] == ["get_server"]


# ── part of an answer ────────────────────────────────────────────────────────────────────────────


async def test_mid_body_is_the_whole_length_half_the_body_and_the_end(
    meet: Callable[..., Any],
) -> None:
    cloud, raw = await meet({"close": "mid_body"})

    head, body = await raw.head(), await raw.rest()

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" not in head.lower()
    assert body.startswith(b'{"virtual_interfaces": [')
    assert len(body) == length(head) // 2
    (entry,) = entries(cloud)
    assert entry["told"]["spoiled"] is True
    assert (entry["committed"], entry["outcome"]) == (True, "server_cut")


@pytest.mark.parametrize(
    ("part", "share", "size_bytes"),
    [("40%", 0.4, 0), ("0%", 0.0, 0), ("100%", 1.0, 0), ("128B", 0.0, 128), ("99999B", 1.0, 0)],
)
async def test_a_truncated_body_is_that_much_and_at_least_a_byte_short(
    meet: Callable[..., Any], part: str, share: float, size_bytes: int
) -> None:
    _, raw = await meet({"truncate": part})

    head, body = await raw.head(), await raw.rest()

    whole = length(head)
    assert whole > 200
    assert len(body) == min(int(whole * share) + size_bytes, whole - 1)


@pytest.mark.parametrize("fault", [{"truncate": "40%"}, {"close": "mid_body"}], ids=str)
async def test_a_fault_of_the_api_is_truncated_like_any_answer(
    cloud_with: Callable[..., Any], connect: Connect, fault: dict[str, Any]
) -> None:
    raw = await connect(await cloud_with(fault))
    await raw.send(request("GET", "/servers/nowhere"))

    head, body = await raw.head(), await raw.rest()

    assert head.startswith(b"HTTP/1.1 404 ")
    assert len(body) < length(head)


SPOILING = [
    {"truncate": "40%"},
    {"close": "mid_body"},
    {"drip": "16B/s"},
    {"corrupt": "not_json"},
    {"corrupt": "cut_json"},
    {"corrupt": "html"},
    {"corrupt": "empty_list"},
    {"corrupt": {"content_length": 10}},
    {"keepalive_cut": True},
]


@pytest.mark.parametrize("fault", SPOILING, ids=str)
async def test_an_answer_to_head_has_no_body_to_spoil(
    meet: Callable[..., Any], fault: dict[str, Any]
) -> None:
    cloud, raw = await meet(fault, "HEAD", f"/servers/{WEB_1}")
    plain = await raw.head()
    if not _ends(fault):
        raw.writer.write_eof()

    assert await raw.rest() == b""
    assert plain.startswith(b"HTTP/1.1 200 OK\r\n")
    assert length(plain) > 500
    (entry,) = entries(cloud)
    assert (entry["told"]["spoiled"], entry["outcome"]) == (False, "completed")


@pytest.mark.parametrize("fault", SPOILING, ids=str)
async def test_an_empty_answer_is_whole_and_ends_where_its_end_would_be_cut_off(
    meet: Callable[..., Any], fault: dict[str, Any]
) -> None:
    cloud, raw = await meet(fault, "DELETE", f"/servers/{WEB_1}")
    head = await raw.head()
    if not _ends(fault):
        raw.writer.write_eof()

    assert await raw.rest() == b""
    assert head.startswith(b"HTTP/1.1 204 No Content\r\n")
    (entry,) = entries(cloud)
    assert (entry["told"]["spoiled"], entry["outcome"]) == (False, "completed")
    assert entry["committed"]


def _ends(fault: dict[str, Any]) -> bool:
    return not fault.keys().isdisjoint({"truncate", "close", "keepalive_cut"})


# ── slow answers ─────────────────────────────────────────────────────────────────────────────────


def test_a_rate_is_kept_from_the_first_byte_to_the_last() -> None:
    pieces = drip_pieces(100, WireDrip(rate=16.0))

    assert [due for due, _, _ in pieces] == pytest.approx([n / 16 for n in range(100)])
    assert [(begin, end) for _, begin, end in pieces] == [(n, n + 1) for n in range(100)]


def test_a_high_rate_comes_ten_times_a_second() -> None:
    pieces = drip_pieces(1000, WireDrip(rate=2000.0))

    assert pieces == [
        (0.0, 0, 200),
        (pytest.approx(0.1), 200, 400),
        (pytest.approx(0.2), 400, 600),
        (pytest.approx(0.3), 600, 800),
        (pytest.approx(0.4), 800, 1000),
    ]


def test_pieces_are_equal_the_first_at_once_and_the_last_when_the_time_is_over() -> None:
    pieces = drip_pieces(10, WireDrip(chunks=5, over=1.0))

    assert pieces == [(0.0, 0, 2), (0.25, 2, 4), (0.5, 4, 6), (0.75, 6, 8), (1.0, 8, 10)]


def test_a_body_shorter_than_its_pieces_comes_byte_by_byte() -> None:
    assert drip_pieces(2, WireDrip(chunks=5, over=1.0)) == [(0.0, 0, 1), (1.0, 1, 2)]


async def test_a_dripped_answer_has_its_headers_at_once_and_each_piece_at_its_time(
    make_cloud: MakeCloud, connect: Connect
) -> None:
    scenario = rules({"drip": {"chunks": 5, "over": "1s"}})
    cloud = await make_cloud(scenario=scenario, clock="manual")
    raw = await connect(cloud)
    await raw.send(request())

    head = await raw.head()
    edges = [length(head) * index // 5 for index in range(6)]
    body = await raw.exactly(edges[1])
    for index in range(1, 5):
        assert entries(cloud)[0]["outcome"] is None
        await cloud.clock.advance(0.25)
        body += await raw.exactly(edges[index + 1] - edges[index])

    (entry,) = entries(cloud)
    assert json.loads(body)["virtual_interfaces"]
    assert (entry["end"], entry["outcome"]) == (1.0, "completed")
    assert entry["told"]["spoiled"] is False


async def test_a_rate_makes_the_answer_as_slow_as_its_length(meet: Callable[..., Any]) -> None:
    cloud, raw = await meet({"drip": "16B/s"})

    size = length(await raw.head())
    body = await raw.exactly(size)

    (entry,) = entries(cloud)
    assert json.loads(body)["virtual_interfaces"]
    assert entry["end"] - entry["arrived"] == pytest.approx((size - 1) / 16, abs=1e-3)


@pytest.mark.parametrize("at", ["before", "after_commit"])
async def test_a_latency_delays_the_answer(meet: Callable[..., Any], at: str) -> None:
    cloud, raw = await meet({"latency": "3s", "at": at})
    await raw.head()

    (entry,) = entries(cloud)

    assert entry["end"] == 3.0
    assert entry["effects"][0]["at"] == (3.0 if at == "before" else 0.0)


# ── wrong answers ────────────────────────────────────────────────────────────────────────────────

BODY = b'{"list": [{"id": "a", "1": true}, {"id": "b"}], "n": 1, "empty": []}'


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (WireCorrupt("drop", ("n",)), {"list": [{"id": "a", "1": True}, {"id": "b"}], "empty": []}),
        (
            WireCorrupt("drop", ("list", 0, "id")),
            {"list": [{"1": True}, {"id": "b"}], "n": 1, "empty": []},
        ),
        (
            WireCorrupt("drop", ("list", 0, 1)),
            {"list": [{"id": "a"}, {"id": "b"}], "n": 1, "empty": []},
        ),
        (WireCorrupt("drop", ("list", 1)), {"list": [{"id": "a", "1": True}], "n": 1, "empty": []}),
        (
            WireCorrupt("set", ("list", 1, "id"), None),
            {"list": [{"id": "a", "1": True}, {"id": None}], "n": 1, "empty": []},
        ),
        (
            WireCorrupt("set", ("n",), {"deep": [1]}),
            {"list": [{"id": "a", "1": True}, {"id": "b"}], "n": {"deep": [1]}, "empty": []},
        ),
        (WireCorrupt("empty_list"), {"list": [], "n": 1, "empty": []}),
    ],
    ids=str,
)
def test_an_answer_is_edited_where_the_rule_says(effect: WireCorrupt, expected: Any) -> None:
    spoiled, changed = corrupt(Reply(200, BODY), effect)

    assert json.loads(spoiled.body) == expected
    assert changed


def test_a_value_that_python_takes_for_equal_is_still_another() -> None:
    spoiled, changed = corrupt(Reply(200, BODY), WireCorrupt("set", ("n",), value=True))

    assert json.loads(spoiled.body)["n"] is True
    assert changed


@pytest.mark.parametrize(
    "effect",
    [
        WireCorrupt("drop", ("other",)),
        WireCorrupt("drop", ("list", 2)),
        WireCorrupt("drop", ("list", "first")),
        WireCorrupt("drop", ("n", "deeper")),
        WireCorrupt("set", ("list", 0, "other"), 1),
        WireCorrupt("set", ("n",), 1),
    ],
    ids=str,
)
def test_a_path_that_is_not_there_changes_nothing(effect: WireCorrupt) -> None:
    spoiled, changed = corrupt(Reply(200, BODY), effect)

    assert spoiled.body == BODY
    assert not changed


@pytest.mark.parametrize(
    "effect", [WireCorrupt("drop", ("n",)), WireCorrupt("empty_list")], ids=str
)
def test_what_is_no_json_cannot_be_edited(effect: WireCorrupt) -> None:
    assert corrupt(Reply(200, b"<html>"), effect)[1] is False


@pytest.mark.parametrize("kind", ["not_json", "cut_json"])
async def test_a_body_that_is_no_json_is_whole_all_the_same(
    meet: Callable[..., Any], kind: str
) -> None:
    cloud, raw = await meet({"corrupt": kind})

    head = await raw.head()
    body = await raw.exactly(length(head))

    assert b"Content-Type: application/json\r\n" in head
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(body)
    (entry,) = entries(cloud)
    assert (entry["told"]["status"], entry["told"]["spoiled"]) == (200, True)
    assert (entry["committed"], entry["outcome"]) == (True, "completed")


async def test_a_page_instead_of_json(meet: Callable[..., Any]) -> None:
    _, raw = await meet({"corrupt": "html"})

    head = await raw.head()
    body = await raw.exactly(length(head))

    assert b"Content-Type: text/html; charset=UTF-8\r\n" in head
    assert b"<html" in body


async def test_an_empty_list_instead_of_a_full_one(meet: Callable[..., Any]) -> None:
    cloud, raw = await meet({"corrupt": "empty_list"}, "GET")

    body = await raw.exactly(length(await raw.head()))

    assert json.loads(body) == {"virtual_interfaces": []}
    assert entries(cloud)[0]["told"]["spoiled"] is True


@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ({"drop": "virtual_interfaces.0.id"}, None),
        ({"set": {"virtual_interfaces.0.id": 7}}, 7),
        ({"set": {"virtual_interfaces": []}}, "nothing"),
    ],
    ids=str,
)
async def test_a_body_is_edited_and_whole(meet: Callable[..., Any], kind: Any, first: Any) -> None:
    cloud, raw = await meet({"corrupt": kind})

    head = await raw.head()
    found = json.loads(await raw.exactly(length(head)))["virtual_interfaces"]

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert (found[0].get("id") if found else "nothing") == first
    (entry,) = entries(cloud)
    assert (entry["told"]["spoiled"], entry["committed"]) == (True, True)


async def test_a_path_that_is_not_there_is_not_told_as_spoiled(meet: Callable[..., Any]) -> None:
    cloud, raw = await meet({"corrupt": {"drop": "virtual_interfaces.9.id"}})

    body = await raw.exactly(length(await raw.head()))

    assert json.loads(body)["virtual_interfaces"][0]["id"]
    assert entries(cloud)[0]["told"]["spoiled"] is False


async def test_a_length_that_promises_more_than_comes(meet: Callable[..., Any]) -> None:
    cloud, raw = await meet({"corrupt": {"content_length": 10}})

    head, body = await raw.head(), await raw.rest()

    assert len(body) == length(head) - 10
    assert json.loads(body)["virtual_interfaces"]
    assert entries(cloud)[0]["told"]["spoiled"] is True


@pytest.mark.parametrize("kind", ["not_json", "html", {"content_length": 10}], ids=str)
async def test_only_a_success_is_corrupted(
    cloud_with: Callable[..., Any], connect: Connect, kind: Any
) -> None:
    cloud = await cloud_with({"corrupt": kind})
    raw = await connect(cloud)
    await raw.send(request("GET", "/servers/nowhere"))

    body = await raw.exactly(length(await raw.head()))

    assert json.loads(body)["itemNotFound"]["code"] == 404
    assert entries(cloud)[0]["told"]["spoiled"] is False


async def test_after_a_keepalive_cut_the_whole_answer_is_followed_by_an_end_nobody_announced(
    meet: Callable[..., Any],
) -> None:
    cloud, raw = await meet({"keepalive_cut": True})

    head, body = await raw.head(), await raw.rest()

    assert b"connection:" not in head.lower()
    assert len(body) == length(head)
    assert json.loads(body)["virtual_interfaces"]
    (entry,) = entries(cloud)
    assert (entry["told"]["spoiled"], entry["outcome"]) == (False, "completed")


async def test_a_request_behind_a_keepalive_cut_is_not_carried_out(
    cloud_with: Callable[..., Any], connect: Connect
) -> None:
    cloud = await cloud_with({"match": "get_server", "keepalive_cut": True})
    raw = await connect(cloud)

    await raw.send(request("GET", f"/servers/{WEB_1}") + request())
    answer = await raw.rest()

    assert answer.count(b"HTTP/1.1 ") == 1
    assert [entry["operation"] for entry in entries(cloud)] == ["get_server"]


async def test_requests_sent_together_are_answered_in_their_order(
    cloud_with: Callable[..., Any], connect: Connect
) -> None:
    cloud = await cloud_with({"match": "list_virtual_interfaces", "status": 503})
    raw = await connect(cloud)

    await raw.send(request("GET", "/servers") + request("GET") + request())
    statuses: list[bytes] = []
    for _ in range(3):
        head = await raw.head()
        await raw.exactly(length(head))
        statuses.append(head.split()[1])

    assert statuses == [b"200", b"503", b"200"]


# ── injected answers ─────────────────────────────────────────────────────────────────────────────

STATUSES = (400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 501, 502, 503, 504)


@pytest.mark.parametrize("status", STATUSES)
async def test_each_status_is_the_apis_own_fault(meet: Callable[..., Any], status: int) -> None:
    _, raw = await meet({"status": status, "body": "fault", "message": "so it is"})

    head = await raw.head()
    document = json.loads(await raw.exactly(length(head)))

    ((_, content),) = document.items()
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert (content["code"], content["message"]) == (status, "so it is")


@pytest.mark.parametrize(
    ("form", "content_type", "expected"),
    [
        ("html", b"text/html; charset=UTF-8", b"<html"),
        ("text", b"text/plain; charset=UTF-8", b"a <b> c"),
        ("xml", b"application/xml", b'<fault code="503"><message>a &lt;b&gt; c</message>'),
        ("empty", b"application/json", b""),
    ],
)
async def test_each_form_of_a_body(
    meet: Callable[..., Any], form: str, content_type: bytes, expected: bytes
) -> None:
    _, raw = await meet({"status": 503, "body": form, "message": "a <b> c"})

    head = await raw.head()
    body = await raw.exactly(length(head))

    assert b"Content-Type: " + content_type + b"\r\n" in head
    assert expected in body
    assert bool(body) == bool(expected)


async def test_an_injected_answer_names_its_rule(meet: Callable[..., Any]) -> None:
    _, raw = await meet({"name": "down", "status": 503, "headers": {"X-Why": "fish"}})

    head = await raw.head()

    assert b"X-Vifsim-Fault: down\r\n" in head
    assert b"X-Why: fish\r\n" in head


# ── before the effect and after the commit ───────────────────────────────────────────────────────

LOSING = [
    ({"status": 503}, 503),
    ({"status": 504}, 504),
    ({"reset": True}, None),
    ({"close": "before_headers"}, None),
    ({"hang": "60s"}, None),
]


async def _told(raw: RawClient) -> int | None:
    """Return the status that a client was told, None for no answer."""
    try:
        head = await raw.head()
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return None
    return int(head.split()[1])


@pytest.mark.parametrize(("fault", "status"), LOSING, ids=str)
async def test_before_the_effect_nothing_has_happened(
    meet: Callable[..., Any], api_of: ApiOf, fault: dict[str, Any], status: int | None
) -> None:
    cloud, raw = await meet({"first": 1, "at": "before", **fault})

    told = await _told(raw)

    (entry,) = entries(cloud)
    assert told == status
    assert (entry["committed"], entry["effects"]) == (False, [])
    assert entry["decision"]["at"] == "before"
    assert len(await api_of(cloud).interfaces()) == 2


@pytest.mark.parametrize(("fault", "status"), LOSING, ids=str)
async def test_after_the_commit_it_has_and_the_client_is_told_this(
    meet: Callable[..., Any], api_of: ApiOf, fault: dict[str, Any], status: int | None
) -> None:
    cloud, raw = await meet({"first": 1, "at": "after_commit", **fault})

    told = await _told(raw)

    (entry,) = entries(cloud)
    assert told == status
    assert entry["committed"]
    assert [effect["kind"] for effect in entry["effects"]] == ["created"]
    assert entry["told"] == (None if status is None else {**entry["told"], "status": status})
    assert entry["outcome"] == ("server_cut" if status is None else "completed")
    assert len(await api_of(cloud).interfaces()) == 3


@pytest.mark.parametrize(
    "fault",
    [{"truncate": "40%"}, {"close": "mid_body"}, {"corrupt": "html"}, {"drip": "64B/s"}],
    ids=str,
)
async def test_what_spoils_an_answer_has_always_committed(
    meet: Callable[..., Any], fault: dict[str, Any]
) -> None:
    cloud, raw = await meet(fault)
    head = await raw.head()
    if "drip" in fault:
        await raw.exactly(length(head))

    (entry,) = entries(cloud)

    assert entry["committed"]
    assert entry["decision"]["at"] == "after_commit"
    assert entry["told"]["spoiled"] == ("drip" not in fault)


@pytest.mark.parametrize(("fault", "status"), LOSING, ids=str)
async def test_an_answer_that_is_a_failure_is_replaced_and_nothing_is_committed(
    cloud_with: Callable[..., Any],
    connect: Connect,
    api_of: ApiOf,
    fault: dict[str, Any],
    status: int | None,
) -> None:
    cloud = await cloud_with({"match": "create_*", "nth": 2, "at": "after_commit", **fault})
    await api_of(cloud).attach()
    raw = await connect(cloud)
    await raw.send(request())

    told = await _told(raw)

    entry = entries(cloud)[-1]
    assert told == status
    assert (entry["committed"], entry["effects"]) == (False, [])


async def test_a_failure_is_delayed_too_where_the_answer_is_late(
    meet: Callable[..., Any],
) -> None:
    cloud, raw = await meet({"latency": "3s", "at": "after_commit"}, "GET", "/servers/nowhere")

    assert await _told(raw) == 404
    assert entries(cloud)[0]["end"] == 3.0


async def test_a_request_that_the_app_refuses_meets_the_same_faults(
    meet: Callable[..., Any],
) -> None:
    _, raw = await meet({"reset": True}, "GET", "/nowhere")

    with pytest.raises(ConnectionResetError):
        await raw.rest()


# ── in one piece ──


@pytest.mark.parametrize(
    "path", ["/os-networksv2", f"{VIFS}", "/servers/none", "/nothing", "/v2.0/tenants", "/"]
)
async def test_what_is_written_by_hand_is_what_aiohttp_would_write(
    cloud: Simulator, connect: Connect, path: str
) -> None:
    by_hand, by_aiohttp = [
        await whole_answer(await connect(cloud), path, connection)
        for connection in ("keep-alive", "close")
    ]

    assert by_hand == by_aiohttp


async def whole_answer(raw: RawClient, path: str, connection: str) -> tuple[bytes, list[str]]:
    """Ask once; return the status line, the headers that repeat, and the body."""
    host = "Host: 127.0.0.1\r\nX-Auth-Token: demo-token\r\n"
    await raw.send(f"GET {path} HTTP/1.1\r\n{host}Connection: {connection}\r\n\r\n".encode())
    head = (await raw.head()).decode().split("\r\n")
    size = next(int(line.split()[1]) for line in head if line.startswith("Content-Length"))
    varying = ("Date:", "X-Compute-Request-Id:", "Connection:")
    return await raw.exactly(size), [line for line in head if not line.startswith(varying)]
