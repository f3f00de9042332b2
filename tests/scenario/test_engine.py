"""The engine, driven without a loop: facts, a time and a state in, a decision out."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from vifsim.draws import draw
from vifsim.exchange import PASS, Call, Decision, Facts, Look
from vifsim.model import Settings
from vifsim.scenario.documented import documented_rules
from vifsim.scenario.engine import Engine, plain
from vifsim.scenario.schema import load_mapping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vifsim.scenario.engine import State

CALL = Call(
    seq=1,
    id="req-1",
    operation="create_virtual_interface",
    method="POST",
    path="/servers/s/os-virtual-interfacesv2",
    headers=CIMultiDict({"User-Agent": "test"}),
    peer="127.0.0.1:50123",
    conn=1,
    arrived=0.0,
    real_arrived=0.0,
    user="demo",
    tenant="123456",
    token_id="t" * 32,
    server="s",
    network="n",
)


def call_of(at: float = 0.0, **changes: Any) -> Call:
    return replace(CALL, arrived=at, **changes)


@dataclass
class Machine:
    """An engine with its state, asked at times of a test's choosing."""

    engine: Engine
    state: State
    looks: list[Look] = field(default_factory=list[Look])

    def ask(self, at: float = 0.0, **changes: Any) -> Decision:
        self.looks = []
        facts = Facts(call=call_of(at, **changes))
        return self.engine.decide(facts, at, self.state, self.looks)

    def fired(self, times: Sequence[float], **changes: Any) -> list[bool]:
        return [self.ask(at, **changes) is not PASS for at in times]

    def stops(self) -> list[str | None]:
        return [look.stopped_at for look in self.looks]


def machine_of(
    *rules: Mapping[str, Any], seed: int = 0, settings: Settings | None = None, **top: Any
) -> Machine:
    scenario = load_mapping({"version": 1, "rules": list(rules), **top})
    engine = Engine(
        (*documented_rules(settings or Settings()), *scenario.rules),
        scenario.phases,
        seed=seed,
        settings=settings or Settings(),
        hold=scenario.hold,
        start=scenario.start,
    )
    return Machine(engine, engine.new_state(0.0))


def ten(machine: Machine, **changes: Any) -> str:
    """Return which of ten calls were touched, as a row of marks."""
    return "".join("x" if hit else "." for hit in machine.fired([0.0] * 10, **changes))


def retry_after(decision: Decision) -> Any:
    assert decision.fault is not None
    asked = decision.fault.retry_after
    return None if asked is None else asked.delay


# ── schedule ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("schedule", "row"),
    [
        ({}, "xxxxxxxxxx"),
        ({"first": 3}, "xxx......."),
        ({"nth": 2}, ".x........"),
        ({"nth": [1, 4, 9]}, "x..x....x."),
        ({"every": 3}, "..x..x..x."),
        ({"after": 7}, ".......xxx"),
        ({"times": 2}, "xx........"),
        ({"after": 2, "first": 5}, "..xxx....."),
        ({"every": 2, "after": 4}, ".....x.x.x"),
        ({"every": 2, "times": 2}, ".x.x......"),
        ({"chance": 0}, ".........."),
        ({"chance": 1}, "xxxxxxxxxx"),
    ],
    ids=str,
)
def test_each_count_chooses_its_calls(schedule: dict[str, Any], row: str) -> None:
    assert ten(machine_of({"status": 503, **schedule})) == row


def test_calls_that_do_not_match_do_not_count() -> None:
    machine = machine_of({"match": "create_*", "nth": 2, "status": 503})

    fired = [
        machine.ask(operation=name) is not PASS
        for name in ("create_server", "get_server", "get_server", "create_network")
    ]

    assert fired == [False, False, False, True]


def test_calls_outside_the_window_do_not_count() -> None:
    machine = machine_of({"between": ["10s", "20s"], "nth": 2, "status": 503})

    assert machine.fired([0, 5, 10, 11, 12]) == [False, False, False, True, False]


def test_calls_that_a_flap_or_a_draw_lets_pass_have_counted() -> None:
    machine = machine_of({"flap": {"up": "2s", "down": "2s"}, "first": 2, "status": 503})

    assert machine.fired([0, 3, 3]) == [False, True, False]


def test_calls_that_the_count_stops_do_not_use_up_times() -> None:
    machine = machine_of({"every": 2, "times": 1, "status": 503})

    assert machine.fired([0, 0, 0, 0]) == [False, True, False, False]


