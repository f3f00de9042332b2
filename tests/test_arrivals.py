from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vifsim.arrivals import Arrivals, call_key
from vifsim.errors import ControlFault
from vifsim.exchange import PASS, Call, Facts
from vifsim.model import Settings
from vifsim.scenario import load_mapping
from vifsim.scenario.engine import Engine, plain

IDS = st.sampled_from([None, "", "a", "b" * 300])
FEW = st.sampled_from([None, "a"])


def call_of(
    tenant: str | None, server: str | None, network: str | None, interface: str | None, *rest: Any
) -> Call:
    """Return a call with these ids and, last, a digest of its body and a header."""
    return Call(
        seq=1,
        id="req-1",
        operation="get_server",
        method="GET",
        path="/",
        headers={} if rest[1] is None else {"X-Fault": rest[1]},
        peer="",
        conn=1,
        arrived=0.0,
        real_arrived=0.0,
        tenant=tenant,
        server=server,
        network=network,
        interface=interface,
        body_digest=rest[0],
    )


def facts_of(call: Call) -> Facts:
    """Return what rules see of a call where everything is named by its id."""
    return Facts(call=call, named=True, server_name=call.server, network_label=call.network)


KEYS = st.lists(st.sampled_from("abcd"), max_size=30)


@given(KEYS, st.integers(0, 30))
def test_arrivals_are_counted_back_to_any_earlier_time(keys: list[str], then: int) -> None:
    arrivals, earlier = Arrivals(), Arrivals()
    for number, key in enumerate(keys):
        arrivals.count(key)
        if number < then:
            earlier.count(key)

    assert arrivals.before(earlier.total) == earlier


RULES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "tenant": st.just("a"),
            "server": st.sampled_from(["a", "b*"]),
            "network": st.just("a"),
            "header": st.just({"X-Fault": "a"}),
        },
    ),
    min_size=1,
    max_size=3,
)


@given(RULES, st.lists(st.tuples(FEW, FEW, FEW, IDS, IDS, FEW), max_size=12))
def test_calls_that_no_rule_is_about_are_counted_as_those_that_are_decided(
    matches: list[dict[str, Any]], asked: list[tuple[str | None, ...]]
) -> None:
    rules = [{"match": match or {"method": "PUT"}, "first": 2, "status": 503} for match in matches]
    engine = Engine(load_mapping({"version": 1, "rules": rules}).rules, settings=Settings())
    short, long = engine.new_state(0.0), engine.new_state(0.0)
    passes = engine.passing("get_server", short)
    assert passes is not None

    for ids in asked:
        one, two = facts_of(call_of(*ids)), facts_of(call_of(*ids))
        decided = engine.decide(two, 0.0, long)
        if passes(one.call):
            assert decided is PASS
            assert one.call.outcome.n == two.n
        else:
            engine.decide(one, 0.0, short)

    assert plain(short) == plain(long)
    assert short["arrivals"].before(0) == {}


def test_a_call_whose_like_no_rule_was_about_needs_no_decision() -> None:
    engine = Engine(
        load_mapping({"version": 1, "rules": [{"match": {"server": "a"}, "status": 503}]}).rules,
        settings=Settings(),
    )
    state = engine.new_state(0.0)
    passes = engine.passing("get_server", state)
    assert passes is not None
    engine.decide(facts_of(call_of("t", "b", "n", None, None, None)), 0.0, state)

    known = [passes(call_of("t", server, "n", None, None, None)) for server in ("b", "b", "a")]
    engine.forget_names()

    assert known == [True, True, False]
    assert not passes(call_of("t", "b", "n", None, None, None))


@pytest.mark.parametrize(
    ("asked", "other", "meant"),
    [
        ({"header": {"X-Fault": "a"}}, (None, None), (None, "a")),
        ({"network": "n"}, ("n", None), (None, None)),
    ],
    ids=["header", "network"],
)
def test_calls_of_one_key_are_told_apart_where_a_rule_asks_for_more(
    asked: dict[str, Any], other: tuple[str | None, ...], meant: tuple[str | None, ...]
) -> None:
    rules = load_mapping({"version": 1, "rules": [{"match": asked, "status": 503}]}).rules
    engine = Engine(rules, settings=Settings())
    state = engine.new_state(0.0)
    passes = engine.passing("get_server", state)
    assert passes is not None
    network = None if "network" in asked else "n"
    no_rules = call_of("t", "s", network, None, *other)
    a_rules = call_of("t", "s", "n", None, *meant)
    engine.decide(facts_of(no_rules), 0.0, state)

    known = [passes(call) for call in (no_rules, no_rules, a_rules)]

    assert known == [True, True, False]
    assert call_key(no_rules) == call_key(a_rules)


def test_keys_that_nobody_uses_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vifsim.arrivals.MOST_KEYS", 3)
    monkeypatch.setattr("vifsim.arrivals._FORGOTTEN_AT_ONCE", 2)
    arrivals = Arrivals()

    for key in ["once", "often", "often", "c", "d", "e"]:
        arrivals.count(key)

    assert dict(arrivals) == {"often": 2, "e": 1}


def test_arrivals_that_came_with_a_snapshot_stay_where_others_are_counted_back() -> None:
    arrivals = Arrivals({"a": 3, "b": 1})
    arrivals.count("b")

    assert arrivals.before(0) == {"a": 3, "b": 1}


@pytest.mark.parametrize("number", [3, 4, 5, 9])
def test_what_is_further_back_than_the_log_is_refused(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr("vifsim.arrivals._MOST_LOGGED", 2)
    arrivals = Arrivals()
    for _ in range(number):
        arrivals.count("a")

    with pytest.raises(ControlFault) as refused:
        arrivals.before(number - 3)

    assert refused.value.status == 409
    assert arrivals.total == number
    assert arrivals.before(number - 2) == {"a": number - 2}


def test_what_came_under_a_key_that_is_forgotten_is_not_counted_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vifsim.arrivals.MOST_KEYS", 2)
    monkeypatch.setattr("vifsim.arrivals._FORGOTTEN_AT_ONCE", 1)
    arrivals = Arrivals()
    for key in "abc":
        arrivals.count(key)

    with pytest.raises(ControlFault):
        arrivals.before(0)

    assert arrivals.before(2) == {"b": 1}


def test_a_copy_of_arrivals_counts_for_itself() -> None:
    arrivals = Arrivals({"a": 1})
    copy = deepcopy(arrivals)

    copy.count("a")

    assert (dict(arrivals), dict(copy)) == ({"a": 1}, {"a": 2})


def test_a_call_is_not_taken_for_one_whose_ids_make_up_the_same_key() -> None:
    rules = load_mapping({"version": 1, "rules": [{"match": {"server": "a"}, "status": 503}]}).rules
    engine = Engine(rules, settings=Settings())
    state = engine.new_state(0.0)
    passes = engine.passing("get_server", state)
    assert passes is not None
    no_rules = call_of("t", "a|b", "c", None, None, None)
    a_rules = call_of("t", "a", "b|c", None, None, None)
    engine.decide(facts_of(no_rules), 0.0, state)

    known = [passes(call) for call in (no_rules, no_rules, a_rules)]

    assert known == [True, True, False]
    assert call_key(no_rules) == call_key(a_rules)
