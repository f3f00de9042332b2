"""R21 and R23."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scorecard.conftest import Tape

ATTACH = "create_virtual_interface"
LIST = "list_virtual_interfaces"


@pytest.fixture
def paged(tape: Tape) -> Tape:
    """Five servers, of which nobody says how a client lists them."""
    servers = [{"name": f"web-{number}"} for number in range(5)]
    tape.scenario = replace(tape.scenario, world={"servers": servers})
    return tape


def page(tape: Tape, query: str) -> None:
    tape.call("list_servers", server=None, path=f"/v2/123456/servers?{query}")


def test_reading_every_page_is_right(paged: Tape) -> None:
    page(paged, "limit=2")
    page(paged, "limit=2&marker=b")
    page(paged, "limit=2&marker=d")

    assert paged.verdict("R21") == "pass"


def test_stopping_at_what_one_looked_for_is_right(paged: Tape) -> None:
    page(paged, "limit=2")
    page(paged, "limit=2&marker=b")
    paged.call("get_server", server="web-3")

    assert paged.verdict("R21") == "pass"


def test_never_reading_on_fails(paged: Tape) -> None:
    page(paged, "limit=2")

    assert paged.verdict("R21") == "fail"


def test_the_first_page_may_hold_what_one_looks_for(paged: Tape) -> None:
    page(paged, "limit=2")
    paged.call("get_server", server="web-1")

    assert paged.verdict("R21") == "not_exercised"


@pytest.mark.parametrize("query", ["limit=9", "limit=2&name=web-1", "limit=0", "limit=soon"])
def test_a_list_that_may_be_whole_has_no_next_page(paged: Tape, query: str) -> None:
    page(paged, query)

    assert paged.verdict("R21") == "not_exercised"


def test_where_nobody_knows_how_many_servers_there_are_nothing_is_said(tape: Tape) -> None:
    page(tape, "limit=2")

    assert tape.verdict("R21") == "not_exercised"


@pytest.mark.parametrize(("pace", "verdict"), [(2.5, "pass"), (2.3, "fail")])
def test_a_poll_keeps_to_the_documented_quota(tape: Tape, pace: float, verdict: str) -> None:
    for _ in range(30):
        tape.call(LIST, after=pace, took=0.001)

    assert tape.verdict("R23") == verdict


def test_half_of_the_quota_is_worth_a_note(tape: Tape) -> None:
    for _ in range(20):
        tape.call(LIST, after=3.0)

    assert "more than half" in tape.rule("R23")["reason"]


def test_few_lists_are_no_poll(tape: Tape) -> None:
    for _ in range(5):
        tape.call(LIST, after=0.01)

    assert tape.verdict("R23") == "not_exercised"


def test_clients_with_a_token_each_have_a_quota_each(tape: Tape) -> None:
    for index in range(40):
        tape.call(LIST, after=1.0, bearer=f"t{index % 2}")

    assert tape.verdict("R23") == "pass"


@pytest.mark.parametrize(("creates", "verdict"), [(4, "pass"), (5, "fail")])
def test_a_poll_beside_many_creates_is_held_to_their_quota_too(
    tape: Tape, creates: int, verdict: str
) -> None:
    for _ in range(6):
        tape.call(LIST, after=1.0)
    for number in range(creates):
        tape.call(ATTACH, network=f"net-{number}", made=f"i{number}")

    assert tape.verdict("R23") == verdict