def test_a_rule_that_is_not_reached_does_not_count() -> None:
    machine = machine_of({"first": 2, "status": 503}, {"nth": 1, "status": 500})

    statuses = [decision.fault and decision.fault.status for decision in map(machine.ask, [0] * 4)]

    assert statuses == [503, 503, 500, None]


@pytest.mark.parametrize("per", ["user", "tenant", "token", "client", "server", "interface"])
def test_each_per_counts_its_own_and_no_others(per: str) -> None:
    machine = machine_of({"first": 1, "per": per, "status": 503})
    others: dict[str, dict[str, Any]] = {
        "user": {"user": "other"},
        "tenant": {"tenant": "other"},
        "token": {"token_id": "other"},
        "client": {"headers": CIMultiDict({"User-Agent": "other"})},
        "server": {"server": "other"},
        "interface": {"network": "other"},
    }

    assert machine.fired([0, 0]) == [True, False]
    assert machine.fired([0, 0], **others[per]) == [True, False]


def test_a_rule_counts_all_calls_together_unless_told_by_what() -> None:
    machine = machine_of({"first": 1, "status": 503})

    assert machine.fired([0]) == [True]
    assert machine.fired([0], user="other", tenant="other", server="other") == [False]


@pytest.mark.parametrize("per", ["user", "tenant", "token"])
def test_a_rule_keyed_by_the_caller_skips_calls_without_one(per: str) -> None:
    machine = machine_of({"first": 1, "per": per, "status": 503})

    decision = machine.ask(user=None, tenant=None, token_id=None)

    assert decision is PASS
    assert machine.state["rules"] == {}


def test_a_window_is_half_open() -> None:
    machine = machine_of({"between": ["1s", "3s"], "status": 503})

    assert machine.fired([0.99, 1.0, 2.99, 3.0]) == [False, True, True, False]


def test_a_rule_fires_only_during_its_phases() -> None:
    phases = [
        {"name": "one", "from": "1s", "for": "1s"},
        {"name": "two", "from": "4s", "for": "1s"},
    ]
    machine = machine_of({"during": ["one", "two"], "status": 503}, phases=phases)

    assert machine.fired([0, 1, 2, 4, 5]) == [False, True, False, True, False]


def test_a_flap_fires_while_it_is_down() -> None:
    machine = machine_of({"flap": {"up": "2s", "down": "4s"}, "status": 503})

    assert machine.fired([0, 1.9, 2, 5.9, 6, 8]) == [False, False, True, True, False, True]


def test_scenario_time_starts_when_the_scenario_is_loaded() -> None:
    machine = machine_of({"between": ["0s", "1s"], "status": 503})

    assert machine.fired([10, 10.5]) == [False, False]


def test_scenario_time_can_start_at_the_first_call() -> None:
    machine = machine_of({"between": ["0s", "1s"], "status": 503}, start="first_call")

    assert machine.fired([10, 10.5, 11]) == [True, True, False]


@pytest.mark.parametrize(
    ("keys", "at", "stopped"),
    [
        ({"between": ["5s", "9s"], "nth": 9}, 0, "window"),
        ({"nth": 9, "flap": {"up": "9s", "down": "1s"}}, 0, "count"),
        ({"flap": {"up": "9s", "down": "1s"}, "chance": 0}, 0, "flap"),
        ({"chance": 0, "times": 1}, 0, "chance"),
        ({"limit": "1/1m"}, 0, "count"),
        ({}, 0, None),
    ],
    ids=str,
)
def test_conditions_are_asked_in_their_order(
    keys: dict[str, Any], at: float, stopped: str | None
) -> None:
    fault = {} if "limit" in keys else {"status": 503}
    machine = machine_of({**fault, **keys})

    machine.ask(at)

    assert machine.stops() == [stopped]


def test_times_is_asked_last() -> None:
    machine = machine_of({"times": 1, "chance": 1, "status": 503})

    machine.ask()
    machine.ask()

    assert machine.stops() == ["times"]


# ── chance ───────────────────────────────────────────────────────────────────────────────────────


def test_a_chance_is_a_draw_of_the_calls_own() -> None:
    machine = machine_of({"name": "dice", "chance": 0.5, "status": 503}, seed=7)
    key = "123456|create_virtual_interface|s|n"

    fired = machine.fired([0.0] * 20)

    assert fired == [draw(7, "dice", key, n, "chance") < 0.5 for n in range(1, 21)]


