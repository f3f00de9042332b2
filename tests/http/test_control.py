from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.errors import ControlFault
from vifsim.http.access import Access
from vifsim.http.problem import problem
from vifsim.version import __version__

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud, Told
    from vifsim.simulator import Simulator

TENANT = "123456"
WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
JSON = {"Content-Type": "application/json"}
YAML = {"Content-Type": "application/yaml"}
OUTAGE = b"version: 1\nname: outage\nrules:\n  - {name: all, status: 503}\n"


class ControlApi:
    """Asks the control API; errors must be sound problem documents."""

    def __init__(self, api: Api) -> None:
        self._api = api.bearing(None)

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Told:
        told = await self._api.ask(method, f"/_vifsim/{path}", body, **options)
        if told.status >= 400 and method != "HEAD":
            assert told.headers["Content-Type"] == "application/problem+json"
            document = told.json()
            assert document.keys() - {"errors"} == {"type", "title", "status", "detail"}
            assert (document["type"], document["status"]) == ("about:blank", told.status)
        return told

    async def document(self, path: str) -> Any:
        told = await self.ask("GET", path)
        assert (told.status, told.headers["Content-Type"]) == (200, "application/json")
        return told.json()


@pytest.fixture
def control(api: Api) -> ControlApi:
    return ControlApi(api)


# ── access ──


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8774", "LOCALHOST"])
async def test_a_loopback_name_may_call(control: ControlApi, host: str) -> None:
    assert (await control.ask("GET", "health", headers={"Host": host})).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "[::2]", "", "["])
async def test_a_foreign_host_is_refused(control: ControlApi, host: str) -> None:
    told = await control.ask("GET", "health", headers={"Host": host})

    assert told.status == 403
    assert "--allow-host" in told.json()["detail"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
async def test_a_foreign_origin_is_refused(control: ControlApi, origin: str) -> None:
    told = await control.ask("POST", "reset", headers={"Origin": origin})

    assert told.status == 403


async def test_the_simulators_own_origin_may_call(control: ControlApi, cloud: Simulator) -> None:
    assert (await control.ask("GET", "health", headers={"Origin": cloud.url})).status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"Authorization": "Bearer secr\u00e9t"}, 401),
        ({"X-Auth-Token": "secret"}, 401),
        ({"Authorization": "Bearer secret"}, 200),
        ({"Authorization": "bearer  secret"}, 200),
    ],
    ids=str,
)
async def test_where_there_is_a_token_it_must_be_borne(
    make_cloud: MakeCloud, api_of: ApiOf, headers: dict[str, str], status: int
) -> None:
    control = ControlApi(api_of(await make_cloud(access=Access("secret"))))

    told = await control.ask("GET", "health", headers=headers)

    assert told.status == status
    if status == 401:
        assert told.headers["WWW-Authenticate"] == "Bearer"


