"""Going back, and what else the console asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vifsim.backend import Backend
from vifsim.scenario.schema import load_text
from vifsim_backends.memory import MemoryBackend

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Api, ApiOf, MakeCloud, RunPytest
    from vifsim.simulator import Simulator

NEVER = {"match": "delete_network", "chance": 0.5, "status": 503}
TWICE = {"version": 1, "rules": [{"name": "twice", "match": "create_*", "first": 2, "status": 503}]}


async def told(api: Api, method: str, path: str, body: Any = None) -> Any:
    answer = await api.ask(method, f"/_vifsim/{path}", body)
    return answer.json() if answer.body else answer.status


# ── rewind ──


async def test_after_a_rewind_the_world_is_as_before_the_call(api: Api) -> None:
    before = await told(api, "GET", "state")
    await api.attach()
    await api.new_network()

    status = await told(api, "POST", "rewind", {"before": 1})

    assert status == 204
    assert await told(api, "GET", "state") == before


async def test_what_is_made_again_after_a_rewind_has_the_same_id(api: Api) -> None:
    first = (await api.attach()).json()
    await told(api, "POST", "rewind", {"before": 1})

    again = (await api.attach()).json()

    assert again == first


async def test_after_a_rewind_the_rules_count_on_from_before_the_call(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    api = api_of(await make_cloud(scenario=TWICE))
    statuses = [(await api.attach()).status for _ in range(3)]

    await told(api, "POST", "rewind", {"before": 2})

    assert statuses == [503, 503, 200]
    assert [(await api.attach()).status for _ in range(2)] == [503, 200]


async def test_a_rule_that_was_added_after_the_call_is_gone(api: Api) -> None:
    await api.get("/limits")
    await told(api, "POST", "rules", {"name": "late", "status": 503})

    await told(api, "POST", "rewind", {"before": 1})

    assert (await api.get("/limits")).status == 200


async def test_a_token_that_died_since_lives_again(api: Api) -> None:
    await api.get("/limits")
    await told(api, "POST", "amend", {"change": "revoke_all_tokens"})

    await told(api, "POST", "rewind", {"before": 1})

    assert (await api.get("/limits")).status == 200


async def test_the_journal_goes_on_after_a_rewind(api: Api) -> None:
    await api.attach()
    await told(api, "POST", "rewind", {"before": 1})
    await api.attach()

    assert [entry["seq"] for entry in (await told(api, "GET", "journal"))["entries"]] == [1, 2]


async def test_each_key_counts_on_from_where_it_was(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    api = api_of(await make_cloud(scenario={"version": 1, "rules": [NEVER]}))
    paths = ["/limits", "/servers", "/limits", "/os-networksv2", "/limits"]
    for path in paths:
        await api.get(path)

    await told(api, "POST", "rewind", {"before": 3})
    for path in paths[2:]:
        await api.get(path)

    entries = (await told(api, "GET", "journal"))["entries"]
    assert [entry["n"] for entry in entries[2:5]] == [entry["n"] for entry in entries[5:]]


async def test_one_can_go_back_and_forth(api: Api) -> None:
    await api.attach()
    with_interface = await told(api, "GET", "state")
    await api.get("/limits")
    await told(api, "POST", "rewind", {"before": 1})

    await told(api, "POST", "rewind", {"before": 2})

    assert await told(api, "GET", "state") == with_interface


async def test_the_date_goes_back_with_the_world(cloud: Simulator, api: Api) -> None:
    await api.get("/limits")
    await cloud.advance_clock(3600)
    ahead = cloud.clock.epoch()

    await told(api, "POST", "rewind", {"before": 1})

    assert ahead - cloud.clock.epoch() > 3599


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 400), ({"before": "1"}, 400), ({"after": 1}, 400), ({"before": 9}, 404)],
    ids=str,
)
async def test_a_wrong_rewind_is_refused(api: Api, body: Any, status: int) -> None:
    assert (await api.post("/_vifsim/rewind", body)).status == status


async def test_a_moment_that_is_no_longer_kept_is_refused_with_one_that_is(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    api = api_of(await make_cloud(scenario={"version": 1, "rules": [{"status": 503}]}))
    for _ in range(1002):
        await api.get("/limits")

    refused = await api.post("/_vifsim/rewind", {"before": 1})

    assert refused.status == 409
    assert "that before" in refused.json()["detail"]


async def test_a_store_on_disk_goes_back_too(
    make_cloud: MakeCloud, api_of: ApiOf, tmp_path: Path
) -> None:
    url = f"sqlite:////{str(tmp_path).lstrip('/')}/cloud.db"
    api = api_of(await make_cloud(backend=url))
    before = await told(api, "GET", "state")
    first = (await api.attach()).json()
    await api.new_network()

    status = await told(api, "POST", "rewind", {"before": 1})

    assert status == 204
    assert await told(api, "GET", "state") == before
    assert (await api.attach()).json() == first


async def test_a_store_that_keeps_no_moments_says_so(
    make_cloud: MakeCloud, api_of: ApiOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryBackend, "moment", Backend.moment)
    api = api_of(await make_cloud())
    await api.get("/limits")

    refused = await api.post("/_vifsim/rewind", {"before": 1})

    assert refused.status == 409
    assert "snapshot" in refused.json()["detail"]


# ── export ──


async def test_a_moment_becomes_a_scenario_that_begins_there(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    api = api_of(await make_cloud(scenario=TWICE))
    await api.attach()
    await api.attach()
    await api.attach()
    network = await api.new_network("later")

    made = await told(api, "GET", "moments/3")

    scenario = load_text(made["scenario"], source=made["name"])
    assert scenario.name == "before-3"
    assert [item["label"] for item in scenario.world["networks"]] == ["added_network"]
    assert len(scenario.world["virtual_interfaces"]) == 6
    assert network not in made["scenario"]
    assert scenario.rules == ()  # both of its times had passed


async def test_an_exported_test_passes_beside_its_scenario(
    make_cloud: MakeCloud, api_of: ApiOf, tmp_path: Path, run_pytest: RunPytest
) -> None:
    api = api_of(await make_cloud(scenario=TWICE))
    await api.attach()
    await api.attach()
    made = await told(api, "GET", "moments/2")
    (tmp_path / "before-2.yaml").write_text(made["scenario"], "utf-8")
    (tmp_path / "test_before_2.py").write_text(made["test"], "utf-8")

    run = run_pytest()

    assert run.number("passed") == 1, run.errors + run.output
    assert "create_virtual_interface_is_told_503" in made["test"]


# ── what the page shows ──


async def test_the_timeline_names_phases_and_when_each_rule_may_fire(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    api = api_of(await make_cloud(scenario="maintenance"))

    timeline = await told(api, "GET", "timeline")

    assert timeline == {
        "start": None,
        "phases": [{"name": "maintenance", "from": 2.0, "to": 7.0}],
        "rules": [{"id": "closed-for-maintenance", "fault": "status", "stretches": [[2.0, 7.0]]}],
    }


async def test_each_client_has_a_scorecard_of_its_own(api: Api) -> None:
    for agent in ("one/1", "other/2", "one/1"):
        await api.get("/limits", headers={"User-Agent": agent})

    clients = (await told(api, "GET", "clients"))["clients"]

    assert [(one["client"], one["calls"], one["last"]) for one in clients] == [
        ("one/1", 2, 3),
        ("other/2", 1, 2),
    ]
    assert all(len(one["scorecard"]["rules"]) == 24 for one in clients)


async def test_the_shipped_scenarios_can_be_had(api: Api) -> None:
    scenarios = (await told(api, "GET", "scenarios"))["scenarios"]

    assert "brownout" in {one["name"] for one in scenarios}
    assert all(load_text(one["text"], source="shipped").name == one["name"] for one in scenarios)
