"""Every key of a rule, and the value that it is read into."""

from __future__ import annotations

import math
from typing import Any

import pytest

from vifsim.errors import ScenarioError
from vifsim.model import OPERATIONS
from vifsim.scenario.rule import (
    FAULT_KEYS,
    STATUSES,
    Capacity,
    Chance,
    Close,
    Corrupt,
    Distribution,
    Drip,
    Duplicate,
    ExpireToken,
    Fault,
    Flap,
    Hang,
    KeepaliveCut,
    Latency,
    Limit,
    Match,
    Reset,
    RetryAfterRule,
    Rule,
    Schedule,
    Stale,
    Status,
    Truncate,
)
from vifsim.scenario.schema import RuleSchema, load_text


def rule_of(text: str) -> Rule:
    head = "version: 1\nphases:\n  - {name: outage, from: 1s, for: 2s}\nrules:\n"
    (rule,) = load_text(f"{head}  - {{{text}}}\n", source="t.yaml").rules
    return rule


def constant(seconds: float) -> Distribution:
    return Distribution(kind="constant", values=(seconds,))


def delays(kind: Any, *values: float) -> Latency:
    return Latency(delay=Distribution(kind=kind, values=values))


FAULTS: list[tuple[str, Fault]] = [
    ("latency: 250ms", Latency(delay=constant(0.25))),
    ("latency: {uniform: [100ms, 500ms]}", delays("uniform", 0.1, 0.5)),
    ("latency: {lognormal: {p50: 80ms, p99: 900ms}}", delays("lognormal", 0.08, 0.9, math.inf)),
    ("latency: {lognormal: {p50: 1s, p99: 2s, max: 3s}}", delays("lognormal", 1, 2, 3)),
    ("latency: {pareto: {min: 1s, shape: 1.5}}", delays("pareto", 1, 1.5, math.inf)),
    ("latency: {pareto: {min: 1s, shape: 2, max: 1m}}", delays("pareto", 1, 2, 60)),
    (
        "latency: {quantiles: {p99.9: 2s, p50: 80ms}}",
        Latency(delay=Distribution(kind="quantiles", points=((0.5, 0.08), (0.999, 2.0)))),
    ),
    ("status: 503", Status(status=503)),
    ("status: 502, body: text", Status(status=502, body="text")),
    (
        "status: 503, message: Later., headers: {X-Why: no}",
        Status(status=503, message="Later.", headers=(("X-Why", "no"),)),
    ),
    ("limit: 4/1m", Limit(rate=4, window=60.0)),
    ("limit: {rate: 1000/24h, status: 429}", Limit(rate=1000, window=86400.0, status=429)),
    (
        "limit: 4/1s, message: Slow., body: xml",
        Limit(rate=4, window=1.0, message="Slow.", body="xml"),
    ),
    (
        "capacity: {workers: 2, service: 100ms, queue: 4}",
        Capacity(workers=2, service=constant(0.1), queue=4),
    ),
    (
        "capacity: {workers: 1, service: {uniform: [0s, 1s]}, queue: 0, shed: 429}",
        Capacity(
            workers=1,
            service=Distribution(kind="uniform", values=(0.0, 1.0)),
            queue=0,
            shed=429,
        ),
    ),
    ("expire_token: true", ExpireToken()),
    ("reset: true", Reset()),
    ("close: before_headers", Close(where="before_headers")),
    ("close: mid_body", Close(where="mid_body")),
    ("hang: 60s", Hang(seconds=60.0)),
    ("hang: forever", Hang(seconds=None)),
    ("drip: 16B/s", Drip(rate=16.0)),
    ("drip: {chunks: 5, over: 1s}", Drip(chunks=5, over=1.0)),
    ("truncate: 40%", Truncate(share=0.4)),
    ("truncate: 128B", Truncate(size_bytes=128)),
    ("corrupt: not_json", Corrupt(kind="not_json")),
    ("corrupt: cut_json", Corrupt(kind="cut_json")),
    ("corrupt: html", Corrupt(kind="html")),
    ("corrupt: empty_list", Corrupt(kind="empty_list")),
    (
        "corrupt: {drop: virtual_interfaces.0.id}",
        Corrupt(kind="drop", path=("virtual_interfaces", 0, "id")),
    ),
    ("corrupt: {set: {a.b: null}}", Corrupt(kind="set", path=("a", "b"), value=None)),
    ("corrupt: {set: {a: [1, {b: c}]}}", Corrupt(kind="set", path=("a",), value=[1, {"b": "c"}])),
    ("corrupt: {content_length: +10}", Corrupt(kind="content_length", surplus=10)),
    ("stale: 2s", Stale(seconds=2.0)),
    ("duplicate: {}", Duplicate()),
    ("duplicate: {times: 3, gap: 50ms, answer: last}", Duplicate(times=3, gap=0.05, answer="last")),
    ("keepalive_cut: true", KeepaliveCut()),
]


@pytest.mark.parametrize(("text", "fault"), FAULTS)
def test_a_fault_is_read_into_its_value(text: str, fault: object) -> None:
    assert rule_of(text).fault == fault


def test_every_fault_key_is_read_in_these_tests_and_is_a_key_of_a_rule() -> None:
    assert {fault.key for _, fault in FAULTS} == set(FAULT_KEYS)
    assert set(FAULT_KEYS) <= set(RuleSchema.keys())


@pytest.mark.parametrize("status", STATUSES)
def test_every_listed_status_can_be_answered(status: int) -> None:
    assert rule_of(f"status: {status}").fault == Status(status=status)


