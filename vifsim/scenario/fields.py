"""The marshmallow fields of the scenario format, and the schema that forgives nothing.

A field reads one value or raises a `ValidationError` that holds `Flaw`s; marshmallow collects them
by path, and `flaws_of` gives them back as a flat list.

The house rule: a flaw about a value is a predicate ("must be …"); the key is put before it when it
is told, so that one field serves many keys.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from difflib import get_close_matches
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeGuard, TypeVar, cast

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validates_schema

from vifsim.scenario.text import Path, shown

T = TypeVar("T")
Flaws = list[tuple[Path, "Flaw"]]

bare_numbers: ContextVar[bool] = ContextVar("bare_numbers", default=False)
"""Whether a bare number is a duration, as in Python calls; in files it is refused."""

NAME = re.compile(r"[a-z0-9-]{1,64}")
_LONGEST = 87_600 * 3600.0  # ten years, so that no date overflows


# ── flaws ────────────────────────────────────────────────────────────────────────────────────────


class Flaw(str):
    """One thing that is wrong, in a form that marshmallow carries about.

    Attributes:
        hint: what to do, or "".
        on_key: whether the key is at fault, not its value.
        predicate: whether the key is to be put before the text.
    """

    __slots__ = ("hint", "on_key", "predicate")
    hint: str
    on_key: bool
    predicate: bool

    def __new__(
        cls, detail: str, hint: str = "", *, on_key: bool = False, predicate: bool = False
    ) -> Flaw:
        """Make the text and put the rest beside it."""
        flaw = super().__new__(cls, detail)
        flaw.hint, flaw.on_key, flaw.predicate = hint, on_key, predicate
        return flaw

    def at(self, path: Path) -> str:
        """Return the whole sentence for a place in a document."""
        if not self.predicate:
            return str(self)
        last = max((i for i, step in enumerate(path) if isinstance(step, str)), default=0)
        subject = "".join(
            f"[{step}]" if isinstance(step, int) else shown(step) for step in path[last:]
        )
        return f"{subject or 'the document'} {self}"


def refusal(predicate: str, hint: str = "", *, key: str = "_schema") -> ValidationError:
    """Return the error of a field that cannot take its value, or of one key of a mapping."""
    return ValidationError([Flaw(predicate, hint, predicate=True)], key)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was probably meant, or ""."""
    return _nearest(word, tuple(known))


@lru_cache(maxsize=256)  # a mistake that is made a thousand times is looked at once
def _nearest(word: str, words: tuple[str, ...]) -> str:
    meant = word.lower()
    begun = [one for one in words if len(meant) > 2 and one.startswith(meant)]
    found = get_close_matches(meant, words, 1, 0.6) or begun
    return found[0] if found else ""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the hint with the nearest known word, or ""."""
    found = nearest(word, known)
    return f"did you mean {found}?" if found else ""


def flaws_of(messages: object, path: Path = ()) -> Iterator[tuple[Path, Flaw]]:
    """Yield the flaws of a `ValidationError`'s messages with their paths."""
    if isinstance(messages, Mapping):
        for key, inner in cast("Mapping[str | int, object]", messages).items():
            yield from flaws_of(inner, path if key == "_schema" else (*path, key))
    elif isinstance(messages, list):
        for item in cast("list[object]", messages):
            yield from flaws_of(item, path)
    else:
        yield path, messages if isinstance(messages, Flaw) else Flaw(str(messages), predicate=True)


def _messages_of(exc: ValidationError) -> Any:
    return cast("Any", exc).messages  # whose type marshmallow leaves half said


# ── the schema ───────────────────────────────────────────────────────────────────────────────────

_MESSAGES: dict[str, Any] = {
    "required": Flaw("is missing", predicate=True),
    "null": Flaw("has no value", predicate=True),
    "type": Flaw("must be a mapping", predicate=True),
    "invalid": Flaw("must be a list", predicate=True),
}


class Strict(Schema):
    """A mapping that may hold no key that is not listed.

    `exactly_one`: its keys are alternatives. `not_built`: keys that a later version may take.
    """

    class Meta:
        """Marshmallow's options."""

        unknown = EXCLUDE  # refused below, each with the name that was probably meant

    error_messages = _MESSAGES
    exactly_one: ClassVar[bool] = False
    not_built: ClassVar[Collection[str]] = ()

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """Return the keys of the mapping as they are written."""
        known = cast("Any", instance(cls)).fields
        return tuple(field.data_key or name for name, field in known.items())

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def refuse_unknown_keys(self, _data: object, original: object, **_: object) -> None:
        """Refuse what is not listed, and more than one of alternatives."""
        if not isinstance(original, Mapping):
            return
        given = cast("Mapping[str, object]", original)
        known = self.keys()
        unknown = {key: [self._unknown(key, known)] for key in given if key not in known}
        if unknown:
            raise ValidationError(cast("dict[str, Any]", unknown))
        if self.exactly_one and len(given) != 1:
            raise refusal(f"must hold exactly one of {', '.join(known)}")

    def _unknown(self, key: str, known: Collection[str]) -> Flaw:
        if key in self.not_built:
            return Flaw(f"{key} is not built yet", "leave it out", on_key=True)
        return Flaw(f"unknown key {shown(key)}", did_you_mean(key, known), on_key=True)


