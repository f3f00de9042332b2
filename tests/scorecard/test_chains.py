"""Which attempts belong to one intent."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from vifsim.scorecard.attempts import read_attempts, rules_by_id
from vifsim.scorecard.chains import bursts_of, chains_of, wait

if TYPE_CHECKING:
    from tests.scorecard.conftest import Tape
    from vifsim.scorecard.chains import Chain

ATTACH = "create_virtual_interface"
LIST = "list_virtual_interfaces"


def chains(tape: Tape, window: float = 120.0) -> list[Chain]:
    run = tape.run()
    return chains_of(read_attempts(run, rules_by_id(run)), window)


def seqs(tape: Tape) -> list[list[int]]:
    return [[attempt.seq for attempt in chain.attempts] for chain in chains(tape)]


def test_a_failure_is_continued_by_the_same_call(tape: Tape) -> None:
    tape.call(ATTACH, 503)
    tape.call(ATTACH, 503)
    tape.call(ATTACH, made="i1")

    assert seqs(tape) == [[1, 2, 3]]


def test_a_success_closes_a_chain(tape: Tape) -> None:
    tape.call(LIST)
    tape.call(LIST)

    assert seqs(tape) == [[1], [2]]


@pytest.mark.parametrize(("after", "joined"), [(119.0, 1), (121.0, 2)])
def test_a_chain_can_be_continued_within_the_window(tape: Tape, after: float, joined: int) -> None:
    tape.call(ATTACH, 503)
    tape.call(ATTACH, after=after)

    assert len(chains(tape)) == joined


def test_a_long_retry_after_widens_the_window(tape: Tape) -> None:
    tape.call(ATTACH, 503, retry_after=300.0)
    tape.call(ATTACH, after=350.0)

    assert len(chains(tape)) == 1


def test_another_body_is_another_intent(tape: Tape) -> None:
    tape.call(ATTACH, 503, network="a")
    tape.call(ATTACH, 503, network="b")

    assert len(chains(tape)) == 2


def test_the_order_of_a_query_makes_no_difference(tape: Tape) -> None:
    tape.call("list_servers", 503, server=None, path="/v2/123456/servers?limit=2&marker=x")
    tape.call("list_servers", server=None, path="/v2/123456/servers?marker=x&limit=2")

    assert len(chains(tape)) == 1


def test_log_ins_are_in_no_chain(tape: Tape) -> None:
    tape.call("authenticate", 503)
    tape.call(ATTACH)

    assert seqs(tape) == [[2]]


def test_a_call_while_its_twin_is_unanswered_is_another_actors(tape: Tape) -> None:
    tape.call(ATTACH, 503, at=0.0, took=0.3)
    tape.call(ATTACH, 503, at=0.1, took=0.3, conn=2)

    first, second = chains(tape)

    assert not first.overlapping
    assert second.overlapping


def test_a_call_still_under_way_is_not_continued(tape: Tape) -> None:
    tape.call(ATTACH, None, took=None)
    tape.call(ATTACH)

    assert len(chains(tape)) == 2


def test_of_several_chains_the_one_that_failed_first_is_continued(tape: Tape) -> None:
    tape.call(ATTACH, 503, at=0.0, took=0.5)
    tape.call(ATTACH, 503, at=0.1, took=0.2, conn=2)
    tape.call(ATTACH, at=1.0)

    assert seqs(tape) == [[1], [2, 3]]


def test_a_client_that_left_may_be_back_before_its_end_is_seen(tape: Tape) -> None:
    tape.call(ATTACH, None, at=0.0, took=2.0, outcome="client_gone")
    tape.call(ATTACH, at=1.98, conn=2)

    assert len(chains(tape)) == 1


def test_the_repeat_of_a_401_with_a_new_token_is_the_same_intent(tape: Tape) -> None:
    tape.call(ATTACH, 401, bearer="old", digest=None, network=None, tenant=None)
    tape.call("authenticate")
    tape.call(ATTACH, bearer="new")
    tape.call(LIST, bearer="old")

    assert seqs(tape)[0] == [1, 3]


def test_actors_with_tokens_of_their_own_are_kept_apart(tape: Tape) -> None:
    for start in (0.0, 1.0, 2.0):
        tape.call(ATTACH, 503, at=start, bearer="a", conn=1)
        tape.call(ATTACH, 503, at=start + 0.1, bearer="b", conn=2)

    assert seqs(tape) == [[1, 3, 5], [2, 4, 6]]


def test_a_client_that_logs_in_for_every_call_is_one_actor(tape: Tape) -> None:
    for number in range(4):
        tape.call("authenticate", bearer=None)
        tape.call(ATTACH, 503, bearer=f"token-{number}")

    assert seqs(tape) == [[2, 4, 6, 8]]


@pytest.mark.parametrize("header", ["X-Vifsim-Op", "idempotency-key"])
def test_what_the_client_says_of_its_operations_wins(tape: Tape, header: str) -> None:
    for op in ("a", "b", "a", "b"):
        tape.call(ATTACH, 503, headers={header: op})

    assert seqs(tape) == [[1, 3], [2, 4]]


def test_lock_step_bursts_are_split_by_rank(tape: Tape) -> None:
    for start, actor in itertools.product((0.0, 1.0, 2.0), range(6)):
        tape.call(ATTACH, 503, at=start + actor * 0.004, took=0.001, conn=actor + 1)

    found = chains(tape)

    assert [len(chain) for chain in found] == [3] * 6
    assert all(0.9 < wait(x, y) < 1.1 for chain in found for x, y in chain.steps)


@pytest.mark.parametrize("connected", [-0.5, None])
def test_a_crowd_whose_connections_were_open_at_once_is_split_by_rank(
    tape: Tape, connected: float | None
) -> None:
    for start, actor in itertools.product((0.0, 1.0, 2.0), range(6)):
        moment = start + actor * 0.004
        tape.call(ATTACH, 503, at=moment, took=0.001, conn=actor + 1, connected=connected)

    assert [len(chain) for chain in chains(tape)] == [3] * 6


def test_a_pause_of_the_machine_makes_no_crowd_of_a_client_that_connects_for_each_call(
    tape: Tape,
) -> None:
    for number in range(40):
        moment = number * 0.004 + (0.3 if number >= 20 else 0.0)
        tape.call(ATTACH, 503, at=moment, took=0.001, conn=number, connected=moment - 0.001)

    (chain,) = chains(tape)

    assert (len(chain), chain.unclear) == (40, False)
    assert tape.verdict("R03") == "fail"


def test_a_connection_made_before_the_last_answer_leaves_the_number_of_actors_open(
    tape: Tape,
) -> None:
    for number in range(8):
        moment = number * 0.004
        tape.call(ATTACH, 503, at=moment, took=0.001, conn=number, connected=moment - 0.004)

    assert all(chain.unclear for chain in chains(tape))


def test_a_connection_made_while_the_last_was_being_left_is_one_client(tape: Tape) -> None:
    tape.call(ATTACH, None, at=0.0, took=2.0, outcome="client_gone", conn=1, connected=0.0)
    tape.call(ATTACH, 503, at=1.99, conn=2, connected=1.98)

    assert not any(chain.unclear for chain in chains(tape))


def test_a_burst_on_one_connection_is_one_client_that_hurries(tape: Tape) -> None:
    for start, number in itertools.product((0.0, 1.0), range(6)):
        tape.call(ATTACH, 503, at=start + number * 0.004, took=0.001)

    assert len(chains(tape)) == 1


def test_more_connections_than_chains_leave_the_number_of_actors_open(tape: Tape) -> None:
    for number in range(8):
        tape.call(ATTACH, 503, at=number * 0.01, took=0.001, conn=1 + number % 2)

    assert all(chain.unclear for chain in chains(tape))
    assert tape.verdict("R04") == "not_exercised"
    assert "1 or more actors" in tape.rule("R04")["reason"]


def test_held_answers_make_actors_countable(tape: Tape) -> None:
    for start, actor in itertools.product((0.0, 1.0, 2.1), range(4)):
        tape.call(ATTACH, 503, at=start + actor * 0.01, took=0.25, conn=actor + 1)

    found = chains(tape)

    assert [len(chain) for chain in found] == [3] * 4
    assert not any(chain.unclear for chain in found)


def test_connections_that_waited_while_a_later_one_was_used_are_several_actors(
    tape: Tape,
) -> None:
    for number, conn in enumerate((2, 1, 4, 3)):
        tape.call(ATTACH, 503, at=number * 0.01, took=0.001, conn=conn)

    assert all(chain.unclear for chain in chains(tape))


def test_few_attempts_are_no_burst(tape: Tape) -> None:
    tape.refused(6)
    run = tape.run()

    assert bursts_of(read_attempts(run, rules_by_id(run))) == []
