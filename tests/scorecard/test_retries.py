"""R01 to R07 and R18, each on both sides of its lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scorecard.conftest import Tape

ATTACH = "create_virtual_interface"
DETACH = "delete_virtual_interface"
LIST = "list_virtual_interfaces"


# ── R01 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("waited", "verdict"), [(2.0, "pass"), (1.96, "pass"), (1.94, "fail"), (0.5, "fail")]
)
def test_a_told_wait_may_be_shorter_by_the_tolerance_only(
    tape: Tape, waited: float, verdict: str
) -> None:
    tape.call(ATTACH, 413, retry_after=2.0, by="limit", fault=413)
    tape.call(ATTACH, after=waited)

    assert tape.verdict("R01") == verdict


def test_a_date_leaves_a_second_of_room(tape: Tape) -> None:
    tape.call(ATTACH, 413, retry_after=4.3)
    tape.call(ATTACH, after=3.4)

    assert tape.verdict("R01") == "pass"


def test_the_evidence_of_a_short_wait_says_what_was_compared(tape: Tape) -> None:
    tape.call(ATTACH, 413, retry_after=2.0, by="four-a-minute", fault=413)
    tape.call(ATTACH, after=0.529)

    rule = tape.rule("R01")

    assert rule["reason"] == "told to wait 2 s, came back after 0.529 s"
    assert rule["evidence"] == [
        {
            "entries": [1, 2],
            "told": 2.0,
            "waited": 0.529,
            "tolerance": 0.05,
            "fault": "four-a-minute",
        }
    ]
    assert rule["advice"]


def test_giving_up_where_one_was_told_to_wait_is_lawful(tape: Tape) -> None:
    tape.call(ATTACH, 413, retry_after=2.0)
    tape.call(LIST)

    assert tape.verdict("R01") == "not_exercised"
    assert "lawful" in tape.rule("R01")["reason"]


@pytest.mark.parametrize("told", [0.0, 3601.0])
def test_a_wait_of_nothing_or_beyond_reason_may_be_ignored(tape: Tape, told: float) -> None:
    tape.call(ATTACH, 503, retry_after=told)
    tape.call(ATTACH, after=0.3)

    assert tape.verdict("R01") == "not_exercised"


def test_a_wait_of_nothing_is_no_licence_for_a_hot_loop(tape: Tape) -> None:
    for _ in range(4):
        tape.call(ATTACH, 503, after=0.003, retry_after=0.0)

    assert tape.verdict("R01") == "fail"


def test_the_last_failure_says_how_long_to_wait(tape: Tape) -> None:
    tape.call(ATTACH, 503, retry_after=9.0)
    tape.call(ATTACH, 503, after=9.0, retry_after=1.0)
    tape.call(ATTACH, after=1.0)

    assert tape.verdict("R01") == "pass"


def test_oversleeping_passes_with_a_note(tape: Tape) -> None:
    tape.call(ATTACH, 503, retry_after=1.0)
    tape.call(ATTACH, after=9.0)

    assert "overslept" in tape.rule("R01")["reason"]
    assert tape.verdict("R01") == "pass"


def test_another_create_under_a_users_limit_does_not_wait_either(tape: Tape) -> None:
    tape.obeys(rules=[{"name": "limit", "match": "create_*", "limit": "4/1m", "per": "user"}])
    tape.call(ATTACH, 413, retry_after=30.0, by="limit", fault=413)
    tape.call(ATTACH, 413, retry_after=29.0, by="limit", fault=413, server="web-2")

    assert tape.verdict("R01") == "fail"


def test_a_call_that_the_limit_does_not_match_need_not_wait(tape: Tape) -> None:
    tape.obeys(rules=[{"name": "limit", "match": "create_*", "limit": "4/1m", "per": "user"}])
    tape.call(ATTACH, 413, retry_after=30.0, by="limit", fault=413)
    tape.call(LIST)

    assert tape.verdict("R01") == "not_exercised"


def test_a_limit_for_each_server_says_nothing_of_another_server(tape: Tape) -> None:
    tape.obeys(rules=[{"name": "limit", "match": "create_*", "limit": "4/1m", "per": "server"}])
    tape.call(ATTACH, 413, retry_after=30.0, by="limit", fault=413)
    tape.call(ATTACH, server="web-2", made="i1")

    assert tape.verdict("R01") == "not_exercised"


def test_another_process_cannot_know_what_this_one_was_told(tape: Tape) -> None:
    tape.obeys(rules=[{"name": "limit", "match": "create_*", "limit": "4/1m", "per": "user"}])
    tape.call(ATTACH, 413, retry_after=30.0, by="limit", fault=413)
    tape.call(ATTACH, 413, retry_after=29.0, by="limit", fault=413, bearer="t2", conn=2)
    tape.call(ATTACH, after=30.0)

    assert tape.verdict("R01") == "pass"


def test_threads_that_begin_together_are_not_the_one_that_was_told_to_wait(tape: Tape) -> None:
    tape.call(LIST, 413, at=0.0, took=0.02, retry_after=2.0, conn=1)
    tape.call(LIST, at=0.01, took=0.02, conn=2)
    tape.call(LIST, at=0.04, took=0.002, conn=3)
    tape.call(LIST, at=2.1, conn=4)

    assert tape.verdict("R01") == "not_exercised"
    assert "1 or more actors" in tape.rule("R01")["reason"]


def test_a_thread_with_a_connection_of_its_own_is_told_from_one_that_comes_later(
    tape: Tape,
) -> None:
    tape.call(ATTACH, 413, at=0.0, retry_after=3.0, conn=1)
    tape.call(ATTACH, 409, at=1.5, conn=2)
    tape.call(LIST, at=3.1, conn=1)

    assert tape.verdict("R01") == "not_exercised"


def test_threads_that_never_wait_as_told_fail_all_the_same(tape: Tape) -> None:
    for wave in range(4):
        for actor in range(3):
            moment = 0.6 * wave + 0.005 * actor
            tape.call(LIST, 413, at=moment, took=0.02, retry_after=2.0, conn=3 * wave + actor)

    assert tape.verdict("R01") == "fail"


def test_documented_limits_are_a_users(tape: Tape) -> None:
    tape.call(ATTACH, 413, retry_after=30.0, by="documented-6", fault=413)
    tape.call(ATTACH, server="web-2", made="i1", by="documented-6")

    assert tape.verdict("R01") == "fail"


def test_two_actors_told_different_times_are_not_mixed_up(tape: Tape) -> None:
    tape.call(ATTACH, 503, at=0.0, took=0.1, retry_after=2.0, conn=1)
    tape.call(ATTACH, 503, at=0.05, took=0.1, retry_after=1.0, conn=2)
    tape.call(ATTACH, 409, at=1.2, conn=2)
    tape.call(ATTACH, 409, at=2.2, conn=1)

    assert tape.verdict("R01") != "fail"


def test_on_a_scaled_clock_the_clients_own_seconds_count(tape: Tape) -> None:
    tape.clock, tape.speed = "scaled", 60.0
    tape.call(ATTACH, 413, at=0.0, retry_after=1.0, real=(0.0, 0.001))
    tape.call(ATTACH, at=70.0, real=(1.1, 1.101))

    assert tape.verdict("R01") == "pass"


def test_on_a_standing_clock_what_a_test_moved_counts_as_waited(tape: Tape) -> None:
    tape.clock = "manual"
    tape.call(ATTACH, 413, at=0.0, took=0.0, retry_after=30.0, real=(0.0, 0.001))
    tape.call(ATTACH, at=30.0, took=0.0, real=(0.002, 0.003))

    assert tape.verdict("R01") == "pass"


# ── R02 ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_refused_create_is_tried_again(tape: Tape) -> None:
    tape.call(ATTACH, 503)
    tape.call(ATTACH, made="i1")

    assert tape.verdict("R02") == "pass"


def test_a_refused_create_that_is_dropped_fails(tape: Tape) -> None:
    tape.call(ATTACH, 503)

    assert tape.verdict("R02") == "fail"


@pytest.mark.parametrize("status", [500, 502, None])
def test_a_create_that_may_have_happened_is_left_to_the_other_rules(
    tape: Tape, status: int | None
) -> None:
    tape.call(ATTACH, status, outcome="completed" if status else "server_cut")

    assert tape.verdict("R02") == "not_exercised"


def test_a_list_that_was_cut_is_worth_another_try(tape: Tape) -> None:
    tape.call(LIST, None, outcome="server_cut")

    assert tape.verdict("R02") == "fail"


def test_looking_what_became_of_a_create_is_as_good_as_a_retry(tape: Tape) -> None:
    tape.call(ATTACH, 503, made="i1")
    tape.call(LIST)
    tape.call(DETACH, interface="i1", gone="i1")

    assert tape.verdict("R02") == "not_exercised"


def test_the_slower_of_two_hedged_calls_was_not_tried_again(tape: Tape) -> None:
    tape.call(LIST, at=0.0, took=2.0)
    tape.call(LIST, None, at=0.3, took=1.701, outcome="client_gone", conn=2)
    tape.call(LIST, at=2.2)

    assert tape.verdict("R02") == "not_exercised"


def test_a_client_that_fails_fast_by_design_is_not_blamed(tape: Tape) -> None:
    tape.obeys(client={"fail_fast": True})
    tape.call(LIST, 503)

    assert tape.verdict("R02") == "not_exercised"


def test_a_client_that_was_ended_may_have_meant_to_try_again(tape: Tape) -> None:
    tape.client = {"exit_code": None, "ended": "time_limit", "at": None}
    tape.call(LIST, 503)

    assert tape.verdict("R02") == "not_exercised"


def test_a_poll_that_fails_last_is_no_call_given_up(tape: Tape) -> None:
    for _ in range(4):
        tape.call(LIST, after=1.0)
    tape.call(LIST, 503, after=1.0)

    assert tape.verdict("R02") == "not_exercised"


def test_too_large_is_not_worth_a_retry(tape: Tape) -> None:
    tape.call(ATTACH, 413)

    assert tape.verdict("R02") == "not_exercised"


# ── R03 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("attempts", "verdict"), [(2, "pass"), (10, "pass"), (11, "fail")])
def test_ten_attempts_are_enough_for_anybody(tape: Tape, attempts: int, verdict: str) -> None:
    tape.refused(attempts)

    assert tape.verdict("R03") == verdict


def test_a_call_that_succeeds_in_time_says_nothing_of_the_cap(tape: Tape) -> None:
    tape.refused(3)
    tape.call(ATTACH, made="i1")

    assert tape.verdict("R03") == "not_exercised"


def test_a_late_success_does_not_excuse_eleven_failures(tape: Tape) -> None:
    tape.refused(11)
    tape.call(ATTACH, made="i1")

    assert tape.verdict("R03") == "fail"


def test_a_client_ended_with_few_attempts_may_be_slow_or_endless(tape: Tape) -> None:
    tape.client = {"exit_code": None, "ended": "time_limit", "at": None}
    tape.refused(4)

    assert tape.verdict("R03") == "not_exercised"


def test_a_client_that_had_long_given_up_when_it_was_ended_passes(tape: Tape) -> None:
    tape.client = {"exit_code": None, "ended": "time_limit", "at": 60.0}
    tape.refused(3)

    assert tape.verdict("R03") == "pass"


def test_a_crowd_that_asks_once_each_is_no_endless_retry(tape: Tape) -> None:
    for number in range(60):
        tape.call(LIST, 503, at=0.008 * number, took=0.02, conn=number)

    assert tape.verdict("R03") == "not_exercised"


def test_a_short_silence_before_a_client_is_ended_is_no_giving_up(tape: Tape) -> None:
    tape.client = {"exit_code": None, "ended": "time_limit", "at": 3.1}
    tape.refused(5, waits=(0.003,) * 4)

    assert tape.verdict("R03") == "not_exercised"
    assert tape.verdict("R18") == "not_exercised"


def test_a_client_that_went_on_to_another_call_has_given_up_the_first(tape: Tape) -> None:
    tape.client = {"exit_code": None, "ended": "time_limit", "at": 6.0}
    tape.refused(5, waits=(0.2,) * 4)
    tape.call("get_server")

    assert tape.verdict("R03") == "pass"


def test_a_cap_can_be_set_by_the_scenario(tape: Tape) -> None:
    tape.obeys(expect={"thresholds": {"max_attempts": 3}})
    tape.refused(4)

    assert tape.verdict("R03") == "fail"


@pytest.mark.parametrize(("late", "verdict"), [(0.0, "pass"), (0.05, "not_exercised")])
def test_what_a_busy_machine_may_have_done_to_the_waits_is_no_jitter(
    tape: Tape, late: float, verdict: str
) -> None:
    for after in (0.0, 0.25, 0.7, 1.0, 2.2):
        tape.call(ATTACH, 503, after=after, took=0.02 + late, delay=0.02, by="down", fault=503)

    assert tape.verdict("R06") == verdict


def test_a_poll_through_an_outage_is_no_endless_retry(tape: Tape) -> None:
    for _ in range(5):
        tape.call(LIST, after=1.0)
    for _ in range(20):
        tape.call(LIST, 503, after=1.0, by="down")

    assert tape.verdict("R03") == "not_exercised"
    assert tape.verdict("R05") == "not_exercised"


def test_waiting_for_a_thing_to_appear_is_no_endless_retry(tape: Tape) -> None:
    for _ in range(15):
        tape.call("get_server", 404, after=0.5)

    assert tape.verdict("R03") == "not_exercised"


def test_a_library_that_sends_again_by_itself_counts_once(tape: Tape) -> None:
    for number in range(8):
        tape.call("get_server", conn=number)
        tape.call(LIST, None, outcome="server_cut", conn=number, after=1.0)
        tape.call(LIST, None, outcome="server_cut", conn=number + 1, after=0.001)

    assert tape.verdict("R03") == "pass"
    assert tape.verdict("R04") == "pass"


def test_a_client_that_never_keeps_a_connection_sends_again_by_itself(tape: Tape) -> None:
    for number in range(8):
        tape.call(LIST, None, outcome="server_cut", conn=number, after=0.001)

    assert tape.verdict("R04") == "fail"


# ── R04 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("waits", "verdict"),
    [((0.01, 0.01), "fail"), ((0.0, 0.3), "pass"), ((0.04, 0.04), "fail"), ((0.06, 0.06), "pass")],
)
def test_one_immediate_retry_is_allowed_two_are_not(
    tape: Tape, waits: tuple[float, ...], verdict: str
) -> None:
    tape.refused(3, waits=waits)

    assert tape.verdict("R04") == verdict


def test_threads_that_begin_one_after_another_are_no_hot_loop(tape: Tape) -> None:
    for number in range(9):
        tape.call(LIST, 503, at=0.008 * number, took=0.02, conn=number)

    assert tape.verdict("R04") == "not_exercised"


def test_threads_in_a_hot_loop_are(tape: Tape) -> None:
    for number in range(200):
        tape.call(LIST, 503, at=0.008 * number, took=0.012, conn=number)

    assert tape.verdict("R04") == "fail"


def test_one_wait_says_nothing_of_a_hot_loop(tape: Tape) -> None:
    tape.refused(2, waits=(0.0,))

    assert tape.verdict("R04") == "not_exercised"


# ── R05 and R06 ──────────────────────────────────────────────────────────────────────────────────

FIXED = (0.511, 0.525, 0.522, 0.527, 0.529)
EQUAL_JITTER = (0.19, 0.30, 0.59, 1.31, 2.34)


@pytest.mark.parametrize(
    ("waits", "grows", "jittered"),
    [
        (FIXED, "fail", "fail"),
        (EQUAL_JITTER, "pass", "pass"),
        ((0.5, 1.0, 2.0, 4.0), "pass", "fail"),
        ((0.5, 1.0, 2.0, 4.0, 4.0, 4.0), "pass", "fail"),
        ((0.001, 0.5, 1.0, 2.0, 4.0), "pass", "fail"),
        ((1.0, 2.0, 3.0, 4.0, 5.0), "pass", "fail"),
        ((0.01, 0.01, 0.01, 0.01, 0.01), "fail", "fail"),
        ((1.0, 2.0, 2.0, 2.0, 2.0), "pass", "fail"),
        ((1.9, 0.4, 1.1, 0.7), "not_exercised", "pass"),
        ((0.5, 0.5, 0.5), "not_exercised", "not_exercised"),
        ((0.10, 0.11, 0.10, 0.12), "fail", "not_exercised"),
    ],
)
def test_waits_are_judged_by_growth_and_by_law(
    tape: Tape, waits: tuple[float, ...], grows: str, jittered: str
) -> None:
    tape.refused(len(waits) + 1, waits=waits)

    assert (tape.verdict("R05"), tape.verdict("R06")) == (grows, jittered)


def test_waits_that_were_told_are_not_the_clients_own(tape: Tape) -> None:
    for _ in range(6):
        tape.call(ATTACH, 503, after=1.0, retry_after=1.0)

    assert tape.verdict("R05") == "not_exercised"
    assert tape.verdict("R06") == "not_exercised"


def test_one_unlucky_chain_does_not_condemn_a_client_of_many(tape: Tape) -> None:
    tape.refused(6, waits=FIXED)
    for number in range(3):
        for index in range(6):
            after = 0.2 if not index else EQUAL_JITTER[index - 1]
            tape.call(ATTACH, 503, after=after, network=f"net-{number}")

    assert tape.verdict("R05") == "pass"


# ── R07 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409])
def test_what_was_refused_for_good_is_not_repeated(tape: Tape, status: int) -> None:
    tape.call(ATTACH, status)

    assert tape.verdict("R07") == "pass"


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 413])
def test_a_repeat_of_what_was_refused_for_good_fails(tape: Tape, status: int) -> None:
    tape.call(ATTACH, status)
    tape.call(ATTACH, status, after=1.0)

    assert tape.verdict("R07") == "fail"


def test_a_409_may_be_repeated_once_the_state_was_read(tape: Tape) -> None:
    tape.call(ATTACH, 409)
    tape.call("get_server")
    tape.call(ATTACH, made="i1")

    assert tape.verdict("R07") == "pass"


def test_a_repeated_delete_that_meets_404_is_no_permanent_failure(tape: Tape) -> None:
    tape.call(DETACH, None, outcome="server_cut", interface="i1", gone="i1")
    tape.call(DETACH, 404, interface="i1")

    assert tape.verdict("R07") == "not_exercised"


def test_a_413_with_a_time_is_not_for_good(tape: Tape) -> None:
    tape.call(ATTACH, 413, retry_after=1.0)
    tape.call(ATTACH, after=1.1)

    assert tape.verdict("R07") == "not_exercised"


def test_a_413_whose_text_nobody_knows_is_not_judged(tape: Tape) -> None:
    tape.call(ATTACH, 413, by="a-rule-that-is-gone", fault=413)
    tape.call(ATTACH, after=1.1)

    assert tape.verdict("R07") == "not_exercised"


def test_a_second_actor_may_try_what_was_refused_to_the_first(tape: Tape) -> None:
    tape.call(ATTACH, 200, at=0.0, took=0.3, conn=1, made="i1")
    tape.call(ATTACH, 409, at=0.1, took=0.3, conn=2)
    tape.call(ATTACH, 409, at=0.9, took=0.3, conn=3)

    assert tape.verdict("R07") != "fail"


# ── R18 ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("wait", "verdict"), [(100.0, "pass"), (119.0, "fail")])
def test_all_attempts_together_have_a_deadline(tape: Tape, wait: float, verdict: str) -> None:
    tape.refused(4, waits=(wait, wait, wait * 0.9))

    assert tape.verdict("R18") == verdict


def test_time_that_the_client_was_told_to_wait_is_not_held_against_it(tape: Tape) -> None:
    tape.call(ATTACH, 503, retry_after=600.0)
    tape.call(ATTACH, 503, after=600.0)

    assert tape.verdict("R18") == "pass"
