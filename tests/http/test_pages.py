"""The console's files: what is served, to whom, and under which policy."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from vifsim.http.access import Access
from vifsim.scenario.schema import load_rule

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud

FOLDER = files("vifsim.http") / "page"
PARTS = sorted(part.name for part in FOLDER.iterdir())
ELSEWHERE = re.compile(r"""(?:src|href)=["'](?:https?:)?//|url\((?!#)|@import|import\(""")


async def test_the_root_is_a_page_with_title_and_viewport(api: Api) -> None:
    told = await api.get("/_vifsim/")

    page = told.body.decode()
    assert (told.status, told.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>vifsim console</title>" in page
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page


async def test_without_its_slash_the_root_leads_to_the_page(api: Api) -> None:
    told = await api.get("/_vifsim")

    assert (told.status, told.headers["Location"]) == (308, "/_vifsim/")


@pytest.mark.parametrize("part", PARTS)
async def test_each_part_is_served_under_a_policy_that_forbids_other_hosts(
    api: Api, part: str
) -> None:
    told = await api.get(f"/_vifsim/page/{part}")

    policy = told.headers["Content-Security-Policy"]
    assert told.status == 200
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert told.headers["X-Content-Type-Options"] == "nosniff"
    assert not ELSEWHERE.search(told.body.decode())


@pytest.mark.parametrize("page", ["index.html", "reference.html"])
async def test_each_link_of_a_page_leads_somewhere(api: Api, page: str) -> None:
    text = (FOLDER / page).read_text("utf-8")

    for link in re.findall(r'(?:src|href)="([^"#]+)"', text):
        assert (await api.get(f"/_vifsim/{link.removeprefix('./')}")).status == 200, link


@pytest.mark.parametrize("part", ["nothing.js", "../console.py", "%2e%2e/console.py", "", "a/b.js"])
async def test_nothing_else_is_served(api: Api, part: str) -> None:
    assert (await api.get(f"/_vifsim/page/{part}")).status == 404


async def test_the_page_needs_no_token_but_an_own_host(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    api = api_of(await make_cloud(access=Access("secret")))

    page = await api.get("/_vifsim/")
    state = await api.get("/_vifsim/state")
    foreign = await api.get("/_vifsim/", headers={"Host": "evil.example"})

    assert (page.status, state.status, foreign.status) == (200, 401, 403)


async def test_a_page_is_only_read(api: Api) -> None:
    told = await api.post("/_vifsim/")

    assert (told.status, told.headers["Allow"]) == (405, "GET")


async def test_each_fault_of_the_switches_is_a_sound_rule(api: Api) -> None:
    faults = (await api.get("/_vifsim/page/faults.json")).json()

    assert len({fault["key"] for fault in faults}) == len(faults) >= 8
    for fault in faults:
        load_rule(fault["rule"], existing_ids=set(), phases=[])


async def test_looking_is_not_journalled(api: Api) -> None:
    await api.get("/_vifsim/")

    assert (await api.get("/_vifsim/journal")).json()["last"] == 0
