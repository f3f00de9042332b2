"""From nothing to the first answer, in process, against a bare AppRunner with one handler.

Everything runs in this process, so its processor time is what a start takes on a machine that has
nothing else to do; the clock would measure the neighbours too. Each start has a client session of
its own: one that is joined to a simulator cannot be there before it.
"""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from benchmarks.measure import Figure, Rounds
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Generator

ROUNDS = 150
_PATH = "/os-networksv2"
_HEADERS = {"X-Auth-Token": "demo-token"}


async def _first_answer(url: str, connector: aiohttp.BaseConnector | None = None) -> float:
    """Return when the first answer was read, in this process's seconds."""
    async with aiohttp.ClientSession(connector=connector) as http:
        async with http.get(url, headers=_HEADERS) as answer:
            assert answer.status == 200
            await answer.read()
        return time.process_time()


async def _bare_runner() -> web.AppRunner:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=b'{"networks": []}', content_type="application/json")

    app = web.Application()
    app.router.add_get(_PATH, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


async def _bare() -> float:
    began = time.process_time()
    runner = await _bare_runner()
    answered = await _first_answer(f"http://127.0.0.1:{runner.addresses[0][1]}{_PATH}")
    await runner.cleanup()
    return answered - began


async def _ours() -> float:
    began = time.process_time()
    simulator = await Simulator().start()
    answered = await _first_answer(simulator.url + _PATH)
    await simulator.stop()
    return answered - began


async def _through_memory() -> float:
    began = time.process_time()
    simulator = await Simulator().start()
    answered = await _first_answer(f"http://cloud{_PATH}", simulator.connector())
    await simulator.stop()
    return answered - began


_STARTS = {"bare": _bare, "ours": _ours, "memory": _through_memory}


async def _measure(rounds: int) -> Rounds:
    found = Rounds()
    for number in range(rounds + 1):
        for name, start in _STARTS.items():
            took = await start()
            if number:
                found.add(name, took)
    return found


# ── in a thread ──────────────────────────────────────────────────────────────────────────────────


@contextmanager
def bare_in_thread() -> Generator[str]:
    """Run the bare application in a thread, as a test without an event loop would."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(_bare_runner(), loop).result()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def fetch(url: str) -> None:
    """Make one call."""
    request = urllib.request.Request(url + _PATH, headers=_HEADERS)  # noqa: S310 -- our own server
    with urllib.request.urlopen(request) as answer:  # noqa: S310 -- likewise
        answer.read()


def _threaded(rounds: int) -> Rounds:
    found = Rounds()
    for number in range(rounds + 1):
        for name, cloud in (("bare", bare_in_thread), ("ours", _cloud_url)):
            began = time.process_time()
            with cloud() as url:
                fetch(url)
                took = time.process_time() - began
            if number:
                found.add(name, took)
    return found


@contextmanager
def _cloud_url() -> Generator[str]:
    with Simulator() as cloud:
        yield cloud.url


def _figure(name: str, found: Rounds, ours: str, mark: float) -> Figure:
    return Figure(
        name=name,
        ratio=found.ratio(ours, "bare"),
        mark=mark,
        detail=f"{found.median(ours) * 1e3:.2f} ms by {found.median('bare') * 1e3:.2f} ms",
    )


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the ratios of the starts: on one loop, in memory, and in a thread."""
    found = asyncio.run(_measure(rounds))
    threaded = _threaded(rounds)
    return [
        _figure("start to first answer, same loop", found, "ours", 1.6),
        _figure("the same through the in-memory connector", found, "memory", 0.75),
        _figure("start to first answer, in a thread", threaded, "ours", 1.6),
    ]
