"""Several simulators over one database: one cloud, one scenario, one journal."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
import asyncpg
import pytest

from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.backends.conftest import Cluster

pytestmark = pytest.mark.postgres


@pytest.fixture
async def url(postgres: Cluster) -> str:
    """An empty store."""
    url = postgres.url("together")
    connection = await asyncpg.connect(url)
    if await connection.fetchval("SELECT to_regclass('meta')") is not None:
        await connection.execute(
            "DELETE FROM meta; DELETE FROM journal; DELETE FROM arrivals; DELETE FROM rule_counts;"
            "UPDATE journal_head SET run = run + 1, last = 0, cleared = 0, dropped = 0"
        )
    await connection.close()
    return url


@pytest.fixture
async def two(url: str) -> AsyncIterator[list[Simulator]]:
    """Two simulators over one database."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(Simulator(backend=url)) for _ in range(2)]


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"X-Auth-Token": "demo-token"}) as session:
        yield session


async def ask(client: aiohttp.ClientSession, cloud: Simulator, path: str) -> Any:
    """Return what a GET of the control API answers."""
    async with client.get(f"{cloud.url}/_vifsim/{path}") as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def statuses(client: aiohttp.ClientSession, clouds: list[Simulator], times: int) -> list[int]:
    """Return how each of so many GETs, to one after the other, is answered."""
    found: list[int] = []
    for number in range(times):
        async with client.get(f"{clouds[number % len(clouds)].url}/os-networksv2") as response:
            found.append(response.status)
    return found


