"""What each fault is to a client: what httpx, requests and aiohttp raise, or what they return."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
import requests

from vifsim.scenario.rule import FAULT_KEYS, STATUSES
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from tests.conftest import MakeCloud

    CloudWith = Callable[..., Awaitable[Simulator]]
    Ask = Callable[..., Awaitable["Told"]]

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ATTACH = {"virtual_interface": {"network_id": "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"}}
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"
HEADERS = {"X-Auth-Token": "demo-token", "Content-Type": "application/json"}
LONG = 30.0
"""Seconds after which a client would give up, far more than any test takes."""


@dataclass(frozen=True)
class Told:
    """What a client returned, and what its own JSON reader and check of the status make of it."""

    status: int
    headers: Mapping[str, str]
    text: str
    json: Callable[[], Awaitable[Any]]
    check: Callable[[], object]


def sent(body: Any) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def later(reply: httpx.Response | requests.Response) -> Callable[[], Awaitable[Any]]:
    """Return what reads an answer's JSON where aiohttp reads it, too."""

    async def read() -> Any:
        return reply.json()

    return read


@asynccontextmanager
async def in_httpx(url: str, patience: float = LONG) -> AsyncGenerator[Ask]:
    async with httpx.AsyncClient(timeout=patience) as client:

        async def ask(method: str = "GET", path: str = VIFS, body: Any = None) -> Told:
            reply = await client.request(method, url + path, headers=HEADERS, content=sent(body))
            return Told(
                reply.status_code, reply.headers, reply.text, later(reply), reply.raise_for_status
            )

        yield ask


@asynccontextmanager
async def in_requests(url: str, patience: float = LONG) -> AsyncGenerator[Ask]:
    with requests.Session() as session:
        session.trust_env = False

        async def ask(method: str = "GET", path: str = VIFS, body: Any = None) -> Told:
            def send() -> requests.Response:
                return session.request(
                    method, url + path, data=sent(body), headers=HEADERS, timeout=patience
                )

            reply = await asyncio.to_thread(send)
            return Told(
                reply.status_code, reply.headers, reply.text, later(reply), reply.raise_for_status
            )

        yield ask


@asynccontextmanager
async def in_aiohttp(url: str, patience: float = LONG) -> AsyncGenerator[Ask]:
    limit = aiohttp.ClientTimeout(total=patience)
    async with aiohttp.ClientSession(headers=HEADERS, timeout=limit) as session:

        async def ask(method: str = "GET", path: str = VIFS, body: Any = None) -> Told:
            async with session.request(method, url + path, data=sent(body)) as reply:
                text = await reply.text()
                return Told(reply.status, reply.headers, text, reply.json, reply.raise_for_status)

        yield ask


CLIENTS: dict[str, Callable[..., AbstractAsyncContextManager[Ask]]] = {
    "httpx": in_httpx,
    "requests": in_requests,
    "aiohttp": in_aiohttp,
}
Rule = dict[str, Any]


@pytest.fixture(params=list(CLIENTS))
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cloud_with(make_cloud: MakeCloud) -> CloudWith:
    """Start a cloud with these rules, whose clock moves itself where something waits."""

    async def start(*rules: Rule, self_stepping: bool = True, **top: Any) -> Simulator:
        scenario = {"version": 1, "rules": list(rules), **top}
        return await make_cloud(scenario=scenario, clock="manual", self_stepping=self_stepping)

    return start


# ── what they raise ──────────────────────────────────────────────────────────────────────────────