async def test_an_allowed_host_may_call(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    access = Access(hosts=frozenset({"Sim.Example"}))
    control = ControlApi(api_of(await make_cloud(access=access)))

    assert (await control.ask("GET", "health", headers={"Host": "sim.example:80"})).status == 200


# ── what all calls share ──

CALLS = [
    ("health", "GET"),
    ("state", "GET"),
    ("reset", "POST"),
    ("snapshot", "GET, PUT"),
    ("scenario", "GET, PUT"),
    ("rules", "DELETE, POST"),
    ("rules/x", "DELETE"),
    ("amend", "POST"),
    ("clock", "GET, PUT"),
    ("clock/advance", "POST"),
    ("journal", "DELETE, GET"),
    ("journal/export", "GET"),
    ("explain", "GET"),
    ("explain/1", "GET"),
]


@pytest.mark.parametrize(("path", "allowed"), CALLS)
async def test_a_method_that_a_call_does_not_have_is_refused(
    control: ControlApi, path: str, allowed: str
) -> None:
    told = await control.ask("PATCH", path)

    assert (told.status, told.headers["Allow"]) == (405, allowed)


@pytest.mark.parametrize(("path", "allowed"), [call for call in CALLS if "GET" in call[1]])
async def test_a_parameter_that_is_not_listed_is_refused(
    control: ControlApi, path: str, allowed: str
) -> None:
    told = await control.ask("GET", f"{path}?more=1")

    assert (told.status, allowed != "") == (400, True)
    assert "more" in told.json()["detail"]


@pytest.mark.parametrize("path", ["health", "state", "clock", "journal"])
async def test_head_is_answered_where_get_is(control: ControlApi, path: str) -> None:
    told = await control.ask("HEAD", path)

    assert (told.status, told.body) == (200, b"")


@pytest.mark.parametrize("path", ["nowhere", "health/", "rules/a/b", "/health", "HEALTH"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_path_that_the_control_api_lacks_is_a_404(
    control: ControlApi, method: str, path: str
) -> None:
    assert (await control.ask(method, path)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "keys"),
    [
        ("POST", "reset", {"seed": 1}),
        ("PUT", "clock", {"mode": "real"}),
        ("POST", "clock/advance", {"by": "1s"}),
        ("POST", "amend", {"change": "revoke_all_tokens"}),
        ("POST", "rules", {"status": 503}),
        ("PUT", "scenario", {"version": 1}),
        ("PUT", "snapshot", {"version": 1}),
    ],
)
async def test_a_key_that_is_not_listed_is_refused_and_nothing_changes(
    control: ControlApi, cloud: Simulator, method: str, path: str, keys: dict[str, Any]
) -> None:
    before = await cloud.snapshot()

    told = await control.ask(method, path, {**keys, "more": 1})

    assert told.status == 400
    assert "more" in json.dumps(told.json())
    assert _steady(await cloud.snapshot()) == _steady(before)


def _steady(snapshot: dict[str, Any]) -> dict[str, Any]:
    steady = copy.deepcopy(snapshot)
    steady["scenario"]["state"].pop("at", None)
    steady["scenario"]["state"].pop("t0", None)
    del steady["clock"]
    return steady


BODIES = [
    ("POST", "reset"),
    ("PUT", "snapshot"),
    ("PUT", "scenario"),
    ("POST", "rules"),
    ("POST", "amend"),
    ("PUT", "clock"),
    ("POST", "clock/advance"),
]


@pytest.mark.parametrize(("method", "path"), BODIES)
@pytest.mark.parametrize(
    "data", [b"{", b"[1]", b"\xff", b'"a"', b"[" * 9_000], ids=lambda b: str(b[:3])
)
async def test_a_body_that_is_no_object_is_refused(
    control: ControlApi, method: str, path: str, data: bytes
) -> None:
    told = await control.ask(method, path, data=data, headers=JSON)

    assert told.status == 400


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_a_body_of_another_type_is_refused(
    control: ControlApi, method: str, path: str
) -> None:
    told = await control.ask(method, path, data=b"<a/>", headers={"Content-Type": "text/xml"})

    assert told.status == 415


@pytest.mark.parametrize(("method", "path"), [call for call in BODIES if call[1] != "snapshot"])
async def test_a_body_over_a_mebibyte_is_refused(
    control: ControlApi, method: str, path: str
) -> None:
    told = await control.ask(method, path, data=b" " * (1024 * 1024 + 1), headers=JSON)

    assert told.status == 413


async def test_control_calls_are_not_journalled_faulted_or_counted(
    control: ControlApi, cloud: Simulator
) -> None:
    await control.ask("PUT", "scenario", data=OUTAGE, headers=YAML)

    told = await control.ask("GET", "health")

    assert told.status == 200
    assert cloud.journal.last == 0
    assert cloud.rule_counts("all") == (0, 0)


async def test_a_defect_is_a_problem_document(
    cloud: Simulator, control: ControlApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> dict[str, Any]:
        raise LookupError("secret detail")

    monkeypatch.setattr(cloud.documents, "health", broken)

    told = await control.ask("GET", "health")

    assert told.status == 500
    assert "LookupError" in told.json()["detail"]


# ── health, state, reset, snapshot ──


async def test_health_says_what_runs(control: ControlApi) -> None:
    assert await control.document("health") == {
        "status": "ok",
        "version": __version__,
        "backend": "memory:",
        "seed": 0,
        "scenario": "none",
    }


async def test_state_is_the_world_with_every_value_and_no_secret(control: ControlApi) -> None:
    state = await control.document("state")

    assert list(state) == ["settings", "tenants", "networks", "servers", "virtual_interfaces"]
    assert state["settings"]["profile"] == "docs"
    assert state["settings"]["build_time"] == "0s"
    (tenant,) = state["tenants"]
    assert tenant["users"][0] == {"name": "demo", "role": "admin", "enabled": True}
    assert tenant["quotas"]["instances"] == 100
    assert state["networks"][0] == {
        "id": ADDED_NETWORK,
        "tenant": TENANT,
        "label": "added_network",
        "cidr": "192.168.0.0/24",
    }
    assert state["servers"][0] == {
        "id": WEB_1,
        "tenant": TENANT,
        "name": "web-1",
        "status": "ACTIVE",
        "task_state": None,
        "networks": ["public", "private"],
    }
    assert state["virtual_interfaces"][0].keys() == {
        "id",
        "server",
        "network",
        "mac_address",
        "addresses",
    }


async def test_a_state_is_a_world_again(
    control: ControlApi, make_cloud: MakeCloud, api: Api
) -> None:
    await api.attach()
    state = await control.document("state")

    again = await (await make_cloud(world=state)).state_document()

    def in_order(document: Any) -> list[dict[str, Any]]:
        return sorted(document["virtual_interfaces"], key=lambda item: str(item["id"]))

    assert in_order(again) == in_order(state)
    assert all(again[key] == state[key] for key in ("settings", "networks", "servers"))


async def test_a_reset_begins_again(control: ControlApi, cloud: Simulator, api: Api) -> None:
    before = await control.document("state")
    await control.ask("POST", "rules", {"match": "get_*", "status": 503})
    first = (await api.attach()).json()
    await cloud.amend("set_status", server="web-2", status="ERROR")

    told = await control.ask("POST", "reset")

    assert (told.status, told.body) == (204, b"")
    assert await control.document("state") == before
    assert (await control.document("scenario"))["rules"] == []
    assert (await control.document("journal")) == {"entries": [], "last": 0, "dropped": 0}
    assert (await api.attach()).json() == first
    assert (await control.document("clock"))["now"] < 60


async def test_a_connection_that_outlives_a_reset_was_made_before_it(
    cloud: Simulator, api: Api
) -> None:
    await api.get("/v2.0")
    await cloud.reset()

    await api.get("/v2.0")

    (call,) = cloud.journal
    assert call.connected is not None
    assert call.connected < 0 <= call.real_arrived


async def test_a_reset_can_change_the_seed(control: ControlApi, api: Api) -> None:
    first = (await api.attach()).json()

    told = await control.ask("POST", "reset", {"seed": 8})

    assert told.status == 204
    assert (await control.document("health"))["seed"] == 8
    assert (await api.attach()).json() != first


@pytest.mark.parametrize("seed", [-1, 1.5, "8", True, []])
async def test_a_wrong_seed_is_refused(control: ControlApi, seed: Any) -> None:
    assert (await control.ask("POST", "reset", {"seed": seed})).status == 400


async def test_a_snapshot_brings_everything_back_but_the_journal(
    control: ControlApi, cloud: Simulator, api: Api
) -> None:
    await control.ask("PUT", "scenario", data=OUTAGE.replace(b"status", b"nth: 9, status"))
    caller = await api.log_in("demo")
    await caller.attach()
    snapshot = await control.document("snapshot")
    state = await control.document("state")
    await control.ask("POST", "reset")
    await control.ask("PUT", "scenario", {"version": 1})

    told = await control.ask("PUT", "snapshot", snapshot)

    assert told.status == 204
    assert snapshot.keys() >= {"version", "world", "tokens", "sequences", "scenario", "clock"}
    assert snapshot["version"] == 1
    assert snapshot["scenario"].keys() == {"text", "added", "seed", "state"}
    assert await control.document("state") == state
    (rule,) = (await control.document("scenario"))["rules"]
    assert (rule["id"], rule["matched"]) == ("all", 2)
    assert (await caller.get("/servers")).status == 200
    assert (await control.document("journal"))["last"] == 1


async def test_a_rule_added_with_bare_numbers_comes_back_from_a_snapshot(
    control: ControlApi, cloud: Simulator
) -> None:
    cloud.rule(status=503, retry_after=1.5, first=1)
    cloud.rule(hang=60, first=1)
    cloud.rule(latency=0.2)
    added = (await control.document("scenario"))["rules"]
    snapshot = await control.document("snapshot")
    await control.ask("PUT", "scenario", {"version": 1})

    told = await control.ask("PUT", "snapshot", snapshot)

    assert told.status == 204
    assert (await control.document("scenario"))["rules"] == added


async def test_a_snapshots_world_has_the_shape_of_a_scenarios(control: ControlApi) -> None:
    world = (await control.document("snapshot"))["world"]

    state = await control.document("state")
    assert world["settings"] == state["settings"]
    for kind in ("tenants", "networks", "servers", "virtual_interfaces"):
        assert [one["id"] for one in world[kind]] == [one["id"] for one in state[kind]]
        assert set(state[kind][0]) <= set(world[kind][0])


async def test_a_snapshot_holds_no_secret(control: ControlApi, api: Api) -> None:
    caller = await api.log_in("demo")

    text = json.dumps(await control.document("snapshot"))

    assert not any(
        secret in text
        for secret in ("demo-password", "demo-key", "demo-token", caller.token or "-")
    )


async def test_a_snapshot_of_another_version_is_a_conflict(
    control: ControlApi, cloud: Simulator
) -> None:
    snapshot = {**await control.document("snapshot"), "version": 99}

    told = await control.ask("PUT", "snapshot", snapshot)

    assert told.status == 409


async def test_a_snapshot_of_another_version_may_look_different(control: ControlApi) -> None:
    told = await control.ask("PUT", "snapshot", {"version": 99})

    assert told.status == 409
    assert told.json()["detail"].endswith("save it again with this version of vifsim")


async def test_what_is_missing_in_a_snapshot_is_named(control: ControlApi) -> None:
    told = await control.ask("PUT", "snapshot", {"version": 1})

    assert told.status == 400
    assert told.json()["detail"] == "not a snapshot: it has no scenario"


GARBAGE: list[Any] = [None, 7, "text", [1], {"a": 1}, 1e300]


@pytest.mark.parametrize("garbage", GARBAGE, ids=str)
@pytest.mark.parametrize(
    "path",
    [
        ("world",),
        ("world", "settings"),
        ("world", "tenants"),
        ("world", "servers"),
        ("world", "virtual_interfaces"),
        ("tokens",),
        ("sequences",),
        ("touched",),
        ("scenario",),
        ("scenario", "text"),
        ("scenario", "added"),
        ("scenario", "state"),
        ("scenario", "state", "rules"),
        ("scenario", "state", "arrivals"),
        ("scenario", "state", "t0"),
        ("clock",),
        ("clock", "offset"),
    ],
    ids=".".join,
)
async def test_a_snapshot_that_is_none_changes_nothing(
    control: ControlApi, api: Api, path: tuple[str, ...], garbage: Any
) -> None:
    await api.attach()
    before = await control.document("state")
    snapshot = await control.document("snapshot")
    place = snapshot
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = garbage
    await control.ask(
        "POST", "amend", {"change": "set_status", "server": "web-2", "status": "ERROR"}
    )
    before = await control.document("state")

    told = await control.ask("PUT", "snapshot", snapshot)

    assert told.status in {204, 400}
    if told.status == 400:
        assert await control.document("state") == before
    assert (await api.get("/servers")).status == 200


# ── scenario and rules ──


async def test_a_scenario_is_told_with_its_rules_in_order(control: ControlApi, api: Api) -> None:
    await control.ask("PUT", "scenario", data=OUTAGE, headers=YAML)
    added = (
        await control.ask("POST", "rules", {"match": "get_*", "first": 1, "status": 500})
    ).json()
    await api.get("/servers")
    await api.get("/limits")

    found = await control.document("scenario")

    assert found.keys() == {"name", "description", "seed", "digest", "text", "rules"}
    assert (found["name"], found["text"]) == ("outage", OUTAGE.decode())
    assert [(rule["id"], rule["origin"]) for rule in found["rules"]] == [
        (added["id"], "added"),
        ("all", "scenario"),
    ]
    assert [(rule["matched"], rule["fired"]) for rule in found["rules"]] == [(1, 1), (1, 1)]
    assert found["rules"][1]["rule"] == {"name": "all", "status": 503}


async def test_the_documented_limits_are_told_as_rules(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(world={"settings": {"rate_limits": "documented"}})

    found = await ControlApi(api_of(cloud)).document("scenario")

    assert [rule["id"] for rule in found["rules"]] == [f"documented-{i}" for i in range(1, 7)]
    assert {rule["origin"] for rule in found["rules"]} == {"documented"}


@pytest.mark.parametrize(
    ("data", "headers"),
    [(OUTAGE, YAML), (OUTAGE, {}), (b'{"version": 1, "rules": [{"status": 503}]}', JSON)],
)
async def test_a_scenario_is_taken_as_yaml_or_json(
    control: ControlApi, api: Api, data: bytes, headers: dict[str, str]
) -> None:
    told = await control.ask("PUT", "scenario", data=data, headers=headers)

    assert told.status == 204
    assert (await api.get("/servers")).status == 503


async def test_a_shipped_scenario_is_taken_by_its_name(control: ControlApi) -> None:
    told = await control.ask("PUT", "scenario?name=flaky-create")

    assert told.status == 204
    assert (await control.document("health"))["scenario"] == "flaky-create"


@pytest.mark.parametrize(
    ("path", "data", "status"),
    [
        ("scenario?name=flaky-creat", b"", 404),
        ("scenario?name=/etc/passwd", b"", 404),
        ("scenario?name=flaky-create", OUTAGE, 400),
        ("scenario", b"", 400),
    ],
)
async def test_a_scenario_that_is_none_is_refused(
    control: ControlApi, path: str, data: bytes, status: int
) -> None:
    assert (await control.ask("PUT", path, data=data)).status == status


async def test_every_mistake_in_a_scenario_is_told_with_its_place(control: ControlApi) -> None:
    text = b"version: 1\nrules:\n  - {status: 503, frist: 2}\n  - {status: 999}\n"

    told = await control.ask("PUT", "scenario", data=text, headers=YAML)

    assert (told.status, told.json()["detail"]) == (400, "2 errors in the scenario")
    first, second = told.json()["errors"]
    assert (first["at"], first["line"], first["column"]) == ("rules[0].frist", 3, 19)
    assert "did you mean first?" in first["hint"]
    assert second["line"] == 4


async def test_the_empty_scenario_ends_all_faults(control: ControlApi, api: Api) -> None:
    await control.ask("PUT", "scenario", data=OUTAGE)
    during = await api.get("/servers")

    await control.ask("PUT", "scenario", {"version": 1})

    assert (during.status, (await api.get("/servers")).status) == (503, 200)


async def test_settings_of_a_scenario_apply_at_once_and_leave_what_exists(
    control: ControlApi, api: Api
) -> None:
    await api.attach()

    world = {"settings": {"duplicate_vif_status": 400}}
    await control.ask("PUT", "scenario", {"version": 1, "world": world})

    assert (await api.attach()).status == 400


async def test_a_scenario_that_lists_servers_makes_the_world_anew(
    control: ControlApi, api: Api
) -> None:
    await api.attach()

    world = {"servers": [{"name": "only"}]}
    await control.ask("PUT", "scenario", {"version": 1, "world": world})

    state = await control.document("state")
    assert [server["name"] for server in state["servers"]] == ["only"]
    assert "added_network" not in [item["network"] for item in state["virtual_interfaces"]]


async def test_a_rule_is_added_before_the_others_and_removed(control: ControlApi, api: Api) -> None:
    await control.ask("PUT", "scenario", data=OUTAGE)

    added = await control.ask("POST", "rules", {"match": "list_servers", "status": 500})
    during = await api.get("/servers")
    removed = await control.ask("DELETE", added.headers["Location"].removeprefix("/_vifsim/"))
    after = await api.get("/servers")

    assert (added.status, removed.status) == (201, 204)
    assert added.headers["Location"] == f"/_vifsim/rules/{added.json()['id']}"
    assert (during.status, after.status) == (500, 503)


async def test_any_one_rule_can_be_removed(control: ControlApi, api: Api) -> None:
    await control.ask("PUT", "scenario", data=OUTAGE)

    removed = await control.ask("DELETE", "rules/all")

    assert removed.status == 204
    assert (await api.get("/servers")).status == 200
    assert (await control.ask("DELETE", "rules/all")).status == 404


async def test_all_added_rules_can_be_removed(control: ControlApi, api: Api) -> None:
    await control.ask("PUT", "scenario", data=OUTAGE)
    for _ in range(2):
        await control.ask("POST", "rules", {"status": 500})

    removed = await control.ask("DELETE", "rules")

    assert removed.status == 204
    assert [rule["id"] for rule in (await control.document("scenario"))["rules"]] == ["all"]


@pytest.mark.parametrize(
    "rule", [{}, {"status": 999}, {"status": 503, "reset": True}, {"match": "creat", "status": 500}]
)
async def test_a_wrong_rule_is_refused_with_its_place(
    control: ControlApi, rule: dict[str, Any]
) -> None:
    told = await control.ask("POST", "rules", rule)

    assert told.status == 400
    assert told.json()["errors"]
    assert (await control.document("scenario"))["rules"] == []


# ── amend ──


@pytest.mark.parametrize(
    "change",
    [
        {"change": "set_status", "server": "web-1", "status": "SUSPENDED", "task_state": None},
        {"change": "set_status", "server": WEB_1, "status": "ERROR"},
        {"change": "fail_build", "server": "web-1", "message": "No valid host"},
        {"change": "set_quotas", "tenant": TENANT, "quotas": {"instances": 200}},
        {"change": "revoke_all_tokens"},
        {"change": "revoke_all_tokens", "user": "demo"},
        {"change": "disable_user", "user": "demo"},
        {"change": "enable_user", "user": "demo"},
        {"change": "fill_network", "network": "added_network", "free": 0},
    ],
    ids=str,
)
async def test_a_change_is_made(control: ControlApi, change: dict[str, Any]) -> None:
    told = await control.ask("POST", "amend", change)

    assert (told.status, told.body) == (204, b"")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 400),
        ({"change": 1}, 400),
        ({"change": "set_statu"}, 400),
        ({"change": "set_status", "server": "web-1"}, 400),
        ({"change": "set_status", "server": "web-1", "status": "GONE"}, 400),
        ({"change": "set_status", "server": "web-9", "status": "ERROR"}, 404),
        ({"change": "set_status", "server": ["web-1"], "status": "ERROR"}, 404),
        ({"change": "set_status", "server": "web-1", "status": ["ERROR"]}, 400),
        ({"change": "set_quotas", "tenant": "1", "quotas": {}}, 404),
        ({"change": "set_quotas", "tenant": TENANT, "quotas": []}, 400),
        ({"change": "set_quotas", "tenant": TENANT, "quotas": {"instances": -1}}, 400),
        ({"change": "set_quotas", "tenant": TENANT, "quotas": {"instance": 1}}, 400),
        ({"change": "revoke_all_tokens", "user": "nobody"}, 404),
        ({"change": "disable_user"}, 400),
        ({"change": "disable_user", "user": "nobody"}, 404),
        ({"change": "fill_network", "network": "none", "free": 0}, 404),
        ({"change": "fill_network", "network": "added_network", "free": -1}, 400),
        ({"change": "fill_network", "network": "added_network", "free": True}, 400),
    ],
    ids=str,
)
async def test_a_wrong_change_is_refused(
    control: ControlApi, change: dict[str, Any], status: int
) -> None:
    before = await control.document("state")

    told = await control.ask("POST", "amend", change)

    assert told.status == status
    assert await control.document("state") == before


async def test_a_filled_network_has_room_again_after_a_detach(
    control: ControlApi, api: Api
) -> None:
    (interface,) = (await api.attach()).json()["virtual_interfaces"]
    await control.ask(
        "POST", "amend", {"change": "fill_network", "network": "added_network", "free": 0}
    )
    other = await api.boot(networks=[])

    full = await api.attach(other)
    await api.delete(f"/servers/{WEB_1}/os-virtual-interfacesv2/{interface['id']}")
    free = await api.attach(other)

    assert (full.status, free.status) == (400, 200)


# ── clock ──


async def test_the_clock_says_what_it_is(control: ControlApi) -> None:
    clock = await control.document("clock")

    assert clock.keys() == {"mode", "speed", "now", "utc"}
    assert (clock["mode"], clock["speed"]) == ("real", 1.0)
    assert clock["utc"].endswith("Z")


async def test_the_clock_is_paused_moved_and_let_run(control: ControlApi) -> None:
    paused = (await control.ask("PUT", "clock", {"mode": "manual"})).json()
    moved = (await control.ask("POST", "clock/advance", {"by": "30m"})).json()
    scaled = (await control.ask("PUT", "clock", {"mode": "scaled", "speed": 60})).json()

    assert paused["mode"] == "manual"
    assert moved["now"] == pytest.approx(paused["now"] + 1800)
    assert (scaled["mode"], scaled["speed"]) == ("scaled", 60)
    assert scaled["now"] >= moved["now"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mode": "fast"},
        {"mode": ["real"]},
        {"speed": 2},
        {"mode": "real", "speed": 2},
        {"mode": "manual", "speed": 2},
        {"mode": "scaled", "speed": 0},
        {"mode": "scaled", "speed": -1},
        {"mode": "scaled", "speed": "60"},
        {"mode": "scaled", "speed": True},
        {"mode": "scaled", "speed": 10**400},
    ],
    ids=lambda body: str(body)[:40],
)
async def test_a_wrong_clock_is_refused(control: ControlApi, body: dict[str, Any]) -> None:
    assert (await control.ask("PUT", "clock", body)).status == 400
    assert (await control.document("clock"))["mode"] == "real"