@cache
def instance(schema: type[Strict]) -> Strict:
    """Return the one instance of a schema: making one is slow, and it holds no state."""
    return schema()


def load_with(schema: type[Strict], data: object) -> tuple[Any, Flaws]:
    """Return what a schema makes of data, and its flaws.

    Where there are some, the first is the mapping of those values that are sound.
    """
    try:
        return cast("Any", instance(schema)).load(data), []
    except ValidationError as exc:
        return cast("Any", exc).valid_data or {}, list(flaws_of(_messages_of(exc)))


def one(schema: type[Strict], doc: str, *, required: bool = False) -> fields.Nested:
    """Return a field that holds a mapping."""
    return fields.Nested(
        schema, required=required, error_messages=_MESSAGES, metadata={"description": doc}
    )


def many(schema: type[Strict], doc: str) -> fields.List[Any]:
    """Return a field that holds a list of mappings."""
    inner = one(schema, doc)
    return fields.List(inner, error_messages=_MESSAGES, metadata={"description": doc})


# ── fields ───────────────────────────────────────────────────────────────────────────────────────


class Value(fields.Field[T], Generic[T]):
    """A field that says in `_read` what it takes; `doc` becomes its description."""

    shape: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    takes_seconds: ClassVar[bool] = False
    """Whether a bare number, where one may stand, is a duration."""

    def __init__(
        self,
        doc: str = "",
        *,
        required: bool = False,
        nullable: bool = False,
        data_key: str | None = None,
    ) -> None:
        cast("Any", super()).__init__(  # whose signature marshmallow leaves half said
            required=required,
            allow_none=nullable,
            data_key=data_key,
            error_messages=_MESSAGES,
            metadata={"description": doc, **self.shape},
        )

    def read(self, value: object) -> T:
        """Return what a value means.

        Raises:
            ValidationError: it means nothing here.
        """
        return self._read(value)

    def _read(self, value: object) -> T:
        raise NotImplementedError

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> T:
        return self._read(value)


class Text(Value[str]):
    """A text; numbers must be put in quotes to be one."""

    shape = MappingProxyType({"type": "string"})

    def __init__(
        self, doc: str = "", *, longest: int = 255, empty: bool = False, **common: Any
    ) -> None:
        super().__init__(doc, **common)
        self.longest = longest
        self.empty = empty

    def _read(self, value: object) -> str:
        if not isinstance(value, str):
            scalar = isinstance(value, int | float)
            hint = f'put it in quotes: "{shown(value)}"' if scalar else ""
            raise refusal("must be text", hint)
        if not self.empty and not value.strip():
            raise refusal("must not be empty")
        if len(value) > self.longest:
            raise refusal(f"must be at most {self.longest} characters long")
        return value


class Pattern(Text):
    """A text of one form; `form` says it in words."""

    def __init__(self, doc: str, pattern: re.Pattern[str], form: str, **common: Any) -> None:
        super().__init__(doc, **common)
        self.pattern = pattern
        self.form = form

    def _read(self, value: object) -> str:
        text = super()._read(value)
        if not self.pattern.fullmatch(text):
            raise refusal(f"must be {self.form}, not {shown(text)}")
        return text


class Name(Pattern):
    """A name of the user's own."""

    def __init__(self, doc: str, **common: Any) -> None:
        form = "1 to 64 of a-z, 0-9 and -"
        super().__init__(doc, NAME, form, **common)


class HeaderText(Pattern):
    """The value of an HTTP header."""

    def __init__(self, doc: str = "", **common: Any) -> None:
        printable = re.compile(r"[\x20-\x7e]*")
        super().__init__(doc, printable, "one line of ASCII", empty=True, longest=4096, **common)


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}")


def header_name(key: str) -> str:
    """Return the name of a header.

    Raises:
        ValidationError: no header can be called so.
    """
    if not _TOKEN.fullmatch(key):
        raise ValidationError([Flaw(f"{shown(key)} is not the name of a header", on_key=True)])
    return key


