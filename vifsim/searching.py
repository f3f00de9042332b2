"""Searching for a client's regular expression without letting it take as long as it likes.

Python's own matching tries one way after the other, and of `(a+)+$` there are more than can be
tried. Here all ways are walked at once, as sets of places, so that the lengths of expression and
text bound the work.

The house rule: what can be walked is found exactly as `re.search` finds it; what cannot is refused.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Set

parser: Any = import_module("re._parser")  # the one reader of expressions in the library;
ops: Any = import_module("re._constants")  # it has no types, and no public name

LONGEST = 255
"""Characters of an expression: no name is longer."""

_DEEPEST = 2
"""Repeats within repeats; one more, and the work grows by the length of the text once more."""

_Places = frozenset[int]
_REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT)
_CATEGORIES = {
    ops.CATEGORY_DIGIT: re.compile(r"\d"),
    ops.CATEGORY_NOT_DIGIT: re.compile(r"\D"),
    ops.CATEGORY_SPACE: re.compile(r"\s"),
    ops.CATEGORY_NOT_SPACE: re.compile(r"\S"),
    ops.CATEGORY_WORD: re.compile(r"\w"),
    ops.CATEGORY_NOT_WORD: re.compile(r"\W"),
}
_ANCHORS = {
    ops.AT_BEGINNING: re.compile(r"^"),
    ops.AT_BEGINNING_STRING: re.compile(r"\A"),
    ops.AT_END: re.compile(r"$"),
    ops.AT_END_STRING: re.compile(r"\Z"),
    ops.AT_BOUNDARY: re.compile(r"\b"),
    ops.AT_NON_BOUNDARY: re.compile(r"\B"),
}


class Expression:
    """A regular expression that is searched for in bounded time.

    Raises:
        ValueError: it is none, or one that cannot be searched for in bounded time.
    """

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise ValueError(f"it is over {LONGEST} characters")
        try:
            self._simple: re.Pattern[str] | None = re.compile(text)
            tree = parser.parse(text)
        except (re.error, RecursionError, OverflowError) as exc:
            raise ValueError(str(exc)) from exc
        self._items: list[Any] = list(tree)
        _check(self._items, 0)
        if _choices(self._items) > 1:
            self._simple = None
            if tree.state.flags & ~re.UNICODE.value:
                raise ValueError("flags cannot be used with several choices")

    def found_in(self, text: str) -> bool:
        """Return whether the expression holds anywhere in a text."""
        if self._simple is not None:
            return self._simple.search(text) is not None
        return bool(_walk(self._items, frozenset(range(len(text) + 1)), text))


def _inner(op: Any, value: Any) -> list[Any]:
    """Return the sequences within an item."""
    if op is ops.SUBPATTERN:
        return [value[3]]
    if op is ops.BRANCH:
        return list(value[1])
    return [value[2]] if op in _REPEATS else []


def _choices(items: Iterable[Any]) -> int:
    """Return how often there is more than one way on; a repeat of one character counts once."""
    return sum(
        (op is ops.BRANCH) + (op in _REPEATS) + sum(map(_choices, _inner(op, value)))
        for op, value in items
    )


def _check(items: Iterable[Any], depth: int) -> None:
    """Refuse what cannot be walked.

    Raises:
        ValueError: as it says.
    """
    for op, value in items:
        if op not in _KNOWN or (op is ops.SUBPATTERN and (value[1] or value[2])):
            raise ValueError(f"{str(op).lower().replace('_', ' ')} is not supported here")
        within = depth + (op in _REPEATS)
        if within > _DEEPEST:
            raise ValueError(f"repeats stand within repeats, more than {_DEEPEST} deep")
        for inner in _inner(op, value):
            _check(inner, within)


def _walk(items: Iterable[Any], places: _Places, text: str) -> _Places:
    """Return where a sequence may end that begins at any of these places."""
    for op, value in items:
        places = _step(op, value, places, text)
        if not places:
            break
    return places


def _step(op: Any, value: Any, places: _Places, text: str) -> _Places:
    if op in _REPEATS:
        return _repeated(value, places, text)
    if op is ops.AT:
        return frozenset(at for at in places if _ANCHORS[value].match(text, at))
    inner = _inner(op, value)
    if inner:
        return frozenset(at for one in inner for at in _walk(one, places, text))
    return frozenset(at + 1 for at in places if at < len(text) and _is(op, value, text[at]))


def _repeated(value: Any, places: _Places, text: str) -> _Places:
    least, most, inner = value
    for _ in range(least):
        before, places = places, _walk(inner, places, text)
        if places in (before, frozenset()):
            break
    seen, fresh = places, places
    while fresh and least < most:
        fresh = _walk(inner, fresh, text) - seen
        seen |= fresh
        least += 1
    return seen


def _is(op: Any, value: Any, character: str) -> bool:
    """Return whether one character is what an item wants."""
    if op is ops.ANY:
        return character != "\n"
    if op is ops.IN:
        hits = [_is(one, what, character) for one, what in value if one is not ops.NEGATE]
        return any(hits) is (value[0][0] is not ops.NEGATE)
    if op is ops.CATEGORY:
        return _CATEGORIES[value].match(character) is not None
    if op is ops.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    return (ord(character) == value) is (op is ops.LITERAL)


_SINGLE: Set[Any] = {ops.ANY, ops.IN, ops.LITERAL, ops.NOT_LITERAL}
_KNOWN: Set[Any] = {ops.AT, ops.SUBPATTERN, ops.BRANCH, *_REPEATS, *_SINGLE}