async def test_a_rule_that_counts_counts_the_calls_of_all(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    await two[0].add_rule({"match": "list_networks", "first": 2, "status": 503})

    told = await statuses(client, two, 4)

    document = await ask(client, two[1], "scenario")
    assert sorted(told) == [200, 200, 503, 503]
    assert told[:2] == [503, 503]
    assert [(rule["matched"], rule["fired"]) for rule in document["rules"]] == [(4, 2)]


async def test_a_limit_is_one_limit_over_all(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    await two[0].load({"version": 1, "rules": [{"match": "list_networks", "limit": "4/1m"}]})

    told = await asyncio.gather(*(statuses(client, [cloud], 5) for cloud in two * 4))

    assert sum(status == 200 for some in told for status in some) == 4


async def test_the_journal_tells_of_all_and_names_the_process(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    await statuses(client, two, 4)
    await two[0].catch_up()  # as it does by itself a moment later

    journal = await ask(client, two[1], "journal")

    entries = journal["entries"]
    assert [entry["seq"] for entry in entries] == [1, 2, 3, 4]
    assert journal["last"] == 4
    assert len({entry["process"] for entry in entries}) == 2
    assert len({entry["id"] for entry in entries}) == 4
    assert len({entry["conn"] for entry in entries}) == 2
    assert {entry["outcome"] for entry in entries} == {"completed"}
    assert [entry["n"] for entry in entries] == [1, 2, 3, 4]


async def test_an_entry_under_way_is_in_the_journal_of_all_and_ends_there(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    await two[0].steer_clock("manual")
    await two[0].add_rule({"match": "list_networks", "latency": "1s"})
    call = asyncio.ensure_future(client.get(f"{two[0].url}/os-networksv2"))
    while not two[0].edge.under_way:
        await two[0].clock.pause()
    await two[0].catch_up()

    before = (await ask(client, two[1], "journal"))["entries"]
    await two[1].advance_clock("1s")
    await two[0].catch_up()
    (await call).close()
    await two[0].catch_up()
    after = (await ask(client, two[1], "journal"))["entries"]

    assert [entry["outcome"] for entry in before] == [None]
    assert [entry["outcome"] for entry in after] == ["completed"]
    assert len(after[0]["decision"]["fired"]) == 1


async def test_a_reset_of_one_begins_all_again(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    await two[0].add_rule({"match": "list_networks", "status": 503})
    await statuses(client, two, 2)
    await two[1].steer_clock("manual")

    await two[1].reset()
    told = await statuses(client, two, 2)
    await two[0].catch_up()

    journal = await ask(client, two[1], "journal")
    assert told == [200, 200]
    assert [entry["seq"] for entry in journal["entries"]] == [1, 2]
    assert [cloud.clock.now() for cloud in two] == [0.0, 0.0]


async def test_a_snapshot_of_one_is_restored_for_all_with_its_counts(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    await two[0].load(
        {"version": 1, "rules": [{"match": "list_networks", "nth": 3, "status": 503}]}
    )
    await statuses(client, two, 2)
    saved = await ask(client, two[1], "snapshot")
    await two[0].load({"version": 1})

    await two[1].restore(saved)

    assert await statuses(client, two, 2) == [503, 200]


async def test_one_that_comes_later_goes_by_what_the_others_go_by(
    two: list[Simulator], url: str, client: aiohttp.ClientSession
) -> None:
    await two[0].load(
        {"version": 1, "rules": [{"match": "list_networks", "first": 2, "status": 503}]}
    )
    await two[1].add_rule({"match": "get_limits", "status": 500})
    await two[0].steer_clock("manual")

    async with Simulator(backend=url) as third:
        told = await statuses(client, [third, *two], 3)
        rules = (await ask(client, third, "scenario"))["rules"]
        mode = third.clock.mode

    assert told == [503, 503, 200]
    assert [rule["origin"] for rule in rules] == ["added", "scenario"]
    assert mode == "manual"


async def test_a_scenario_that_is_asked_for_again_goes_on(
    url: str, client: aiohttp.ClientSession
) -> None:
    scenario = {"version": 1, "rules": [{"match": "list_networks", "first": 1, "status": 503}]}

    async with Simulator(backend=url, scenario=scenario) as one:
        async with Simulator(backend=url, scenario=scenario) as other:
            told = await statuses(client, [one, other], 2)
        async with Simulator(backend=url, scenario={"version": 1}) as other:
            told += await statuses(client, [one, other], 2)

    assert told == [503, 200, 200, 200]


async def test_rules_changed_by_two_at_once_are_all_there(two: list[Simulator]) -> None:
    rule = {"match": "get_limits", "status": 503}

    await asyncio.gather(
        *(cloud.add_rule({**rule, "nth": number}) for number in (1, 2, 3) for cloud in two)
    )

    await asyncio.gather(*(cloud.catch_up() for cloud in two))
    assert [len(cloud.scenario_document()["rules"]) for cloud in two] == [6, 6]


async def test_draws_are_those_of_one_process(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    scenario = {
        "version": 1,
        "seed": 7,
        "rules": [{"match": "list_networks", "chance": 0.5, "status": 503}],
    }
    await two[0].load(scenario)

    told = await statuses(client, two, 12)

    async with Simulator(scenario=scenario, seed=two[0].seed) as alone:
        assert told == await statuses(client, [alone], 12)
    assert set(told) == {200, 503}


async def test_the_scorecard_judges_the_calls_of_all(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    rule = {"match": "list_networks", "first": 2, "status": 503, "retry_after": "60s"}
    await two[0].add_rule(rule)
    # One after another at one process: two clocks may differ by more than an answer takes.
    await statuses(client, two[:1], 2)
    await two[0].catch_up()

    rules = (await ask(client, two[1], "scorecard"))["rules"]

    assert rules["retry_after_honoured"]["verdict"] == "fail"


async def test_a_cleared_journal_is_cleared_for_all(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    await statuses(client, two, 2)
    await two[0].catch_up()

    await two[1].clear_journal()
    await statuses(client, two, 2)
    await two[1].catch_up()

    entries = (await ask(client, two[0], "journal"))["entries"]
    assert [entry["seq"] for entry in entries] == [3, 4]


def test_a_cloud_in_a_thread_sees_the_journal_of_all(url: str) -> None:
    with Simulator(backend=url) as one, Simulator(backend=url) as other:
        with one.httpx_client() as client:
            client.get(f"{one.url}/os-networksv2")
        with other.rule(match="list_networks", first=1, status=503) as rule:
            with other.httpx_client() as client:
                told = client.get(f"{one.url}/os-networksv2").status_code
            fired = rule.fired

        one.journal.calls("list_networks").told([200, 503])
        other.journal.clear()
        assert not other.journal
        assert not one.journal
    assert (told, fired) == (503, 1)


async def test_a_token_of_one_is_good_at_the_other_until_either_ends_it(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    secrets = {"username": "demo", "password": "demo-password"}
    body = {"auth": {"passwordCredentials": secrets}}
    async with client.post(f"{two[0].url}/v2.0/tokens", json=body) as response:
        token = (await response.json())["access"]["token"]["id"]
    path, headers = f"{two[1].url}/os-networksv2", {"X-Auth-Token": token}

    async with client.get(path, headers=headers) as response:
        before = response.status
    async with client.delete(f"{two[0].url}/v2.0/tokens/{token}") as response:
        ended = response.status
    async with client.get(path, headers=headers) as response:
        after = response.status

    assert (before, ended, after) == (200, 204, 401)


async def test_scenario_time_that_begins_with_the_first_call_begins_for_all(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    await two[0].steer_clock("manual")
    await two[0].load(
        {
            "version": 1,
            "start": "first_call",
            "phases": [{"name": "outage", "from": "10s", "for": "10s"}],
            "rules": [{"during": "outage", "status": 503}],
        }
    )

    told = await statuses(client, two[:1], 1)
    await two[1].advance_clock("15s")
    told += await statuses(client, two, 2)
    await two[0].advance_clock("10s")
    told += await statuses(client, two, 2)

    assert told == [200, 503, 503, 200, 200]


async def test_what_is_left_of_a_limit_is_told_by_each(
    two: list[Simulator], client: aiohttp.ClientSession
) -> None:
    await two[0].load({"version": 1, "world": {"settings": {"rate_limits": "documented"}}})
    before = [await left(client, cloud) for cloud in two]

    for cloud in two:
        (await client.post(f"{cloud.url}/os-networksv2", json={})).close()

    after = [await left(client, cloud) for cloud in two]
    assert before[0] == before[1]
    assert after[0] == after[1]
    assert {old - new for old, new in zip(before[0], after[0], strict=True)} == {0, 2}


async def left(client: aiohttp.ClientSession, cloud: Simulator) -> list[int]:
    """Return what is left of each limit, as a process tells."""
    async with client.get(f"{cloud.url}/limits") as response:
        rates = (await response.json())["limits"]["rate"]
    return [limit["remaining"] for rate in rates for limit in rate["limit"]]
