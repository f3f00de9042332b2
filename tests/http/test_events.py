"""What happens is told to whoever listens, as it happens, over real sockets."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

import pytest

from vifsim.http.access import Access
from vifsim.http.events import Listener, event_bytes

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import aiohttp

    from tests.conftest import Api, ApiOf, MakeCloud, RawClient
    from vifsim.simulator import Simulator

OUTAGE = "version: 1\nname: outage\nrules:\n  - {name: all, status: 503}\n"


class Stream:
    """Reads server-sent events."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> tuple[str, Any]:
        """Return the next event: its name and its data."""
        name, data = "", ""
        while not data:
            for line in await self._block():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    data = value
        return name, json.loads(data)

    async def _block(self) -> list[str]:
        block = await self.response.content.readuntil(b"\n\n")
        return block.decode().strip("\n").split("\n")

    async def named(self, name: str) -> Any:
        """Return the data of the next event of this name."""
        while True:
            found, data = await self.next()
            if found == name:
                return data

    @classmethod
    @asynccontextmanager
    async def of(
        cls, http: aiohttp.ClientSession, simulator: Simulator, query: str = "", **options: Any
    ) -> AsyncGenerator[Self]:
        """Listen; the feed is subscribed when this is entered."""
        async with http.get(f"{simulator.url}/_vifsim/events{query}", **options) as response:
            stream = cls(response)
            assert await stream._block() == [": listening"]
            yield stream


async def test_a_call_is_told_at_its_arrival_and_at_its_end(
    http: aiohttp.ClientSession, cloud: Simulator, api: Api
) -> None:
    async with Stream.of(http, cloud) as stream:
        await api.get("/limits")

        arrival, end = [await stream.next() for _ in range(2)]

    assert (arrival[0], end[0]) == ("entry", "entry")
    assert (arrival[1]["seq"], arrival[1]["end"], arrival[1]["outcome"]) == (1, None, None)
    assert (end[1]["seq"], end[1]["outcome"], end[1]["told"]["status"]) == (1, "completed", 200)
    assert (await api.get("/_vifsim/journal")).json()["entries"] == [end[1]]