@pytest.mark.parametrize(
    ("text", "schedule"),
    [
        ("first: 2", Schedule(first=2)),
        ("nth: 3", Schedule(nth=(3,))),
        ("nth: [1, 3]", Schedule(nth=(1, 3))),
        ("every: 3, after: 2, times: 5", Schedule(every=3, after=2, times=5)),
        ("chance: 0.3", Schedule(chance=Chance(start=0.3, end=0.3))),
        ("chance: 1", Schedule(chance=Chance(start=1.0, end=1.0))),
        (
            "chance: {from: 0.0, to: 1.0}, during: outage",
            Schedule(chance=Chance(start=0.0, end=1.0), during=("outage",)),
        ),
        ("flap: {up: 2s, down: 4s}", Schedule(flap=Flap(up=2.0, down=4.0))),
        ("during: [outage]", Schedule(during=("outage",))),
        ("between: [1s, 1.5m]", Schedule(between=(1.0, 90.0))),
        ("per: interface", Schedule(per="interface")),
    ],
)
def test_a_schedule_is_read_into_its_value(text: str, schedule: Schedule) -> None:
    assert rule_of(f"{text}, reset: true").schedule == schedule


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("'*'", Match(operations=("*",))),
        ("create_*", Match(operations=("create_*",))),
        ("[get_server, unknown]", Match(operations=("get_server", "unknown"))),
        ("{}", Match()),
        (
            "{operation: create_*, method: post, path: /servers/*, tenant: '1', server: web-1}",
            Match(
                operations=("create_*",),
                methods=("POST",),
                paths=("/servers/*",),
                tenants=("1",),
                servers=("web-1",),
            ),
        ),
        (
            "{network: [public, added_*], header: {Accept: '*/xml'}, client: {agent: curl/*}}",
            Match(
                networks=("public", "added_*"), headers=(("Accept", "*/xml"),), agents=("curl/*",)
            ),
        ),
        ("{client: {address: 127.0.0.1}}", Match(addresses=("127.0.0.1",))),
    ],
)
def test_a_match_is_read_into_its_value(text: str, match: Match) -> None:
    assert rule_of(f"match: {text}, reset: true").match == match


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_can_be_matched(operation: str) -> None:
    assert rule_of(f"match: {operation}, reset: true").match.operations == (operation,)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("status: 503", None),
        ("status: 503, retry_after: none", None),
        ("status: 503, retry_after: 1m", RetryAfterRule(kind="duration", seconds=60.0)),
        ("status: 503, retry_after: {date: 30s}", RetryAfterRule(kind="date", seconds=30.0)),
        ("status: 503, retry_after: {raw: soon}", RetryAfterRule(kind="raw", text="soon")),
        ("status: 503, during: outage, retry_after: auto", RetryAfterRule(kind="auto")),
        ("status: 503, between: [0s, 1s], retry_after: auto", RetryAfterRule(kind="auto")),
        ("status: 503, flap: {up: 1s, down: 1s}, retry_after: auto", RetryAfterRule(kind="auto")),
        (
            "status: 503, retry_after: 2s, spread: 5s",
            RetryAfterRule(kind="duration", seconds=2.0, spread=5.0),
        ),
        ("limit: 4/1m", RetryAfterRule(kind="auto")),
        ("limit: 4/1m, retry_after: none", None),
        ("limit: 4/1m, retry_after: auto, spread: 1s", RetryAfterRule(kind="auto", spread=1.0)),
    ],
)
def test_retry_after_is_read_into_its_value(text: str, expected: RetryAfterRule | None) -> None:
    assert rule_of(text).retry_after == expected


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("status: 503", "before"),
        ("status: 503, at: after_commit", "after_commit"),
        ("reset: true, at: after_commit", "after_commit"),
        ("close: before_headers, at: after_commit", "after_commit"),
        ("hang: forever, at: after_commit", "after_commit"),
        ("latency: 1s, at: after_commit", "after_commit"),
        ("expire_token: true, at: after_commit", "after_commit"),
        ("limit: 4/1m, at: before", "before"),
        ("truncate: 40%", "after_commit"),
        ("drip: 16B/s", "after_commit"),
        ("corrupt: html", "after_commit"),
        ("close: mid_body", "after_commit"),
        ("stale: 1s", "before"),
    ],
)
def test_a_fault_has_its_place(text: str, at: str) -> None:
    assert rule_of(text).at == at


@pytest.mark.parametrize("at", ["before", "after_commit"])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("truncate: 40%", "truncate always comes after the commit"),
        ("drip: 16B/s", "drip always comes after the commit"),
        ("corrupt: html", "corrupt always comes after the commit"),
        ("close: mid_body", "close: mid_body always comes after the commit"),
        ("stale: 1s", "at has no meaning beside stale"),
        ("duplicate: {times: 2}", "at has no meaning beside duplicate"),
        ("keepalive_cut: true", "at has no meaning beside keepalive_cut"),
    ],
)
def test_a_place_is_refused_where_a_fault_has_only_one(text: str, why: str, at: str) -> None:
    with pytest.raises(ScenarioError, match=why):
        rule_of(f"{text}, at: {at}")


@pytest.mark.parametrize("text", ["limit: 4/1m", "capacity: {workers: 1, service: 1s, queue: 0}"])
def test_what_refuses_never_comes_after_the_commit(text: str) -> None:
    with pytest.raises(ScenarioError, match="always comes before the effect"):
        rule_of(f"{text}, at: after_commit")


@pytest.mark.parametrize(
    ("text", "per"), [("limit: 4/1m", "user"), ("limit: 4/1m, per: server", "server")]
)
def test_a_limit_counts_by_user_unless_said(text: str, per: str) -> None:
    assert rule_of(text).schedule.per == per