def test_another_seed_draws_otherwise() -> None:
    rows = {
        ten(machine_of({"name": "dice", "chance": 0.5, "status": 503}, seed=n)) for n in range(9)
    }

    assert len(rows) > 1


def test_a_moving_chance_is_its_first_value_at_the_beginning_and_its_last_at_the_end() -> None:
    machine = machine_of(
        {"during": "decay", "chance": {"from": 0.0, "to": 1.0}, "status": 503},
        phases=[{"name": "decay", "from": "0s", "for": "10s"}],
    )

    shares = [sum(machine.fired([at] * 400)) / 400 for at in (0.0, 5.0, 9.999)]

    assert shares == [0.0, pytest.approx(0.5, abs=0.1), pytest.approx(1.0, abs=0.01)]


# ── faults and delays ────────────────────────────────────────────────────────────────────────────


def test_latencies_add_up_and_reading_goes_on() -> None:
    machine = machine_of(
        {"name": "a", "latency": "1s"},
        {"name": "b", "latency": "500ms", "at": "after_commit"},
        {"name": "c", "status": 503, "at": "after_commit"},
    )

    decision = machine.ask()

    assert decision.fired == ("a", "b", "c")
    assert (decision.by, decision.delay_before, decision.delay_after) == ("c", 1.0, 0.5)


def test_a_latency_alone_decides_nothing() -> None:
    decision = machine_of({"name": "slow", "latency": "1s"}).ask()

    assert (decision.fired, decision.by, decision.at) == (("slow",), None, "before")


@pytest.mark.parametrize(
    "fault",
    [{"status": 503}, {"reset": True}, {"hang": "1s"}, {"close": "before_headers"}],
    ids=str,
)
def test_a_call_that_never_gets_to_the_store_has_all_its_delays_before(
    fault: dict[str, Any],
) -> None:
    machine = machine_of({"latency": "1s"}, {"latency": "2s", "at": "after_commit"}, fault)

    decision = machine.ask()

    assert (decision.delay_before, decision.delay_after) == (3.0, 0.0)


@pytest.mark.parametrize(
    "latency",
    [
        {"uniform": ["100ms", "500ms"]},
        {"lognormal": {"p50": "80ms", "p99": "400ms", "max": "500ms"}},
        {"pareto": {"min": "100ms", "shape": 1.5, "max": "500ms"}},
        {"quantiles": {"p50": "80ms", "p100": "500ms"}},
    ],
    ids=str,
)
def test_a_distribution_gives_each_call_a_delay_of_its_own_within_its_bounds(
    latency: dict[str, Any],
) -> None:
    machine = machine_of({"latency": latency})

    delays = {machine.ask().delay_before for _ in range(50)}

    assert len(delays) > 25
    assert max(delays) <= 0.5


@pytest.mark.parametrize("at", ["before", "after_commit"])
def test_every_injected_answer_is_held(at: str) -> None:
    decision = machine_of({"status": 503, "at": at}, hold="250ms").ask()

    held = {"before": decision.delay_before, "after_commit": decision.delay_after}
    assert held[at] == 0.25
    assert sum(held.values()) == 0.25


@pytest.mark.parametrize(
    "fault",
    [
        {"expire_token": True},
        {"limit": {"rate": "1/1m"}},
        {"capacity": {"workers": 1, "service": "1s", "queue": 0}},
    ],
    ids=str,
)
def test_refusals_of_every_kind_are_held(fault: dict[str, Any]) -> None:
    machine = machine_of(fault, hold="250ms")
    machine.ask()

    decision = machine.ask()

    assert decision.fault is not None
    assert decision.delay_before == 0.25


def test_what_is_no_refusal_is_not_held() -> None:
    decision = machine_of({"corrupt": "not_json"}, hold="250ms").ask()

    assert (decision.delay_before, decision.delay_after) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("fault", "kind", "at"),
    [
        ({"reset": True}, "reset", "before"),
        ({"reset": True, "at": "after_commit"}, "reset", "after_commit"),
        ({"close": "before_headers"}, "close", "before"),
        ({"close": "mid_body"}, "close", "after_commit"),
        ({"hang": "60s"}, "hang", "before"),
        ({"hang": "forever", "at": "after_commit"}, "hang", "after_commit"),
        ({"drip": "16B/s"}, "drip", "after_commit"),
        ({"truncate": "40%"}, "truncate", "after_commit"),
        ({"corrupt": "html"}, "corrupt", "after_commit"),
        ({"keepalive_cut": True}, "keepalive_cut", "after_commit"),
    ],
    ids=str,
)
def test_each_wire_fault_becomes_its_effect_at_its_place(
    fault: dict[str, Any], kind: str, at: str
) -> None:
    decision = machine_of(fault).ask()

    assert decision.wire is not None
    assert (decision.wire.kind, decision.at) == (kind, at)


