"""The page in a real browser: the system's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from playwright.async_api import Browser, Page

    from vifsim.simulator import Simulator

    OpenPage = Callable[..., Awaitable["Seen"]]

IMAGES = Path(__file__).parents[2] / "docs" / "images"
PATIENCE = 10_000
"""Milliseconds after which what the page should show is missed."""


class Seen:
    """A page, and what it said and asked while it was open."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        self.pardoned: set[int] = set()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("console", self._on_console)
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def _on_console(self, message: Any) -> None:
        # The browser itself reports each refusal that the page asked for; a test names those.
        refused = [status for status in self.pardoned if f"status of {status} " in message.text]
        if message.type in {"error", "warning"} and not refused:
            self.complaints.append(f"{message.type}: {message.text}")

    async def text(self, selector: str) -> str:
        """Return what an element says."""
        return (await self.page.inner_text(selector)).strip()

    async def shows(self, selector: str, text: str) -> None:
        """Wait until an element says a text."""
        await self.page.locator(selector).filter(has_text=text).first.wait_for()


def _chromium() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """The system's browser, without a screen."""
    playwright = pytest.importorskip(
        "playwright.async_api", reason="the page is driven by playwright"
    )
    path = _chromium()
    if path is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    async with playwright.async_playwright() as started:
        made = await started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield made
        await made.close()


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Open the console of a simulator; nobody complained, and no other host was asked."""
    opened: list[tuple[Seen, str]] = []

    async def open_(simulator: Simulator, path: str = "", **how: Any) -> Seen:
        how.setdefault("viewport", {"width": 1280, "height": 800})
        seen = Seen(await browser.new_page(**how))
        opened.append((seen, urlsplit(simulator.url).netloc))
        await seen.page.goto(f"{simulator.url}/_vifsim/{path}")
        if not path:
            await seen.page.locator(".switch").first.wait_for(state="attached")
            await seen.page.locator(".mood:not([data-mood=quiet])").wait_for()
        return seen

    yield open_
    for seen, host in opened:
        await seen.page.close()
        assert seen.complaints == []
        assert {asked for asked in seen.hosts if asked} == {host}


@pytest.fixture
def images(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where screens are kept: with the docs where they were asked for, by `-m console`."""
    return IMAGES if request.config.option.markexpr == "console" else tmp_path
