"""Faults that show only over several calls or in time, each seen by a raw socket.

Time jumps, so that what is measured is exact and hours cost nothing.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.conftest import Connect

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


async def test_a_dead_token_stays_dead_until_the_client_logs_in_again(wire: Any) -> None:
    login = json.dumps(
        {"auth": {"passwordCredentials": {"username": "demo", "password": "demo-password"}}}
    )

    async with wire({"match": "list_*", "first": 1, "expire_token": True}) as cloud:
        told = [(await cloud.ask()).status, (await cloud.ask()).status]
        told.append((await cloud.ask("POST", "/v2.0/tokens", login)).status)

    assert told == [401, 401, 200]