def test_a_stale_read_lags_and_a_write_is_not_touched() -> None:
    machine = machine_of({"stale": "2s"})

    assert machine.ask(method="GET").stale == 2.0
    assert machine.ask(method="HEAD").stale == 2.0
    assert machine.ask(method="POST") is PASS


def test_a_duplicate_says_how_often_and_whose_answer() -> None:
    again = (
        machine_of({"duplicate": {"times": 3, "gap": "50ms", "answer": "last"}}).ask().redelivery
    )

    assert again is not None
    assert (again.times, again.gap, again.answer) == (3, 0.05, "last")


def test_expire_token_before_is_a_401_and_after_the_commit_none() -> None:
    before = machine_of({"expire_token": True}).ask()
    after = machine_of({"expire_token": True, "at": "after_commit"}).ask()

    assert before.expire_token
    assert before.fault is not None
    assert before.fault.status == 401
    assert after.expire_token
    assert after.fault is None


def test_expire_token_skips_calls_without_a_token() -> None:
    assert machine_of({"expire_token": True}).ask(token_id=None) is PASS


# ── limits ───────────────────────────────────────────────────────────────────────────────────────


def test_a_window_is_opened_by_the_first_counted_call_and_its_end_never_moves() -> None:
    machine = machine_of({"limit": "2/1m"})

    refused = machine.fired([30, 40, 50, 89.9, 90, 91, 92])

    assert refused == [False, False, True, True, False, False, True]


def test_refused_calls_neither_extend_a_window_nor_count_further() -> None:
    machine = machine_of({"name": "two", "limit": "2/1m"})

    machine.fired([0, 1, 2, 3, 4])

    assert machine.state["rules"]["two"]["windows"] == {"demo": [0, 2]}


def test_a_call_refused_by_a_later_limit_has_counted_in_the_earlier_ones() -> None:
    machine = machine_of({"name": "wide", "limit": "5/1m"}, {"name": "tight", "limit": "1/1m"})

    machine.fired([0, 1, 2])

    rules = machine.state["rules"]
    assert rules["wide"]["windows"]["demo"][1] == 3
    assert rules["tight"]["windows"]["demo"][1] == 1


def test_a_call_refused_by_an_earlier_limit_does_not_count_in_the_later_ones() -> None:
    machine = machine_of({"name": "wide", "limit": "1/1m"}, {"name": "tight", "limit": "5/1m"})

    machine.fired([0, 1, 2])

    assert machine.state["rules"]["tight"]["windows"]["demo"][1] == 1


def test_a_limit_counts_by_user_unless_told_otherwise() -> None:
    machine = machine_of({"limit": "1/1m"})

    assert machine.fired([0, 0]) == [False, True]
    assert machine.fired([0, 0], user="other") == [False, True]
    assert machine.fired([0, 0], user=None) == [False, False]


@pytest.mark.parametrize("per", ["rule", "tenant", "server", "interface"])
def test_each_window_of_a_limit_tells_its_own_end(per: str) -> None:
    machine = machine_of({"limit": "1/1m", "per": per})
    others: dict[str, Any] = {"tenant": "x", "server": "x", "network": "x"}
    machine.ask(0)
    machine.ask(20, **others)

    mine = retry_after(machine.ask(30))

    assert mine == 30.0
    assert retry_after(machine.ask(30, **others)) == (30.0 if per == "rule" else 50.0)


def test_a_limit_consumes_only_inside_its_window_and_count() -> None:
    machine = machine_of({"limit": "1/1m", "between": ["10s", "20s"]})

    assert machine.fired([0, 1, 10, 11, 20]) == [False, False, False, True, False]


