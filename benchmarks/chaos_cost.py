"""What `vifsim chaos` adds to a client's own run, and how many schedules `hunt` tries a second.

Both are what a user waits for, so the clock is read and not the processor's time; a client that
asks once for what no scenario touches has no waits of its own in it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from http import HTTPStatus
from typing import Any

import aiohttp

from benchmarks.measure import Figure
from vifsim.chaos.runs import MATRIX
from vifsim.simulator import Simulator
from vifsim.testing import hunt

ROUNDS = 5
SCHEDULES = 200
_CLIENT = """
import os, urllib.request
url = os.environ["VIFSIM_URL"] + "/os-networksv2"
headers = {"X-Auth-Token": os.environ["VIFSIM_TOKEN"]}
urllib.request.urlopen(urllib.request.Request(url, headers=headers)).read()
"""


def _alone(cloud_env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _CLIENT], env=os.environ | cloud_env, check=False)
    return time.perf_counter() - began


def _under_chaos() -> float:
    """Return what one scenario of the standard matrix takes, the command's own start included."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "vifsim", "chaos", "--", sys.executable, "-c", _CLIENT],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return (time.perf_counter() - began) / len(MATRIX)


def _added(rounds: int) -> list[tuple[float, float]]:
    with Simulator() as cloud:
        env = cloud.env()
        return [
            (_under_chaos(), statistics.mean(_alone(env) for _ in MATRIX)) for _ in range(rounds)
        ]


class _Reader:
    """Looks twice, and survives what befalls it: it waits, tries again, logs in again."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.token = simulator.token
        self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=8))

    async def work(self) -> None:
        """Look twice."""
        cloud = self.simulator
        path = f"/servers/{cloud.server_id}/os-virtual-interfacesv2"
        async with self.http:
            for _ in range(2):
                await self._insist("GET", f"{cloud.url}/v2/{cloud.tenant_id}{path}")

    async def _insist(self, method: str, url: str, sent: Any = None) -> Any:
        for attempt in range(6):
            status, body = await self._once(method, url, sent)
            if status == HTTPStatus.OK and body is not None:
                return body
            if status == HTTPStatus.UNAUTHORIZED and sent is None:
                await self._log_in()
            clock = self.simulator.clock
            await clock.sleep_until(clock.now() + 2.0 * 2**attempt)
        raise RuntimeError("never answered")

    async def _once(self, method: str, url: str, sent: Any) -> tuple[int, Any]:
        headers = {"X-Auth-Token": self.token}
        try:
            async with self.http.request(method, url, json=sent, headers=headers) as answer:
                return answer.status, await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, None

    async def _log_in(self) -> None:
        user = self.simulator.first_user
        credentials = {"username": user["name"], "password": user["password"]}
        sent = {"auth": {"passwordCredentials": credentials}}
        body = await self._insist("POST", f"{self.simulator.auth_url}/tokens", sent)
        self.token = body["access"]["token"]["id"]


async def _reader(simulator: Simulator) -> None:
    await _Reader(simulator).work()


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the seconds that a scenario adds, and the schedules a second."""
    pairs = _added(rounds)
    added = statistics.median(ours - alone for ours, alone in pairs)
    alone = statistics.median(alone for _, alone in pairs)
    began = time.perf_counter()
    found = hunt(_reader, runs=SCHEDULES)
    rate = found.outcome.runs / (time.perf_counter() - began)
    return [
        Figure(
            name="seconds that chaos adds to each scenario",
            ratio=added,
            mark=0.3,
            detail=f"the client alone {alone * 1e3:.0f} ms",
        ),
        Figure(
            name="schedules a second of hunt, in process",
            ratio=rate,
            mark=20.0,
            at_least=True,
            detail=f"{found.outcome.runs} schedules",
        ),
    ]
