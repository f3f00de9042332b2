"""The report of a scorecard in a real browser: on a telephone, and on paper."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest

from vifsim.scorecard import score
from vifsim.scorecard.page import page
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.console

LOST = {
    "version": 1,
    "name": "lost-" + "x" * 40,
    "rules": [
        {
            "name": "lost-" + "y" * 50,
            "match": "create_virtual_interface",
            "first": 1,
            "at": "after_commit",
            "status": 503,
            "retry_after": "30s",
        }
    ],
}
EVIDENCE = "[...document.querySelectorAll('details ul, details ol')].map(e => e.checkVisibility())"
WIDTHS = "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"


async def blind_client(simulator: Simulator) -> None:
    """Create again after a wait that is shorter than asked for, many times."""
    path = f"{simulator.url}/servers/{simulator.server_id}/os-virtual-interfacesv2"
    body = {"virtual_interface": {"network_id": simulator.network_id}}
    async with aiohttp.ClientSession(headers={"X-Auth-Token": simulator.token}) as session:
        for _ in range(40):
            async with session.post(path, json=body):
                await asyncio.sleep(1)  # noqa: TID251 -- time jumps


@pytest.fixture
async def report(browser: Browser, tmp_path: Path) -> AsyncIterator[Page]:
    """The report on a client that fails, open on a telephone."""
    async with Simulator(scenario=LOST, clock="autojump") as simulator:
        await blind_client(simulator)
        run = simulator.run_so_far()
    path = tmp_path / "report.html"
    path.write_text(page(score(run), [("lost-create (run 1)", run)]), "utf-8")
    opened = await browser.new_page(viewport={"width": 360, "height": 740})
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    await opened.goto(path.as_uri())
    yield opened
    await opened.close()
    assert complaints == []


async def test_nothing_is_wider_than_a_telephone(report: Page) -> None:
    await report.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true })")

    whole, seen = await report.evaluate(WIDTHS)

    assert (whole, seen) == (360, 360)


async def test_evidence_is_folded_on_a_screen_and_open_on_paper(report: Page) -> None:
    on_screen = await report.evaluate(EVIDENCE)

    await report.emulate_media(media="print", color_scheme="dark")
    on_paper = await report.evaluate(EVIDENCE)

    assert on_screen
    assert not any(on_screen)
    assert all(on_paper)


async def test_paper_is_white_whatever_the_screen_is(report: Page) -> None:
    await report.emulate_media(media="print", color_scheme="dark")

    ground = await report.evaluate("getComputedStyle(document.body).backgroundColor")

    assert ground == "rgb(255, 255, 255)"


async def test_a_run_has_a_timeline_with_what_it_was_told_to_wait(report: Page) -> None:
    for mark in ("refused", "wait", "told"):
        assert await report.locator(f".track .{mark}").count() > 0