@pytest.mark.parametrize(
    ("status", "name", "details"),
    [
        (413, "overLimit", "Error Details..."),
        (429, "overLimit", "Error Details..."),
        (503, "", None),
    ],
)
def test_a_limit_answers_with_its_status(status: int, name: str, details: str | None) -> None:
    machine = machine_of({"limit": {"rate": "1/1m", "status": status}})
    machine.ask()

    fault = machine.ask().fault

    assert fault is not None
    assert (fault.status, fault.details) == (status, details)
    assert not name or fault.name == name
    assert fault.retry_after is not None


# ── capacity ─────────────────────────────────────────────────────────────────────────────────────


def test_workers_that_are_not_needed_cost_nothing() -> None:
    machine = machine_of({"capacity": {"workers": 10**12, "service": "1s", "queue": 0}})

    for _ in range(5):
        machine.ask()

    (counted,) = machine.state["rules"].values()
    assert len(counted["workers"]) == 5


def test_workers_serve_at_once_the_queue_waits_and_the_rest_is_shed() -> None:
    machine = machine_of({"capacity": {"workers": 2, "service": "1s", "queue": 2, "shed": 503}})

    decisions = [machine.ask(0) for _ in range(6)]

    assert [decision.delay_before for decision in decisions] == [1.0, 1.0, 2.0, 2.0, 0.0, 0.0]
    assert [decision.fault and decision.fault.status for decision in decisions] == [
        None,
        None,
        None,
        None,
        503,
        503,
    ]


def test_a_queue_empties_as_its_calls_are_served() -> None:
    machine = machine_of({"capacity": {"workers": 1, "service": "1s", "queue": 1}})

    delays = [machine.ask(at).delay_before for at in (0.0, 0.5, 0.75, 1.0, 1.5, 9.0)]

    assert delays == [1.0, 1.5, 0.0, 2.0, 0.0, 1.0]


def test_a_served_call_is_read_on_by_the_rules_below() -> None:
    machine = machine_of(
        {"name": "busy", "capacity": {"workers": 1, "service": "1s", "queue": 9}},
        {"name": "down", "status": 500},
    )

    decision = machine.ask()

    assert (decision.fired, decision.by, decision.delay_before) == (("busy", "down"), "down", 1.0)


# ── retry_after ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("keys", "at", "seconds"),
    [
        ({"between": ["1s", "9s"]}, 2.0, 7.0),
        ({"flap": {"up": "2s", "down": "4s"}}, 3.0, 3.0),
        ({"flap": {"up": "2s", "down": "4s"}, "between": ["0s", "5s"]}, 3.0, 2.0),
        ({"during": "one"}, 2.0, 1.0),
        ({"during": ["one", "two"]}, 2.0, 4.0),
    ],
    ids=str,
)
def test_auto_is_the_time_until_the_rule_no_longer_holds(
    keys: dict[str, Any], at: float, seconds: float
) -> None:
    phases = [
        {"name": "one", "from": "0s", "for": "3s"},
        {"name": "two", "from": "3s", "for": "3s"},
    ]
    machine = machine_of({"status": 503, "retry_after": "auto", **keys}, phases=phases)

    assert retry_after(machine.ask(at)) == seconds


def test_auto_is_told_when_the_answer_leaves() -> None:
    machine = machine_of({"latency": "1s"}, {"limit": "1/1m"}, hold="500ms")
    machine.ask(0)

    assert retry_after(machine.ask(10)) == 48.5


def test_auto_is_never_negative() -> None:
    machine = machine_of(
        {"latency": "10s"}, {"status": 503, "between": ["0s", "5s"], "retry_after": "auto"}
    )

    assert retry_after(machine.ask(1)) == 0.0


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_auto_has_the_form_of_the_profile_and_a_duration_always_seconds(form: Any) -> None:
    settings = Settings(retry_after=form)
    keys = {"status": 503, "between": ["0s", "5s"]}
    auto = machine_of({**keys, "retry_after": "auto"}, settings=settings).ask().fault
    plain = machine_of({**keys, "retry_after": "2s"}, settings=settings).ask().fault

    assert auto is not None
    assert auto.retry_after is not None
    assert auto.retry_after.form == form
    assert plain is not None
    assert plain.retry_after is not None
    assert plain.retry_after.form == "seconds"


