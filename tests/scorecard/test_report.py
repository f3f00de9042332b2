"""Grade, score, expectations, exit codes, and several runs as one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.scenario.rule import SCORECARD_RULES
from vifsim.scorecard import CATALOGUE, Run, exit_code, score, score_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scorecard.conftest import Tape

ATTACH = "create_virtual_interface"
DETACH = "delete_virtual_interface"
LIST = "list_virtual_interfaces"


def good(tape: Tape) -> Tape:
    """A client that does seven things well."""
    tape.call(ATTACH, 503, retry_after=1.0)
    tape.call(ATTACH, None, after=1.0, outcome="server_cut", made="i1")
    tape.call(LIST)
    tape.call(DETACH, interface="i1", gone="i1")
    return tape


def test_the_catalogue_is_the_list_that_scenarios_may_name() -> None:
    assert tuple(rule.name for rule in CATALOGUE) == SCORECARD_RULES
    assert [rule.code for rule in CATALOGUE] == [f"R{number:02}" for number in range(1, 25)]


def test_every_rule_is_always_present(tape: Tape) -> None:
    document = tape.document()

    assert tuple(document["rules"]) == SCORECARD_RULES
    assert document["score"] is None
    assert document["grade"] is None
    assert all(rule["verdict"] == "not_exercised" for rule in document["rules"].values())
    assert all(rule["advice"] is None for rule in document["rules"].values())


def test_a_rule_has_the_keys_of_the_document(tape: Tape) -> None:
    tape.call(ATTACH, made="i1")

    document = tape.document()

    assert set(document) == {
        "version", "seed", "scenario", "grade", "score", "rules", "expectations",
    }  # fmt: skip
    for rule in document["rules"].values():
        assert set(rule) == {"code", "verdict", "severity", "reason", "evidence", "advice"}
        for piece in rule["evidence"]:
            assert {"entries", "tolerance", "fault"} <= set(piece)


def test_a_client_without_fault_gets_an_a(tape: Tape) -> None:
    document = good(tape).document()

    assert document["grade"] == "A"
    assert document["score"] == 1.0


def test_one_critical_failure_caps_the_grade(tape: Tape) -> None:
    good(tape)
    for number in range(3):
        tape.call(ATTACH, 409, network=f"n{number}")
    tape.call(ATTACH, made="i2", network="leaked")

    document = tape.document()

    assert document["rules"]["no_leaked_interface"]["verdict"] == "fail"
    assert document["grade"] == "D"
    assert document["score"] > 0.5


def test_the_grade_is_withheld_where_few_rules_were_exercised(tape: Tape) -> None:
    tape.call(ATTACH, made="i1")

    document = tape.document()

    assert document["grade"] is None
    assert document["score"] == 0.0


@pytest.mark.parametrize(("fail_on", "code"), [("critical", 0), ("major", 1), ("minor", 1)])
def test_the_exit_code_goes_by_the_severity_asked_for(tape: Tape, fail_on: str, code: int) -> None:
    tape.call(ATTACH, 400)
    tape.call(ATTACH, 400)

    assert exit_code(tape.document(), fail_on=fail_on) == code


def test_an_empty_run_exercised_nothing(tape: Tape) -> None:
    document = tape.document()

    assert exit_code(document) == 4
    assert exit_code(document, reached=False) == 3


# ── expectations ─────────────────────────────────────────────────────────────────────────────────


def test_an_expected_verdict_that_does_not_come_is_a_major_finding(tape: Tape) -> None:
    tape.obeys(expect={"rules": {"retry_after_honoured": "pass"}})
    tape.call(LIST, 503)
    tape.call(LIST)

    document = tape.document()

    assert document["expectations"] == [
        {
            "expect": "rules.retry_after_honoured",
            "rule": "retry_after_honoured",
            "wanted": "pass",
            "got": "not_exercised",
            "met": False,
            "severity": "major",
        }
    ]
    assert exit_code(document) == 1
    assert exit_code(document, fail_on="critical") == 0


@pytest.mark.parametrize("wanted", ["fail", "any"])
def test_a_failure_that_is_expected_does_not_count(tape: Tape, wanted: str) -> None:
    tape.obeys(expect={"rules": {"permanent_not_retried": wanted}})
    tape.call(ATTACH, 400)
    tape.call(ATTACH, 400)

    assert exit_code(tape.document()) == 0


@pytest.mark.parametrize(
    ("expect", "met"),
    [
        ({"interfaces": 1}, True),
        ({"interfaces": 0}, False),
        ({"max_requests": 2}, True),
        ({"max_requests": 1}, False),
        ({"finishes_within": "2s"}, True),
        ({"finishes_within": "100ms"}, False),
    ],
)
def test_numbers_are_expected_too(tape: Tape, expect: dict[str, Any], met: bool) -> None:  # noqa: FBT001 -- a parameter of a test
    tape.obeys(expect=expect)
    tape.call(ATTACH, made="i1")
    tape.call(LIST)

    assert [item["met"] for item in tape.document()["expectations"]] == [met]


# ── several runs ─────────────────────────────────────────────────────────────────────────────────


def test_a_rule_fails_where_it_failed_in_any_run(new_tape: Callable[[], Tape]) -> None:
    fine, bad, idle = new_tape(), new_tape(), new_tape()
    for tape, after in ((fine, 2.0), (bad, 0.5)):
        tape.call(ATTACH, 503, retry_after=2.0)
        tape.call(ATTACH, 409, after=after)

    document, cards = score_runs([fine.run(), bad.run(), idle.run()])

    rule = document["rules"]["retry_after_honoured"]
    assert rule["verdict"] == "fail"
    assert [piece["run"] for piece in rule["evidence"]] == [2]
    assert [c["rules"]["retry_after_honoured"]["verdict"] for c in cards] == [
        "pass", "fail", "not_exercised",
    ]  # fmt: skip


def test_a_rule_passes_where_it_passed_in_one_run(new_tape: Callable[[], Tape]) -> None:
    fine, idle = new_tape(), new_tape()
    fine.call(ATTACH, 503, retry_after=2.0)
    fine.call(ATTACH, 409, after=2.0)

    document, _ = score_runs([idle.run(), fine.run()])

    assert document["rules"]["retry_after_honoured"]["verdict"] == "pass"


def test_several_scenarios_have_no_one_name(new_tape: Callable[[], Tape]) -> None:
    first, second = new_tape().run(), new_tape().run()
    second = replace(second, scenario=replace(second.scenario, name="another"))

    document, _ = score_runs([first, second])

    assert document["scenario"] is None
    assert document["seed"] == 7


# ── the replay test of R06 ───────────────────────────────────────────────────────────────────────


def repeats(new_tape: Callable[[], Tape], *waits: tuple[float, ...]) -> str:
    runs: list[Run] = []
    for series in waits:
        tape = new_tape()
        tape.refused(len(series) + 1, waits=series)
        runs.append(tape.run())
    document, _ = score_runs(runs)
    return str(document["rules"]["backoff_jittered"]["verdict"])


def test_waits_that_repeat_are_computed(new_tape: Callable[[], Tape]) -> None:
    verdict = repeats(new_tape, (0.9, 0.6, 1.7), (0.91, 0.61, 1.72), (0.9, 0.62, 1.7))

    assert verdict == "fail"


def test_waits_that_differ_are_drawn(new_tape: Callable[[], Tape]) -> None:
    verdict = repeats(new_tape, (0.5, 1.0, 2.0, 4.0), (0.6, 1.4, 2.9, 3.0))

    assert verdict == "pass"


def test_three_waits_in_one_run_are_too_few(new_tape: Callable[[], Tape]) -> None:
    assert repeats(new_tape, (0.5, 1.0, 2.0)) == "not_exercised"


# ── size ─────────────────────────────────────────────────────────────────────────────────────────


def test_a_scorecard_is_a_pure_function_of_the_journal(tape: Tape) -> None:
    good(tape)
    run: Run = tape.run()

    assert score(run) == score(run)
