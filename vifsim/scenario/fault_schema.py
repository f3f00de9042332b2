"""The schemas of delays, faults and what an injected answer says.

The house rule: each reads into its value of `rule`; nothing here knows the rest of the rule.

Source: scenario format, "fault: exactly one of" (docs/scenarios.md).
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

from marshmallow import ValidationError, post_load, validates_schema

from vifsim.scenario.durations import Duration, Rate
from vifsim.scenario.fields import (
    Choice,
    Count,
    Either,
    HeaderText,
    ListOf,
    Number,
    Table,
    Text,
    Value,
    is_number,
)
from vifsim.scenario.flaws import Flaw, refusal
from vifsim.scenario.rule import (
    STATUSES,
    Capacity,
    Corrupt,
    Distribution,
    Drip,
    Duplicate,
    Limit,
    RetryAfterRule,
    Truncate,
)
from vifsim.scenario.strict import Strict, one
from vifsim.scenario.text import shown

# ── delays ───────────────────────────────────────────────────────────────────────────────────────


class LognormalSchema(Strict):
    """Delays by two percentiles: most are near `p50`, few are long."""

    p50 = Duration("The median.", above_zero=True, required=True)
    p99 = Duration("What 1 call in 100 exceeds.", above_zero=True, required=True)
    most = Duration("No delay is longer.", above_zero=True, data_key="max")

    @validates_schema
    def check_order(self, data: dict[str, float], **_: object) -> None:
        """Refuse percentiles in the wrong order."""
        if data["p99"] < data["p50"]:
            raise refusal("must not be less than p50", key="p99")
        if data.get("most", math.inf) < data["p50"]:
            raise refusal("must not be less than p50", key="max")

    @post_load
    def to_value(self, data: dict[str, float], **_: object) -> Distribution:
        """Return the value."""
        values = (data["p50"], data["p99"], data.get("most", math.inf))
        return Distribution(kind="lognormal", values=values)


class ParetoSchema(Strict):
    """Delays with a long tail; the smaller `shape`, the longer."""

    least = Duration("No delay is shorter.", above_zero=True, required=True, data_key="min")
    shape = Number("How fast the tail ends; above 0.", required=True)
    most = Duration("No delay is longer.", above_zero=True, data_key="max")

    @validates_schema
    def check_order(self, data: dict[str, float], **_: object) -> None:
        """Refuse a longest delay below the shortest."""
        if data.get("most", math.inf) < data["least"]:
            raise refusal("must not be less than min", key="max")

    @post_load
    def to_value(self, data: dict[str, float], **_: object) -> Distribution:
        """Return the value."""
        values = (data["least"], data["shape"], data.get("most", math.inf))
        return Distribution(kind="pareto", values=values)


class Uniform(ListOf[float]):
    """Delays between two that are all alike likely."""

    def __init__(self, doc: str) -> None:
        super().__init__(doc, Duration(), length=2)

    def _read(self, value: object) -> tuple[float, ...]:
        low, high = super()._read(value)
        if low > high:
            raise refusal("must be [shortest, longest]")
        return low, high


def _share(percent: str) -> float:
    return float(f"{percent}e-2")  # divided, 99.9 would not be 0.999


_PERCENTILE = re.compile(r"p([0-9]{1,3}(?:\.[0-9]{1,6})?)")


def _percentile(key: str) -> str:
    match = _PERCENTILE.fullmatch(key)
    if not match or not 0 < float(match.group(1)) <= 100:
        detail = f"{shown(key)} is not a percentile such as p50 or p99.9"
        raise ValidationError([Flaw(detail, on_key=True)])
    return match.group(1)


class Quantiles(Table[float]):
    """Delays by percentiles; read as (share, seconds) in rising order."""

    def __init__(self, doc: str) -> None:
        super().__init__(doc, _percentile, Duration())

    def _read(self, value: object) -> Any:
        read = super()._read(value)
        points = sorted((_share(percent), delay) for percent, delay in read.items())
        if not points:
            raise refusal("must hold at least one percentile")
        if any(share == next_share for (share, _), (next_share, _) in pairwise(points)):
            raise refusal("must hold each percentile once")
        if any(delay > next_delay for (_, delay), (_, next_delay) in pairwise(points)):
            raise refusal("must rise with the percentile")
        return tuple(points)


class DistributionSchema(Strict):
    """How long delays are; exactly one form."""

    exactly_one = True
    uniform = Uniform("`[shortest, longest]`.")
    lognormal = one(LognormalSchema, "By median and 99th percentile.")
    pareto = one(ParetoSchema, "With a long tail.")
    quantiles = Quantiles("Percentiles: `{p50: 80ms, p99: 2s}`.")

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Distribution:
        """Return the value."""
        ((kind, read),) = data.items()
        if kind == "uniform":
            return Distribution(kind="uniform", values=read)
        return Distribution(kind="quantiles", points=read) if kind == "quantiles" else read


def _constant(seconds: float) -> Distribution:
    return Distribution(kind="constant", values=(seconds,))


def delay(doc: str, *, required: bool = False) -> Either[Distribution]:
    """Return a field that holds a duration or a distribution."""
    return Either(doc, Duration(), DistributionSchema, _constant, required=required)


# ── faults ───────────────────────────────────────────────────────────────────────────────────────


class LimitSchema(Strict):
    """A fixed window, and the status of those beyond it."""

    rate = Rate("Calls in a window: `4/1m`.", required=True)
    status = Choice("The answer of the others, 413 unless said.", STATUSES)

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Limit:
        """Return the value."""
        return replace(limit_of(data["rate"]), status=data.get("status", 413))


def limit_of(rate: tuple[int, float]) -> Limit:
    """Return the limit of a rate, with the usual status."""
    return Limit(rate=rate[0], window=rate[1])


class CapacitySchema(Strict):
    """So many workers, and room for so many who wait."""

    workers = Count("How many calls are served at once.", required=True)
    service = delay("How long serving takes.", required=True)
    queue = Count("How many calls may wait.", least=0, required=True)
    shed = Choice("The status of the others, 503 unless said.", STATUSES)

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Capacity:
        """Return the value."""
        return Capacity(**data)


class HangTime(Duration):
    """A duration, or `forever`; read as seconds or None."""

    def _read(self, value: object) -> Any:
        return None if value == "forever" else super()._read(value)


_BYTE_RATE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)B/s")


class ByteRate(Value[Drip]):
    """Bytes a second: `16B/s`."""

    def _read(self, value: object) -> Drip:
        match = _BYTE_RATE.fullmatch(value) if isinstance(value, str) else None
        if not match or float(match.group(1)) <= 0:
            hint = f"write {shown(value)}B/s" if is_number(value) else ""
            raise refusal(f"must be bytes a second such as 16B/s, not {shown(value)}", hint)
        return Drip(rate=float(match.group(1)))


class DripSchema(Strict):
    """Equal pieces: the first at once, the last when the time is over."""

    chunks = Count("How many pieces, 2 or more.", least=2, required=True)
    over = Duration("When the last piece comes.", above_zero=True, required=True)

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Drip:
        """Return the value."""
        return Drip(**data)


_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)%")
_SIZE = re.compile(r"([0-9]{1,9})B")


class PartOfBody(Value[Truncate]):
    """A share or a number of bytes: `40%`, `128B`."""

    def _read(self, value: object) -> Truncate:
        text = value if isinstance(value, str) else ""
        share, size = _SHARE.fullmatch(text), _SIZE.fullmatch(text)
        if share and float(share.group(1)) <= 100:
            return Truncate(share=_share(share.group(1)))
        if size:
            return Truncate(size_bytes=int(size.group(1)))
        hint = f"{shown(value)}% or {shown(value)}B" if is_number(value) else ""
        raise refusal(f"must be a part of the body such as 40% or 128B, not {shown(value)}", hint)


_PATH_WANTED = "must be keys and places with one dot between them"


class DataPath(Value[tuple[str | int, ...]]):
    """A way into the answer's JSON: `virtual_interfaces.0.id`."""

    def _read(self, value: object) -> tuple[str | int, ...]:
        text = Text(longest=1024).read(value)
        steps = text.split(".")
        plain = re.sub(r"\[([0-9]+)\]", r".\1", text).lstrip(".")
        if plain != text and "[" in text:
            raise refusal(_PATH_WANTED, f"write {plain}")
        if not all(steps):
            raise refusal(_PATH_WANTED)
        return tuple(int(step) if re.fullmatch("[0-9]{1,9}", step) else step for step in steps)


