"""Every scenario that ships loads, says what it is for, and is short."""

from __future__ import annotations

from pathlib import Path

import pytest

from vifsim.scenario.rule import Capacity, ExpireToken, Limit, Reset, Stale, Status
from vifsim.scenario.schema import load_named, load_text, load_world, shipped_names

HERE = Path(__file__).parent
SHIPPED = (
    "brownout",
    "documented-limits",
    "flaky-create",
    "flapping",
    "lost-create",
    "lost-delete",
    "maintenance",
    "proxy-errors",
    "rate-limited",
    "server-building",
    "slow-tail",
    "stale-reads",
    "thundering-herd",
    "token-expiry",
)


def test_all_of_them_ship() -> None:
    assert set(SHIPPED) <= set(shipped_names())


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_scenario_loads_under_its_own_name_and_describes_itself(name: str) -> None:
    scenario = load_named(name)

    assert scenario.name == name
    assert scenario.description.endswith(".")
    assert scenario.world or scenario.rules


@pytest.mark.parametrize("name", shipped_names())
def test_every_rule_of_a_shipped_scenario_has_a_name_to_be_told_by(name: str) -> None:
    assert all("name" in rule.source for rule in load_named(name).rules)


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_scenario_is_met_by_a_client_in_a_test_and_drawn_on_a_page(name: str) -> None:
    test = HERE / f"test_{name.replace('-', '_')}.py"
    page = HERE.parents[1] / "docs" / "scenarios" / f"{name}.md"

    assert "async def test_" in test.read_text("utf-8")
    assert f"`vifsim scenarios plan {name}` draws:" in page.read_text("utf-8")


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_scenario_is_short(name: str) -> None:
    assert len(load_named(name).text.splitlines()) <= 30


@pytest.mark.parametrize("name", shipped_names())
def test_the_text_of_a_shipped_scenario_loads_again_as_the_same(name: str) -> None:
    scenario = load_named(name)

    assert load_text(scenario.text, source=f"{name}.yaml") == scenario


@pytest.mark.parametrize("name", ["brownout", "maintenance", "thundering-herd"])
def test_outages_and_herds_hold_their_refusals(name: str) -> None:
    assert load_named(name).hold == 0.25


def test_documented_limits_is_a_setting_and_no_rule() -> None:
    scenario = load_named("documented-limits")

    assert scenario.rules == ()
    assert load_world(scenario.world, 0).settings.rate_limits == "documented"


def test_flaky_create_refuses_twice() -> None:
    (rule,) = load_named("flaky-create").rules

    assert (rule.fault, rule.schedule.first) == (Status(status=503), 2)


def test_rate_limited_is_four_a_minute_for_each_user() -> None:
    (rule,) = load_named("rate-limited").rules

    assert (rule.id, rule.fault) == ("four-a-minute", Limit(rate=4, window=60.0))
    assert rule.schedule.per == "user"


@pytest.mark.parametrize(
    ("name", "operation"),
    [("lost-create", "create_virtual_interface"), ("lost-delete", "delete_virtual_interface")],
)
def test_what_is_lost_has_been_committed(name: str, operation: str) -> None:
    (rule,) = load_named(name).rules

    assert (rule.fault, rule.at, rule.schedule.first) == (Reset(), "after_commit", 1)
    assert rule.match.operations == (operation,)


@pytest.mark.parametrize(
    ("name", "fault"),
    [("thundering-herd", Capacity), ("stale-reads", Stale), ("token-expiry", ExpireToken)],
)
def test_a_shipped_scenario_holds_the_fault_it_is_named_for(name: str, fault: type) -> None:
    assert any(isinstance(rule.fault, fault) for rule in load_named(name).rules)


def test_the_gateway_answers_with_pages() -> None:
    faults = [rule.fault for rule in load_named("proxy-errors").rules]

    assert faults == [Status(status=504, body="html"), Status(status=502, body="html")]


def test_server_building_begins_with_servers_in_build() -> None:
    world = load_world(load_named("server-building").world, 0)

    assert world.settings.build_time == 3.0
    assert [server.name for server in world.servers if server.status == "BUILD"] == [
        "web-1",
        "web-2",
    ]
