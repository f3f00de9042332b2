"""Faults that show only over several calls or in time, each seen by a raw socket.

Time jumps, so that what is measured is exact and hours cost nothing.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.conftest import Connect, MakeCloud

sleep = asyncio.sleep  # noqa: TID251 -- a client's own
SERVER = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
VIFS = f"/servers/{SERVER}/os-virtual-interfacesv2"
CREATE = json.dumps({"virtual_interface": {"network_id": "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"}})


@dataclass(frozen=True)
class Answer:
    """What came over the wire, and how many seconds after the request it had come whole."""

    status: int
    headers: dict[str, str]
    body: bytes
    after: float

    @property
    def interfaces(self) -> int:
        return len(json.loads(self.body)["virtual_interfaces"])


@dataclass
class Wire:
    """A cloud whose time jumps, and raw connections to it."""

    cloud: Simulator
    connect: Connect

    async def ask(self, method: str = "GET", path: str = VIFS, body: str = "") -> Answer:
        """Send one request on a connection of its own, and read the answer."""
        raw = await self.connect(self.cloud)
        began = self.cloud.clock.now()
        await raw.send(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: demo-token\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await raw.head()).decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
        content = await raw.exactly(int(headers["content-length"]))
        return Answer(int(head[0].split()[1]), headers, content, self.cloud.clock.now() - began)


@pytest.fixture
def wire(connect: Connect) -> Any:
    @asynccontextmanager
    async def under(*rules: dict[str, Any], **top: Any) -> AsyncGenerator[Wire, None]:
        scenario = {"version": 1, "rules": list(rules), **top}
        async with Simulator(clock="autojump", scenario=scenario) as cloud:
            yield Wire(cloud, connect)

    return under


async def test_capacity_makes_callers_wait_their_turn_and_sheds_the_rest(wire: Any) -> None:
    capacity = {"workers": 2, "service": "10s", "queue": 2, "shed": 503}

    async with wire({"capacity": capacity}) as cloud:
        answers = await asyncio.gather(*(cloud.ask() for _ in range(6)))

    served = sorted(answer.after for answer in answers if answer.status == 200)
    shed = [answer for answer in answers if answer.status == 503]
    assert served == pytest.approx([10, 10, 20, 20], abs=0.01)
    assert [answer.after for answer in shed] == pytest.approx([0, 0], abs=0.01)


async def test_stale_reads_lag_behind_creates_and_deletes(wire: Any) -> None:
    async with wire({"match": "list_virtual_interfaces", "stale": "30s"}) as cloud:
        before = (await cloud.ask()).interfaces
        made = json.loads((await cloud.ask("POST", VIFS, CREATE)).body)["virtual_interfaces"][0]
        just_made = (await cloud.ask()).interfaces
        await sleep(31)
        settled = (await cloud.ask()).interfaces
        await cloud.ask("DELETE", f"{VIFS}/{made['id']}")
        just_gone = (await cloud.ask()).interfaces
        await sleep(31)
        gone = (await cloud.ask()).interfaces

    assert [before, just_made, settled, just_gone, gone] == [2, 2, 3, 3, 2]


@pytest.mark.parametrize(("passed_on", "status"), [("first", 200), ("last", 409)])
async def test_a_call_delivered_twice_is_answered_after_the_last_by_one_of_both(
    wire: Any, passed_on: str, status: int
) -> None:
    duplicate = {"times": 2, "gap": "5s", "answer": passed_on}

    async with wire({"match": "create_*", "duplicate": duplicate}) as cloud:
        answer = await cloud.ask("POST", VIFS, CREATE)

    assert answer.status == status
    assert answer.after == pytest.approx(5, abs=0.01)
    assert len(cloud.cloud.journal) == 1


async def test_a_flap_is_up_and_down_by_the_clock(wire: Any) -> None:
    flap = {"flap": {"up": "60s", "down": "30s"}, "status": 503, "retry_after": "auto"}
    statuses: list[int] = []
    waits: list[str | None] = []

    async with wire(flap) as cloud:
        for _ in range(10):
            await sleep(15)
            answer = await cloud.ask()
            statuses.append(answer.status)
            waits.append(answer.headers.get("retry-after"))

    assert statuses == [200, 200, 200, 503, 503, 200, 200, 200, 200, 503]
    assert waits[3:5] == ["30", "15"]


async def test_a_moving_chance_moves_across_its_phase(wire: Any) -> None:
    decay = {"during": "decay", "chance": {"from": 0, "to": 1}, "status": 503}
    phase = {"name": "decay", "from": "0s", "for": "400s"}
    failed: list[bool] = []

    async with wire(decay, phases=[phase], seed=7) as cloud:
        for _ in range(400):
            failed.append((await cloud.ask()).status == 503)
            await sleep(1)
        afterwards = (await cloud.ask()).status

    quarters = [sum(failed[at : at + 100]) for at in range(0, 400, 100)]
    assert quarters == pytest.approx([12, 38, 62, 88], abs=15)
    assert afterwards == 200


async def test_a_spread_gives_each_call_a_time_of_its_own(wire: Any) -> None:
    busy = {"status": 503, "retry_after": "10s", "spread": "20s"}

    async with wire(busy) as cloud:
        waits = [int((await cloud.ask()).headers["retry-after"]) for _ in range(20)]

    assert all(10 <= wait <= 30 for wait in waits)
    assert len(set(waits)) > 5


FORMS: list[tuple[Any, str | None]] = [
    ("none", None),
    ("30s", "30"),
    ("1500ms", "2"),
    ({"raw": "soon"}, "soon"),
]


@pytest.mark.parametrize("status", [503, 413, 429])
@pytest.mark.parametrize(("asked", "expected"), FORMS, ids=str)
async def test_each_form_of_retry_after_is_sent(
    wire: Any, asked: Any, expected: str | None, status: int
) -> None:
    async with wire({"status": status, "retry_after": asked}) as cloud:
        answer = await cloud.ask()

    assert (answer.status, answer.headers.get("retry-after")) == (status, expected)


async def test_a_date_to_come_back_at_is_counted_from_the_date_of_the_answer(wire: Any) -> None:
    async with wire({"status": 503, "retry_after": {"date": "30s"}}) as cloud:
        headers = (await cloud.ask()).headers

    told, now = (parsedate_to_datetime(headers[name]) for name in ("retry-after", "date"))
    assert (told - now).total_seconds() in {30, 31}


async def test_the_live_profile_tells_a_date_where_time_is_real(
    make_cloud: MakeCloud, connect: Connect
) -> None:
    limit = {"version": 1, "rules": [{"limit": "1/1h"}]}
    cloud = await make_cloud(scenario=limit, world={"settings": {"profile": "live"}})

    answers = [await Wire(cloud, connect).ask() for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 413]
    headers = answers[1].headers
    told, now = (parsedate_to_datetime(headers[name]) for name in ("retry-after", "date"))
    assert 3590 < (told - now).total_seconds() <= 3601


@pytest.mark.parametrize(
    ("when", "waits"),
    [
        ({"between": ["0s", "90s"]}, ["80", "70"]),
        ({"during": "outage"}, ["110", "100"]),
        ({"flap": {"up": "5s", "down": "40s"}}, ["35", "25"]),
    ],
    ids=str,
)
async def test_auto_is_the_time_until_the_rule_no_longer_holds(
    wire: Any, when: dict[str, Any], waits: list[str]
) -> None:
    phases = [{"name": "outage", "from": "0s", "for": "2m"}]
    told: list[str] = []

    async with wire({**when, "status": 503, "retry_after": "auto"}, phases=phases) as cloud:
        for _ in range(2):
            await sleep(10)
            told.append((await cloud.ask()).headers["retry-after"])

    assert told == waits


@pytest.mark.parametrize("status", [413, 429])
async def test_a_refusal_that_names_a_time_has_the_same_moment_in_its_body(
    wire: Any, status: int
) -> None:
    async with wire({"status": status, "retry_after": "1h"}) as cloud:
        answer = await cloud.ask()

    ((_, fault),) = json.loads(answer.body).items()
    sent = parsedate_to_datetime(answer.headers["date"])
    moment = datetime.fromisoformat(fault["retryAt"])
    assert fault["code"] == status
    assert (moment - sent).total_seconds() in {3600, 3601}


@pytest.mark.parametrize(
    ("limit", "status"), [("2/1m", 413), ({"rate": "2/1m", "status": 429}, 429)], ids=str
)
async def test_a_limit_counts_conflicts_too_and_its_window_opens_again(
    wire: Any, limit: Any, status: int
) -> None:
    async with wire({"match": "create_*", "limit": limit}) as cloud:
        told = [await cloud.ask("POST", VIFS, CREATE) for _ in range(3)]
        await sleep(int(told[-1].headers["retry-after"]))
        told.append(await cloud.ask("POST", VIFS, CREATE))

    assert [answer.status for answer in told] == [200, 409, status, 409]
    assert told[2].headers["retry-after"] == "60"


@pytest.mark.parametrize(
    ("latency", "least", "most"),
    [
        ({"uniform": ["2s", "3s"]}, 2.0, 3.0),
        ({"lognormal": {"p50": "2s", "p99": "9s", "max": "10s"}}, 0.1, 10.0),
        ({"pareto": {"min": "2s", "shape": 1.5, "max": "20s"}}, 2.0, 20.0),
        ({"quantiles": {"p50": "2s", "p90": "4s", "p99": "8s"}}, 0.0, 16.0),
    ],
    ids=["uniform", "lognormal", "pareto", "quantiles"],
)
async def test_an_answer_is_as_late_as_was_drawn(
    wire: Any, latency: Any, least: float, most: float
) -> None:
    async with wire({"latency": latency}, seed=7) as cloud:
        late = [(await cloud.ask()).after for _ in range(20)]

    journal = cloud.cloud.journal
    drawn = [entry["decision"]["delay_before"] for entry in journal.documents(journal)]
    assert late == pytest.approx(drawn, abs=0.01)
    assert all(least <= delay <= most for delay in drawn)
    assert len(set(drawn)) == 20


@pytest.mark.parametrize(
    "fault",
    [{"status": 503, "at": "after_commit"}, {"expire_token": True}, {"limit": "1/1m", "after": 1}],
    ids=str,
)
async def test_each_kind_of_injected_answer_is_held(wire: Any, fault: dict[str, Any]) -> None:
    async with wire(fault, hold="250ms") as cloud:
        answers = [await cloud.ask() for _ in range(3)]

    assert answers[-1].status != 200
    assert answers[-1].after == pytest.approx(0.25, abs=0.001)


async def test_injected_answers_are_held_and_the_clouds_own_are_not(wire: Any) -> None:
    async with wire({"first": 1, "status": 503}, hold="250ms") as cloud:
        injected, own = await cloud.ask(), await cloud.ask()

    assert (injected.status, own.status) == (503, 200)
    assert [injected.after, own.after] == pytest.approx([0.25, 0], abs=0.001)


async def test_a_drip_keeps_its_pace(wire: Any) -> None:
    async with wire({"drip": "2B/s"}) as cloud:
        answer = await cloud.ask()

    assert answer.status == 200
    assert answer.after == pytest.approx(len(answer.body) / 2, abs=1)


async def test_each_byte_of_a_drip_comes_at_its_time(wire: Any, connect: Connect) -> None:
    stamps: list[float] = []

    async with wire({"drip": "2B/s"}) as cloud:
        raw, clock = await connect(cloud.cloud), cloud.cloud.clock
        began = clock.now()
        await raw.send(
            f"GET {VIFS} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: demo-token\r\n\r\n".encode()
        )
        await raw.head()
        for _ in range(20):
            await raw.exactly(1)
            stamps.append(clock.now() - began)

    assert stamps == pytest.approx([byte / 2 for byte in range(20)], abs=0.01)


async def test_a_token_that_dies_after_the_commit_is_refused_from_the_next_call_on(
    wire: Any,
) -> None:
    dying = {"match": "create_*", "first": 1, "expire_token": True, "at": "after_commit"}

    async with wire(dying) as cloud:
        told = [await cloud.ask("POST", VIFS, CREATE), await cloud.ask(), await cloud.ask()]

    assert [answer.status for answer in told] == [200, 401, 401]


async def test_a_dead_token_stays_dead_until_the_client_logs_in_again(wire: Any) -> None:
    login = json.dumps(
        {"auth": {"passwordCredentials": {"username": "demo", "password": "demo-password"}}}
    )

    async with wire({"match": "list_*", "first": 1, "expire_token": True}) as cloud:
        told = [(await cloud.ask()).status, (await cloud.ask()).status]
        told.append((await cloud.ask("POST", "/v2.0/tokens", login)).status)

    assert told == [401, 401, 200]