@pytest.mark.parametrize(
    ("asked", "form", "delay", "text"),
    [
        ("2500ms", "seconds", 2.5, ""),
        ({"date": "30s"}, "date", 30.0, ""),
        ({"raw": "soon"}, "raw", None, "soon"),
    ],
    ids=str,
)
def test_each_form_of_retry_after(asked: Any, form: str, delay: float | None, text: str) -> None:
    fault = machine_of({"status": 503, "retry_after": asked}).ask().fault

    assert fault is not None
    assert fault.retry_after is not None
    found = fault.retry_after
    assert (found.form, found.delay, found.text) == (form, delay, text)


def test_none_and_left_out_send_no_retry_after() -> None:
    limited = machine_of({"limit": "1/1m", "retry_after": "none"})
    limited.ask()

    assert retry_after(limited.ask()) is None
    assert retry_after(machine_of({"status": 503}).ask()) is None


def test_spread_is_a_draw_of_each_calls_own_on_top() -> None:
    machine = machine_of({"status": 503, "retry_after": "2s", "spread": "5s"})

    delays = {retry_after(machine.ask()) for _ in range(50)}

    assert len(delays) == 50
    assert all(2.0 <= delay <= 7.0 for delay in delays)
    assert max(delays) - min(delays) > 3.0


@pytest.mark.parametrize("status", [413, 429])
def test_over_limit_with_a_time_says_so_and_without_is_another_answer(status: int) -> None:
    timed = machine_of({"status": status, "retry_after": "2s"}).ask().fault
    bare = machine_of({"status": status}).ask().fault

    assert timed is not None
    assert bare is not None
    assert (timed.message, timed.details) == ("OverLimit Retry...", "Error Details...")
    assert bare.details is None
    assert bare.retry_after is None


def test_a_message_headers_and_form_of_the_rules_own_are_taken() -> None:
    keys = {"message": "gone fishing", "headers": {"X-Why": "fish"}, "body": "text"}

    fault = machine_of({"status": 502, **keys}).ask().fault

    assert fault is not None
    assert (fault.message, dict(fault.headers), fault.body) == (
        "gone fishing",
        {"X-Why": "fish"},
        "text",
    )


@pytest.mark.parametrize(("status", "body"), [(500, "fault"), (502, "html"), (504, "html")])
def test_what_a_gateway_would_say_is_a_page(status: int, body: str) -> None:
    fault = machine_of({"status": status}).ask().fault

    assert fault is not None
    assert fault.body == body


# ── documented limits ────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def documented() -> Machine:
    return machine_of(settings=Settings(rate_limits="documented"))


def test_the_fifth_create_of_a_minute_is_over_the_limit(documented: Machine) -> None:
    decisions = [documented.ask(at) for at in range(5)]

    assert decisions[3] is PASS
    assert decisions[4].by == "documented-6"
    assert retry_after(decisions[4]) == 56.0


def test_a_refused_create_still_counts_for_the_less_specific_limits(documented: Machine) -> None:
    for at in range(6):
        documented.ask(at)

    used = {id_: rule["windows"]["demo"][1] for id_, rule in documented.state["rules"].items()}
    assert used == {"documented-3": 6, "documented-5": 6, "documented-6": 4}


def test_calls_without_a_user_and_deletes_are_not_limited(documented: Machine) -> None:
    documented.ask(user=None)
    documented.ask(operation="delete_virtual_interface", method="DELETE")
    documented.ask(operation="get_limits", method="GET")

    assert documented.state["rules"] == {}


def test_what_is_left_of_each_limit_is_told(documented: Machine) -> None:
    for at in range(5):
        documented.ask(at)

    rates = documented.engine.remaining("demo", 5.0, documented.state)

    assert [(rate.value, rate.remaining, rate.next_available) for rate in rates] == [
        (1000, 1000, 0.0),
        (25, 25, 0.0),
        (100, 95, 0.0),
        (100, 100, 0.0),
        (1000, 995, 0.0),
        (4, 0, 55.0),
    ]


def test_a_window_that_is_over_leaves_everything(documented: Machine) -> None:
    documented.ask(0)

    rates = documented.engine.remaining("demo", 60.0, documented.state)

    assert [rate.remaining for rate in rates] == [1000, 25, 100, 100, 999, 4]


def test_limits_that_are_not_enforced_are_whole() -> None:
    machine = machine_of()
    machine.ask()

    assert all(
        rate.remaining == rate.value for rate in machine.engine.remaining("demo", 0, machine.state)
    )


