"""Values made by `frozen` and `slotted` behave as those that `dataclass` made by itself."""

from __future__ import annotations

import sys
from copy import copy, deepcopy
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from inspect import signature
from types import FunctionType, NoneType
from typing import TYPE_CHECKING, Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vifsim.values import frozen, slotted

if TYPE_CHECKING:
    from collections.abc import Callable


class Of:
    """Names classes alike, whatever makes them."""

    def __init__(self, decorate: Callable[[type[Any]], type[Any]]) -> None:
        @decorate
        class Place:
            street: str
            number: int = 0
            secret: str = field(default="", repr=False)
            tags: list[str] = field(default_factory=list[str], hash=False)
            seen: int = field(default=0, compare=False)

        self.place: Any = Place


def made_by_dataclass(cls: type[Any]) -> Any:
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


OURS = Of(frozen)
THEIRS = Of(made_by_dataclass)
PLACES = st.fixed_dictionaries(
    {"street": st.sampled_from("ab")},
    optional={
        "number": st.integers(0, 1),
        "secret": st.sampled_from("xy"),
        "tags": st.lists(st.just("t"), max_size=1),
        "seen": st.integers(0, 1),
    },
)


@given(PLACES, PLACES)
def test_values_are_equal_where_those_of_dataclass_are(one: Any, other: Any) -> None:
    ours = OURS.place(**one) == OURS.place(**other)

    assert ours is (THEIRS.place(**one) == THEIRS.place(**other))


@given(PLACES, PLACES)
def test_equal_values_have_equal_hashes(one: Any, other: Any) -> None:
    ours, others = OURS.place(**one), OURS.place(**other)

    if ours == others:
        assert hash(ours) == hash(others)
    assert hash(ours) == hash(THEIRS.place(**one))


@given(PLACES)
def test_a_value_reads_as_one_of_dataclass(one: Any) -> None:
    assert repr(OURS.place(**one)) == repr(THEIRS.place(**one))


def test_values_of_two_classes_are_never_equal() -> None:
    assert OURS.place(street="a") != THEIRS.place(street="a")
    assert OURS.place(street="a") != "a"


def test_a_value_does_not_change() -> None:
    place = OURS.place(street="a")

    with pytest.raises(FrozenInstanceError):
        place.street = "b"

    assert replace(place, street="b").street == "b"
    assert [one.name for one in fields(place)] == list(OURS.place.__slots__)


def test_what_a_class_says_of_itself_stays() -> None:
    @frozen
    class Secret:
        word: str

        def __repr__(self) -> str:
            return "Secret(...)"

    assert repr(Secret(word="open")) == "Secret(...)"
    assert Secret(word="open") == Secret(word="open")


def test_what_holds_something_that_has_no_hash_has_none() -> None:
    @frozen
    class Bag:
        things: list[str]

    with pytest.raises(TypeError, match="unhashable"):
        hash(Bag(things=[]))


@frozen(kw_only=False)
class Point:
    """A value whose fields are given by place."""

    x: int
    y: int = 0


@slotted
class Holder:
    """A thing that refers to a class of this module alone."""

    point: Point


def test_a_value_can_be_copied() -> None:
    point = Point(1, 2)

    copies = copy(point), deepcopy(point)

    assert copies == (point, point)
    assert copies[1] is not point


def test_fields_by_place_are_in_order() -> None:
    assert Point(1, 2) == Point(y=2, x=1)
    assert Point(1).y == 0


def test_a_value_is_made_as_dataclass_would_make_it() -> None:
    ours, theirs = signature(OURS.place), signature(THEIRS.place)

    assert list(ours.parameters) == list(theirs.parameters)
    assert [one.kind for one in ours.parameters.values()] == [
        one.kind for one in theirs.parameters.values()
    ]


def test_what_a_value_is_made_of_is_known_where_its_class_was_written() -> None:
    assert get_type_hints(Point.__init__) == {"x": int, "y": int, "return": NoneType}
    assert get_type_hints(Holder.__init__) == {"point": Point, "return": NoneType}
    assert Holder.__init__.__module__ == __name__


def test_a_value_is_made_where_its_module_is_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    @frozen
    class Late:
        thing: int

    monkeypatch.delitem(sys.modules, __name__)

    assert Late(thing=1).thing == 1


def test_who_leaves_a_field_out_is_told_which() -> None:
    with pytest.raises(TypeError, match=r"Place.__init__\(\) missing .* argument: 'street'"):
        OURS.place()


def test_nothing_is_written_for_a_class_that_nobody_makes_values_of() -> None:
    @frozen
    class Rare:
        thing: int

    before = isinstance(vars(Rare)["__init__"], FunctionType)
    Rare(thing=1)
    after = isinstance(vars(Rare)["__init__"], FunctionType)

    assert (before, after) == (False, True)


def test_what_is_slotted_can_be_changed_and_has_no_hash() -> None:
    @slotted
    class Count:
        of: str
        number: int = 0
        seen: list[str] = field(default_factory=list[str])

    count, other = Count("a"), Count("a")
    count.number += 1
    count.seen.append("x")

    assert (count.number, other.number, other.seen) == (1, 0, [])
    assert count != other
    assert Count("a", 1, ["x"]) == count
    with pytest.raises(TypeError, match="unhashable"):
        hash(count)
    with pytest.raises(AttributeError):
        count.more = 1  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue] -- the test's point


def test_what_is_equal_to_itself_alone_has_a_hash() -> None:
    @slotted(kw_only=True, eq=False)
    class Thing:
        name: str

    one, other = Thing(name="a"), Thing(name="a")

    assert len({one, other, one}) == 2