RAISED: list[tuple[Rule, dict[str, type[Exception]]]] = [
    (
        {"reset": True},
        {
            "httpx": httpx.ReadError,
            "requests": requests.ConnectionError,
            "aiohttp": aiohttp.ClientOSError,
        },
    ),
    (
        {"close": "before_headers"},
        {
            "httpx": httpx.RemoteProtocolError,
            "requests": requests.ConnectionError,
            "aiohttp": aiohttp.ServerDisconnectedError,
        },
    ),
    (
        {"hang": "60s"},
        {
            "httpx": httpx.RemoteProtocolError,
            "requests": requests.ConnectionError,
            "aiohttp": aiohttp.ServerDisconnectedError,
        },
    ),
    (
        {"close": "mid_body"},
        {
            "httpx": httpx.RemoteProtocolError,
            "requests": requests.exceptions.ChunkedEncodingError,
            "aiohttp": aiohttp.ClientPayloadError,
        },
    ),
    (
        {"truncate": "40%"},
        {
            "httpx": httpx.RemoteProtocolError,
            "requests": requests.exceptions.ChunkedEncodingError,
            "aiohttp": aiohttp.ClientPayloadError,
        },
    ),
    (
        {"corrupt": {"content_length": 10}},
        {
            "httpx": httpx.RemoteProtocolError,
            "requests": requests.exceptions.ChunkedEncodingError,
            "aiohttp": aiohttp.ClientPayloadError,
        },
    ),
    (
        {"corrupt": "not_json"},
        {
            "httpx": json.JSONDecodeError,
            "requests": requests.exceptions.JSONDecodeError,
            "aiohttp": json.JSONDecodeError,
        },
    ),
    (
        {"corrupt": "cut_json"},
        {
            "httpx": json.JSONDecodeError,
            "requests": requests.exceptions.JSONDecodeError,
            "aiohttp": json.JSONDecodeError,
        },
    ),
    (
        {"corrupt": "html"},
        {
            "httpx": json.JSONDecodeError,
            "requests": requests.exceptions.JSONDecodeError,
            "aiohttp": aiohttp.ContentTypeError,
        },
    ),
]


TIMED_OUT: dict[str, tuple[type[Exception], ...]] = {
    "httpx": (httpx.TimeoutException,),
    "requests": (requests.Timeout, requests.ConnectionError),  # the latter within a body
    "aiohttp": (TimeoutError,),
}


@pytest.mark.parametrize(("rule", "raised"), RAISED, ids=[str(rule) for rule, _ in RAISED])
async def test_what_a_client_raises(
    cloud_with: CloudWith, rule: Rule, raised: dict[str, type[Exception]], library: str
) -> None:
    cloud = await cloud_with(rule)

    async with CLIENTS[library](cloud.url) as ask:
        with pytest.raises(raised[library]):
            await (await ask()).json()


@pytest.mark.parametrize(
    "rule", [{"hang": "forever"}, {"latency": "1h"}, {"drip": {"chunks": 2, "over": "1h"}}], ids=str
)
async def test_what_is_too_slow_is_a_time_out(
    cloud_with: CloudWith, rule: Rule, library: str
) -> None:
    cloud = await cloud_with(rule, self_stepping=False)

    async with CLIENTS[library](cloud.url, patience=0.05) as ask:
        with pytest.raises(TIMED_OUT[library]):
            await ask()


BETWEEN_BYTES = aiohttp.ClientTimeout(total=None, sock_read=120)
IN_ALL = aiohttp.ClientTimeout(total=300)


@pytest.mark.parametrize(("limit", "seconds"), [(BETWEEN_BYTES, 3600), (IN_ALL, 300)])
async def test_only_a_time_out_for_the_whole_ends_a_drip(
    limit: aiohttp.ClientTimeout, seconds: int
) -> None:
    scenario = {"version": 1, "rules": [{"drip": {"chunks": 61, "over": "1h"}}]}
    async with (
        Simulator(clock="autojump", scenario=scenario) as cloud,
        aiohttp.ClientSession(headers=HEADERS, timeout=limit) as session,
    ):
        began = cloud.clock.now()
        with pytest.raises(TimeoutError) if limit is IN_ALL else nullcontext():
            async with session.get(cloud.url + VIFS) as reply:
                assert await reply.json()
        took = cloud.clock.now() - began

    assert took == pytest.approx(seconds, abs=1)


REFUSED: dict[str, type[Exception]] = {
    "httpx": httpx.HTTPStatusError,
    "requests": requests.HTTPError,
    "aiohttp": aiohttp.ClientResponseError,
}


@pytest.mark.parametrize("status", STATUSES)
async def test_a_refusal_is_returned_and_raised_only_where_the_client_asks(
    cloud_with: CloudWith, status: int, library: str
) -> None:
    cloud = await cloud_with({"status": status, "body": "fault", "retry_after": "90s"})

    async with CLIENTS[library](cloud.url) as ask:
        told = await ask()

    ((_, fault),) = (await told.json()).items()
    assert (told.status, fault["code"], told.headers["Retry-After"]) == (status, status, "90")
    with pytest.raises(REFUSED[library]):
        told.check()


