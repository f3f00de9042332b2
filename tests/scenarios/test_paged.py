"""The shipped scenario `paged`, met by a small client."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from tests.scenarios.conftest import Play


async def test_who_follows_the_links_sees_every_server(play: Play) -> None:
    played = await play("paged")

    names: list[str] = []
    path: str | None = "/servers?limit=100"
    while path is not None:
        page = (await played.api.get(path)).json()
        names += [server["name"] for server in page["servers"]]
        following: list[str] = [link["href"] for link in page.get("servers_links", [])]
        parts = urlsplit(following[0]) if following else None
        path = f"{parts.path}?{parts.query}" if parts else None

    assert sorted(names) == ["db-1", "web-1", "web-2", "web-3", "web-4"]
    rules = played.cloud.scorecard_document()["rules"]
    assert rules["pagination_followed"]["verdict"] == "pass"


async def test_the_first_page_does_not_hold_all(play: Play) -> None:
    played = await play("paged")

    page = (await played.api.get("/servers?limit=100")).json()

    assert len(page["servers"]) == 2
