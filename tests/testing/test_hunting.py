"""Hunting in one process: a careful client and a blind one, whose sources say what is found."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from vifsim.errors import UsageError
from vifsim.scenario.schema import load_text
from vifsim.testing import hunt

if TYPE_CHECKING:
    from pathlib import Path

    from vifsim.simulator import Simulator

sleep = asyncio.sleep  # noqa: TID251 -- what a client under test would do
PASSING = {413, 429, 500, 502, 503, 504}
ATTEMPTS = 5


class Client:
    """Says what happened to a call, and nothing else."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.token = simulator.token
        self.path = f"/servers/{simulator.server_id}/os-virtual-interfacesv2"
        self.wanted = {"virtual_interface": {"network_id": simulator.network_id}}

    async def once(self, method: str, path: str, sent: Any = None) -> tuple[int, Any, float]:
        """Return status, body and the wait that was asked for; 0 where no whole answer came."""
        url = f"{self.simulator.url}/v2/{self.simulator.tenant_id}{path}"
        url = f"{self.simulator.auth_url}/tokens" if path == "/tokens" else url
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=8)) as session,
                session.request(
                    method, url, json=sent, headers={"X-Auth-Token": self.token}
                ) as answer,
            ):
                wait = float(answer.headers.get("Retry-After", 0))
                whole = answer.status == HTTPStatus.OK
                body = await answer.json() if whole else await answer.read()
                return answer.status, body, wait
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, None, 0.0


class Careful(Client):
    """Waits, looks before it creates again, logs in again, and cleans up."""

    async def call(self, method: str, path: str, sent: Any = None) -> tuple[int, Any]:
        """Repeat what is safe to repeat until it is answered."""
        for attempt in range(ATTEMPTS):
            status, body, wait = await self.once(method, path, sent)
            if status == HTTPStatus.UNAUTHORIZED:
                await self.log_in()
            elif status and status not in PASSING:
                return status, body
            await sleep(max(wait, 0.5 * 2**attempt))
        raise RuntimeError(f"{method} {path} was never answered")

    async def log_in(self) -> None:
        user = self.simulator.first_user
        credentials = {"username": user["name"], "password": user["password"]}
        sent = {"auth": {"passwordCredentials": credentials}}
        for attempt in range(ATTEMPTS):
            status, body, wait = await self.once("POST", "/tokens", sent)
            if status == HTTPStatus.OK:
                self.token = body["access"]["token"]["id"]
                return
            await sleep(max(wait, 0.5 * 2**attempt))

    async def attached(self) -> str | None:
        _, body = await self.call("GET", self.path)
        for interface in body["virtual_interfaces"]:
            networks = {address["network_id"] for address in interface["ip_addresses"]}
            if self.simulator.network_id in networks:
                return str(interface["id"])
        return None

    async def attach(self) -> str:
        for attempt in range(ATTEMPTS):
            status, body, wait = await self.once("POST", self.path, self.wanted)
            if status == HTTPStatus.OK:
                return str(body["virtual_interfaces"][0]["id"])
            if status == HTTPStatus.UNAUTHORIZED:
                await self.log_in()
            await sleep(max(wait, 2.5, 0.5 * 2**attempt))
            found = await self.attached()
            if found:
                return found
        raise RuntimeError("never attached")

    async def work(self) -> None:
        made = await self.attach()
        await self.attached()
        status, _ = await self.call("DELETE", f"{self.path}/{made}")
        assert status in {HTTPStatus.OK, HTTPStatus.NOT_FOUND}


class Blind(Careful):
    """Posts again after a failed create, and takes a conflict for success."""

    async def attach(self) -> str:
        for attempt in range(ATTEMPTS):
            status, body, wait = await self.once("POST", self.path, self.wanted)
            if status == HTTPStatus.OK:
                return str(body["virtual_interfaces"][0]["id"])
            if status == HTTPStatus.CONFLICT:
                return "somebody else's"
            if status == HTTPStatus.UNAUTHORIZED:
                await self.log_in()
            await sleep(max(wait, 0.5 * 2**attempt))
        raise RuntimeError("never attached")


async def careful(simulator: Simulator) -> None:
    await Careful(simulator).work()


async def blind(simulator: Simulator) -> None:
    await Blind(simulator).work()


async def restless(simulator: Simulator) -> None:
    """Ask again at once, for ever, while an answer is not 200."""
    client = Client(simulator)
    while (await client.once("GET", client.path))[0] != HTTPStatus.OK:
        client.token = str(HTTPStatus.UNAUTHORIZED)


async def trusting(simulator: Simulator) -> None:
    """Fail on everything that is not 200."""
    client = Client(simulator)
    status, _, _ = await client.once("GET", client.path)
    assert status == HTTPStatus.OK


def test_no_schedule_breaks_a_careful_client() -> None:
    result = hunt(careful, runs=120)

    result.expect_nothing()
    assert result.outcome.runs == 121


def test_the_one_fault_that_breaks_a_blind_client_is_found(tmp_path: Path) -> None:
    result = hunt(blind, runs=120, seed=3, folder=tmp_path)

    assert result.outcome.found
    (fault,) = result.outcome.found.trial.schedule
    assert fault.site.operation == "create_virtual_interface"
    assert fault.at == "after_commit"
    assert "no_blind_recreate" in result.outcome.found.trial.symptoms
    text = (tmp_path / "found-3.yaml").read_text()
    assert text == result.scenario
    assert len(load_text(text, source="found-3.yaml").rules) == 1


def test_what_is_found_fails_a_test_with_the_story() -> None:
    result = hunt(trusting, runs=20)

    with pytest.raises(AssertionError, match="1st list_virtual_interfaces is answered"):
        result.expect_nothing()


def test_a_client_that_never_ends_while_time_stands_is_stopped() -> None:
    result = hunt(restless, runs=20)

    assert result.outcome.found
    assert "no end in time" in result.outcome.found.trial.symptoms


def test_the_same_seed_finds_the_same() -> None:
    first, second = (hunt(blind, runs=60, seed=5) for _ in range(2))

    assert first.story == second.story
    assert first.outcome.runs == second.outcome.runs


def test_a_client_that_makes_no_call_is_a_mistake() -> None:
    async def idle(_: Simulator) -> None:
        return

    with pytest.raises(UsageError, match="never called the simulator"):
        hunt(idle)


async def test_a_hunt_within_a_loop_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="a test that is not async"):
        hunt(careful)
