"""From nothing to the first answer, in process, against a bare AppRunner with one handler."""

from __future__ import annotations

import asyncio
import time

import aiohttp
from aiohttp import web

from benchmarks.measure import Figure, Rounds
from vifsim.simulator import Simulator

ROUNDS = 40


async def _first_answer(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(url, headers={"X-Auth-Token": "demo-token"}) as answer:
        assert answer.status == 200
        await answer.read()


async def _bare(http: aiohttp.ClientSession) -> float:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b'{"networks": []}', content_type="application/json")

    began = time.perf_counter()
    app = web.Application()
    app.router.add_get("/os-networksv2", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await _first_answer(http, f"http://127.0.0.1:{runner.addresses[0][1]}/os-networksv2")
    took = time.perf_counter() - began
    await runner.cleanup()
    return took


async def _ours(http: aiohttp.ClientSession) -> float:
    began = time.perf_counter()
    simulator = await Simulator().start()
    await _first_answer(http, f"{simulator.url}/os-networksv2")
    took = time.perf_counter() - began
    await simulator.stop()
    return took


async def _through_memory() -> float:
    began = time.perf_counter()
    simulator = await Simulator().start()
    async with aiohttp.ClientSession(connector=simulator.connector()) as http:
        await _first_answer(http, "http://cloud/os-networksv2")
        took = time.perf_counter() - began
    await simulator.stop()
    return took


async def _measure(rounds: int) -> Rounds:
    found = Rounds()
    async with aiohttp.ClientSession() as http:
        await _bare(http)
        await _ours(http)
        for _ in range(rounds):
            found.add("bare", await _bare(http))
            found.add("ours", await _ours(http))
            found.add("memory", await _through_memory())
    return found


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the ratio of the starts, on one loop."""
    found = asyncio.run(_measure(rounds))
    return [
        Figure(
            name="start to first answer, same loop",
            ratio=found.ratio("ours", "bare"),
            mark=2.0,
            detail=f"{found.median('ours') * 1e3:.2f} ms by {found.median('bare') * 1e3:.2f} ms",
        ),
        Figure(
            name="the same through the in-memory connector",
            ratio=found.ratio("memory", "bare"),
            mark=0.75,
            detail=f"{found.median('memory') * 1e3:.2f} ms by {found.median('bare') * 1e3:.2f} ms",
        ),
    ]
