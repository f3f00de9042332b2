"""One mistake a row: where it is told, in which words, with which hint."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vifsim.errors import ScenarioError
from vifsim.scenario.schema import (
    RuleSchema,
    ScenarioSchema,
    SettingsSchema,
    WorldSchema,
    load_mapping,
    load_named,
    load_text,
    shipped_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from vifsim.errors import Problem

PHASES = "version: 1\nphases:\n  - {name: outage, from: 1s, for: 2s}\n"
"""Three lines before the rule, which is in line 5."""


def problems_of(text: str) -> list[Problem]:
    with pytest.raises(ScenarioError) as caught:
        load_text(text, source="t.yaml")
    return list(caught.value.problems)


@pytest.mark.parametrize(
    ("rule", "column", "detail", "hint"),
    [
        ("reset: true, frist: 1", 19, "unknown key frist", "did you mean first?"),
        ("reset: true, first: 0", 26, "first must be a whole number, 1 or more, not 0", ""),
        ("reset: true, first: true", 26, "first must be a whole number", ""),
        ("reset: true, first: 1.5", 26, "first must be a whole number", ""),
        ("reset: true, first: '1'", 26, "first must be a whole number", ""),
        ("reset: true, first: 99999999999999999999", 26, "first must be a whole number", ""),
        ("reset: true, first: null", 26, "first has no value", ""),
        ("reset: true, nth: [1, 3, x]", 31, "nth[2] must be a whole number", ""),
        ("reset: true, nth: []", 24, "nth must not be an empty list", ""),
        ("reset: true, every: -1", 26, "every must be a whole number", ""),
        ("reset: true, times: 0", 26, "times must be a whole number", ""),
        ("reset: true, after: 0", 26, "after must be a whole number", ""),
        ("reset: true, chance: 30", 27, "chance must be between 0 and 1", "write 0.3"),
        ("reset: true, chance: 30%", 27, "chance must be between 0 and 1", "write 0.3"),
        ("reset: true, chance: '30%'", 27, "chance must be between 0 and 1", "write 0.3"),
        ("reset: true, chance: true", 27, "chance must be between 0 and 1", ""),
        ("reset: true, chance: -1", 27, "chance must be between 0 and 1", ""),
        (
            "reset: true, chance: {from: 0, to: 1}",
            27,
            "a chance that moves needs a phase to move across",
            "add during: with the name of a phase",
        ),
        ("reset: true, chance: {from: 0}", 27, "to is missing", ""),
        ("reset: true, flap: {up: 0s, down: 1s}", 30, "up must be longer than 0s", ""),
        ("reset: true, flap: 2s", 25, "flap must be a mapping", ""),
        ("reset: true, during: outrage", 27, "there is no phase outrage", "did you mean outage?"),
        ("reset: true, during: [outage, x]", 36, "there is no phase x", ""),
        ("reset: true, between: [5s, 5s]", 28, "between can never hold", "[from, to]"),
        ("reset: true, between: [5s]", 28, "between must be a list of 2", ""),
        ("reset: true, between: [1, 2s]", 29, "between[0] needs a unit", "write 1s"),
        ("reset: true, per: usr", 24, "per must be one of rule, user", "did you mean user?"),
        ("reset: true, name: A b", 25, "name must be 1 to 64 of a-z, 0-9 and -", ""),
        ("reset: true, name: documented-3", 25, "documented-3 is the name of", "choose another"),
        (
            "reset: true, match: create_virtual_interfaces",
            26,
            "unknown operation create_virtual_interfaces",
            "did you mean create_virtual_interface?",
        ),
        (
            "reset: true, match: create-*",
            26,
            "create-* fits no operation",
            "did you mean create_*?",
        ),
        ("reset: true, match: [get_server, lst_servers]", 39, "unknown operation lst_servers", ""),
        ("reset: true, match: []", 26, "match must not be an empty list", ""),
        (
            "reset: true, match: {operaton: x}",
            27,
            "unknown key operaton",
            "did you mean operation?",
        ),
        ("reset: true, match: {tenant: 1}", 35, "tenant must be text", 'put it in quotes: "1"'),
        ("reset: true, match: {method: GTE}", 35, "method must be an HTTP method", "GET"),
        ("reset: true, match: {path: servers}", 33, "path must begin with /", "/servers"),
        ("reset: true, match: {client: {agnt: x}}", 36, "unknown key agnt", "did you mean agent?"),
        ("reset: true, match: {header: {'a b': x}}", 36, "a b is not the name of a header", ""),
        ("first: 1", 5, "a rule needs one fault", "one of latency"),
        ("statsu: 503", 6, "unknown key statsu", "did you mean status?"),
        ("reset: true, status: 503", 19, "two faults in one rule: reset and status", "two rules"),
        ("limit: 4/1m, status: 429", 19, "two faults in one rule", "write limit: {rate"),
        ("status: 200", 14, "status must be one of 400, 401", ""),
        ("status: '503'", 14, "status must be one of", ""),
        ("status: 503, retry_after: auto", 32, "retry_after: auto has no end", "add during"),
        ("status: 503, retry_after: 30", 32, "retry_after needs a unit", "write 30s"),
        (
            "status: 503, retry_after: {date: 1s, raw: x}",
            32,
            "retry_after must hold exactly one",
            "",
        ),
        ("status: 503, spread: 5s", 19, "spread belongs beside retry_after", "retry_after: 2s"),
        ("limit: 4/1m, spread: 5s", 19, "spread belongs beside retry_after", "retry_after: auto"),
        ("status: 503, retry_after: none, spread: 5s", 38, "spread needs a retry_after", ""),
        ("status: 503, body: htm", 25, "body must be one of", "did you mean html?"),
        ('status: 503, headers: {X: "a\\r\\nb"}', 32, "X must be one line of ASCII", ""),
        ("reset: true, retry_after: 1s", 19, "retry_after belongs beside status or limit", ""),
        ("hang: 1s, message: x", 16, "message belongs beside status or limit, not hang", ""),
        ("limit: 4/m", 13, "limit must be a rate such as 4/1m", "write 4/1m"),
        ("limit: 4", 13, "limit must be a rate such as 4/1m", "write 4/1m"),
        ("limit: 0/1m", 13, "limit must be a rate such as 4/1m", ""),
        ("limit: {status: 413}", 13, "rate is missing", ""),
        ("limit: 4/1m, at: after_commit", 23, "limit always comes before the effect", ""),
        ("latency: 250", 15, "latency needs a unit", "write 250s"),
        ("latency: 250 ms", 15, "latency must be a duration", "did you mean 250ms?"),
        ("latency: 5sec", 15, "latency must be a duration", "did you mean 5s?"),
        ("latency: 1d", 15, "latency must be a duration", "write 24h"),
        ("latency: 1:30", 15, "latency must be a duration such as", ""),
        ("latency: -1s", 15, "latency must be a duration such as", ""),
        ("latency: 999999h", 15, "latency must be at most 87600h", ""),
        ("latency: {uniform: [2s, 1s]}", 25, "uniform must be [shortest, longest]", ""),
        ("latency: {uniform: [1s, 2s], pareto: {min: 1s, shape: 1}}", 15, "exactly one of", ""),
        ("latency: {lognormal: {p50: 2s, p99: 1s}}", 42, "p99 must not be less than p50", ""),
        ("latency: {pareto: {min: 1s, shape: 0}}", 41, "shape must be a number above 0", ""),
        ("latency: {quantiles: {p50: 2s, p99: 1s}}", 27, "quantiles must rise", ""),
        ("latency: {quantiles: {median: 2s}}", 28, "median is not a percentile", ""),
        ("capacity: {workers: 0, service: 1s, queue: 1}", 26, "workers must be a whole number", ""),
        ("capacity: {workers: 1, queue: 0}", 16, "service is missing", ""),
        ("capacity: 4", 16, "capacity must be a mapping", ""),
        ("expire_token: false", 20, "expire_token must be true", "or leave the key out"),
        ("close: after_headers", 13, "close must be before_headers or mid_body", ""),
        ("hang: forver", 12, "hang must be a duration", ""),
        ("drip: 16", 12, "drip must be bytes a second such as 16B/s", "write 16B/s"),
        ("drip: {chunks: 1, over: 1s}", 21, "chunks must be a whole number, 2 or more", ""),
        ("truncate: 40", 16, "truncate must be a part of the body", "40% or 40B"),
        ("truncate: 140%", 16, "truncate must be a part of the body", ""),
        ("corrupt: {drop: 'a[0].id'}", 22, "drop must be keys and places", "write a.0.id"),
        ("corrupt: not-json", 15, "corrupt must be one of", "did you mean not_json?"),
        ("corrupt: {set: {a: 1, b: 2}}", 21, "set must hold exactly one path", ""),
        ("corrupt: {drop: a..b}", 22, "drop must be keys and places", ""),
        ("corrupt: {content_length: -1}", 32, "content_length must be a whole number", ""),
        ("stale: 0s", 13, "stale must be longer than 0s", ""),
        ("duplicate: {times: 1}", 25, "times must be a whole number, 2 or more", ""),
        ("reset: true, at: after", 23, "at must be before or after_commit", "after_commit"),
        ("truncate: 40%, at: before", 21, "truncate always comes after the commit", "leave it out"),
        ("drip: 16B/s, at: after_commit", 19, "drip always comes after the commit", ""),
        ("corrupt: html, at: before", 21, "corrupt always comes after the commit", ""),
        ("close: mid_body, at: before", 23, "close: mid_body always comes after the commit", ""),
        ("stale: 2s, at: before", 17, "at has no meaning beside stale", "leave it out"),
        ("duplicate: {}, at: before", 21, "at has no meaning beside duplicate", ""),
        ("keepalive_cut: true, at: before", 27, "at has no meaning beside keepalive_cut", ""),
    ],
)
def test_a_mistake_in_a_rule_is_told_at_its_place(
    rule: str, column: int, detail: str, hint: str
) -> None:
    (problem,) = problems_of(f"{PHASES}rules:\n  - {{{rule}}}\n")

    assert (problem.line, problem.column) == (5, column)
    assert detail in problem.detail
    assert hint in problem.hint
    assert bool(hint) <= bool(problem.hint)


@pytest.mark.parametrize(
    ("line", "column", "detail", "hint"),
    [
        ("nmae: x", 1, "unknown key nmae", "did you mean name?"),
        ("name: Foo", 7, "name must be 1 to 64 of a-z, 0-9 and -, not Foo", ""),
        ("seed: -1", 7, "seed must be a whole number, 0 or more", ""),
        ("seed: x", 7, "seed must be a whole number", ""),
        ("start: later", 8, "start must be load or first_call", ""),
        ("hold: 20", 7, "hold needs a unit", "write 20s"),
        ("rules: {}", 8, "rules must be a list", ""),
        ("rules: [x]", 9, "rules[0] must be a mapping", ""),
        ("rules: [null]", 9, "rules[0] has no value", ""),
        ("phases: [{name: a, from: 0s}]", 10, "for is missing", ""),
        ("phases: [{name: a, from: 0s, for: 0s}]", 35, "for must be longer than 0s", ""),
        ("phases: [{name: a, from: 0s, fro: 1s, for: 1s}]", 30, "unknown key fro", "from"),
        ("client: {keep: 1}", 10, "unknown key keep", "did you mean keeps?"),
        ("client: {fail_fast: yes}", 21, "fail_fast must be true or false", "write true"),
        ("expect: {interfaces: -1}", 22, "interfaces must be a whole number, 0 or more", ""),
        ("expect: {rules: {retries_caped: pass}}", 18, "unknown scorecard rule", "retries_capped"),
        ("expect: {rules: {no_stampede: ok}}", 31, "no_stampede must be one of pass", ""),
        ("expect: {thresholds: {max_atempts: 5}}", 23, "unknown key max_atempts", "max_attempts"),
        ("expect: {thresholds: {timeout_max: 8}}", 36, "timeout_max needs a unit", "write 8s"),
        ("world: {server: []}", 9, "unknown key server", "did you mean servers?"),
        ("world: {settings: {xml: true}}", 20, "xml is not built yet", "leave it out"),
        ("world: {settings: {profile: life}}", 29, "profile must be docs or live", "live"),
        (
            "world: {settings: {over_limit_dialect: nova}}",
            40,
            "over_limit_dialect nova is not built yet",
            "use docs",
        ),
        ("world: {servers: [{name: a, tenant: x}]}", 37, "there is no tenant x", ""),
    ],
)
def test_a_mistake_elsewhere_is_told_at_its_place(
    line: str, column: int, detail: str, hint: str
) -> None:
    (problem,) = problems_of(f"version: 1\n{line}\n")

    assert (problem.line, problem.column) == (2, column)
    assert detail in problem.detail
    assert hint in problem.hint


@pytest.mark.parametrize("version", ["2", "'1'", "1.0", "true", "[1]"])
def test_another_version_is_refused(version: str) -> None:
    (problem,) = problems_of(f"version: {version}\n")

    assert (problem.detail.startswith("version must be 1"), problem.column) == (True, 10)


def test_a_scenario_without_a_version_is_refused() -> None:
    (problem,) = problems_of("name: a\n")

    assert (problem.detail, problem.line, problem.column) == ("version is missing", 1, 1)


def test_names_of_rules_and_phases_are_given_once() -> None:
    text = (
        "version: 1\n"
        "rules:\n"
        "  - {name: a, first: 1, reset: true}\n"
        "  - {name: a, first: 2, reset: true}\n"
        "phases:\n"
        "  - {name: p, from: 0s, for: 1s}\n"
        "  - {name: p, from: 1s, for: 1s}\n"
    )

    found = [(problem.line, problem.column, problem.detail) for problem in problems_of(text)]

    assert found == [(4, 12, "there is another rule a"), (7, 12, "there is another phase p")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("reset: true", "status: 503"),
        ("match: '*', status: 503", "latency: 1s"),
        ("match: '*_server', reset: true", "match: create_server, first: 1, reset: true"),
        ("match: [create_*, delete_*], hang: 1s", "match: delete_network, limit: 4/1m"),
        ("match: {server: 'web-*'}, reset: true", "match: {server: web-1, method: GET}, hang: 1s"),
        (
            "match: {operation: get_*, tenant: '1'}, hang: 1s",
            "match: {operation: get_server, tenant: '1'}, stale: 1s",
        ),
    ],
)
def test_a_rule_that_an_earlier_one_hides_for_certain_is_an_error(first: str, second: str) -> None:
    (problem,) = problems_of(f"version: 1\nrules:\n  - {{{first}}}\n  - {{{second}}}\n")

    assert (problem.line, problem.column) == (4, 5)
    assert "this rule is never reached" in problem.detail


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("latency: 1s", "status: 503"),
        ("first: 1, reset: true", "status: 503"),
        ("chance: 0.5, reset: true", "status: 503"),
        ("times: 1, reset: true", "status: 503"),
        ("per: user, reset: true", "status: 503"),
        ("between: [0s, 1s], reset: true", "status: 503"),
        ("limit: 4/1m", "status: 503"),
        ("capacity: {workers: 1, service: 1s, queue: 0}", "status: 503"),
        ("stale: 1s", "status: 503"),
        ("expire_token: true", "status: 503"),
        ("match: create_server, reset: true", "match: create_*, status: 503"),
        ("match: {server: web-1}, reset: true", "match: create_*, status: 503"),
        ("match: {server: 'web-?'}, reset: true", "match: {server: 'web-*'}, status: 503"),
        ("match: {header: {A: x}}, reset: true", "match: {header: {A: y}}, status: 503"),
    ],
)
def test_a_rule_that_may_be_reached_is_left_alone(first: str, second: str) -> None:
    scenario = load_text(
        f"version: 1\nrules:\n  - {{{first}}}\n  - {{{second}}}\n", source="t.yaml"
    )

    assert len(scenario.rules) == 2


def test_one_mistake_hides_no_other() -> None:
    text = (
        "version: 1\n"
        "sed: 1\n"
        "world: {servers: [{name: a, networks: [nowhere]}]}\n"
        "rules:\n"
        "  - {frist: 1, reset: true, during: nowhen, at: sometime}\n"
        "  - {reset: true}\n"
        "  - {reset: true}\n"
    )

    assert [problem.detail.split()[0:3] for problem in problems_of(text)] == [
        ["unknown", "key", "sed"],
        ["there", "is", "no"],
        ["unknown", "key", "frist"],
        ["there", "is", "no"],
        ["at", "must", "be"],
        ["this", "rule", "is"],
    ]


TEXTS = [load_named(name).text for name in shipped_names()]
CHUNKS = st.sampled_from(
    [*": ,[]{}&*!|>%@`'\"#?-\n\t~", "503", "1s", "null", "true", "*a", "&a", "<<: ", "- ", "%"]
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 6)))
        text = text[:start] + draw(CHUNKS | st.text(max_size=3)) + text[end:]
    return text


@given(mutated())
def test_a_spoiled_scenario_gets_errors_with_places_and_never_a_traceback(text: str) -> None:
    problems, lines = told_by(partial(load_text, text, source="t.yaml"))

    assert all(problem.line and problem.column for problem in problems)
    assert len(lines) == len(problems)


def told_by(load: Callable[[], object]) -> tuple[tuple[Problem, ...], list[str]]:
    try:
        load()
    except ScenarioError as exc:
        return exc.problems, str(exc).splitlines()
    return (), []


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 600)
    | st.floats(allow_nan=False)
    | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.data())
def test_any_value_at_any_key_is_taken_or_refused(data: st.DataObject) -> None:
    value = data.draw(VALUES)
    documents: list[dict[str, object]] = [
        {data.draw(st.sampled_from(ScenarioSchema.keys())): value},
        {"rules": [{data.draw(st.sampled_from(RuleSchema.keys())): value}]},
        {"world": {data.draw(st.sampled_from(WorldSchema.keys())): [value]}},
        {"world": {"settings": {data.draw(st.sampled_from(SettingsSchema.keys())): value}}},
    ]

    for document in documents:
        scenario: dict[str, Any] = {"version": 1, **document}
        problems, lines = told_by(partial(load_mapping, scenario))

        assert len(lines) == len(problems)