# ── what they return ─────────────────────────────────────────────────────────────────────────────

CREATE = ("POST", VIFS, ATTACH)
LOGIN = {"auth": {"passwordCredentials": {"username": "demo", "password": "demo-password"}}}
RETURNED: list[tuple[Rule, list[tuple[Any, ...]], list[int]]] = [
    ({"status": 503, "first": 2}, [(), (), ()], [503, 503, 200]),
    ({"status": 503, "first": 1, "at": "after_commit"}, [CREATE, CREATE], [503, 409]),
    ({"limit": "2/1m"}, [(), (), ()], [200, 200, 413]),
    ({"limit": {"rate": "1/1m", "status": 429}}, [(), ()], [200, 429]),
    (
        {"match": "list_*", "expire_token": True},
        [(), (), ("POST", "/v2.0/tokens", LOGIN)],
        [401, 401, 200],
    ),
    (
        {"match": "create_*", "expire_token": True, "at": "after_commit"},
        [CREATE, ()],
        [200, 401],
    ),
    ({"match": "create_*", "duplicate": {"answer": "first"}}, [CREATE], [200]),
    ({"match": "create_*", "duplicate": {"answer": "last"}}, [CREATE], [409]),
    ({"keepalive_cut": True}, [()], [200]),
    ({"drip": "64B/s"}, [()], [200]),
    ({"latency": "9s"}, [()], [200]),
    ({"latency": "9s", "at": "after_commit"}, [CREATE], [200]),
    ({"capacity": {"workers": 1, "service": "9s", "queue": 0}}, [(), ()], [200, 200]),
]


@pytest.mark.parametrize(
    ("rule", "calls", "statuses"), RETURNED, ids=[str(rule) for rule, _, _ in RETURNED]
)
async def test_what_a_client_returns(
    cloud_with: CloudWith,
    rule: Rule,
    calls: list[tuple[Any, ...]],
    statuses: list[int],
    library: str,
) -> None:
    cloud = await cloud_with(rule)

    async with CLIENTS[library](cloud.url) as ask:
        told = [await ask(*call) for call in calls]

    assert [answer.status for answer in told] == statuses
    assert all([await answer.json() for answer in told])


EDITED: list[tuple[Any, Any]] = [
    ("empty_list", []),
    ({"drop": "virtual_interfaces"}, None),
    ({"set": {"virtual_interfaces": 7}}, 7),
]


@pytest.mark.parametrize(("corrupt", "expected"), EDITED, ids=[str(kind) for kind, _ in EDITED])
async def test_an_answer_that_was_edited_is_a_success_to_a_client(
    cloud_with: CloudWith, corrupt: Any, expected: Any, library: str
) -> None:
    cloud = await cloud_with({"corrupt": corrupt})

    async with CLIENTS[library](cloud.url) as ask:
        told = await ask()

    told.check()
    assert told.status == 200
    assert (await told.json()).get("virtual_interfaces") == expected


@pytest.mark.parametrize(
    ("body", "found"),
    [("html", "<html"), ("text", "so it is"), ("xml", "<fault code="), ("empty", "")],
)
async def test_each_form_of_a_body_is_text_to_a_client(
    cloud_with: CloudWith, body: str, found: str, library: str
) -> None:
    cloud = await cloud_with({"status": 503, "body": body, "message": "so it is"})

    async with CLIENTS[library](cloud.url) as ask:
        told = await ask()

    assert (told.status, bool(told.text)) == (503, bool(found))
    assert found in told.text


@pytest.mark.parametrize(
    ("asked", "found"),
    [("none", None), ("90s", "90"), ({"raw": "soon"}, "soon"), ({"date": "30s"}, "GMT")],
    ids=str,
)
async def test_each_form_of_retry_after_is_a_header_to_a_client(
    cloud_with: CloudWith, asked: Any, found: str | None, library: str
) -> None:
    cloud = await cloud_with({"status": 503, "retry_after": asked})

    async with CLIENTS[library](cloud.url) as ask:
        header = (await ask()).headers.get("Retry-After")

    assert (header is None) if found is None else str(header).endswith(found)


