"""The ways in: files, texts, mappings, names, single rules, several scenarios at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vifsim.errors import ScenarioError, UsageError
from vifsim.scenario.rule import ClientIntent, Expectation, Hang, Phase, Reset, RetryAfterRule
from vifsim.scenario.schema import (
    load_file,
    load_mapping,
    load_named,
    load_rule,
    load_text,
    load_world,
    merge,
)

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """\
version: 1
name: whole
description: Everything at the top level.
seed: 7
start: first_call
hold: 20ms
world: {settings: {build_time: 3s}}
phases:
  - {name: maintenance, from: 5s, for: 30s}
rules:
  - name: closed
    during: maintenance
    status: 503
client: {keeps: 1, fail_fast: true, max_reasonable_wait: 10m}
expect:
  rules: {reconciled_by_listing: pass, no_stampede: any}
  interfaces: 0
  max_requests: 40
  finishes_within: 2m
  thresholds: {timeout_max: 8s, max_attempts: 5}
"""


def load(text: str) -> Any:
    return load_text(text, source="t.yaml")


def test_everything_at_the_top_level_is_read() -> None:
    scenario = load(WHOLE)

    assert (scenario.name, scenario.seed, scenario.start) == ("whole", 7, "first_call")
    assert scenario.description == "Everything at the top level."
    assert scenario.hold == 0.02
    assert scenario.world == {"settings": {"build_time": "3s"}}
    assert scenario.phases == (Phase(name="maintenance", start=5.0, end=35.0),)
    assert scenario.client == ClientIntent(keeps=1, fail_fast=True, max_reasonable_wait=600.0)
    assert scenario.expect == Expectation(
        rules={"reconciled_by_listing": "pass", "no_stampede": "any"},
        interfaces=0,
        max_requests=40,
        finishes_within=120.0,
        thresholds={"timeout_max": 8.0, "max_attempts": 5},
    )


def test_a_scenario_with_a_version_alone_does_nothing() -> None:
    scenario = load("version: 1\n")

    assert (scenario.rules, scenario.phases, scenario.seed) == ((), (), None)


def test_a_rule_knows_its_text_and_its_place() -> None:
    (rule,) = load(WHOLE).rules

    assert (rule.id, rule.origin) == ("closed", "scenario")
    assert (rule.line, rule.column) == (11, 5)
    assert rule.source == {"name": "closed", "during": "maintenance", "status": 503}


def test_text_and_digest_say_what_was_read() -> None:
    one, same, other = load(WHOLE), load(WHOLE), load(WHOLE + "\n")

    assert one.text == WHOLE
    assert one.digest == same.digest != other.digest


# ── ids ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_rule_without_a_name_has_the_digest_of_its_text_and_its_rank() -> None:
    same = "  - {match: create_server, first: 1, reset: true}\n"
    turned = "  - {reset: true, first: 1, match: create_server}\n"

    first, second, third = load(f"version: 1\nrules:\n{same}{turned}{same}").rules

    assert first.id.startswith("r-")
    assert len(first.id) == 8
    assert (second.id, third.id) == (f"{first.id}-2", f"{first.id}-3")


def test_adding_a_rule_changes_no_other_id() -> None:
    one = "  - {first: 1, reset: true}\n"
    other = "  - {first: 1, hang: 1s}\n"

    alone = load(f"version: 1\nrules:\n{one}").rules[0].id

    assert load(f"version: 1\nrules:\n{other}{one}").rules[1].id == alone


# ── files and names ──────────────────────────────────────────────────────────────────────────────


def test_a_file_without_a_name_is_called_by_its_stem(tmp_path: Path) -> None:
    file = tmp_path / "My File.yaml"
    file.write_text("version: 1\n")

    assert load_file(file).name == "my-file"


def test_errors_of_a_file_name_it_as_it_was_given(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("version: 1\nsed: 7\n")

    with pytest.raises(ScenarioError) as caught:
        load_named(str(file))

    assert str(caught.value) == f"{file}:2:1: unknown key sed (did you mean seed?)"


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"\xef\xbb\xbfversion: 1\r\nseed: 7\r\n")

    assert load_file(file).seed == 7


def test_a_file_that_is_not_utf_8_is_refused_at_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"version: 1\nname: \xff\n")

    with pytest.raises(ScenarioError, match=r"a\.yaml:2:7: not UTF-8 text"):
        load_file(file)


def test_a_file_over_1_mib_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_bytes(b"#" * ((1 << 20) + 1))

    with pytest.raises(ScenarioError, match="larger than 1 MiB"):
        load_file(file)


@pytest.mark.parametrize("name", ["no/such.yaml", ".", "a\0b.yaml", "", "x\ny/z"])
def test_a_file_that_cannot_be_read_is_told_in_one_line(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_named(name)

    assert str(caught.value).startswith("cannot read ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_shipped_scenario_is_found_by_its_name() -> None:
    assert load_named("lost-create").rules[0].fault == Reset()


def test_an_unknown_name_is_told_with_the_nearest_one() -> None:
    with pytest.raises(
        UsageError, match=r"there is no scenario brown-out \(did you mean brownout\?\)"
    ):
        load_named("brown-out")


def test_a_word_is_taken_for_a_name_even_where_it_could_not_be_one() -> None:
    with pytest.raises(UsageError, match=r"did you mean lost-create\?"):
        load_named("lost_create")


@pytest.mark.parametrize("name", ["../brownout", "../scenarios/brownout", "__init__", "/brownout"])
def test_a_name_leads_nowhere_else(name: str) -> None:
    with pytest.raises(UsageError):
        load_named(name)


def test_a_path_to_a_file_works_where_a_name_does(tmp_path: Path) -> None:
    file = tmp_path / "brownout"
    file.write_text('{"version": 1, "seed": 3}')

    assert load_named(str(file)).seed == 3


def test_a_mapping_loads_like_its_text() -> None:
    scenario = load_mapping({"version": 1, "rules": [{"nth": (1, 3), "reset": True}]})

    assert scenario.name == "scenario"
    assert scenario.rules[0].schedule.nth == (1, 3)
    assert load_text(scenario.text, source="scenario").digest == scenario.digest


def test_a_loaded_scenario_does_not_change_with_the_mapping_it_came_from() -> None:
    rule: dict[str, Any] = {"first": 1, "reset": True}
    scenario = load_mapping({"version": 1, "rules": [rule]})

    rule["first"] = 2

    assert scenario.rules[0].source == {"first": 1, "reset": True}


# ── one rule ─────────────────────────────────────────────────────────────────────────────────────


def test_an_added_rule_says_that_it_was_added() -> None:
    rule = load_rule({"match": "create_*", "first": 2, "status": 503})

    assert (rule.origin, rule.schedule.first) == ("added", 2)
    assert rule.source == {"match": "create_*", "first": 2, "status": 503}


def test_an_added_rule_gets_the_next_rank() -> None:
    first = load_rule({"reset": True})

    second = load_rule({"reset": True}, existing_ids=[first.id])

    assert second.id == f"{first.id}-2"


def test_the_name_of_an_added_rule_must_be_free() -> None:
    with pytest.raises(ScenarioError, match="rule: name: there is another rule a"):
        load_rule({"name": "a", "reset": True}, existing_ids=["a"])


def test_an_added_rule_may_name_the_phases_there_are() -> None:
    rule = load_rule({"during": "outage", "reset": True}, phases=["outage"])

    assert rule.schedule.during == ("outage",)
    with pytest.raises(ScenarioError, match="there is no phase outage"):
        load_rule({"during": "outage", "reset": True})


def test_a_number_is_seconds_where_python_says_it() -> None:
    hang = load_rule({"hang": 60}, numbers_are_seconds=True)
    status = load_rule({"status": 503, "retry_after": 1.5}, numbers_are_seconds=True)

    assert hang.fault == Hang(seconds=60.0)
    assert status.retry_after == RetryAfterRule(kind="duration", seconds=1.5)


@pytest.mark.parametrize("seconds", [-1, 1e18, True])
def test_a_number_that_is_no_duration_is_refused_there_too(seconds: float) -> None:
    with pytest.raises(ScenarioError):
        load_rule({"hang": seconds}, numbers_are_seconds=True)


def test_a_number_needs_its_unit_again_afterwards() -> None:
    load_rule({"hang": 60}, numbers_are_seconds=True)

    with pytest.raises(
        ScenarioError, match=r"rule: hang: hang needs a unit: 60 of what\? \(write 60s\)"
    ):
        load_rule({"hang": 60})


@pytest.mark.parametrize("rule", [[], "reset", None, {}, {"name": 1}, {"during": {"a": 1}}])
def test_what_is_no_rule_is_refused(rule: Any) -> None:
    with pytest.raises(ScenarioError):
        load_rule(rule)


# ── several ──────────────────────────────────────────────────────────────────────────────────────


def scenario_of(name: str, **keys: Any) -> Any:
    return load_mapping({"version": 1, "name": name, **keys})


def test_rules_and_phases_of_several_follow_one_another() -> None:
    phase = {"name": "p", "from": "0s", "for": "1s"}
    one = scenario_of("one", rules=[{"name": "a", "during": "p", "reset": True}], phases=[phase])
    two = scenario_of("two", rules=[{"name": "b", "reset": True}], seed=7, description="Two.")

    both = merge([one, two])

    assert both.name == "one-and-two"
    assert [rule.id for rule in both.rules] == ["a", "b"]
    assert [found.name for found in both.phases] == ["p"]
    assert (both.seed, both.description) == (7, "Two.")


def test_the_text_of_several_loads_as_one() -> None:
    both = merge([load_named("lost-create"), load_named("rate-limited")])

    assert [rule.id for rule in load(both.text).rules] == [rule.id for rule in both.rules]


def test_one_scenario_given_twice_is_that_scenario() -> None:
    one = load_named("brownout")

    assert merge([one, one]) is one


def test_no_scenario_at_all_does_nothing() -> None:
    assert merge([]).rules == ()


def test_world_settings_of_several_come_together() -> None:
    one = scenario_of("one", world={"settings": {"build_time": "3s", "profile": "live"}})
    two = scenario_of("two", world={"settings": {"build_time": "3s", "delete_time": "1s"}})

    found = load_world(merge([one, two]).world, 0).settings

    assert (found.build_time, found.delete_time, found.profile) == (3.0, 1.0, "live")


@pytest.mark.parametrize(
    ("one", "two", "what"),
    [
        ({"seed": 1}, {"seed": 2}, "seed"),
        ({"hold": "1s"}, {"hold": "2s"}, "hold"),
        (
            {"world": {"settings": {"build_time": "3s"}}},
            {"world": {"settings": {"build_time": "4s"}}},
            "world.settings.build_time",
        ),
        (
            {"rules": [{"name": "a", "first": 1, "reset": True}]},
            {"rules": [{"name": "a", "first": 2, "reset": True}]},
            "the name a in rules",
        ),
        (
            {"phases": [{"name": "p", "from": "0s", "for": "1s"}]},
            {"phases": [{"name": "p", "from": "0s", "for": "2s"}]},
            "the name p in phases",
        ),
    ],
)
def test_what_two_scenarios_say_differently_is_refused(
    one: dict[str, Any], two: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError) as caught:
        merge([scenario_of("one", **one), scenario_of("two", **two)])

    assert str(caught.value) == f"{what} is given twice and differently: in one and two"


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"latency": 0.25}, {"latency": "0.25s"}),
        ({"latency": {"uniform": [1, 2.5]}}, {"latency": {"uniform": ["1s", "2.5s"]}}),
        (
            {"latency": {"lognormal": {"p50": 0.08, "p99": 1}}},
            {"latency": {"lognormal": {"p50": "0.08s", "p99": "1s"}}},
        ),
        (
            {"latency": {"quantiles": {"p50": 0.00001}}},
            {"latency": {"quantiles": {"p50": "0.00001s"}}},
        ),
        (
            {"status": 503, "retry_after": 60, "spread": 5, "first": 2},
            {"status": 503, "retry_after": "60s", "spread": "5s", "first": 2},
        ),
        (
            {"status": 503, "retry_after": {"date": 30}, "chance": 0.5},
            {"status": 503, "retry_after": {"date": "30s"}, "chance": 0.5},
        ),
        ({"hang": 60, "nth": [1, 2]}, {"hang": "60s", "nth": [1, 2]}),
        ({"hang": "forever", "between": [0, 9]}, {"hang": "forever", "between": ["0s", "9s"]}),
        (
            {"stale": 2, "flap": {"up": 1, "down": 4}},
            {"stale": "2s", "flap": {"up": "1s", "down": "4s"}},
        ),
        ({"limit": "4/1m"}, {"limit": "4/1m"}),
        (
            {"capacity": {"workers": 2, "service": 0.1, "queue": 4}},
            {"capacity": {"workers": 2, "service": "0.1s", "queue": 4}},
        ),
    ],
    ids=str,
)
def test_a_rule_with_bare_numbers_is_kept_as_a_scenario_writes_it(
    given: dict[str, Any], written: dict[str, Any]
) -> None:
    rule = load_rule(given, numbers_are_seconds=True)

    assert rule.source == written
    assert load_rule(written) == rule
