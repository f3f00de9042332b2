"""What somebody sees and does on the console, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vifsim.exchange import Answer, Call
from vifsim.http.access import Access
from vifsim.scenario.schema import load_text

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud
    from tests.console.conftest import OpenPage
    from vifsim.simulator import Simulator

pytestmark = pytest.mark.console

STATUSES = "Array.from(document.querySelectorAll('.call:not([hidden]) .told'), e => e.textContent)"
RATIO = """(pairs) => pairs.map(([selector]) => {
  const linear = (v) => v / 255 <= .03928 ? v / 3294.6 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = (rgb) => rgb.map(linear)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const canvas = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const over = (colours) => {
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const element = [...document.querySelectorAll(selector)].find((e) => e.offsetParent);
  if (!element) return [selector, 99];
  const grounds = [];
  for (let at = element; at; at = at.parentElement)
    grounds.unshift(getComputedStyle(at).backgroundColor);
  const a = light(over(grounds)), b = light(over([...grounds, getComputedStyle(element).color]));
  return [selector, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)];
})"""
TEXTS = [
    "h2", "h2 .dim", ".mood", ".now", ".figures dt", ".figures dd", ".legend", ".cols",
    ".call .seq", ".call.ok .told", ".call.bad .told", ".call.cut .told", ".call.gap .true",
    ".call .dim", ".rule", ".switch b", ".switch .dim", "[aria-checked=true] b", ".rule-row code",
    ".views button", ".views [aria-current]", ".rails .state", ".rails th.rail", ".ip",
    ".filters [aria-pressed=true]", ".filters [aria-pressed=false]", "a[href=reference]",
]  # fmt: skip


async def test_a_client_fails_and_recovers_as_a_fault_is_switched_on_and_off(
    cloud: Simulator, api: Api, open_page: OpenPage
) -> None:
    seen = await open_page(cloud)
    await seen.shows("#mood-text", "Calm")

    await seen.page.click("#switch-outage")
    await seen.shows(".rule-row", "outage")
    failed = await api.attach()
    await seen.shows(".call.bad .told", "503")
    await seen.shows("#mood-text", "Faults at work")
    await seen.page.click("#switch-outage")
    await seen.shows("#rules", "None: the cloud behaves.")
    recovered = await api.attach()
    await seen.shows(".call.ok .true", "created interface")
    await seen.shows("#cloud-count", "7 interfaces")

    assert (failed.status, recovered.status) == (503, 200)
    assert await seen.page.evaluate(STATUSES) == ["200", "503 · 2 s"]


async def test_what_a_rule_fired_before_the_page_was_opened_counts_once(
    make_cloud: MakeCloud, api_of: ApiOf, open_page: OpenPage
) -> None:
    cloud = await make_cloud(scenario={"version": 1, "rules": [{"status": 503}]})
    await api_of(cloud).get("/limits")
    seen = await open_page(cloud)
    await seen.shows(".fired-count", "fired 1")

    await api_of(cloud).get("/limits")

    await seen.shows(".fired-count", "fired 2")


async def test_one_goes_back_to_before_a_call_and_takes_that_moment_along(
    cloud: Simulator, api: Api, open_page: OpenPage
) -> None:
    await api.attach()
    seen = await open_page(cloud)
    await seen.shows("#cloud-count", "7 interfaces")

    await seen.page.click("#call-1")
    async with seen.page.expect_download() as scenario:
        await seen.page.click("#export-scenario")
    async with seen.page.expect_download() as test:
        await seen.page.click("#export-test")
    await seen.page.click("#rewind")
    await seen.shows("#cloud-count", "6 interfaces")

    kept = await (await scenario.value).path()
    assert load_text(kept.read_text("utf-8"), source="kept").name == "before-1"
    assert (await test.value).suggested_filename == "test_before_1.py"


async def test_a_lost_answer_shows_that_what_was_told_is_not_true(
    cloud: Simulator, api: Api, open_page: OpenPage
) -> None:
    seen = await open_page(cloud)
    await seen.page.click("#switch-lost")
    await seen.shows(".rule-row", "lost")

    with pytest.raises(OSError, match=r"."):
        await api.attach()

    await seen.shows(".call.gap .told", "no answer")
    await seen.shows(".call.gap .true", "created interface")


async def test_a_call_that_no_route_takes_shows_its_path(
    cloud: Simulator, api: Api, open_page: OpenPage
) -> None:
    seen = await open_page(cloud)

    await api.ask("GET", "/severs")

    await seen.shows(".call .op", "unknown GET /severs")


async def test_the_clock_is_paused_moved_and_sped_up(cloud: Simulator, open_page: OpenPage) -> None:
    seen = await open_page(cloud)

    await seen.page.click("#clock-toggle")
    await seen.shows("#clock-toggle-text", "Run")
    paused = cloud.clock.now()
    await seen.page.click("[data-advance='30m']")
    await seen.shows("#clock-now", "30:")
    await seen.page.select_option("#clock-speed", "60")
    await seen.shows("#clock-toggle-text", "Pause")

    assert cloud.clock.now() >= paused + 1800
    assert (cloud.clock.mode, cloud.clock.speed) == ("scaled", 60)


async def test_a_wrong_scenario_is_refused_with_its_places_and_changes_nothing(
    cloud: Simulator, open_page: OpenPage
) -> None:
    seen = await open_page(cloud)
    seen.pardoned = {400}
    await seen.page.click("[data-goto=scenario]")

    await seen.page.fill("#editor", "version: 1\nrules:\n  - {frist: 2, status: 503}\n")
    await seen.page.click("#scenario-apply")
    await seen.shows("#errors li", "did you mean first?")
    refused = cloud.scenario.name
    place = await seen.text(".place")
    await seen.page.fill("#editor", "version: 1\nname: mine\nrules:\n  - {status: 503}\n")
    await seen.page.click("#scenario-apply")
    await seen.shows("#scenario-name", "mine")

    assert (refused, place) == ("none", "3:6")
    assert cloud.scenario.name == "mine"


async def test_a_shipped_scenario_is_loaded_and_its_phases_stand_on_the_timeline(
    cloud: Simulator, api: Api, open_page: OpenPage
) -> None:
    seen = await open_page(cloud)
    await seen.page.click("[data-goto=scenario]")
    await seen.page.select_option("#shipped", "maintenance")
    await seen.page.click("#scenario-load")
    await seen.shows("#scenario-name", "maintenance")

    await seen.page.click("[data-goto=calls]")
    await api.get("/limits")

    await seen.shows("#timeline text", "maintenance")
    await seen.shows("#timeline text", "closed-for-maintenance")


async def test_a_snapshot_is_saved_and_restored(
    cloud: Simulator, api: Api, open_page: OpenPage
) -> None:
    seen = await open_page(cloud)
    await seen.page.click("[data-goto=scenario]")
    async with seen.page.expect_download() as download:
        await seen.page.click("#snapshot-save")
    path = await (await download.value).path()
    await api.attach()
    await seen.shows("#cloud-count", "7 interfaces")

    await seen.page.set_input_files("#snapshot-file", str(path))

    await seen.shows("#cloud-count", "6 interfaces")


async def test_each_client_gets_its_scorecard(
    cloud: Simulator, api: Api, open_page: OpenPage
) -> None:
    seen = await open_page(cloud)
    await seen.page.click("#switch-outage")
    await seen.shows(".rule-row", "outage")
    for _ in range(4):
        await api.attach()

    await seen.page.click("[data-goto=score]")

    await seen.shows(".verdict", "retry after honoured")
    await seen.page.click(".verdict .small >> nth=0")
    await seen.shows("#detail-h", "Call 1")


def many_calls(cloud: Simulator, count: int) -> None:
    """Let the journal hold calls that nobody had to wait for."""
    for seq in range(1, count + 1):
        call = Call(
            seq=cloud.journal.next_seq(), id=f"req-{seq}", operation="get_limits", method="GET",
            path="/limits", headers={}, peer="127.0.0.1:1", conn=1,
            arrived=seq / count, real_arrived=seq / count,
        )  # fmt: skip
        cloud.journal.open(call)
        cloud.journal.close(call, Answer(200), "completed")


async def test_ten_thousand_calls_cost_no_more_rows_than_fit(
    cloud: Simulator, open_page: OpenPage
) -> None:
    many_calls(cloud, 10_000)
    seen = await open_page(cloud)
    await seen.shows("#calls-count", "10000")

    await seen.page.focus("#calls-list")
    await seen.page.keyboard.press("End")
    await seen.page.locator("#call-1").wait_for()
    await seen.page.keyboard.press("Home")
    await seen.page.locator("#call-10000").wait_for()

    assert await seen.page.locator(".call").count() < 60


async def test_all_can_be_done_with_the_keyboard(
    cloud: Simulator, api: Api, open_page: OpenPage
) -> None:
    await api.get("/limits")
    seen = await open_page(cloud)
    reached: set[str] = set()
    for _ in range(60):
        await seen.page.keyboard.press("Tab")
        found: Any = await seen.page.evaluate(
            "document.activeElement.id || document.activeElement.dataset.goto || ''"
        )
        reached.add(found)

    await seen.page.focus("#calls-list")
    await seen.page.keyboard.press("ArrowDown")
    await seen.page.keyboard.press("Enter")
    await seen.shows("#detail-h", "Call 1")
    await seen.page.keyboard.press("Escape")

    assert {"clock-toggle", "theme", "score", "scenario", "calls-list", "topology"} <= reached
    assert {"switch-outage", "switch-tokens"} <= reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_texts_stand_out_from_their_ground_as_wcag_aa_asks(
    cloud: Simulator, api: Api, open_page: OpenPage, scheme: str
) -> None:
    seen = await open_page(cloud, color_scheme=scheme)
    await api.get("/limits")
    await seen.page.click("#switch-lost")
    await seen.shows(".rule-row", "lost")
    with pytest.raises(OSError, match=r"."):
        await api.attach()
    await api.get("/servers/nothing")
    await seen.shows(".call.bad .told", "404")

    ratios = await seen.page.evaluate(RATIO, [[selector] for selector in TEXTS])

    assert [pair for pair in ratios if pair[1] < 4.5] == []


@pytest.mark.parametrize("width", [360, 1280, 1920])
async def test_nothing_sticks_out_of_the_window(
    cloud: Simulator, api: Api, open_page: OpenPage, width: int
) -> None:
    await api.attach()
    seen = await open_page(cloud, viewport={"width": width, "height": 740})

    for view in ("cloud", "calls", "faults", "score", "scenario"):
        button = seen.page.locator(f"[data-goto={view}]")
        if await button.is_visible():
            await button.click()
            wide = await seen.page.evaluate("document.documentElement.scrollWidth")
            assert wide == width, view


async def test_where_there_is_a_token_the_page_asks_for_it(
    make_cloud: MakeCloud, open_page: OpenPage, browser: object
) -> None:
    cloud = await make_cloud(access=Access("secret"))
    seen = await open_page(cloud, "?")
    seen.pardoned = {401}
    seen.complaints.clear()  # the first refusal may have come before

    await seen.page.fill("#token", "secret")
    await seen.page.keyboard.press("Enter")

    await seen.shows("#mood-text", "Calm")


async def test_the_reference_shows_each_operation_and_finds_one(
    cloud: Simulator, open_page: OpenPage
) -> None:
    seen = await open_page(cloud, "reference")
    await seen.shows(".operation h2", "Create virtual interface")

    await seen.page.fill("#find", "rewind")

    assert await seen.page.locator(".operation").count() == 1
    assert "/_vifsim/rewind" in await seen.text(".operation .path")


async def test_the_page_comes_back_when_the_simulator_does(
    make_cloud: MakeCloud, api_of: ApiOf, open_page: OpenPage
) -> None:
    cloud = await make_cloud()
    seen = await open_page(cloud)
    await api_of(cloud).get("/limits")
    await seen.shows("#calls-count", "1")

    await cloud.reset()

    await seen.page.locator("#calls-empty").wait_for()