class Choice(Value[Any]):
    """One of a few texts or numbers. `later`: those that are not built."""

    def __init__(
        self, doc: str, choices: Sequence[str | int], later: Sequence[str] = (), **common: Any
    ) -> None:
        super().__init__(doc, **common)
        self.choices = choices
        self.later = later
        self.metadata = {**self.metadata, "enum": list(choices)}

    def _read(self, value: object) -> Any:
        for choice in self.choices:
            if type(value) is type(choice) and value == choice:
                return choice
        if value in self.later:
            raise refusal(f"{value} is not built yet", f"use {self.choices[0]}")
        words = [str(choice) for choice in self.choices]
        hint = did_you_mean(value, words) if isinstance(value, str) else ""
        raise refusal(f"must be {alternatives(words)}, not {shown(value)}", hint)


def alternatives(words: Sequence[str]) -> str:
    """Return words as a phrase: `a`, `a or b`, `one of a, b, c`."""
    return " or ".join(words) if len(words) < 3 else f"one of {', '.join(words)}"


class Count(Value[int]):
    """A whole number; `least` is the smallest that it may be."""

    shape = MappingProxyType({"type": "integer"})

    def __init__(self, doc: str = "", *, least: int = 1, **common: Any) -> None:
        super().__init__(doc, **common)
        self.least = least

    def _read(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < self.least:
            raise refusal(f"must be a whole number, {self.least} or more, not {shown(value)}")
        return value


class Number(Value[float]):
    """A number above 0."""

    shape = MappingProxyType({"type": "number"})

    def _read(self, value: object) -> float:
        if not is_number(value) or float(value) <= 0:
            raise refusal(f"must be a number above 0, not {shown(value)}")
        return float(value)


class Probability(Value[float]):
    """A number from 0 to 1."""

    shape = MappingProxyType({"type": "number", "example": 0.3})

    def _read(self, value: object) -> float:
        if is_number(value) and 0 <= value <= 1:
            return float(value)
        raise refusal(f"must be between 0 and 1, not {shown(value)}", _share_hint(value))


_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")


def _share_hint(value: object) -> str:
    if is_number(value):
        percent = float(value)
    else:
        match = _PERCENT.fullmatch(value) if isinstance(value, str) else None
        percent = float(match.group(1)) if match else math.nan
    return f"write {percent / 100:g}" if 0 < percent <= 100 else ""


class Flag(Value[bool]):
    """true or false, nothing else: `yes` and `on` are texts."""

    shape = MappingProxyType({"type": "boolean"})

    def _read(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}
        word = meant.get(value.lower(), "") if isinstance(value, str) else ""
        raise refusal(f"must be true or false, not {shown(value)}", f"write {word}" if word else "")


class Marker(Value[T]):
    """A key whose only value is true."""

    shape = MappingProxyType({"type": "boolean", "enum": [True]})

    def __init__(self, doc: str, meaning: T) -> None:
        super().__init__(doc)
        self.meaning = meaning

    def _read(self, value: object) -> T:
        if value is not True:
            raise refusal(f"must be true, not {shown(value)}", "or leave the key out")
        return self.meaning


_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_SLOPPY = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*([A-Za-z]+)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Duration(Value[float]):
    """A duration with its unit; read as seconds."""

    shape = MappingProxyType({"type": "string", "example": "250ms"})
    takes_seconds = True

    def __init__(self, doc: str = "", *, above_zero: bool = False, **common: Any) -> None:
        super().__init__(doc, **common)
        self.above_zero = above_zero

    def _read(self, value: object) -> float:
        seconds = seconds_of(value)
        if self.above_zero and seconds <= 0:
            raise refusal("must be longer than 0s")
        if seconds > _LONGEST:
            raise refusal("must be at most 87600h")
        return seconds


def seconds_of(value: object) -> float:
    """Return a duration of any length in seconds.

    Raises:
        ValidationError: no duration, or one without a unit.
    """
    if is_number(value) and bare_numbers.get():
        if value < 0:
            raise refusal("must not be negative")
        return float(value)
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match:
        return float(match.group(1)) * _SECONDS[match.group(2)]
    if is_number(value) or (isinstance(value, str) and re.fullmatch(r"[0-9.]+", value)):
        raise refusal(f"needs a unit: {shown(value)} of what?", f"write {shown(value)}s")
    example = "must be a duration such as 250ms, 2s, 1m or 24h"
    raise refusal(f"{example}, not {shown(value)}", _unit_hint(value))


def _unit_hint(value: object) -> str:
    match = _SLOPPY.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        return ""
    number, unit = match.group(1), match.group(2).lower()
    if unit in {"d", "day", "days"}:
        return f"write {float(number) * 24:g}h"
    if unit.startswith(("ms", "mil")):
        return f"did you mean {number}ms?"
    return f"did you mean {number}{unit[0]}?" if unit[0] in "smh" else ""


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


_RATE = re.compile(r"([0-9]{1,9})/(.+)")


class Rate(Value[tuple[int, float]]):
    """So many calls in a duration: `4/1m`; read as (calls, seconds)."""

    shape = MappingProxyType({"type": "string", "example": "4/1m"})

    def _read(self, value: object) -> tuple[int, float]:
        match = _RATE.fullmatch(value) if isinstance(value, str) else None
        if not match or int(match.group(1)) < 1:
            raise refusal(f"must be a rate such as 4/1m, not {shown(value)}", _rate_hint(value))
        try:
            window = Duration(above_zero=True).read(match.group(2))
        except ValidationError as exc:
            hint = f"write {match.group(1)}/1{match.group(2)}" if match.group(2) in _SECONDS else ""
            raise refusal(f"must be a rate such as 4/1m, not {shown(value)}", hint) from exc
        return int(match.group(1)), window


def _rate_hint(value: object) -> str:
    return f"write {shown(value)}/1m" if is_number(value) else ""


class ListOf(Value[tuple[T, ...]]):
    """A list of values, not empty unless said; `or_one`: a single value stands for a list of it."""

    def __init__(
        self,
        doc: str,
        item: Value[T],
        *,
        or_one: bool = False,
        empty: bool = False,
        length: int | None = None,
        **common: Any,
    ) -> None:
        super().__init__(doc, **common)
        self.item = item
        self.or_one = or_one
        self.empty = empty
        self.length = length

    def _read(self, value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            if self.or_one:
                return (self.item.read(value),)
            raise refusal("must be a list")
        values = cast("list[object]", value)
        if not values and not self.empty:
            raise refusal("must not be an empty list")
        if self.length is not None and len(values) != self.length:
            raise refusal(f"must be a list of {self.length}")
        return self._items(values)

    def _items(self, values: Sequence[object]) -> tuple[T, ...]:
        found: list[T] = []
        wrong: dict[int, Any] = {}
        for index, value in enumerate(values):
            try:
                found.append(self.item.read(value))
            except ValidationError as exc:
                wrong[index] = _messages_of(exc)
        if wrong:
            raise ValidationError(cast("Any", wrong))
        return tuple(found)


class Table(Value[dict[str, T]]):
    """A mapping whose keys are the user's; `key` reads one and may raise a `Flaw`'s error."""

    shape = MappingProxyType({"type": "object"})

    def __init__(self, doc: str, key: Callable[[str], str], item: Value[T], **common: Any) -> None:
        super().__init__(doc, **common)
        self.key = key
        self.item = item

    def _read(self, value: object) -> dict[str, T]:
        if not isinstance(value, Mapping):
            raise refusal("must be a mapping")
        found: dict[str, T] = {}
        wrong: dict[str, Any] = {}
        for key, item in cast("Mapping[str, object]", value).items():
            try:
                found[self.key(key)] = self.item.read(item)
            except ValidationError as exc:
                wrong[key] = _messages_of(exc)
        if wrong:
            raise ValidationError(wrong)
        return found


class Either(Value[T]):
    """A short form, or a mapping; `make` turns what the short form reads into the value."""

    def __init__(
        self,
        doc: str,
        short: Value[Any],
        long: type[Strict],
        make: Callable[[Any], T] | None = None,
        **common: Any,
    ) -> None:
        super().__init__(doc, **common)
        self.short = short
        self.long = long
        self.make = make

    def _read(self, value: object) -> T:
        if isinstance(value, Mapping):
            return cast("T", instance(self.long).load(cast("Any", value)))
        read = self.short.read(value)
        return self.make(read) if self.make else cast("T", read)


# ── bare numbers ─────────────────────────────────────────────────────────────────────────────────


def with_units(schema: type[Strict], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return sound data whose bare numbers are seconds as a scenario writes them."""
    known = {field.data_key or name: field for name, field in _fields_of(schema).items()}
    return {key: _with_unit(known[key], value) for key, value in data.items()}


def _fields_of(schema: type[Strict]) -> dict[str, Any]:
    return dict(cast("Any", instance(schema)).fields)


def _with_unit(field: Any, value: Any) -> Any:
    known: Any = field  # which keeps its parts when the match narrows it
    match field:
        case Either():
            inner = isinstance(value, Mapping)
            return _with_unit(fields.Nested(known.long) if inner else known.short, value)
        case ListOf() if isinstance(value, list):
            return [_with_unit(known.item, item) for item in cast("list[object]", value)]
        case Table():
            return {key: _with_unit(known.item, item) for key, item in value.items()}
        case fields.Nested():
            return with_units(known.schema.__class__, value)
        case Value() if known.takes_seconds and is_number(value):
            return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
        case _:
            return value