@pytest.mark.parametrize(
    "body",
    [{}, {"by": 30}, {"by": "30"}, {"by": "-1s"}, {"by": "forever"}, {"by": "99999999999h"}],
    ids=str,
)
async def test_a_wrong_advance_is_refused(control: ControlApi, body: dict[str, Any]) -> None:
    assert (await control.ask("POST", "clock/advance", body)).status == 400


# ── journal and explain ──


async def test_the_journal_is_told_oldest_first(control: ControlApi, api: Api) -> None:
    told = await api.attach()
    await api.get("/nowhere")

    journal = await control.document("journal")

    assert (journal["last"], journal["dropped"]) == (2, 0)
    first, second = journal["entries"]
    assert list(first) == [
        *("seq", "id", "operation", "method", "path", "headers", "peer", "conn", "user", "tenant"),
        *("token_id", "server", "network", "interface", "body_digest", "n", "arrived", "end"),
        *("real", "decision", "effects", "committed", "told", "outcome"),
    ]
    assert first["id"] == told.headers["X-Compute-Request-Id"]
    assert (first["seq"], first["operation"]) == (1, "create_virtual_interface")
    assert (first["server"], first["network"]) == (WEB_1, ADDED_NETWORK)
    assert first["told"] == {
        "status": 200,
        "retry_after": None,
        "spoiled": False,
        "bytes": len(told.body),
    }
    assert (first["committed"], first["outcome"], first["decision"]) == (True, "completed", None)
    (effect,) = first["effects"]
    assert (effect["kind"], effect["object"]) == ("created", "virtual_interface")
    assert effect["id"] == told.json()["virtual_interfaces"][0]["id"]
    assert second["operation"] == "unknown"
    assert "X-Auth-Token" not in first["headers"]


