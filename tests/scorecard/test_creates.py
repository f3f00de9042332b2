"""R08 to R10, R19, R20, R22 and R24, each on both sides of its lines."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.model import Settings

if TYPE_CHECKING:
    from tests.scorecard.conftest import Tape

ATTACH = "create_virtual_interface"
DETACH = "delete_virtual_interface"
LIST = "list_virtual_interfaces"


def lose_a_create(tape: Tape, **keys: Any) -> None:
    """Let a create take effect and its answer be cut."""
    tape.call(ATTACH, None, outcome="server_cut", made="i1", by="lost", wire="reset", **keys)


# ── R08 and R09 ──────────────────────────────────────────────────────────────────────────────────


def test_listing_before_the_next_create_is_right(tape: Tape) -> None:
    lose_a_create(tape)
    tape.call(LIST)
    tape.call(ATTACH, 409)

    assert tape.verdict("R08") == "pass"
    assert tape.verdict("R09") == "pass"


@pytest.mark.parametrize(("status", "made"), [(409, None), (200, "i2"), (503, None)])
def test_a_create_after_a_lost_one_without_a_look_is_blind(
    tape: Tape, status: int, made: str | None
) -> None:
    lose_a_create(tape)
    tape.call(ATTACH, status, made=made)

    assert tape.verdict("R08") == "fail"
    assert tape.verdict("R09") == "fail"


def test_another_network_of_the_same_server_is_a_substitute(tape: Tape) -> None:
    lose_a_create(tape)
    tape.call(ATTACH, made="i2", network="other")

    assert tape.verdict("R08") == "fail"


def test_another_server_is_no_substitute(tape: Tape) -> None:
    lose_a_create(tape)
    tape.call(ATTACH, made="i2", server="web-2")

    assert tape.verdict("R08") == "pass"
    assert tape.verdict("R09") == "fail"


@pytest.mark.parametrize(
    ("status", "spoiled"), [(500, False), (502, False), (503, False), (504, False), (200, True)]
)
def test_an_error_or_a_spoiled_body_loses_an_answer_as_well(
    tape: Tape,
    status: int,
    spoiled: bool,  # noqa: FBT001 -- a parameter of a test
) -> None:
    tape.call(ATTACH, status, made="i1", by="lost", spoiled=spoiled)
    tape.call(ATTACH, 409)

    assert tape.verdict("R08") == "fail"


def test_a_list_that_fails_shows_nothing(tape: Tape) -> None:
    lose_a_create(tape)
    tape.call(LIST, 503)
    tape.call(ATTACH, 409)

    assert tape.verdict("R08") == "fail"


def test_a_list_just_before_a_quick_clients_lost_create_shows_nothing(tape: Tape) -> None:
    tape.call(LIST, took=0.0002)
    tape.call(ATTACH, None, after=0.0001, took=0.0002, outcome="server_cut", made="i1", by="lost")
    tape.call(ATTACH, 409, after=0.0001)

    assert tape.verdict("R08") == "fail"
    assert tape.verdict("R09") == "fail"


def test_a_head_shows_nothing(tape: Tape) -> None:
    lose_a_create(tape)
    tape.call(LIST, method="HEAD")
    tape.call(ATTACH, 409)

    assert tape.verdict("R08") == "fail"


def test_reading_the_server_alone_leaves_it_open_what_the_client_saw(tape: Tape) -> None:
    lose_a_create(tape)
    tape.call("get_server")
    tape.call(ATTACH, 409)

    assert tape.verdict("R08") == "not_exercised"
    assert tape.verdict("R09") == "not_exercised"


def test_giving_up_leaves_the_result_unknown(tape: Tape) -> None:
    lose_a_create(tape)

    assert tape.verdict("R08") == "pass"
    assert tape.verdict("R09") == "fail"
    assert "left the result unknown" in tape.rule("R09")["reason"]


def test_a_client_ended_at_once_had_no_time_to_look(tape: Tape) -> None:
    tape.client = {"exit_code": None, "ended": "time_limit", "at": None}
    lose_a_create(tape)

    assert tape.verdict("R08") == "not_exercised"
    assert tape.verdict("R09") == "not_exercised"


def test_a_create_that_did_not_take_effect_can_only_speak_for_a_client(tape: Tape) -> None:
    tape.call(ATTACH, 500)
    tape.call(ATTACH, made="i1")

    assert tape.verdict("R08") == "not_exercised"
    assert tape.verdict("R09") == "not_exercised"

    tape.call(ATTACH, 500, network="other")
    tape.call(LIST)

    assert tape.verdict("R09") == "pass"


def test_another_actor_on_the_same_server_cannot_be_told_from_this_one(tape: Tape) -> None:
    tape.call(LIST, at=0.0, took=0.5, conn=2)
    lose_a_create(tape, at=0.1, conn=1)
    tape.call(ATTACH, made="i2", network="other", conn=2)

    assert tape.verdict("R08") == "not_exercised"


def test_an_answer_that_a_client_may_well_take_for_good_is_not_lost(tape: Tape) -> None:
    tape.obeys(
        rules=[
            {
                "name": "odd",
                "match": ATTACH,
                "corrupt": {"set": {"virtual_interfaces.0.mac_address": "x"}},
            }
        ]
    )
    tape.call(ATTACH, made="i1", by="odd", wire="corrupt", spoiled=True)
    tape.call(ATTACH, made="i2", network="other")

    assert tape.verdict("R08") == "not_exercised"


# ── R10 ──────────────────────────────────────────────────────────────────────────────────────────


def test_what_was_made_and_deleted_is_no_leak(tape: Tape) -> None:
    tape.call(ATTACH, made="i1")
    tape.call(DETACH, interface="i1", gone="i1")

    assert tape.verdict("R10") == "pass"


def test_what_was_made_and_is_still_there_is_a_leak(tape: Tape) -> None:
    tape.call(ATTACH, made="i1")
    tape.call(LIST, 413, retry_after=9.0)

    rule = tape.rule("R10")

    assert rule["verdict"] == "fail"
    assert "create answered 200, then list_virtual_interfaces got 413" in rule["reason"]
    assert rule["evidence"][0]["left"] == [
        {"id": "i1", "server": "web-1", "network": "net", "entry": 1}
    ]


@pytest.mark.parametrize("meant", [{"client": {"keeps": 1}}, {"expect": {"interfaces": 1}}])
@pytest.mark.parametrize(("number", "verdict"), [(1, "pass"), (2, "fail")])
def test_what_is_meant_to_stay_is_no_leak(
    tape: Tape, meant: dict[str, Any], number: int, verdict: str
) -> None:
    tape.obeys(**meant)
    for index in range(number):
        tape.call(ATTACH, made=f"i{index}", network=f"net-{index}")

    assert tape.verdict("R10") == verdict


def test_interfaces_go_with_their_server(tape: Tape) -> None:
    tape.call(ATTACH, made="i1")
    tape.call("delete_server", changed=("deleted", "server", "web-1"))

    assert tape.verdict("R10") == "pass"


def test_a_client_that_made_nothing_leaks_nothing(tape: Tape) -> None:
    tape.call(LIST)

    assert tape.verdict("R10") == "not_exercised"


def test_while_calls_are_under_way_it_is_too_early_to_say(tape: Tape) -> None:
    tape.client = None
    tape.call(ATTACH, made="i1")
    tape.call(DETACH, None, interface="i1", took=None)

    assert tape.verdict("R10") == "not_exercised"


def test_a_leak_of_a_client_that_was_ended_says_so(tape: Tape) -> None:
    tape.client = {"exit_code": None, "ended": "time_limit", "at": None}
    tape.call(ATTACH, made="i1")

    assert tape.verdict("R10") == "fail"
    assert "ended from outside" in tape.rule("R10")["reason"]


def test_a_create_whose_answer_hung_was_made_before_it_was_deleted(tape: Tape) -> None:
    tape.call(ATTACH, None, at=0.0, took=30.0, outcome="server_cut", made="i1", wire="hang", by="h")
    tape.call(LIST, at=5.0)
    tape.call(DETACH, at=6.0, interface="i1", gone="i1")

    assert tape.verdict("R10") == "pass"


# ── R19 ──────────────────────────────────────────────────────────────────────────────────────────


def lose_a_delete(tape: Tape) -> None:
    tape.call(DETACH, None, outcome="server_cut", interface="i1", gone="i1", by="lost")
    tape.call(DETACH, 404, interface="i1")


def test_a_404_to_a_repeated_delete_is_done(tape: Tape) -> None:
    lose_a_delete(tape)

    assert tape.verdict("R19") == "pass"


def test_deleting_what_is_gone_again_fails(tape: Tape) -> None:
    lose_a_delete(tape)
    tape.call(DETACH, 404, interface="i1")

    assert tape.verdict("R19") == "fail"


def test_a_client_that_reports_a_gone_interface_as_a_failure_fails(tape: Tape) -> None:
    tape.client = {"exit_code": 1, "ended": "by_itself", "at": None}
    lose_a_delete(tape)

    assert tape.verdict("R19") == "fail"


def test_a_client_that_went_on_may_have_failed_for_another_reason(tape: Tape) -> None:
    tape.client = {"exit_code": 1, "ended": "by_itself", "at": None}
    lose_a_delete(tape)
    tape.call(LIST, 503)

    assert tape.verdict("R19") == "not_exercised"


def test_a_lost_delete_that_is_not_repeated_belongs_to_another_rule(tape: Tape) -> None:
    tape.call(DETACH, None, outcome="server_cut", interface="i1", gone="i1")

    assert tape.verdict("R19") == "not_exercised"
    assert tape.verdict("R02") == "fail"


# ── R20 ──────────────────────────────────────────────────────────────────────────────────────────

STALE = {"rules": [{"name": "late", "match": LIST, "stale": "1s"}]}


def test_a_list_that_lags_is_asked_again(tape: Tape) -> None:
    tape.obeys(**STALE)
    tape.call(ATTACH, made="i1")
    tape.call(LIST, by="late")
    tape.call(LIST, by="late", after=1.5)

    assert tape.verdict("R20") == "pass"


def test_making_again_what_a_list_does_not_show_yet_fails(tape: Tape) -> None:
    tape.obeys(**STALE)
    tape.call(ATTACH, made="i1")
    tape.call(LIST, by="late")
    tape.call(ATTACH, 409)

    assert tape.verdict("R20") == "fail"


def test_a_list_after_the_lag_hides_nothing(tape: Tape) -> None:
    tape.obeys(**STALE)
    tape.call(ATTACH, made="i1")
    tape.call(LIST, by="late", after=1.1)
    tape.call(ATTACH, 409)

    assert tape.verdict("R20") == "not_exercised"


@pytest.mark.parametrize(("exit_code", "verdict"), [(1, "fail"), (0, "not_exercised")])
def test_giving_up_on_a_list_shows_only_in_how_a_client_ends(
    tape: Tape, exit_code: int, verdict: str
) -> None:
    tape.client = {"exit_code": exit_code, "ended": "by_itself", "at": None}
    tape.obeys(**STALE)
    tape.call(ATTACH, made="i1")
    tape.call(LIST, by="late")

    assert tape.verdict("R20") == verdict


def test_a_client_that_knows_the_id_does_not_depend_on_the_list(tape: Tape) -> None:
    tape.obeys(**STALE)
    tape.call(ATTACH, made="i1")
    tape.call(LIST, by="late")
    tape.call(DETACH, interface="i1", gone="i1")
    tape.call(ATTACH, made="i2")

    assert tape.verdict("R20") == "not_exercised"


# ── R22 ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_spoiled_list_that_is_asked_again_is_survived(tape: Tape) -> None:
    tape.call(LIST, spoiled=True, by="bad")
    tape.call(LIST)

    assert tape.verdict("R22") == "pass"


def test_a_spoiled_create_that_is_looked_after_is_survived(tape: Tape) -> None:
    tape.call(ATTACH, spoiled=True, by="bad", made="i1")
    tape.call(LIST)

    assert tape.verdict("R22") == "pass"


def test_dying_of_a_spoiled_body_with_a_leak_fails(tape: Tape) -> None:
    tape.client = {"exit_code": 1, "ended": "by_itself", "at": None}
    tape.call(ATTACH, spoiled=True, by="bad", made="i1")

    assert tape.verdict("R22") == "fail"


def test_dying_of_a_spoiled_body_without_a_leak_is_left_open(tape: Tape) -> None:
    tape.client = {"exit_code": 1, "ended": "by_itself", "at": None}
    tape.call(LIST, spoiled=True, by="bad")

    assert tape.verdict("R22") == "not_exercised"


def test_a_hot_loop_on_a_spoiled_body_fails(tape: Tape) -> None:
    for _ in range(4):
        tape.call(LIST, spoiled=True, by="bad", after=0.01)

    assert tape.verdict("R22") == "fail"


# ── R24 ──────────────────────────────────────────────────────────────────────────────────────────

BUILDING = {
    "world": {
        "settings": {"build_time": "3s"},
        "servers": [{"name": "web-1", "id": "web-1", "status": "BUILD"}],
    }
}


@pytest.fixture
def building(tape: Tape) -> Tape:
    tape.scenario = replace(tape.scenario, world=BUILDING["world"])
    tape.settings = Settings(build_time=3.0)
    return tape


def test_polling_a_server_that_is_built_and_coming_back_is_right(building: Tape) -> None:
    building.call(ATTACH, 409)
    building.call("get_server", after=3.0)
    building.call(ATTACH, made="i1")

    assert building.verdict("R24") == "pass"


def test_asking_a_busy_server_again_without_a_look_fails(building: Tape) -> None:
    building.call(ATTACH, 409)
    building.call(ATTACH, made="i1", after=3.0)

    assert building.verdict("R24") == "fail"


def test_never_coming_back_to_a_server_that_was_soon_ready_fails(building: Tape) -> None:
    building.call(ATTACH, 409)

    assert building.verdict("R24") == "fail"


def test_coming_back_too_soon_is_left_open(building: Tape) -> None:
    building.call(ATTACH, 409)
    building.call("get_server", after=0.01)
    building.call(ATTACH, after=0.01)

    assert building.verdict("R24") == "not_exercised"


def test_a_409_of_a_server_that_is_ready_has_another_reason(building: Tape) -> None:
    building.call(ATTACH, 409, at=3.5)

    assert building.verdict("R24") == "not_exercised"