def _data_path(key: str) -> str:
    DataPath().read(key)
    return key


class Anything(Value[Any]):
    """Any plain value."""

    def _read(self, value: object) -> Any:
        return value


class OneSetting(Table[Any]):
    """Exactly one `path: value`."""

    def __init__(self, doc: str, **common: Any) -> None:
        super().__init__(doc, _data_path, Anything(), **common)

    def _read(self, value: object) -> dict[str, Any]:
        found = super()._read(value)
        if len(found) != 1:
            raise refusal("must hold exactly one path and its value")
        return found


class CorruptSchema(Strict):
    """What is spoiled in a whole answer; exactly one."""

    exactly_one = True
    drop = DataPath("The key or place that is missing: `virtual_interfaces.0.id`.")
    put = OneSetting(
        "The path whose value is another: `{virtual_interfaces.0.id: null}`.", data_key="set"
    )
    content_length = Count("So many bytes more are promised than come.")

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Corrupt:
        """Return the value."""
        if "drop" in data:
            return Corrupt(kind="drop", path=data["drop"])
        if "put" in data:
            ((path, value),) = data["put"].items()
            return Corrupt(kind="set", path=DataPath().read(path), value=value)
        return Corrupt(kind="content_length", surplus=data["content_length"])


def corrupt_of(kind: Any) -> Corrupt:
    """Return what a kind without a value spoils."""
    return Corrupt(kind=kind)


class DuplicateSchema(Strict):
    """How often a proxy delivers a call, and whose answer it passes on."""

    times = Count("How often, 2 unless said.", least=2)
    gap = Duration("Between one delivery and the next, 0s unless said.")
    answer = Choice("The answer that is passed on, the first unless said.", ("first", "last"))

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Duplicate:
        """Return the value."""
        return Duplicate(**data)


class RetryAfterFormsSchema(Strict):
    """A Retry-After that is not whole seconds; exactly one."""

    exactly_one = True
    date = Duration("So much later, as an HTTP date.")
    raw = HeaderText("This text as it stands.")

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> RetryAfterRule:
        """Return the value."""
        if "raw" in data:
            return RetryAfterRule(kind="raw", text=data["raw"])
        return RetryAfterRule(kind="date", seconds=data["date"])


class RetryAfterWord(Value[RetryAfterRule | None]):
    """`auto`, `none`, or a duration."""

    takes_seconds = True

    def _read(self, value: object) -> RetryAfterRule | None:
        if value == "auto":
            return RetryAfterRule(kind="auto")
        if value == "none":
            return None
        return RetryAfterRule(kind="duration", seconds=Duration().read(value))