async def test_a_decision_is_told(control: ControlApi, api: Api) -> None:
    rule = {"name": "lost", "match": "create_*", "at": "after_commit", "status": 503}
    await control.ask("POST", "rules", rule)
    await api.attach()

    (entry,) = (await control.document("journal"))["entries"]

    assert entry["decision"] == {
        "fired": ["lost"],
        "by": "lost",
        "at": "after_commit",
        "fault": 503,
        "wire": None,
        "delay_before": 0.0,
        "delay_after": 0.0,
    }
    assert (entry["committed"], entry["told"]["status"]) == (True, 503)


@pytest.mark.parametrize(
    ("query", "seqs"),
    [
        ("", [1, 2, 3]),
        ("since=1", [2, 3]),
        ("limit=1", [1]),
        ("since=1&limit=1", [2]),
        ("operation=create_*", [1]),
        ("operation=unknown", [3]),
        ("server=web-1", [1]),
        (f"server={WEB_1}", [1]),
        ("network=added_network", [1]),
        (f"tenant={TENANT}", [1, 2, 3]),
        ("tenant=other", []),
        ("outcome=completed", [1, 2, 3]),
        ("outcome=client_gone", []),
    ],
)
async def test_the_journal_is_filtered(
    control: ControlApi, api: Api, query: str, seqs: list[int]
) -> None:
    await api.attach()
    await api.get("/servers")
    await api.get("/nowhere")

    found = await control.document(f"journal?{query}")

    assert [entry["seq"] for entry in found["entries"]] == seqs
    assert found["last"] == 3


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 400),
        ("limit=10001", 400),
        ("limit=x", 400),
        ("since=-1", 400),
        ("outcome=gone", 400),
        ("operatoin=x", 400),
        ("server=none", 404),
        ("network=none", 404),
    ],
)
async def test_a_wrong_question_to_the_journal_is_refused(
    control: ControlApi, query: str, status: int
) -> None:
    assert (await control.ask("GET", f"journal?{query}")).status == status


