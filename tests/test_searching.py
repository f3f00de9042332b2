"""A client's regular expressions: found as Python finds them, but never for ever."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vifsim.searching import Expression

ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", "[b-d]", r"\w", r"\d", "^", "$", r"\b", "c"]
)
TAILS = st.sampled_from(["", "", "*", "+", "?", "*?", "{2}", "{1,3}", "{0,2}?"])


def with_tail(atom: str, tail: str) -> str:
    return atom if atom in {"^", "$", r"\b"} else atom + tail


def grouped(one: str, tail: str) -> str:
    return f"(?:{one}){tail}"


def parts_of(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    several = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        several.map("".join),
        several.map("|".join).map("({})".format),
        st.builds(grouped, inner, TAILS),
    )


PARTS = st.recursive(st.builds(with_tail, ATOMS, TAILS), parts_of, max_leaves=6)


@given(text=PARTS, name=st.text(alphabet="abcd1 \n", max_size=8))
def test_an_expression_is_found_exactly_where_python_finds_it(text: str, name: str) -> None:
    try:
        expression = Expression(text)
    except ValueError:
        return

    assert expression.found_in(name) is (re.search(text, name) is not None)


@pytest.mark.parametrize(
    "text", ["(a+)+$", "(a|aa)+$", "(a|a)" * 50 + "b", "a*a*a*a*a*a*a*a*b", "(.*a){12}$", "(a*)*b"]
)
def test_expressions_that_take_for_ever_elsewhere_are_quick(text: str) -> None:
    assert not Expression(text).found_in("a" * 11 + "!" if "{" in text else "a" * 254 + "!")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(a", "missing )"),
        ("a" * 256, "over 255 characters"),
        ("(" * 120 + ")" * 120 + "(", "missing )"),
        ("(?=(a+)+$)", "assert is not supported"),
        (r"(a)*\1", "groupref is not supported"),
        ("((a*b)*c)*", "more than 2 deep"),
        ("(?i)a*b*", "flags cannot be used"),
    ],
)
def test_what_cannot_be_searched_for_in_bounded_time_is_refused(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        Expression(text)


@pytest.mark.parametrize("text", ["", "web", "^web-[0-9]+$", "(?i)WEB", "web|db", "(w|d)+eb?-."])
def test_what_people_search_for_is_found(text: str) -> None:
    assert Expression(text).found_in("web-1")
