from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import fields

from vifsim.clock import SimClock
from vifsim.errors import (
    ApiFault,
    BadRequest,
    Conflict,
    Forbidden,
    ItemNotFound,
    OverLimit,
    RetryAfter,
    ServiceUnavailable,
    TooLarge,
)
from vifsim.http import bodies, codec
from vifsim.model import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("aé€💩"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
)


class Pair(bodies.BodySchema):
    name = fields.String(required=True)
    size = fields.Integer(required=True, error_messages={"required": "is missing"})


class Outer(bodies.BodySchema):
    pair = fields.Nested(Pair, required=True)


def refused(fault: ApiFault, **settings: Any) -> codec.Reply:
    plain = bool(settings.pop("plain", False))
    clock = settings.pop("clock", None) or SimClock()
    return codec.fault_reply(fault, Settings(**settings), clock, plain=plain)


# ── bytes to values ──


@given(JSON)
def test_what_json_holds_is_read_as_it_is(value: Any) -> None:
    assert codec.parse_json(json.dumps(value).encode()) == value
    assert codec.parse_json(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"  \n",
        b"{",
        b"nothing",
        b"NaN",
        b"[-Infinity]",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'"\\ud800"',
        b'{"a": "\\udfff"}',
        b"[" * 50_000,
        b"9" * 5_000,
        b"{'a': 1}",
        b"{} {}",
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_what_is_no_json_is_a_malformed_request(raw: bytes) -> None:
    with pytest.raises(BadRequest, match="Malformed request body"):
        codec.parse_json(raw)


def test_of_a_key_that_comes_twice_the_last_one_counts() -> None:
    assert codec.parse_json(b'{"a": 1, "a": 2}') == {"a": 2}


@given(JSON, JSON)
def test_two_bodies_have_one_digest_where_they_say_the_same(one: Any, two: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)

    assert (codec.digest_of(one) == codec.digest_of(two)) == same


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert codec.digest_of({"a": 1, "b": 2}) == codec.digest_of({"b": 2, "a": 1})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([], "Malformed request body: it is not an object"),
        ("text", "Malformed request body: it is not an object"),
        ({}, "pair: Missing data for required field."),
        ({"pair": {"name": "a"}}, "pair.size: is missing"),
        ({"pair": {"name": 1, "size": 1}}, "pair.name: Not a valid string."),
    ],
)
def test_the_first_mistake_of_a_body_is_named_by_its_path(data: Any, text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        bodies.load(Outer(), data)

    assert caught.value.message == text


def test_keys_that_nobody_knows_are_ignored() -> None:
    data = {"pair": {"name": "a", "size": 1, "more": 2}, "further": 3}

    assert bodies.load(Outer(), data) == {"pair": {"name": "a", "size": 1}}


# ── queries ──


@pytest.mark.parametrize(
    ("query", "number"),
    [({}, None), ({"limit": "0"}, 0), ({"limit": "007"}, 7), ({"limit": "99"}, 99)],
)
def test_a_whole_number_is_read(query: Mapping[str, str], number: int | None) -> None:
    assert codec.whole_number(query, "limit") == number


@pytest.mark.parametrize(
    "text", ["", "x", "1.5", "1e3", " 1", "+1", "\u0661", "\u00b2", "--1", "9" * 19]
)
def test_a_parameter_that_is_no_whole_number_says_so(text: str) -> None:
    with pytest.raises(BadRequest, match="limit param must be an integer"):
        codec.whole_number({"limit": text}, "limit")


def test_a_negative_parameter_says_so() -> None:
    with pytest.raises(BadRequest, match="limit param must be positive"):
        codec.whole_number({"limit": "-1"}, "limit")


# ── faults ──


def test_a_fault_is_one_key_with_a_code_and_a_text() -> None:
    told = refused(Conflict("it is so"))

    assert (told.status, told.content_type) == (409, "application/json")
    assert json.loads(told.body) == {"conflictingRequest": {"code": 409, "message": "it is so"}}


def test_details_stand_where_they_are_given() -> None:
    told = refused(BadRequest("no", details="more"))

    assert json.loads(told.body)["badRequest"]["details"] == "more"


def test_a_limits_fault_says_the_same_moment_twice() -> None:
    fault = OverLimit("OverLimit Retry...", details="Error Details...", retry_after=RetryAfter(30))
    clock = SimClock()
    before = clock.wall()

    told = refused(fault, clock=clock)

    moment = json.loads(told.body)["overLimit"]["retryAt"]
    assert told.headers["Retry-After"] == "30"
    assert codec.utc_text(before + 30) <= moment <= codec.utc_text(clock.wall() + 30)


@pytest.mark.parametrize(
    ("delay", "text"), [(0.0, "0"), (0.2, "1"), (1.0, "1"), (1.0000000001, "1"), (59.01, "60")]
)
def test_a_wait_is_rounded_up_to_whole_seconds(delay: float, text: str) -> None:
    told = refused(ServiceUnavailable("busy", retry_after=RetryAfter(delay)))

    assert told.headers["Retry-After"] == text
    assert told.retry_after == float(text)


@pytest.mark.parametrize(("text", "seconds"), [("soon", None), ("17", 17.0), ("", None)])
def test_a_raw_wait_goes_out_as_it_is(text: str, seconds: float | None) -> None:
    told = refused(ServiceUnavailable("busy", retry_after=RetryAfter(None, "raw", text)))

    assert (told.headers["Retry-After"], told.retry_after) == (text, seconds)


def test_a_quotas_413_says_that_waiting_does_not_help() -> None:
    told = refused(TooLarge("Quota exceeded", retry_after=RetryAfter(0.0)))

    assert told.headers["Retry-After"] == "0"
    assert json.loads(told.body)["overLimit"]["retryAfter"] == 0


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("policy", [True, False])
def test_plain_text_needs_the_setting_and_a_reason(*, plain: bool, raw: bool, policy: bool) -> None:
    told = refused(Forbidden("the reason", policy=policy), raw_framework_bodies=raw, plain=plain)

    text = raw and (plain or policy)
    assert told.content_type == ("text/plain; charset=UTF-8" if text else "application/json")


@pytest.mark.parametrize("fault", [Forbidden("the reason"), ItemNotFound("the reason")])
def test_plain_text_is_status_line_sentence_and_reason(fault: ApiFault) -> None:
    told = refused(fault, raw_framework_bodies=True, plain=True)

    line, blank, sentence, _, reason = told.body.decode().split("\n")
    assert line in {"403 Forbidden", "404 Not Found"}
    assert blank == ""
    assert sentence.endswith(".")
    assert reason.strip() == "the reason"


# ── times ──


def test_compute_writes_whole_seconds_and_identity_milliseconds() -> None:
    assert codec.utc_text(1428516196.987) == "2015-04-08T18:03:16Z"
    assert codec.utc_text_ms(1428516196.987) == "2015-04-08T18:03:16.987Z"
    assert codec.utc_text_ms(1428516196.0) == "2015-04-08T18:03:16.000Z"
