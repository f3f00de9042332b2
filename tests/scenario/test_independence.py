"""A call key's decisions are its own: nothing that other keys or other rules do changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from vifsim.exchange import Call, Facts
from vifsim.model import Settings
from vifsim.scenario.engine import Engine
from vifsim.scenario.schema import load_mapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vifsim.exchange import Decision

    Decisions = dict[str, list[tuple[Any, ...]]]

KEYS = ("a", "b", "c", "d")
OPERATIONS = ("create_virtual_interface", "list_virtual_interfaces")

chances = st.floats(0.05, 0.95).map(lambda chance: round(chance, 3))
schedules: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"chance": chances}),
    st.fixed_dictionaries({"per": st.just("server"), "first": st.integers(1, 4)}),
    st.fixed_dictionaries({"per": st.just("server"), "every": st.integers(1, 4)}),
    st.fixed_dictionaries({"per": st.just("server"), "nth": st.integers(1, 5), "chance": chances}),
)
faults: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"latency": {"uniform": ["1ms", "1s"]}},
        {"latency": {"lognormal": {"p50": "80ms", "p99": "900ms"}}, "at": "after_commit"},
        {"status": 503, "retry_after": "2s", "spread": "5s"},
        {"status": 500, "at": "after_commit"},
        {"reset": True},
        {"truncate": "40%"},
        {"limit": "2/1m", "per": "server"},
    ]
)


def rule_of(schedule: dict[str, Any], fault: dict[str, Any]) -> dict[str, Any]:
    return {**schedule, **fault}


some_rule = st.builds(rule_of, schedules, faults)
rules = st.lists(some_rule, min_size=1, max_size=4)
calls = st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(OPERATIONS)), max_size=40)
seeds = st.integers(0, 2**32)


def facts(server: str, operation: str) -> Facts:
    return Facts(
        call=Call(
            seq=1,
            id="",
            operation=operation,
            method="GET",
            path="/",
            headers={},
            peer="",
            conn=1,
            arrived=0.0,
            real_arrived=0.0,
            tenant="1",
            user="demo",
            server=server,
        )
    )


def told(decision: Decision) -> tuple[Any, ...]:
    """Return what makes two decisions the same; faults are compared by what they say."""
    fault = decision.fault
    again = fault.retry_after if fault else None
    delays = (decision.delay_before, decision.delay_after)
    said = (fault.status, again) if fault else None
    return decision.fired, decision.by, decision.at, delays, said, decision.wire


def decided(
    written: Sequence[dict[str, Any]], asked: Sequence[tuple[str, str]], seed: int
) -> Decisions:
    """Return what is decided for each server, in the order of its calls."""
    scenario = load_mapping({"version": 1, "rules": list(written)})
    engine = Engine(scenario.rules, seed=seed, settings=Settings())
    state = engine.new_state(0.0)
    found: Decisions = {}
    for server, operation in asked:
        decision = engine.decide(facts(server, operation), 0.0, state)
        found.setdefault(server, []).append(told(decision))
    return found


@given(rules, calls, seeds, st.randoms(use_true_random=False))
def test_no_interleaving_of_keys_changes_what_one_of_them_meets(
    written: list[dict[str, Any]], asked: list[tuple[str, str]], seed: int, order: Any
) -> None:
    servers = [server for server, _ in asked]
    order.shuffle(servers)
    waiting = {key: iter([call for call in asked if call[0] == key]) for key in KEYS}
    otherwise = [next(waiting[server]) for server in servers]

    assert decided(written, otherwise, seed) == decided(written, asked, seed)


@given(rules, calls, seeds, some_rule, st.integers(0, 4))
def test_a_rule_that_matches_other_calls_changes_nothing(
    written: list[dict[str, Any]],
    asked: list[tuple[str, str]],
    seed: int,
    stranger: dict[str, Any],
    place: int,
) -> None:
    of_another = {"match": {"server": "another"}, **stranger}
    more = [*written[:place], of_another, *written[place:]]
    among_others = [call for one in asked for call in (one, ("another", one[1]))]

    found = decided(more, among_others, seed)

    found.pop("another", None)
    assert found == decided(written, asked, seed)