async def test_a_stale_list_lacks_what_the_client_has_just_made(
    cloud_with: CloudWith, library: str
) -> None:
    cloud = await cloud_with({"match": "list_*", "stale": "1m"})

    async with CLIENTS[library](cloud.url) as ask:
        made = await ask(*CREATE)
        early = (await (await ask()).json())["virtual_interfaces"]
        await cloud.clock.advance(60.0)
        late = (await (await ask()).json())["virtual_interfaces"]

    assert (made.status, len(early), len(late)) == (200, 2, 3)


async def test_a_flap_is_an_outage_to_a_client_while_it_is_down(
    cloud_with: CloudWith, library: str
) -> None:
    cloud = await cloud_with({"flap": {"up": "2s", "down": "4s"}, "status": 503})
    told: list[int] = []

    async with CLIENTS[library](cloud.url) as ask:
        for _ in range(4):
            told.append((await ask()).status)
            await cloud.clock.advance(2.0)

    assert told == [200, 503, 503, 200]


async def test_a_chance_that_moves_ends_where_it_says(cloud_with: CloudWith, library: str) -> None:
    decay = {"during": "decay", "chance": {"from": 0, "to": 1}, "status": 503}
    cloud = await cloud_with(decay, phases=[{"name": "decay", "from": "0s", "for": "1000s"}])

    async with CLIENTS[library](cloud.url) as ask:
        first = (await ask()).status
        await cloud.clock.advance(999.999)
        last = (await ask()).status

    assert (first, last) == (200, 503)


async def test_each_refused_call_is_told_a_time_of_its_own_to_come_again(
    cloud_with: CloudWith, library: str
) -> None:
    cloud = await cloud_with({"status": 503, "retry_after": "10s", "spread": "40s"})

    async with CLIENTS[library](cloud.url) as ask:
        told = [int((await ask()).headers["Retry-After"]) for _ in range(4)]

    assert 10 <= min(told) < max(told) <= 50


async def test_a_refusal_that_is_held_comes_late_and_what_is_served_does_not(
    cloud_with: CloudWith, library: str
) -> None:
    cloud = await cloud_with({"status": 503, "first": 1}, hold="2s")

    async with CLIENTS[library](cloud.url) as ask:
        told = [(await ask()).status for _ in range(2)]

    assert told == [503, 200]
    took = [(call.outcome.end or 0.0) - call.arrived for call in cloud.journal]
    assert took == [2.0, 0.0]


async def test_what_a_full_cloud_sheds_is_a_refusal_and_what_it_serves_is_late(
    cloud_with: CloudWith, library: str
) -> None:
    capacity = {"workers": 1, "service": "9s", "queue": 0, "shed": 503}
    cloud = await cloud_with({"capacity": capacity}, self_stepping=False)

    async with CLIENTS[library](cloud.url) as served, CLIENTS[library](cloud.url) as shed:
        first = asyncio.ensure_future(served())
        while not cloud.journal.under_way:
            await next_turn()
        second = await shed()
        await cloud.clock.advance(9.0)
        told = await first

    assert (told.status, second.status) == (200, 503)


async def test_a_client_does_not_notice_that_its_connection_was_cut_after_the_answer(
    cloud_with: CloudWith, library: str
) -> None:
    cloud = await cloud_with({"keepalive_cut": True})

    async with CLIENTS[library](cloud.url) as ask:
        told = [await ask()]
        for _ in range(9):  # the end follows the answer at once
            await next_turn()
        told.append(await ask())

    assert [answer.status for answer in told] == [200, 200]
    assert len({entry.conn for entry in cloud.journal}) == 2


async def next_turn() -> None:
    """Let the loop go round once."""
    turn = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(turn.set_result, None)
    await turn


def test_each_kind_of_fault_is_met_by_clients() -> None:
    rules = [rule for rule, _ in RAISED] + [rule for rule, _, _ in RETURNED]
    met = {key for rule in rules for key in rule} | {"stale", "corrupt"}

    assert set(FAULT_KEYS) <= met
