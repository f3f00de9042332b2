"""Durations and rates: how they are written, and what they are in seconds.

The house rule: a duration has a unit; a bare number is seconds only where Python calls, and is
written with its unit before anybody keeps it.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, cast

from marshmallow import ValidationError, fields

from vifsim.scenario.fields import Either, ListOf, Table, Value, is_number
from vifsim.scenario.flaws import refusal
from vifsim.scenario.strict import Strict, instance
from vifsim.scenario.text import shown

bare_numbers: ContextVar[bool] = ContextVar("bare_numbers", default=False)
"""Whether a bare number is a duration, as in Python calls; in files it is refused."""

_LONGEST = 87_600 * 3600.0  # ten years, so that no date overflows
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


# ── bare numbers ──────────────────────────────────────────────────────────────────────────────────


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
