"""What a rule asks of a call, what it counts under, and when its windows are open."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from vifsim.exchange import Call, Facts
from vifsim.model import Settings
from vifsim.scenario.engine import Engine
from vifsim.scenario.matching import (
    CompiledRule,
    Matcher,
    checks_of,
    count_key,
    fits,
    flap_end,
    flap_is_down,
)
from vifsim.scenario.rule import Chance, Flap, Phase
from vifsim.scenario.schema import load_mapping

if TYPE_CHECKING:
    from vifsim.scenario.rule import Rule

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ADDED = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"

FACTS = Facts(
    call=Call(
        seq=1,
        id="req-1",
        operation="create_virtual_interface",
        method="POST",
        path=f"/v2/123456/servers/{WEB_1}/os-virtual-interfacesv2?dry=1",
        headers=CIMultiDict({"User-Agent": "terraform/1.0", "X-Team": "blue"}),
        peer="127.0.0.1:50123",
        conn=1,
        arrived=0.0,
        real_arrived=0.0,
        user="demo",
        tenant="123456",
        token_id="t" * 32,
        server=WEB_1,
        network=ADDED,
        body_digest="d" * 16,
    ),
    server_name="web-1",
    network=ADDED,
    network_label="added_network",
)


def rule_of(**keys: Any) -> Rule:
    (rule,) = load_mapping({"version": 1, "rules": [{"status": 503, **keys}]}).rules
    return rule


def facts_of(**changes: Any) -> Facts:
    return replace(FACTS, call=replace(FACTS.call, **changes))


def compiled(rule: Rule, *phases: Phase) -> CompiledRule:
    return CompiledRule(rule, checks_of(rule.match), phases, rule.schedule.counts)


def matches(match: Any, facts: Facts = FACTS) -> bool:
    item = compiled(rule_of(match=match))
    found = bool(Matcher([item]).matching(facts))
    assert found == (item.failure(facts) is None)
    return found


@pytest.mark.parametrize(
    ("match", "other"),
    [
        pytest.param("create_virtual_interface", "get_server", id="operation"),
        pytest.param("create_*", "delete_*", id="glob"),
        pytest.param(["get_*", "*_virtual_interface"], ["get_*", "list_*"], id="list"),
        pytest.param({"operation": "create_*"}, {"operation": "unknown"}, id="operation key"),
        pytest.param({"method": "POST"}, {"method": "GET"}, id="method"),
        pytest.param({"method": "post"}, {"method": ["get", "head"]}, id="method in lower case"),
        pytest.param({"path": "*/os-virtual-interfacesv2"}, {"path": "/servers"}, id="path"),
        pytest.param({"path": "*?dry=1"}, {"path": "*?dry=2"}, id="path with query"),
        pytest.param({"tenant": "123*"}, {"tenant": "654321"}, id="tenant"),
        pytest.param({"server": "web-*"}, {"server": "db-*"}, id="server by name"),
        pytest.param({"server": WEB_1}, {"server": ADDED}, id="server by id"),
        pytest.param({"network": "added_network"}, {"network": "public"}, id="network by label"),
        pytest.param({"network": "1f7920d3-*"}, {"network": "2*"}, id="network by id"),
        pytest.param({"header": {"x-team": "b*"}}, {"header": {"X-Team": "red"}}, id="header"),
        pytest.param(
            {"header": {"X-Team": "*"}}, {"header": {"X-Other": "*"}}, id="header that is there"
        ),
        pytest.param(
            {"client": {"agent": "terraform/*"}}, {"client": {"agent": "curl/*"}}, id="agent"
        ),
        pytest.param(
            {"client": {"address": "127.0.0.1"}}, {"client": {"address": "10.*"}}, id="address"
        ),
    ],
)
def test_each_match_key_holds_for_what_it_asks_and_for_nothing_else(match: Any, other: Any) -> None:
    assert matches(match)
    assert not matches(other)


def test_all_keys_of_a_match_must_hold() -> None:
    assert matches({"operation": "create_*", "server": "web-1", "method": "POST"})
    assert not matches({"operation": "create_*", "server": "web-2", "method": "POST"})


def test_a_rule_without_match_matches_every_call() -> None:
    item = compiled(rule_of())

    assert Matcher([item]).matching(FACTS) == (item,)


def test_a_call_without_a_route_is_the_operation_unknown() -> None:
    assert matches("unknown", facts_of(operation=None))
    assert matches("*", facts_of(operation=None))


@pytest.mark.parametrize("match", [{"tenant": "*"}, {"server": "*"}, {"network": "*"}])
def test_a_rule_about_what_a_call_has_not_skips_it(match: Any) -> None:
    bare = Facts(call=replace(FACTS.call, tenant=None, server=None, network=None))

    assert not matches(match, bare)


def test_an_ipv6_peer_is_matched_by_its_address() -> None:
    assert matches({"client": {"address": "::1"}}, facts_of(peer="::1:50123"))


def test_the_network_of_a_delete_is_that_of_its_interface() -> None:
    delete = facts_of(operation="delete_virtual_interface", network=None, interface="i" * 36)

    assert matches({"network": "added_network"}, delete)


def test_rules_are_found_in_the_order_in_which_they_are_written() -> None:
    items = [
        compiled(rule_of(match=match)) for match in ("*", "get_*", "create_*", {"server": "web-1"})
    ]

    found = Matcher(items).matching(FACTS)

    assert found == (items[0], items[2], items[3])


def test_names_are_looked_up_only_where_a_rule_for_the_operation_asks_for_them() -> None:
    matcher = Matcher(
        [
            compiled(rule_of(match={"operation": "create_*", "server": "web-1"})),
            compiled(rule_of(match="list_servers", first=1, per="interface")),
            compiled(rule_of(match="get_server")),
        ]
    )

    asked = [
        name
        for name in ("create_network", "list_servers", "get_server", "delete_network")
        if matcher.asks_names(name)
    ]

    assert asked == ["create_network", "list_servers"]


_TEXT = st.sampled_from(["web-1", "web-2", "db-1", "x"])
_RULES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "operation": st.sampled_from(["create_*", "get_server", "*"]),
            "server": st.sampled_from(["web-*", "db-1", "*"]),
            "tenant": st.sampled_from(["1*", "2"]),
        },
    ).filter(bool),
    max_size=5,
)
_CALLS = st.lists(
    st.tuples(st.sampled_from(["create_network", "get_server"]), _TEXT, st.sampled_from("12")),
    max_size=12,
)


@given(matches=_RULES, calls=_CALLS)
def test_what_is_remembered_of_a_kind_of_call_is_what_each_rule_says(
    matches: list[dict[str, str]], calls: list[tuple[str, str, str]]
) -> None:
    items = [compiled(rule_of(match=match)) for match in matches]
    matcher = Matcher(items)

    for operation, name, tenant in calls:
        facts = facts_of(operation=operation, tenant=tenant)
        facts.server_name = name
        expected = tuple(item for item in items if item.failure(facts) is None)
        assert matcher.matching(facts) == expected


_NAMES = {"a": "web-1", "b": "web-2", "c": "db-1"}
_MATCHES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "operation": st.sampled_from(["create_*", "get_server"]),
            "server": st.sampled_from(["web-*", "db-1", "a"]),
            "network": st.sampled_from(["n*", "other"]),
            "method": st.sampled_from(["GET", "POST"]),
            "path": st.sampled_from(["/a*", "/b"]),
            "header": st.just({"X-Team": "blue"}),
            "client": st.sampled_from([{"agent": "curl/*"}, {"address": "10.*"}]),
        },
    ).filter(bool),
    max_size=5,
)
_ASKED: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "operation": st.sampled_from(["create_network", "get_server"]),
        "server": st.sampled_from([None, *_NAMES, "d"]),
        "network": st.sampled_from([None, "n1", "n2"]),
        "method": st.sampled_from(["GET", "POST"]),
        "path": st.sampled_from(["/a", "/b"]),
        "headers": st.sampled_from([{}, {"X-Team": "blue"}, {"User-Agent": "curl/8"}]),
        "peer": st.sampled_from(["10.0.0.1:5", "127.0.0.1:5"]),
    }
)
_STRANGE_NAMES = st.sampled_from([None, "web-1", "db-1", "other"])
"""Of server d and network n2, which are not known for certain: their names may change."""
_STRANGE: dict[str, Any] = {"operation": "get_server", "server": "d", "network": "n2"}


@example(matches=[{"network": "other"}], asked=[(_STRANGE, None), (_STRANGE, "other")])
@example(matches=[{"server": "db-1"}], asked=[(_STRANGE, "web-1"), (_STRANGE, "db-1")])
@given(matches=_MATCHES, asked=st.lists(st.tuples(_ASKED, _STRANGE_NAMES), max_size=20))
def test_calls_that_are_known_to_be_no_rules_business_count_as_if_rules_were_asked(
    matches: list[dict[str, Any]], asked: list[tuple[dict[str, Any], str | None]]
) -> None:
    found = load_mapping(
        {"version": 1, "rules": [{"match": match, "chance": 0, "status": 503} for match in matches]}
    )
    quick, slow = (Engine(found.rules, settings=Settings()) for _ in range(2))
    counted, expected = quick.new_state(0.0), slow.new_state(0.0)

    for keys, strange in asked:
        facts, again = facts_of(**keys), facts_of(**keys)
        for seen in (facts, again):
            seen.named = keys["network"] != "n2" and keys["server"] != "d"
            seen.server_name = strange if keys["server"] == "d" else _NAMES.get(keys["server"])
            seen.network, seen.network_label = None, strange if keys["network"] == "n2" else None
        slow.decide(again, 1.0, expected)
        passes = quick.passing(keys["operation"], counted)
        if passes is None or not passes(facts.call):
            quick.decide(facts, 1.0, counted)
            facts.call.outcome.n = facts.n
        assert facts.call.outcome.n == again.n

    assert counted == expected


def test_no_glob_fits_what_is_not_there() -> None:
    assert not fits(None, ("*",))


# ── what counts ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("per", "key"),
    [
        ("rule", ""),
        ("user", "demo"),
        ("tenant", "123456"),
        ("token", "t" * 32),
        ("client", "127.0.0.1|terraform/1.0"),
        ("server", WEB_1),
        ("interface", f"{WEB_1}|{ADDED}"),
    ],
)
def test_each_per_counts_by_what_it_names(per: str, key: str) -> None:
    assert count_key(rule_of(first=1, per=per), FACTS) == key


@pytest.mark.parametrize("per", ["user", "tenant", "token", "server", "interface"])
def test_a_call_without_what_is_counted_by_is_skipped(per: str) -> None:
    bare = facts_of(user=None, tenant=None, token_id=None, server=None, network=None)
    item = compiled(rule_of(first=1, per=per))

    assert item.count_key(bare) is None
    assert item.failure(bare) == f"the rule counts per {per}, and the call has none"


def test_a_create_and_the_delete_of_what_it_made_count_as_one_interface() -> None:
    rule = rule_of(first=1, per="interface")
    delete = facts_of(network=None, interface="i" * 36)

    assert count_key(rule, delete) == count_key(rule, FACTS)


# ── windows ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("t", "end"), [(0.9, None), (1.0, 3.0), (2.9, 3.0), (3.0, None)])
def test_a_stretch_of_time_is_half_open(t: float, end: float | None) -> None:
    assert compiled(rule_of(between=["1s", "3s"])).window_end(t) == end


def test_a_rule_without_a_window_holds_for_ever() -> None:
    assert compiled(rule_of()).window_end(1e9) == math.inf


@pytest.mark.parametrize(
    ("t", "end"), [(0.0, None), (1.0, 5.0), (2.5, 5.0), (4.9, 5.0), (5.0, None), (7.0, 9.0)]
)
def test_phases_that_take_over_from_one_another_end_together(t: float, end: float | None) -> None:
    phases = [
        Phase(name="late", start=7.0, end=9.0),
        Phase(name="second", start=3.0, end=5.0),
        Phase(name="first", start=1.0, end=3.0),
        Phase(name="inside", start=2.0, end=2.5),
    ]

    assert compiled(rule_of(), *phases).window_end(t) == end


def test_a_phase_and_a_stretch_must_both_hold_and_the_earlier_end_counts() -> None:
    item = compiled(rule_of(between=["2s", "4s"]), Phase(name="one", start=1.0, end=3.0))

    assert [item.window_end(t) for t in (1.5, 2.0, 3.5)] == [None, 3.0, None]


@pytest.mark.parametrize(
    ("t", "down"), [(0.0, False), (1.9, False), (2.0, True), (5.9, True), (6.0, False), (8.0, True)]
)
def test_a_square_wave_begins_up(t: float, down: bool) -> None:  # noqa: FBT001 -- a column of the table
    assert flap_is_down(Flap(up=2.0, down=4.0), t) is down


def test_a_square_wave_is_up_again_at_the_end_of_its_period() -> None:
    assert [flap_end(Flap(up=2.0, down=4.0), t) for t in (2.0, 5.5, 8.0)] == [6.0, 6.0, 12.0]


@pytest.mark.parametrize(("t", "chance"), [(10.0, 0.5), (12.0, 0.4), (19.0, 0.05)])
def test_a_moving_chance_moves_in_a_straight_line_across_its_phase(t: float, chance: float) -> None:
    item = compiled(rule_of(), Phase(name="recovery", start=10.0, end=20.0))

    assert item.chance_at(Chance(start=0.5, end=0.0), t) == pytest.approx(chance)