def test_the_limit_on_interfaces_can_count_by_server() -> None:
    machine = machine_of(settings=Settings(rate_limits="documented", vif_limit_scope="server"))

    assert machine.fired([0] * 5) == [False] * 4 + [True]
    assert machine.fired([0] * 5, server="other") == [False] * 4 + [True]


# ── explain ──────────────────────────────────────────────────────────────────────────────────────


def test_explain_says_for_each_rule_why_and_leaves_the_state_alone() -> None:
    machine = machine_of(
        {"name": "others", "match": "get_*", "status": 500},
        {"name": "elsewhere", "match": {"server": "db-*"}, "status": 500},
        {"name": "later", "between": ["5s", "6s"], "status": 500},
        {"name": "ninth", "nth": 9, "status": 500},
        {"name": "up", "flap": {"up": "9s", "down": "1s"}, "status": 500},
        {"name": "rare", "chance": 0, "status": 500},
        {"name": "tight", "limit": "4/1m"},
        {"name": "slow", "latency": "1s"},
        {"name": "down", "first": 1, "status": 503},
        {"name": "never", "status": 500, "match": {"method": "POST"}},
    )
    before = deepcopy(machine.state)

    looks = machine.engine.explain(Facts(call=CALL), 0.0, machine.state)

    assert machine.state == before
    assert [(look.rule, look.stopped_at, look.detail) for look in looks] == [
        (
            "others",
            "match",
            "operation is create_virtual_interface, the rule asks for get_*",
        ),
        ("elsewhere", "match", "server is s, the rule asks for db-*"),
        ("later", "window", "scenario time is 0 s, the rule holds between 5s, 6s"),
        ("ninth", "count", "call number 1 of its count, the rule asks for nth 9"),
        ("up", "flap", "the square wave is up at scenario time 0 s"),
        ("rare", "chance", "the draw is not below the chance"),
        ("tight", "count", "call 1 of the 4 that its window allows"),
        ("slow", None, "fired: latency 1s"),
        ("down", None, "fired: status 503"),
        ("never", "not_reached", "an earlier rule decided"),
    ]


def test_explain_of_a_draw_has_the_number_and_what_it_was_held_against() -> None:
    machine = machine_of({"name": "rare", "chance": 0.0, "status": 500}, seed=3)

    (look,) = machine.engine.explain(Facts(call=CALL), 0.0, machine.state)

    expected = draw(3, "rare", "123456|create_virtual_interface|s|n", 1, "chance")
    assert (look.number, look.bound) == (expected, 0.0)


def test_explain_says_when_times_are_used_up() -> None:
    machine = machine_of({"times": 1, "status": 500})
    machine.ask()

    (look,) = machine.engine.explain(Facts(call=CALL), 0.0, machine.state)

    assert (look.stopped_at, look.detail) == ("times", "it has fired 1 times already")


def test_explain_says_when_a_fault_has_no_meaning_for_a_call() -> None:
    machine = machine_of({"stale": "1s"})

    (look,) = machine.engine.explain(Facts(call=CALL), 0.0, machine.state)

    assert (look.stopped_at, look.detail) == ("match", "stale has no meaning for this call")


def test_a_rule_that_came_after_the_call_says_so() -> None:
    (look,) = machine_of({"status": 500}).engine.all_looks(Facts(call=CALL), [])

    assert (look.stopped_at, look.detail) == ("not_reached", "the rule came after the call")


def test_rules_that_never_fired_are_told_with_what_stopped_them() -> None:
    machine = machine_of(
        {"name": "fires", "match": "create_*", "first": 1, "status": 503},
        {"name": "gets", "match": "get_*", "status": 500},
        {"name": "ninth", "nth": 9, "status": 500},
    )
    for _ in range(3):
        machine.ask()

    assert machine.engine.never_fired(machine.state) == [
        ("gets", {"match": 3}),
        ("ninth", {"not_reached": 1, "count": 2}),
    ]


# ── the same every time ──────────────────────────────────────────────────────────────────────────