async def test_the_journal_is_cleared_and_seq_goes_on(control: ControlApi, api: Api) -> None:
    await api.get("/servers")

    told = await control.ask("DELETE", "journal")
    await api.get("/servers")

    assert told.status == 204
    assert [entry["seq"] for entry in (await control.document("journal"))["entries"]] == [2]


async def test_an_export_is_a_header_and_the_entries(control: ControlApi, api: Api) -> None:
    await control.ask("PUT", "scenario", data=OUTAGE)
    await api.get("/servers")

    told = await control.ask("GET", "journal/export")

    assert told.headers["Content-Type"] == "application/x-ndjson"
    header, entry = (json.loads(line) for line in told.body.splitlines())
    assert header.keys() == {
        *("vifsim_journal", "seed", "scenario", "clock", "speed", "started", "dropped"),
        *("world", "added", "names"),
    }
    assert header["scenario"]["name"] == "outage"
    assert entry["told"]["status"] == 503


async def test_an_explanation_says_where_each_rule_stopped(control: ControlApi, api: Api) -> None:
    await control.ask("POST", "rules", {"name": "creates", "match": "create_*", "status": 500})
    await control.ask("POST", "rules", {"name": "second", "nth": 2, "status": 500})
    await control.ask("POST", "rules", {"name": "rare", "chance": 0.000001, "status": 500})
    await control.ask("POST", "rules", {"name": "all", "status": 503})
    await control.ask("POST", "rules", {"name": "late", "match": "get_*", "status": 503})
    await api.get("/limits")

    found = await control.document("explain/1")

    assert found["entry"] == 1
    assert [(look["rule"], look["fired"], look["stopped_at"]) for look in found["looks"]] == [
        ("creates", False, "match"),
        ("second", False, "count"),
        ("rare", False, "chance"),
        ("all", True, None),
        ("late", False, "not_reached"),
    ]
    assert "get_limits" in found["looks"][0]["detail"]
    assert found["looks"][2]["detail"].keys() == {"draw", "threshold"}


@pytest.mark.parametrize("seq", ["2", "0", "x", "-1", "9" * 30])
async def test_an_entry_that_is_not_kept_cannot_be_explained(
    control: ControlApi, api: Api, seq: str
) -> None:
    await api.get("/servers")

    assert (await control.ask("GET", f"explain/{seq}")).status == 404


async def test_rules_that_never_fired_are_told_with_what_stopped_them(
    control: ControlApi, api: Api
) -> None:
    await control.ask("POST", "rules", {"name": "never", "match": "get_*", "nth": 5, "status": 500})
    for path in ("/limits", "/limits", "/servers"):
        await api.get(path)

    found = await control.document("explain")

    assert found == {"never_fired": [{"rule": "never", "stopped_at": {"count": 2, "match": 1}}]}


def test_a_store_that_fails_is_told_under_the_name_of_its_status() -> None:
    body = problem(ControlFault(503, "the disk is full")).body

    assert isinstance(body, bytes)
    assert json.loads(body)["title"] == "Service Unavailable"
