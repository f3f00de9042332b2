"""The decorator: what a scenario does to calls between the app and the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vifsim.conformance import BackendConformance
from vifsim.errors import ServiceUnavailable
from vifsim.exchange import Call
from vifsim.expectations import JournalView
from vifsim.model import ServerId, Settings
from vifsim.scenario.engine import Engine
from vifsim.scenario.schema import load_mapping
from vifsim_backends.faults import FaultBackend
from vifsim_backends.memory import MemoryBackend
from vifsim_backends.sqlite import SqliteBackend

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.conftest import Api, ApiOf, MakeCloud
    from vifsim.backend import Backend, Names
    from vifsim.clock import Clock
    from vifsim.simulator import Simulator

    Start = Callable[..., Awaitable[tuple[Simulator, Api]]]

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
UNKNOWN = "99999999-9999-4999-8999-999999999999"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


def decorated(clock: Clock, *rules: dict[str, Any]) -> FaultBackend:
    backend = FaultBackend(MemoryBackend("memory:", clock=clock), clock=clock)
    scenario = load_mapping({"version": 1, "rules": list(rules)})
    engine = Engine(scenario.rules, settings=Settings())
    backend.use(engine, engine.new_state(clock.now()))
    return backend


class TestWithoutRules(BackendConformance):
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        return decorated(clock)


class TestAroundSqlite(BackendConformance):
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        return FaultBackend(
            SqliteBackend(f"sqlite:///{tmp_path}/demo.db", clock=clock), clock=clock
        )


class TestWithRulesThatNeverFire(BackendConformance):
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        return decorated(
            clock,
            {"match": {"server": "nobody", "network": "nothing"}, "status": 503},
            {"match": {"client": {"agent": "nobody"}}, "stale": "1h"},
            {"chance": 0, "reset": True},
        )


def rules(*found: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "rules": list(found)}


@pytest.fixture
def start(make_cloud: MakeCloud, api_of: ApiOf) -> Start:
    """Start a cloud with these rules on a manual clock, and return it with a client."""

    async def begin(*found: dict[str, Any], **settings: Any) -> tuple[Simulator, Api]:
        cloud = await make_cloud(scenario=rules(*found), clock="manual", **settings)
        return cloud, api_of(cloud)

    return begin


def entries(cloud: Simulator) -> list[dict[str, Any]]:
    return cloud.journal.documents(cloud.journal)


def gaps(cloud: Simulator) -> list[int]:
    return [entry["seq"] for entry in JournalView(cloud, lambda read: read()).gaps()]


async def networks(api: Api) -> list[str]:
    """Return the labels of the isolated networks that a list shows."""
    found = (await api.get("/os-networksv2")).json()["networks"]
    return [network["label"] for network in found if network["label"] not in {"public", "private"}]


async def servers(api: Api, query: str = "") -> list[str]:
    """Return the names of the servers that a list shows."""
    return [server["name"] for server in (await api.get(f"/servers{query}")).json()["servers"]]


# ── what the journal says ────────────────────────────────────────────────────────────────────────


async def test_a_gap_is_a_commit_whose_client_was_told_something_else(start: Start) -> None:
    cloud, api = await start({"match": "create_*", "first": 1, "at": "after_commit", "status": 503})

    first, second = await api.attach(), await api.attach()

    assert (first.status, second.status) == (503, 409)
    assert gaps(cloud) == [1]


async def test_a_refusal_before_the_effect_is_no_gap(start: Start) -> None:
    cloud, api = await start({"match": "create_*", "first": 1, "status": 503})

    assert (await api.attach()).status == 503
    assert (await api.attach()).status == 200
    assert gaps(cloud) == []


async def test_a_failure_that_was_replaced_is_no_gap(start: Start) -> None:
    cloud, api = await start({"match": "create_*", "nth": 2, "at": "after_commit", "status": 503})

    assert [(await api.attach()).status for _ in range(3)] == [200, 503, 409]
    assert gaps(cloud) == []


async def test_the_operation_of_a_malformed_request_counts_as_that_operation(start: Start) -> None:
    cloud, api = await start({"match": "create_virtual_interface", "status": 503})

    told = await api.post(VIFS, {"nonsense": 1})

    assert told.status == 503
    assert entries(cloud)[0]["decision"]["fired"]


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_token_that_expires_before_the_effect_is_dead_at_once(start: Start) -> None:
    cloud, api = await start({"match": "create_*", "first": 1, "expire_token": True})

    told = [await api.attach(), await api.attach()]
    fresh = await api.log_in("demo")

    assert [answer.status for answer in told] == [401, 401]
    assert not any(entry["committed"] for entry in entries(cloud)[:2])
    assert (await fresh.attach()).status == 200


async def test_a_token_that_expires_after_the_commit_is_dead_for_the_next_call(
    start: Start,
) -> None:
    cloud, api = await start(
        {"match": "create_*", "first": 1, "expire_token": True, "at": "after_commit"}
    )

    told = [await api.attach(), await api.get(VIFS)]

    assert [answer.status for answer in told] == [200, 401]
    assert entries(cloud)[0]["committed"]


async def test_a_token_expires_also_where_the_call_itself_failed(start: Start) -> None:
    _, api = await start({"match": "get_server", "expire_token": True, "at": "after_commit"})

    told = [await api.get("/servers/nowhere"), await api.get("/servers")]

    assert [answer.status for answer in told] == [404, 401]


async def test_only_the_token_of_the_call_expires(start: Start) -> None:
    _, api = await start({"first": 1, "match": "get_limits", "expire_token": True})
    other = await api.log_in("demo")

    await other.get("/limits")

    assert (await other.get("/servers")).status == 401
    assert (await api.get("/servers")).status == 200


# ── duplicates ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("answer", "status"), [("first", 200), ("last", 409)])
async def test_the_second_create_of_a_pair_is_a_conflict_and_one_answer_is_passed_on(
    start: Start, answer: str, status: int
) -> None:
    cloud, api = await start({"match": "create_*", "duplicate": {"times": 2, "answer": answer}})

    told = await api.attach()

    (entry,) = entries(cloud)
    assert told.status == status
    assert len(entry["effects"]) == 1
    assert gaps(cloud) == ([] if status == 200 else [1])


async def test_a_duplicated_call_has_two_effects_and_one_entry(start: Start) -> None:
    cloud, api = await start({"match": "create_network", "duplicate": {"answer": "last"}})

    made = await api.new_network()

    (entry,) = entries(cloud)
    assert [effect["kind"] for effect in entry["effects"]] == ["created", "created"]
    assert made == entry["effects"][1]["id"]
    assert await networks(api) == ["added_network", "made", "made"]


async def test_the_first_answer_of_a_duplicate_names_the_first_thing(start: Start) -> None:
    cloud, api = await start({"match": "create_network", "duplicate": {"times": 3}})

    made = await api.new_network()

    (entry,) = entries(cloud)
    assert len(entry["effects"]) == 3
    assert made == entry["effects"][0]["id"]


async def test_the_second_delete_finds_nothing_more(start: Start) -> None:
    _, api = await start({"match": "delete_*", "duplicate": {"answer": "last"}})
    made = (await api.attach()).json()["virtual_interfaces"][0]["id"]

    assert (await api.delete(f"{VIFS}/{made}")).status == 404
    assert len(await api.interfaces()) == 2


async def test_duplicates_are_as_far_apart_as_the_rule_says(start: Start) -> None:
    cloud, api = await start(
        {"match": "create_network", "duplicate": {"times": 3, "gap": "50ms"}}, self_stepping=True
    )

    await api.new_network()

    (entry,) = entries(cloud)
    assert [effect["at"] for effect in entry["effects"]] == pytest.approx([0.0, 0.05, 0.1])


# ── stale reads ──────────────────────────────────────────────────────────────────────────────────

STALE = {"stale": "2s"}


async def test_a_list_of_interfaces_hides_what_was_just_created(start: Start) -> None:
    cloud, api = await start(STALE)
    await api.attach()

    seen: list[int] = []
    for pause in (0.0, 1.5, 0.25, 0.25):
        await cloud.clock.advance(pause)
        seen.append(len(await api.interfaces()))

    assert seen == [2, 2, 2, 3]


async def test_a_list_of_interfaces_still_shows_what_was_just_deleted(start: Start) -> None:
    cloud, api = await start(STALE)
    before = await api.interfaces()

    await api.delete(f"{VIFS}/{before[0]['id']}")

    assert await api.interfaces() == before
    await cloud.clock.advance(2.0)
    assert await api.interfaces() == before[1:]


async def test_a_lag_outlives_a_move_of_the_clock_and_a_change_of_the_rules(start: Start) -> None:
    cloud, api = await start(STALE)
    await api.attach()

    await cloud.advance_clock(1.0)
    await cloud.add_rule({"match": "get_limits", "status": 503})

    assert len(await api.interfaces()) == 2


async def test_a_read_that_no_rule_makes_late_is_true(start: Start) -> None:
    _, api = await start({"match": "list_virtual_interfaces", "first": 1, **STALE})
    await api.attach()

    assert [len(await api.interfaces()) for _ in range(2)] == [2, 3]


async def test_what_was_created_and_deleted_in_the_same_time_was_never_there(start: Start) -> None:
    _, api = await start(STALE)
    made = (await api.attach()).json()["virtual_interfaces"][0]["id"]
    await api.delete(f"{VIFS}/{made}")

    assert made not in [interface["id"] for interface in await api.interfaces()]


async def test_addresses_and_details_lag_like_the_list(start: Start) -> None:
    cloud, api = await start(STALE)
    await api.attach()

    async def labels() -> list[set[str]]:
        ips = (await api.get(f"/servers/{WEB_1}/ips")).json()["addresses"]
        one = (await api.get(f"/servers/{WEB_1}")).json()["server"]["addresses"]
        several = (await api.get("/servers/detail")).json()["servers"]
        (listed,) = (found["addresses"] for found in several if found["id"] == WEB_1)
        return [set(ips), set(one), set(listed)]

    early = await labels()
    await cloud.clock.advance(2.0)

    assert early == [{"public", "private"}] * 3
    assert await labels() == [{"public", "private", "added_network"}] * 3


async def test_networks_lag_in_lists_and_gets(start: Start) -> None:
    cloud, api = await start(STALE)
    made = await api.new_network("new")
    await api.delete(f"/os-networksv2/{ADDED_NETWORK}")

    assert await networks(api) == ["added_network"]
    assert (await api.get(f"/os-networksv2/{made}")).status == 404
    assert (await api.get(f"/os-networksv2/{ADDED_NETWORK}")).status == 200
    await cloud.clock.advance(2.0)
    assert await networks(api) == ["new"]
    assert (await api.get(f"/os-networksv2/{made}")).status == 200
    assert (await api.get(f"/os-networksv2/{ADDED_NETWORK}")).status == 404


async def test_servers_lag_in_lists_and_gets(start: Start) -> None:
    cloud, api = await start(STALE)
    made = await api.boot("new")
    await api.delete(f"/servers/{WEB_1}")

    assert await servers(api) == ["db-1", "web-2", "web-1"]
    assert await servers(api, "/detail") == ["db-1", "web-2", "web-1"]
    assert (await api.get(f"/servers/{made}")).status == 404
    assert (await api.get(f"/servers/{WEB_1}")).status == 200
    await cloud.clock.advance(2.0)
    assert await servers(api) == ["new", "db-1", "web-2"]
    assert (await api.get(f"/servers/{made}")).status == 200
    assert (await api.get(f"/servers/{WEB_1}")).status == 404


async def test_a_page_of_a_late_list_is_as_long_and_filtered_as_any(start: Start) -> None:
    _, api = await start(STALE)
    await api.boot("new")
    await api.delete(f"/servers/{WEB_1}")

    assert await servers(api, "?limit=2") == ["db-1", "web-2"]
    assert await servers(api, "?name=web") == ["web-2", "web-1"]
    assert await servers(api, "?name=db") == ["db-1"]
    assert await servers(api, "?status=ERROR") == []


async def test_a_server_that_is_being_deleted_is_listed_once(start: Start) -> None:
    _, api = await start(STALE, world={"settings": {"delete_time": "10s"}})
    await api.delete(f"/servers/{WEB_1}")

    assert await servers(api) == ["db-1", "web-2", "web-1"]


async def test_another_tenant_never_sees_what_was_deleted(start: Start) -> None:
    other = {"id": "9", "users": [{"name": "eve", "password": "eve-password"}]}
    mine = {"id": "123456", "users": [{"name": "demo", "token": "demo-token"}]}
    _, api = await start(STALE, world={"tenants": [mine, other]})
    eve = await api.log_in("eve", "eve-password")

    await api.delete(f"/servers/{WEB_1}")
    await api.delete(f"/os-networksv2/{ADDED_NETWORK}")

    assert await servers(eve) == []
    assert await networks(eve) == []
    assert (await eve.get(f"/servers/{WEB_1}")).status == 404


# ── rules that come and go ───────────────────────────────────────────────────────────────────────


async def test_a_rule_that_is_added_again_counts_anew(start: Start) -> None:
    cloud, api = await start()
    rule = {"match": "get_limits", "first": 1, "status": 503}

    told: list[int] = []
    for _ in range(2):
        added = await cloud.add_rule(rule)
        told += [(await api.get("/limits")).status for _ in range(2)]
        await cloud.remove_rule(added)

    assert told == [503, 200, 503, 200]


async def test_a_rule_that_comes_later_holds_for_calls_that_no_rule_was_about(
    start: Start,
) -> None:
    cloud, api = await start({"match": "delete_network", "status": 503})
    assert (await api.get("/os-networksv2")).status == 200

    cloud.rule(match="list_networks", first=1, status=503)

    assert (await api.get("/os-networksv2")).status == 503


async def test_arrivals_count_on_where_no_rule_counted_them_before(start: Start) -> None:
    cloud, api = await start()
    await api.get("/limits")
    await api.get("/limits")
    cloud.journal.clear()
    await cloud.add_rule({"match": "get_limits", "latency": "0s"})

    await api.get("/limits")

    assert [entry["n"] for entry in entries(cloud)] == [3]


async def test_without_rules_calls_go_straight_to_the_store(start: Start) -> None:
    cloud, _ = await start()
    assert isinstance(cloud.faults, FaultBackend)
    inner = cloud.faults.inner

    assert cloud.backend.get_server == inner.get_server

    await cloud.add_rule({"status": 503})
    assert cloud.backend.get_server != inner.get_server


# ── calls that no rule is about ──────────────────────────────────────────────────────────────────


def call_of(server: str) -> Call:
    """Return a call that gets a server."""
    return Call(
        seq=1,
        id="req-1",
        operation="get_server",
        method="GET",
        path=f"/servers/{server}",
        headers={},
        peer="",
        conn=1,
        arrived=0.0,
        real_arrived=0.0,
        user="demo",
        tenant="123456",
        server=server,
    )


def ask_names(cloud: Simulator, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Return the operations for which names are looked up from now on."""
    assert isinstance(cloud.faults, FaultBackend)
    inner, asked = cloud.faults.inner, list[str | None]()

    async def names(call: Call) -> Names:
        asked.append(call.operation)
        return await type(inner).names(inner, call)

    monkeypatch.setattr(inner, "names", names)
    return asked