_KEYS = st.sampled_from(["a", "b", "c"])
_RULE: dict[str, Any] = {
    "name": "dice",
    "match": "create_*",
    "chance": 0.5,
    "per": "interface",
    "status": 503,
}
_EXTRA: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({"latency": {"uniform": ["1ms", "9ms"]}}),
    st.just({"match": "get_*", "chance": 0.5, "status": 500}),
    st.just({"chance": 0.3, "latency": "1s"}),
    st.just({"limit": "900/1m"}),
)
_EVERYTHING: tuple[dict[str, Any], ...] = (
    {"latency": {"lognormal": {"p50": "80ms", "p99": "900ms"}}},
    {"match": "create_*", "first": 2, "per": "interface", "status": 503, "retry_after": "1s"},
    {"limit": "7/10s", "per": "tenant", "spread": "2s", "retry_after": "auto"},
    {"flap": {"up": "2s", "down": "1s"}, "chance": 0.4, "times": 5, "status": 500},
    {"match": "create_*", "capacity": {"workers": 1, "service": "400ms", "queue": 1}},
    {"every": 3, "reset": True},
)


def shown(decision: Decision) -> Any:
    """Return what a decision says, without the identity of its fault."""
    fault = decision.fault
    told = None if fault is None else (fault.status, fault.message, fault.retry_after)
    return replace(decision, fault=None), told


def by_key(machine: Machine, order: Sequence[str]) -> dict[str, list[Any]]:
    """Return the decisions of each key in the order of its own calls."""
    found: dict[str, list[Any]] = {}
    for server in order:
        found.setdefault(server, []).append(shown(machine.ask(server=server)))
    return found


@given(order=st.lists(_KEYS, max_size=24), data=st.data(), seed=st.integers(0, 9))
def test_interleavings_never_change_the_decisions_of_a_key(
    order: list[str], data: st.DataObject, seed: int
) -> None:
    rules = (
        {"latency": {"uniform": ["1ms", "9ms"]}},
        {"first": 2, "per": "interface", "status": 500},
        {"limit": "5/1m", "per": "interface"},
        _RULE,
    )
    other_order: list[str] = data.draw(st.permutations(order))

    decided = by_key(machine_of(*rules, seed=seed), order)

    assert by_key(machine_of(*rules, seed=seed), other_order) == decided


@given(extra=st.lists(_EXTRA, max_size=4), place=st.integers(0, 4), seed=st.integers(0, 99))
def test_adding_a_rule_changes_no_others_draws(
    extra: list[dict[str, Any]], place: int, seed: int
) -> None:
    rules = [*extra[:place], _RULE, *extra[place:]]

    alone = [machine.ask().by for machine in [machine_of(_RULE, seed=seed)] for _ in range(12)]
    amid = [machine.ask().by for machine in [machine_of(*rules, seed=seed)] for _ in range(12)]

    assert [by == "dice" for by in amid] == [by == "dice" for by in alone]


def test_a_rule_without_a_name_draws_by_its_text_and_not_by_its_place() -> None:
    rule = {key: value for key, value in _RULE.items() if key != "name"}
    alone = machine_of(rule)
    after = machine_of({"match": "get_*", "status": 500}, rule)

    assert ten(after) == ten(alone)


def test_equal_rules_draw_each_for_itself() -> None:
    rule = {"chance": 0.5, "latency": "1s"}
    machine = machine_of(rule, rule)

    pairs = {tuple(machine.ask().fired) for _ in range(40)}

    assert len(pairs) == 4


@given(
    calls=st.lists(st.tuples(_KEYS, st.floats(0, 3), st.booleans()), max_size=24),
    seed=st.integers(0, 9),
)
def test_the_state_is_plain_json_and_a_round_trip_changes_nothing(
    calls: list[tuple[str, float, bool]], seed: int
) -> None:
    machines = [machine_of(*_EVERYTHING, seed=seed) for _ in range(2)]
    now = 0.0

    for server, pause, reads in calls:
        now += pause
        changes = {"operation": "get_server", "method": "GET"} if reads else {}
        kept, carried = (shown(machine.ask(now, server=server, **changes)) for machine in machines)
        assert carried == kept
        machines[1].state = json.loads(json.dumps(plain(machines[1].state)))
        assert plain(machines[1].state) == plain(machines[0].state)


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "x"},
        {"operation": "get_server"},
        {"server": "x"},
        {"network": "x"},
        {"network": None, "interface": "x"},
        {"network": None, "body_digest": "x"},
    ],
    ids=str,
)
def test_each_call_key_counts_its_own_arrivals(other: dict[str, Any]) -> None:
    machine = machine_of({"status": 503})
    numbers: list[int] = []

    for call in (CALL, CALL, call_of(**other), CALL):
        facts = Facts(call=call)
        machine.engine.decide(facts, 0.0, machine.state)
        numbers.append(facts.n)

    assert numbers == [1, 2, 1, 3]
