"""The standard matrix: every rule is exercised by some scenario of it, with a client that suits.

The client below does all that a client of this API does, carefully: it logs in, follows pages,
waits for its server, attaches, looks, polls, detaches. Its runs take place in time that jumps, each
as `vifsim chaos` would have it, and show that the scenario named for a rule does exercise it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from vifsim.chaos.report import EXERCISED_BY
from vifsim.chaos.runs import HOLD, MATRIX
from vifsim.draws import draw
from vifsim.scorecard import CATALOGUE, score, score_runs
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.scorecard import Run

DOCS = Path(__file__).parents[2] / "docs" / "chaos.md"
PASSING = {0, 413, 429, 500, 502, 503, 504}
ATTEMPTS = 6
sleep = asyncio.sleep  # noqa: TID251 -- what a client under test would do


class Client:
    """One that does everything, and everything right."""

    def __init__(self, cloud: Simulator, number: int = 0) -> None:
        self.cloud = cloud
        self.token = ""
        self.server = f"/servers/{cloud.server_id}"
        self.attached = f"{self.server}/os-virtual-interfacesv2"
        self.number = number
        self.pauses = 0

    async def once(self, method: str, url: str, sent: Any = None) -> tuple[int, Any, float]:
        """Return status, body and the wait that was asked for; status 0 for no whole answer."""
        if url.startswith("/"):
            url = f"{self.cloud.url}/v2/{self.cloud.tenant_id}{url}"
        headers = {"X-Auth-Token": self.token, "Connection": "close"}
        limit = aiohttp.ClientTimeout(total=8)
        try:
            async with (
                aiohttp.ClientSession(timeout=limit) as session,
                session.request(method, url, json=sent, headers=headers) as answer,
            ):
                told = float(answer.headers.get("Retry-After", 0))
                read = answer.status == 200 and method != "DELETE"
                whole: Any = await answer.json() if read else {}
                return answer.status, whole, told
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}, 0.0

    async def pause(self, attempt: int, told: float) -> None:
        self.pauses += 1
        drawn = draw(self.number, "pause", "client", self.pauses, "wait")
        await sleep(max(told, 0.4 * 2**attempt * (0.5 + 0.5 * drawn)))

    async def log_in(self) -> None:
        user = self.cloud.first_user
        sent = {
            "auth": {
                "passwordCredentials": {"username": user["name"], "password": user["password"]}
            }
        }
        status, body, _ = await self.once("POST", f"{self.cloud.auth_url}/tokens", sent)
        if status == 200:
            self.token = body["access"]["token"]["id"]

    async def call(self, method: str, url: str, attempts: int = ATTEMPTS) -> tuple[int, Any]:
        """Repeat a call that may be repeated until it is answered; (0, {}) where it never is."""
        for attempt in range(attempts):
            status, body, told = await self.once(method, url)
            if status == 401:
                await self.log_in()
            elif status not in PASSING:
                return status, body
            else:
                await self.pause(attempt, told)
        return 0, {}

    async def see(self, attempts: int = ATTEMPTS) -> str | None:
        """Return the id of the interface that is there already."""
        _, body = await self.call("GET", self.attached, attempts)
        for interface in body.get("virtual_interfaces", []):
            if any(a["network_id"] == self.cloud.network_id for a in interface["ip_addresses"]):
                return str(interface["id"])
        return None

    async def attach(self) -> str | None:
        wanted = {"virtual_interface": {"network_id": self.cloud.network_id}}
        for attempt in range(ATTEMPTS):
            status, body, told = await self.once("POST", self.attached, wanted)
            if status == 200:
                return str(body["virtual_interfaces"][0]["id"])
            if status == 401:
                await self.log_in()
                continue
            if status == 409:
                await self.until_active()
            elif status not in PASSING:
                return None
            else:
                await self.pause(attempt, told)
            if status in {0, 409} or status >= 500:
                found = await self.see(1 if status == 503 else ATTEMPTS)
                if found is not None:
                    return found
        return None

    async def until_active(self) -> None:
        for _ in range(10):
            _, body = await self.call("GET", self.server)
            if body.get("server", {}).get("status") == "ACTIVE":
                return
            await sleep(1.0)

    async def all_servers(self) -> None:
        url = "/servers?limit=2"
        while url:
            _, body = await self.call("GET", url)
            links = body.get("servers_links", [])
            url = next((link["href"] for link in links if link["rel"] == "next"), "")

    async def work(self, rounds: int = 1) -> None:
        await self.log_in()
        await self.all_servers()
        for number in range(rounds):
            made = await self.attach()
            if made is None:
                return
            for _ in range(0 if number else 6):
                await self.see()
                await sleep(3.0)
            await self.call("DELETE", f"{self.attached}/{made}")


async def ran(scenario: str, *, clients: int = 1, seed: int = 0) -> Run:
    """Return the run of so many clients against a scenario, in time that jumps."""
    async with Simulator(scenario=scenario, clock="autojump") as cloud:
        if not cloud.scenario.hold:
            cloud.scenario = replace(cloud.scenario, hold=HOLD)
        rounds = 5 if scenario == "rate-limited" else 1
        await asyncio.gather(
            *(Client(cloud, seed + number).work(rounds) for number in range(clients))
        )
        record = {"exit_code": 0, "ended": "by_itself", "at": cloud.clock.now()}
        return replace(cloud.run_so_far(), client=record)


def exercised(document: Mapping[str, Any]) -> set[str]:
    return {name for name, rule in document["rules"].items() if rule["verdict"] != "not_exercised"}


def test_each_rule_has_a_scenario_of_the_matrix() -> None:
    assert list(EXERCISED_BY) == [rule.name for rule in CATALOGUE]
    assert {scenario for scenario, _ in EXERCISED_BY.values()} <= set(MATRIX)


def test_the_documentation_names_the_same_scenarios() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `([\w-]+)`(?: with `([^`]+)`)? \|$", DOCS.read_text(), re.MULTILINE
    )

    assert {rule: (scenario, flags) for rule, scenario, flags in rows} == EXERCISED_BY


@pytest.mark.parametrize("scenario", MATRIX)
async def test_a_scenario_exercises_the_rules_it_is_named_for(scenario: str) -> None:
    named = {
        rule for rule, (place, flags) in EXERCISED_BY.items() if (place, flags) == (scenario, "")
    }

    found = exercised(score(await ran(scenario)))

    assert named <= found


async def test_twenty_clients_exercise_what_one_cannot() -> None:
    named = {
        rule: place for rule, (place, flags) in EXERCISED_BY.items() if flags == "--clients 20"
    }

    (place,) = set(named.values())
    found = exercised(score(await ran(place, clients=20)))

    assert set(named) <= found


async def test_three_repeats_exercise_what_one_run_seldom_does() -> None:
    named = {rule: place for rule, (place, flags) in EXERCISED_BY.items() if flags == "--repeat 3"}

    (place,) = set(named.values())
    document, _ = score_runs([await ran(place, seed=seed) for seed in range(3)])

    assert set(named) <= exercised(document)
