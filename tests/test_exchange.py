from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vifsim.errors import ControlFault
from vifsim.exchange import Arrivals, Call, call_key

IDS = st.sampled_from([None, "", "a", "b" * 300])


def call_of(
    tenant: str | None, server: str | None, network: str | None, interface: str | None, *rest: Any
) -> Call:
    """Return a call with these ids and, last, this digest of its body."""
    return Call(
        seq=1,
        id="req-1",
        operation="get_server",
        method="GET",
        path="/",
        headers={},
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


KEYS = st.lists(st.sampled_from("abcd"), max_size=30)


@given(KEYS, st.integers(0, 30))
def test_arrivals_are_counted_back_to_any_earlier_time(keys: list[str], then: int) -> None:
    arrivals, earlier = Arrivals(), Arrivals()
    for number, key in enumerate(keys):
        arrivals.count(key)
        if number < then:
            earlier.count(key)

    assert arrivals.before(earlier.total) == earlier


@given(st.lists(st.tuples(IDS, IDS, IDS, IDS, IDS), max_size=9))
def test_calls_are_counted_in_one_step_as_in_two(asked: list[tuple[str | None, ...]]) -> None:
    calls = [call_of(*ids) for ids in asked]
    one, two = Arrivals(), Arrivals()
    count = one.counting()

    numbers = [count(call) for call in calls]

    assert numbers == [two.count(call_key(call)) for call in calls]
    assert list(one.items()) == list(two.items())
    assert one.before(0) == two.before(0) == {}


def test_keys_are_forgotten_where_calls_are_counted_in_one_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vifsim.exchange.MOST_KEYS", 2)
    monkeypatch.setattr("vifsim.exchange._FORGOTTEN_AT_ONCE", 1)
    arrivals = Arrivals()
    count = arrivals.counting()

    for server in "abc":
        count(call_of("t", server, None, None, None))

    assert len(arrivals) == 2


def test_arrivals_that_came_with_a_snapshot_stay_where_others_are_counted_back() -> None:
    arrivals = Arrivals({"a": 3, "b": 1})
    arrivals.count("b")

    assert arrivals.before(0) == {"a": 3, "b": 1}


@pytest.mark.parametrize("number", [3, 4, 5, 9])
def test_what_is_further_back_than_the_log_is_refused(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr("vifsim.exchange._MOST_LOGGED", 2)
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
    monkeypatch.setattr("vifsim.exchange.MOST_KEYS", 2)
    monkeypatch.setattr("vifsim.exchange._FORGOTTEN_AT_ONCE", 1)
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

    assert (arrivals, copy) == ({"a": 1}, {"a": 2})
    assert json.loads(json.dumps(copy)) == {"a": 2}