async def test_a_call_that_hangs_is_told_before_it_ends(
    http: aiohttp.ClientSession, make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual", scenario={"version": 1, "rules": [{"hang": "30s"}]})
    async with Stream.of(http, cloud) as stream:
        asking = asyncio.ensure_future(api_of(cloud).attach())
        arrival = await stream.named("entry")
        hangs = not asking.done()

        await cloud.advance_clock(30)
        end = await stream.named("entry")
        await asyncio.gather(asking, return_exceptions=True)

    assert hangs
    assert (arrival["outcome"], end["outcome"], end["decision"]["wire"]) == (
        None,
        "server_cut",
        "hang",
    )


@pytest.mark.parametrize(
    ("asked", "body", "name"),
    [
        ("POST rules", {"status": 503}, "scenario"),
        ("PUT scenario", None, "scenario"),
        ("PUT clock", {"mode": "manual"}, "clock"),
        ("POST clock/advance", {"by": "1s"}, "clock"),
        ("POST amend", {"change": "set_status", "server": "web-1", "status": "ERROR"}, "state"),
        ("POST reset", None, "state"),
    ],
)
async def test_a_change_is_told_as_the_get_of_its_name(
    http: aiohttp.ClientSession, api: Api, cloud: Simulator, *, asked: str, body: Any, name: str
) -> None:
    method, path = asked.split()
    data = OUTAGE.encode() if method == "PUT" and body is None else None
    async with Stream.of(http, cloud) as stream:
        told = await api.ask(method, f"/_vifsim/{path}", body, data=data)
        document = await stream.named(name)
        again = (await api.get(f"/_vifsim/{name}")).json()

    assert told.status < 300
    if name == "clock":
        assert (document["mode"], document["speed"]) == (again["mode"], again["speed"])
    else:
        assert document == again


async def test_what_a_call_changed_is_told_as_the_state_that_it_left(
    http: aiohttp.ClientSession, cloud: Simulator, api: Api
) -> None:
    async with Stream.of(http, cloud) as stream:
        made = (await api.attach()).json()["virtual_interfaces"][0]["id"]

        state = await stream.named("state")

    assert made in {interface["id"] for interface in state["virtual_interfaces"]}


async def test_a_paced_reader_is_shown_a_short_call_once_as_it_ended(
    http: aiohttp.ClientSession, cloud: Simulator, api: Api
) -> None:
    async with Stream.of(http, cloud, "?pace=20ms") as stream:
        for _ in range(20):
            await api.get("/limits")
        seen: list[dict[str, Any]] = []
        while not seen or (seen[-1]["seq"], seen[-1]["outcome"]) != (20, "completed"):
            seen.append(await stream.named("entry"))

    ended = [entry["seq"] for entry in seen if entry["outcome"] == "completed"]
    assert ended == list(range(1, 21))
    assert len(seen) < 40


async def test_two_readers_are_told_the_same(
    http: aiohttp.ClientSession, cloud: Simulator, api: Api
) -> None:
    async with Stream.of(http, cloud) as one, Stream.of(http, cloud) as other:
        await api.get("/limits")

        told = [await one.next(), await one.next()]
        assert told == [await other.next(), await other.next()]


async def test_a_slow_reader_loses_its_oldest_events_and_is_told_how_many() -> None:
    listener = Listener(most=3)
    for number in range(5):
        listener.put(event_bytes("entry", {"seq": number}))

    taken = await listener.take()

    assert taken == [
        event_bytes("dropped", {"dropped": 2}),
        *(event_bytes("entry", {"seq": number}) for number in (2, 3, 4)),
    ]


async def test_calls_do_not_wait_for_a_reader_that_does_not_read(
    raw: RawClient, cloud: Simulator, api: Api
) -> None:
    await raw.send(b"GET /_vifsim/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    await raw.head()

    for _ in range(300):
        assert (await api.get("/extensions")).status == 200

    assert cloud.journal.last == 300


async def test_nobody_is_subscribed_once_the_last_reader_has_left(
    http: aiohttp.ClientSession, cloud: Simulator, api: Api
) -> None:
    own = list(cloud.journal.listeners)
    async with Stream.of(http, cloud):
        assert (len(cloud.journal.listeners), len(cloud.watchers)) == (len(own) + 1, 1)
    for _ in range(1000):
        if not cloud.watchers:
            break
        await api.get("/_vifsim/health")

    assert (cloud.journal.listeners, cloud.watchers) == (own, [])


async def test_the_stream_ends_when_the_simulator_stops(
    http: aiohttp.ClientSession, make_cloud: MakeCloud
) -> None:
    cloud = await make_cloud()
    async with Stream.of(http, cloud) as stream:
        await cloud.stop()

        assert await stream.response.content.read() == b""


async def test_a_brief_entry_leaves_out_what_a_list_does_not_show(
    http: aiohttp.ClientSession, cloud: Simulator, api: Api
) -> None:
    async with Stream.of(http, cloud, "?pace=20ms&brief=true") as stream:
        await api.get("/limits")

        entry = await stream.named("entry")

    assert (entry["seq"], entry["operation"]) == (1, "get_limits")
    assert "headers" not in entry


@pytest.mark.parametrize(
    "query", ["?pace=fast", "?pace=5", "?pace=2m", "?place=1s", "?brief=true", "?pace=1s&brief=1"]
)
async def test_a_wrong_pace_is_refused(api: Api, query: str) -> None:
    told = await api.get(f"/_vifsim/events{query}")

    assert told.status == 400
    assert told.json()["detail"].startswith(("pace", "unknown parameter place", "brief"))


async def test_where_there_is_a_token_a_listener_must_bear_it(
    http: aiohttp.ClientSession, make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(access=Access("secret"))
    refused = await api_of(cloud).get("/_vifsim/events")

    async with Stream.of(http, cloud, headers={"Authorization": "Bearer secret"}) as stream:
        assert stream.response.headers["Content-Type"] == "text/event-stream"

    assert refused.status == 401
