"""The marshmallow fields of the scenario format: texts, numbers, choices, lists and tables of them.

The house rule: a field reads one value, or raises an error that says what the value must be and,
where that can be guessed, what was meant.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeGuard, TypeVar, cast

from marshmallow import ValidationError, fields

from vifsim.scenario.flaws import MESSAGES, Flaw, did_you_mean, messages_of, refusal
from vifsim.scenario.strict import Strict, instance
from vifsim.scenario.text import shown

T = TypeVar("T")

NAME = re.compile(r"[a-z0-9-]{1,64}")


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
            error_messages=MESSAGES,
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


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


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
                wrong[index] = messages_of(exc)
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
                wrong[key] = messages_of(exc)
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
