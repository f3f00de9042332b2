"""R16 and R17: many clients at once. The waits come from keyed draws, so they repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vifsim.draws import draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scorecard.conftest import Tape

ATTACH = "create_virtual_interface"
LIST = "list_virtual_interfaces"


def in_time(actor: int, retry: int) -> float:
    return 0.0


def herd(
    tape: Tape,
    wait: Callable[[int, int], float],
    *,
    late: Callable[[int, int], float] = in_time,
    actors: int = 20,
    waves: int = 5,
) -> Tape:
    """Let actors fail together and come back as `wait(actor, retry)` says; answers are held."""
    due = [(0.01 * actor, actor, 0) for actor in range(actors)]
    while due:
        due.sort()
        moment, actor, retry = due.pop(0)
        took = 0.25 + late(actor, retry)
        tape.call(
            ATTACH,
            503,
            at=moment,
            took=took,
            conn=actor + 1,
            by="outage",
            fault=503,
            delay=0.25,
        )
        if retry + 1 < waves:
            due.append((moment + took + wait(actor, retry), actor, retry + 1))
    return tape


def equal_jitter(actor: int, retry: int) -> float:
    backoff = 2.0**retry
    return backoff * (0.5 + 0.5 * draw(1, "herd", str(actor), retry, "wait"))


def lock_step(actor: int, retry: int) -> float:
    return 2.0**retry + 0.004 * draw(1, "herd", str(actor), retry, "overhead")


def little_jitter(actor: int, retry: int) -> float:
    return 2.0**retry * (0.9 + 0.2 * draw(1, "herd", str(actor), retry, "wait"))


def test_a_herd_in_lock_step_is_a_stampede(tape: Tape) -> None:
    herd(tape, lock_step)

    assert tape.verdict("R16") == "fail"
    assert tape.verdict("R06") == "fail"


def test_a_herd_with_equal_jitter_draws_apart(tape: Tape) -> None:
    herd(tape, equal_jitter)

    assert tape.verdict("R16") == "pass"
    assert tape.verdict("R06") == "pass"
    assert tape.verdict("R05") == "pass"


def busy(actor: int, retry: int) -> float:
    return 0.08 * draw(2, "herd", str(actor), retry, "late")


def smeared(actor: int, retry: int) -> float:
    return 0.4 + 0.3 * draw(1, "herd", str(actor), retry, "overhead")


def test_a_busy_machine_makes_no_jitter_of_a_lock_step(tape: Tape) -> None:
    herd(tape, smeared, late=busy)

    assert tape.verdict("R16") == "not_exercised"
    assert "too busy" in tape.rule("R16")["reason"]
    assert tape.verdict("R06") == "not_exercised"


def test_the_same_spread_on_a_quiet_machine_is_the_clients_own(tape: Tape) -> None:
    herd(tape, smeared)

    assert tape.verdict("R16") == "pass"
    assert tape.verdict("R06") == "pass"


def test_a_busy_machine_hides_neither_a_stampede_nor_jitter_that_are_plain(
    new_tape: Callable[[], Tape],
) -> None:
    together, apart = (herd(new_tape(), wait, late=busy) for wait in (lock_step, equal_jitter))

    assert together.verdict("R16") == "fail"
    assert together.verdict("R06") == "fail"
    assert apart.verdict("R16") == "pass"


def paused(actor: int, retry: int) -> float:
    return 0.9 - 0.01 * actor if retry else 0.0


def test_a_machine_that_paused_may_have_pushed_a_herd_together(tape: Tape) -> None:
    herd(tape, lambda actor, retry: 0.5, late=paused, waves=4)

    assert tape.verdict("R16") == "not_exercised"


def apart_from_the_start(
    tape: Tape, wait: Callable[[int, int], float], *, actors: int = 12
) -> Tape:
    """Let clients with tokens of their own begin one after another, within a second."""
    calls = sorted(
        (0.07 * actor + sum(0.25 + wait(actor, k) for k in range(retry)), actor)
        for actor in range(actors)
        for retry in range(5)
    )
    for moment, actor in calls:
        tape.call(
            ATTACH,
            503,
            at=moment,
            took=0.25,
            conn=actor,
            bearer=f"t{actor}",
            by="outage",
            fault=503,
            delay=0.25,
        )
    return tape


def slow_to_begin(actor: int, retry: int) -> float:
    overhead = 0.1 if retry == 0 and actor >= 9 else 0.0
    return 0.25 * float(2**retry) + overhead


def test_clients_with_tokens_of_their_own_are_compared_from_their_own_start(
    new_tape: Callable[[], Tape],
) -> None:
    together, apart = (
        apart_from_the_start(new_tape(), wait) for wait in (slow_to_begin, equal_jitter)
    )

    assert together.verdict("R16") == "fail"
    assert together.verdict("R06") == "fail"
    assert apart.verdict("R16") == "pass"
    assert apart.verdict("R06") == "pass"


def test_ten_percent_of_jitter_count_as_none(tape: Tape) -> None:
    herd(tape, little_jitter)

    assert tape.verdict("R16") == "fail"


def test_nine_actors_are_no_herd(tape: Tape) -> None:
    herd(tape, lock_step, actors=9)

    assert tape.verdict("R16") == "not_exercised"


def test_a_herd_that_was_told_the_same_second_is_the_servers_doing(tape: Tape) -> None:
    for wave in range(3):
        for actor in range(12):
            moment = 10.0 * wave + 0.01 * actor
            tape.call(ATTACH, 503, at=moment, took=0.25, conn=actor, retry_after=5.0)

    assert tape.verdict("R16") == "not_exercised"
    assert "synchronised by Retry-After" in tape.rule("R16")["reason"]


def test_one_client_with_a_list_of_things_to_retry_is_no_herd(tape: Tape) -> None:
    for _ in range(3):
        for number in range(12):
            tape.call(ATTACH, 503, after=0.001, network=f"net-{number}")
        tape.now += 2.0

    assert tape.verdict("R16") == "not_exercised"


def test_the_evidence_of_a_stampede_holds_its_histogram(tape: Tape) -> None:
    herd(tape, lock_step)

    piece = tape.rule("R16")["evidence"][0]

    assert piece["retry"] == 2
    assert sum(piece["histogram"]) == piece["actors"] == 20


@pytest.mark.parametrize(("attempts", "verdict"), [(3, "pass"), (8, "pass"), (9, "fail")])
def test_an_outage_makes_at_most_eight_requests_of_a_call(
    tape: Tape, attempts: int, verdict: str
) -> None:
    for number in range(12):
        for _ in range(attempts):
            tape.call(ATTACH, 503, network=f"net-{number}", by="outage")

    assert tape.verdict("R17") == verdict


def test_a_few_failures_among_many_answers_are_no_outage(tape: Tape) -> None:
    tape.call(LIST, 503)
    for _ in range(40):
        tape.call("get_server")
    tape.call(LIST, 503)

    assert tape.verdict("R17") == "not_exercised"


def test_nine_calls_do_not_show_what_an_outage_is_made_of(tape: Tape) -> None:
    for number in range(9):
        for _ in range(9):
            tape.call(ATTACH, 503, network=f"net-{number}")

    assert tape.verdict("R17") == "not_exercised"


def test_long_outages_show_the_share_of_retries(tape: Tape) -> None:
    for number in range(60):
        for _ in range(3):
            tape.call(ATTACH, 503, network=f"net-{number}")

    piece = tape.rule("R17")["evidence"][0]

    assert piece["retry_ratio"] == pytest.approx(2 / 3, abs=0.02)
