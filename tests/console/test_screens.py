"""The screens that the docs show, drawn from a cloud that lives through them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeCloud
    from tests.console.conftest import OpenPage, Seen
    from vifsim.simulator import Simulator

pytestmark = pytest.mark.console

SIZES = {"1280": {"width": 1280, "height": 800}, "360": {"width": 360, "height": 740}}
SERVERS = [f"3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a0{number}" for number in (1, 2, 3)]
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
GAME_DAY = """\
version: 1
name: game-day
phases:
  - {name: outage, from: 40s, for: 34s}
  - {name: recovery, from: 74s, for: 12s}
rules:
  - {name: slow, latency: {lognormal: {p50: 60ms, p99: 1s}}}
  - {name: down, during: outage, match: "*_interface*", chance: 0.6, status: 503, retry_after: 3s}
  - {name: answers-lost, during: outage, match: create_*, chance: 0.5, at: after_commit,
     reset: true}
  - {name: still-shaky, during: recovery, chance: 0.2, status: 503}
"""


class Client:
    """A program that keeps attaching and detaching; `retries` at once when it is refused."""

    def __init__(self, simulator: Simulator, agent: str, retries: int) -> None:
        self.simulator = simulator
        self.headers = {"X-Auth-Token": simulator.token, "User-Agent": agent}
        self.retries = retries

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return a status and a document; 0 where no answer came."""
        async with aiohttp.ClientSession(headers=self.headers) as session:
            try:
                async with session.request(
                    method, self.simulator.url + path, json=body
                ) as response:
                    is_json = "json" in response.headers.get("Content-Type", "")
                    return response.status, await response.json() if is_json else None
            except aiohttp.ClientError:
                return 0, None

    async def round(self, server: str, pause: float) -> None:
        """List, attach, and detach."""
        path = f"/servers/{server}/os-virtual-interfacesv2"
        await self.ask("GET", path)
        body = {"virtual_interface": {"network_id": ADDED_NETWORK}}
        for _ in range(1 + self.retries):
            status, made = await self.ask("POST", path, body)
            await self.simulator.advance_clock(pause)
            if status == 200:
                await self.ask("DELETE", f"{path}/{made['virtual_interfaces'][0]['id']}")
            if status not in {0, 503}:
                break


async def live(simulator: Simulator, clients: list[Client], until: float, pause: float) -> None:
    """Let clients work in turn until the clock says so."""
    turn = 0
    while simulator.clock.now() < until:
        client = clients[turn % len(clients)]
        await client.round(SERVERS[turn % 3], pause)
        await simulator.advance_clock(pause)
        turn += 1


async def keep(seen: Seen, images: Path, name: str) -> None:
    """Keep what is in sight."""
    await seen.page.mouse.move(0, 0)
    await seen.page.screenshot(path=images / f"{name}.png", animations="disabled")
    assert (images / f"{name}.png").stat().st_size > 10_000


@pytest.mark.parametrize("size", SIZES)
async def test_a_calm_cloud(
    make_cloud: MakeCloud, open_page: OpenPage, images: Path, size: str
) -> None:
    cloud = await make_cloud()
    client = Client(cloud, "terraform-provider/1.4", 0)
    await live(cloud, [client], 100.0, 0.45)
    await client.ask(
        "POST",
        f"/servers/{SERVERS[0]}/os-virtual-interfacesv2",
        {"virtual_interface": {"network_id": ADDED_NETWORK}},
    )

    seen = await open_page(cloud, viewport=SIZES[size])

    await seen.shows("#mood-text", "Calm")
    assert await seen.text("#fig-bad") == "0 %"
    await keep(seen, images, f"console-calm-{size}")


@pytest.mark.parametrize("size", SIZES)
async def test_an_outage_in_progress(
    make_cloud: MakeCloud, open_page: OpenPage, images: Path, size: str, tmp_path: Path
) -> None:
    (tmp_path / "game-day.yaml").write_text(GAME_DAY, "utf-8")
    cloud = await make_cloud(
        clock="manual", self_stepping=True, scenario=str(tmp_path / "game-day.yaml")
    )
    await live(cloud, [Client(cloud, "deploy-tool/2.0", 2)], 67.0, 0.2)
    await cloud.steer_clock("real")

    seen = await open_page(cloud, viewport=SIZES[size], color_scheme="dark")

    await seen.shows("#mood-text", "Faults at work")
    await seen.shows("#timeline text", "outage")
    await keep(seen, images, f"console-outage-{size}")


@pytest.mark.parametrize("size", SIZES)
async def test_a_scorecard_with_failures(
    make_cloud: MakeCloud, open_page: OpenPage, images: Path, size: str, tmp_path: Path
) -> None:
    (tmp_path / "game-day.yaml").write_text(GAME_DAY, "utf-8")
    cloud = await make_cloud(
        clock="manual", self_stepping=True, scenario=str(tmp_path / "game-day.yaml")
    )
    clients = [Client(cloud, "eager-script/0.9", 4), Client(cloud, "nightly-report/3.1", 0)]
    await asyncio.gather(live(cloud, clients, 80.0, 0.2))
    await cloud.steer_clock("real")

    seen = await open_page(cloud, viewport=SIZES[size])
    await seen.page.click("[data-goto=score]")

    await seen.shows(".verdict", "retry after honoured")
    await keep(seen, images, f"console-scorecard-{size}")
