from __future__ import annotations

import json
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vifsim.errors import ControlFault
from vifsim.exchange import Arrivals

KEYS = st.lists(st.sampled_from("abcd"), max_size=30)


@given(KEYS, st.integers(0, 30))
def test_arrivals_are_counted_back_to_any_earlier_time(keys: list[str], then: int) -> None:
    arrivals, earlier = Arrivals(), Arrivals()
    for number, key in enumerate(keys):
        arrivals.count(key)
        if number < then:
            earlier.count(key)

    assert arrivals.before(earlier.total) == earlier


def test_arrivals_that_came_with_a_snapshot_stay_where_others_are_counted_back() -> None:
    arrivals = Arrivals({"a": 3, "b": 1})
    arrivals.count("b")

    assert arrivals.before(0) == {"a": 3, "b": 1}


def test_what_is_further_back_than_the_log_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vifsim.exchange._MOST_LOGGED", 2)
    arrivals = Arrivals()
    for _ in range(3):
        arrivals.count("a")

    with pytest.raises(ControlFault) as refused:
        arrivals.before(0)

    assert refused.value.status == 409
    assert arrivals.before(1) == {"a": 1}


def test_a_copy_of_arrivals_counts_for_itself() -> None:
    arrivals = Arrivals({"a": 1})
    copy = deepcopy(arrivals)

    copy.count("a")

    assert (arrivals, copy) == ({"a": 1}, {"a": 2})
    assert json.loads(json.dumps(copy)) == {"a": 2}
