"""R11 to R15, each on both sides of its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scorecard.conftest import Tape

ATTACH = "create_virtual_interface"
LIST = "list_virtual_interfaces"
LOGIN = "authenticate"


def hang(tape: Tape, took: float, outcome: str) -> None:
    tape.call(LIST, None, took=took, outcome=outcome, wire="hang", by="hung")


# ── R11 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("took", "outcome", "verdict"),
    [
        (30.0, "client_gone", "pass"),
        (60.0, "client_gone", "pass"),
        (60.1, "client_gone", "fail"),
        (90.0, "server_cut", "fail"),
        (10.0, "server_cut", "not_exercised"),
    ],
)
def test_a_call_that_hangs_is_left_within_the_time(
    tape: Tape, took: float, outcome: str, verdict: str
) -> None:
    hang(tape, took, outcome)
    tape.call(LIST, after=5.0)

    assert tape.verdict("R11") == verdict


def test_a_scenario_may_ask_for_less_patience(tape: Tape) -> None:
    tape.obeys(expect={"thresholds": {"timeout_max": "8s"}})
    hang(tape, 10.0, "client_gone")
    tape.call(LIST, after=5.0)

    assert tape.verdict("R11") == "fail"


@pytest.mark.parametrize(("took", "verdict"), [(70.0, "fail"), (20.0, "not_exercised")])
def test_a_client_ended_while_it_waited_is_judged_by_how_long_it_had(
    tape: Tape, took: float, verdict: str
) -> None:
    tape.client = {"exit_code": None, "ended": "time_limit", "at": None}
    hang(tape, took, "client_gone")

    assert tape.verdict("R11") == verdict


@pytest.mark.parametrize(
    ("exit_code", "verdict"),
    [(1, "pass"), (0, "not_exercised"), (124, "not_exercised"), (137, "not_exercised")],
)
def test_a_client_that_ends_with_an_error_of_its_own_had_left_the_call(
    tape: Tape, exit_code: int, verdict: str
) -> None:
    tape.client = {"exit_code": exit_code, "ended": "by_itself", "at": None}
    hang(tape, 5.0, "client_gone")

    assert tape.verdict("R11") == verdict


def test_what_one_of_several_clients_ended_with_says_nothing_of_the_others(tape: Tape) -> None:
    tape.client = {"exit_code": 1, "ended": "by_itself", "at": None}
    tape.call(LIST, bearer="t2", conn=2)
    hang(tape, 5.0, "client_gone")

    assert tape.verdict("R11") == "not_exercised"


def test_a_client_that_asks_again_and_is_done_at_once_had_left_the_call(tape: Tape) -> None:
    hang(tape, 10.0, "client_gone")
    tape.call(LIST, after=0.005)

    assert tape.verdict("R11") == "pass"


def test_a_drip_needs_a_total_time_out(tape: Tape) -> None:
    tape.call(LIST, took=61.0, wire="drip", by="drip")

    assert tape.verdict("R11") == "fail"


# ── R12 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("operation", "delay", "took", "verdict"),
    [
        ("get_server", 3.0, 3.0, "pass"),
        ("get_server", 3.0, 1.0, "fail"),
        ("get_server", 5.1, 1.0, "not_exercised"),
        (LIST, 2.0, 1.0, "fail"),
        (LIST, 2.1, 1.0, "not_exercised"),
        ("get_server", 0.05, 0.05, "not_exercised"),
    ],
)
def test_a_slow_answer_is_worth_waiting_for(
    tape: Tape, operation: str, delay: float, took: float, verdict: str
) -> None:
    status, outcome = (200, "completed") if took >= delay else (None, "client_gone")
    tape.call(operation, status, delay=delay, took=took, outcome=outcome)
    tape.call(LIST, after=5.0)

    assert tape.verdict("R12") == verdict


def test_a_client_that_ends_while_it_waits_has_no_short_time_out(tape: Tape) -> None:
    tape.call("get_server", None, delay=3.0, took=1.0, outcome="client_gone")

    assert tape.verdict("R12") == "not_exercised"


def test_a_client_that_fails_because_of_its_short_time_out_has_one(tape: Tape) -> None:
    tape.client = {"exit_code": 1, "ended": "by_itself", "at": None}
    tape.call("get_server", None, delay=3.0, took=1.0, outcome="client_gone")

    assert tape.verdict("R12") == "fail"


def test_a_call_that_is_cancelled_with_another_has_no_short_time_out(tape: Tape) -> None:
    tape.call("get_server", None, at=0.0, took=1.0, delay=3.0, outcome="client_gone")
    tape.call(LIST, 503, at=0.5, took=0.45, conn=2)
    tape.call(LIST, at=9.0)

    assert tape.verdict("R12") == "not_exercised"


# ── R13 and R14 ──────────────────────────────────────────────────────────────────────────────────


def token_dies(tape: Tape) -> None:
    tape.call(LIST, bearer="old")
    tape.call(LIST, 401, bearer="old")


def log_in(tape: Tape, bearer: str = "new", status: int = 200) -> None:
    issued = ("created", "token", bearer) if status == 200 else None
    tape.call(LOGIN, status, bearer=None, server=None, changed=issued, tenant=None)


def test_logging_in_again_and_going_on_is_right(tape: Tape) -> None:
    token_dies(tape)
    log_in(tape)
    tape.call(LIST, bearer="new")

    assert tape.verdict("R13") == "pass"
    assert tape.verdict("R14") == "pass"


def test_nobody_who_logs_in_again_fails(tape: Tape) -> None:
    token_dies(tape)

    assert tape.verdict("R13") == "fail"


def test_using_a_dead_token_again_fails(tape: Tape) -> None:
    token_dies(tape)
    tape.call(LIST, 401, bearer="old")

    assert tape.verdict("R13") == "fail"
    assert tape.verdict("R14") == "fail"


@pytest.mark.parametrize(("repeats", "verdict"), [(4, "not_exercised"), (40, "fail")])
def test_a_client_that_was_ended_at_once_had_time_for_many_calls_but_for_no_log_in(
    tape: Tape, repeats: int, verdict: str
) -> None:
    tape.client = {"exit_code": None, "ended": "time_limit", "at": None}
    token_dies(tape)
    for _ in range(repeats):
        tape.call(LIST, 401, bearer="old", after=0.003)

    assert tape.verdict("R13") == verdict


def test_a_token_that_was_never_good_is_a_wrong_password(tape: Tape) -> None:
    tape.call(LIST, 401, bearer="guess", tenant=None)

    assert tape.verdict("R13") == "not_exercised"
    assert "bad credentials" in tape.rule("R13")["reason"]


def test_a_log_in_that_fails_is_at_least_a_try(tape: Tape) -> None:
    token_dies(tape)
    log_in(tape, status=503)

    assert tape.verdict("R13") == "not_exercised"


def test_a_call_that_was_on_its_way_does_not_reuse_a_token(tape: Tape) -> None:
    tape.call(LIST, at=0.0, bearer="old")
    tape.call(LIST, 401, at=1.0, took=0.3, bearer="old", conn=1)
    tape.call(LIST, 401, at=1.2, took=0.3, bearer="old", conn=2)
    log_in(tape)
    tape.call(LIST, bearer="new")

    assert tape.verdict("R14") == "pass"


def test_a_token_that_was_handed_out_again_is_not_dead(tape: Tape) -> None:
    token_dies(tape)
    tape.call(LOGIN, bearer=None, server=None, tenant=None)
    tape.call(LIST, bearer="old")

    assert tape.verdict("R14") == "pass"


@pytest.mark.parametrize(("logins", "verdict"), [(2, "pass"), (3, "fail")])
def test_threads_share_one_log_in(tape: Tape, logins: int, verdict: str) -> None:
    tape.call(LIST, at=0.0, bearer="old")
    for conn in range(4):
        tape.call(LIST, 401, at=1.0 + conn * 0.01, took=0.3, bearer="old", conn=conn)
    for number in range(logins):
        log_in(tape, bearer=f"new-{number}")
    tape.call(LIST, bearer="new-0")

    assert tape.verdict("R14") == verdict


# ── R15 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("logins", "verdict"), [(1, "pass"), (2, "pass"), (3, "fail")])
def test_a_token_is_kept(tape: Tape, logins: int, verdict: str) -> None:
    for number in range(logins):
        log_in(tape, bearer=f"t{number}")
        for _ in range(6 // logins):
            tape.call(LIST, bearer=f"t{number}")

    assert tape.verdict("R15") == verdict


def test_each_expiry_is_worth_a_log_in(tape: Tape) -> None:
    for number in range(4):
        log_in(tape, bearer=f"t{number}")
        tape.call(LIST, bearer=f"t{number}")
        tape.call(LIST, 401, bearer=f"t{number}")

    assert tape.verdict("R15") == "pass"


def test_clients_at_once_have_a_token_each(tape: Tape) -> None:
    for actor in range(8):
        log_in(tape, bearer=f"t{actor}")
    for _ in range(2):
        for actor in range(8):
            tape.call(LIST, bearer=f"t{actor}")

    assert tape.verdict("R15") == "pass"


def test_few_calls_say_nothing_of_a_cache(tape: Tape) -> None:
    for number in range(4):
        log_in(tape, bearer=f"t{number}")
        tape.call(LIST, bearer=f"t{number}")

    assert tape.verdict("R15") == "not_exercised"