async def test_the_names_of_a_call_that_no_rule_is_about_are_looked_up_once(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, api = await start({"match": {"server": "db-*"}, "status": 503})
    asked = ask_names(cloud, monkeypatch)

    told = [(await api.get(f"/servers/{WEB_1}")).status for _ in range(3)]

    assert told == [200, 200, 200]
    assert asked == ["get_server"]
    assert [entry["n"] for entry in entries(cloud)] == [1, 2, 3]


async def test_what_is_not_there_yet_is_looked_up_until_it_is(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud, api = await start({"match": {"server": "db-*"}, "status": 503})
    asked = ask_names(cloud, monkeypatch)

    told = [(await api.get(f"/servers/{UNKNOWN}")).status for _ in range(2)]

    assert told == [404, 404]
    assert asked == ["get_server", "get_server"]


async def test_another_world_gives_an_id_another_name(make_cloud: MakeCloud) -> None:
    cloud = await make_cloud(scenario=rules({"match": {"server": "renamed"}, "status": 503}))
    backend, call = cloud.backend, call_of(WEB_1)
    for _ in range(2):
        await backend.get_server(call, ServerId(WEB_1))
    snapshot = await backend.snapshot()
    server = next(server for server in snapshot["world"]["servers"] if server["id"] == WEB_1)
    server["name"] = "renamed"

    await backend.restore(snapshot)

    with pytest.raises(ServiceUnavailable):
        await backend.get_server(call, ServerId(WEB_1))


async def test_the_first_call_starts_the_time_of_a_scenario_that_no_rule_is_about(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    given = {**rules({"match": "get_limits", "between": ["5s", "9s"], "status": 503})}
    cloud = await make_cloud(scenario={**given, "start": "first_call"}, clock="manual")
    api = api_of(cloud)
    await cloud.advance_clock("1m")
    await api.get(f"/servers/{WEB_1}")
    await cloud.advance_clock("5s")

    told = [(await api.get("/limits")).status for _ in range(2)]

    assert told == [503, 503]
