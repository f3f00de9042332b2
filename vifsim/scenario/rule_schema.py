"""The schemas of a rule: match, schedule, and exactly one fault.

The house rule: a fault is one field of `RuleSchema` that reads into its value of `rule`; what
concerns several keys of one rule is checked in `RuleSchema.check_together`.

Source: scenario format, "A rule" (docs/scenarios.md).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any, cast

from marshmallow import ValidationError, post_load, validates_schema

from vifsim.model import OPERATIONS
from vifsim.scenario.durations import Duration, Rate
from vifsim.scenario.fault_schema import (
    ByteRate,
    CapacitySchema,
    CorruptSchema,
    DripSchema,
    DuplicateSchema,
    HangTime,
    LimitSchema,
    PartOfBody,
    RetryAfterFormsSchema,
    RetryAfterWord,
    corrupt_of,
    delay,
    limit_of,
)
from vifsim.scenario.fields import (
    Choice,
    Count,
    Either,
    HeaderText,
    ListOf,
    Marker,
    Name,
    Probability,
    Table,
    Text,
    Value,
    header_name,
)
from vifsim.scenario.flaws import Flaw, did_you_mean, nearest, refusal
from vifsim.scenario.rule import (
    FAULT_KEYS,
    STATUSES,
    Chance,
    Close,
    Drip,
    ExpireToken,
    Flap,
    Hang,
    KeepaliveCut,
    Latency,
    Match,
    Origin,
    Reset,
    RetryAfterRule,
    Rule,
    Schedule,
    Stale,
    Status,
)
from vifsim.scenario.strict import Strict, one
from vifsim.scenario.text import shown

_SCHEDULE = (
    "first",
    "nth",
    "every",
    "after",
    "times",
    "chance",
    "flap",
    "during",
    "between",
    "per",
)
_ANSWER = ("message", "headers", "body")
_ENDS = ("during", "between", "flap")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
_WILD = re.compile(r"[*?\[]")


# ── match ────────────────────────────────────────────────────────────────────────────────────────


_GLOBS = tuple(dict.fromkeys(f"{name.split('_', maxsplit=1)[0]}_*" for name in OPERATIONS))


class Operation(Text):
    """The name of an operation, or a glob that fits some."""

    def _read(self, value: object) -> str:
        glob = super()._read(value)
        if any(fnmatchcase(operation, glob) for operation in OPERATIONS):
            return glob
        if _WILD.search(glob):
            hint = did_you_mean(glob, (*_GLOBS, *OPERATIONS))
            raise ValidationError([Flaw(f"{shown(glob)} fits no operation", hint)])
        hint = did_you_mean(glob, OPERATIONS)
        raise ValidationError([Flaw(f"unknown operation {shown(glob)}", hint)])


class Method(Text):
    """An HTTP method, or a glob that fits some; read in capitals, as they are sent."""

    def _read(self, value: object) -> str:
        glob = super()._read(value).upper()
        if any(fnmatchcase(method, glob) for method in _METHODS):
            return glob
        hint = did_you_mean(glob, [method.lower() for method in _METHODS]).upper()
        raise refusal(
            f"must be an HTTP method, not {shown(value)}",
            hint.replace("DID YOU MEAN", "did you mean"),
        )


class UrlPath(Text):
    """A path, or a glob of paths."""

    def _read(self, value: object) -> str:
        glob = super()._read(value)
        if glob[0] not in "/*?[":
            raise refusal("must begin with / or *", f"did you mean /{shown(glob)}?")
        return glob


def _globs(doc: str, item: Value[str] | None = None) -> ListOf[str]:
    return ListOf(doc, item or Text(longest=1024), or_one=True)


class ClientMatchSchema(Strict):
    """Which clients."""

    agent = _globs("Globs of the User-Agent.")
    address = _globs("Globs of the peer's address.")


class MatchSchema(Strict):
    """Which calls: all that is given must hold."""

    operation = _globs("Operation names or globs.", Operation())
    method = _globs("HTTP methods.", Method())
    path = _globs("Paths without the query, globs allowed.", UrlPath(longest=2048))
    tenant = _globs("Tenant ids, globs allowed.")
    server = _globs("Names or ids of servers, globs allowed.")
    network = _globs("Labels or ids of networks, globs allowed.")
    header = Table("Header name → glob of its value.", header_name, HeaderText())
    client = one(ClientMatchSchema, "What the client says that it is, and where it is.")

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Match:
        """Return the value."""
        client = data.get("client", {})
        return Match(
            operations=data.get("operation", ()),
            methods=data.get("method", ()),
            paths=data.get("path", ()),
            tenants=data.get("tenant", ()),
            servers=data.get("server", ()),
            networks=data.get("network", ()),
            headers=tuple(data.get("header", {}).items()),
            agents=client.get("agent", ()),
            addresses=client.get("address", ()),
        )


# ── schedule ─────────────────────────────────────────────────────────────────────────────────────


class MovingChanceSchema(Strict):
    """A probability that moves in a straight line across the phase of `during`."""

    start = Probability("At the phase's beginning.", required=True, data_key="from")
    end = Probability("At its end.", required=True, data_key="to")

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Chance:
        """Return the value."""
        return Chance(**data)


class FlapSchema(Strict):
    """A square wave in time, which begins up."""

    up = Duration("How long all is well.", above_zero=True, required=True)
    down = Duration("How long the rule fires.", above_zero=True, required=True)

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Flap:
        """Return the value."""
        return Flap(**data)


class Between(ListOf[float]):
    """A half-open stretch of scenario time, `[from, to]`."""

    def __init__(self, doc: str) -> None:
        super().__init__(doc, Duration(), length=2)

    def _read(self, value: object) -> tuple[float, ...]:
        start, end = super()._read(value)
        if start >= end:
            raise refusal("can never hold: it ends before it has begun", "[from, to]")
        return start, end


# ── the rule ─────────────────────────────────────────────────────────────────────────────────────


class RuleSchema(Strict):
    """One rule: match, schedule, and exactly one fault."""

    name = Name("What the rule is called in journal, report and response header.")
    match = Either(
        "Which calls: an operation or glob, a list of them, or a mapping; left out: every call.",
        _globs("", Operation()),
        MatchSchema,
        lambda operations: Match(operations=operations),
    )

    first = Count("The first N matching calls.")
    nth = ListOf("Exactly these matching calls, counted from 1.", Count(), or_one=True)
    every = Count("Each N-th matching call.")
    after = Count("All but the first N matching calls.")
    times = Count("Fire at most N times in all.")
    chance = Either(
        "With this probability, or one that moves across the phase.",
        Probability(),
        MovingChanceSchema,
        lambda share: Chance(start=share, end=share),
    )
    flap = one(FlapSchema, "A square wave in time: the rule fires while it is down.")
    during = ListOf("Only inside the named phases.", Name("A phase."), or_one=True)
    between = Between("Only in this stretch of scenario time.")
    per = Choice(
        "What counts and limits count by.",
        ("rule", "user", "tenant", "token", "client", "server", "interface"),
    )

    latency = delay("A slow answer.")
    status = Choice("The API's own fault of that status.", STATUSES)
    limit = Either("A rate limit: `4/1m`.", Rate(), LimitSchema, limit_of)
    capacity = one(CapacitySchema, "Honest overload.")
    expire_token = Marker("The token of the call is dead.", ExpireToken())
    reset = Marker("A TCP RST.", Reset())
    close = Choice("A FIN with no or half an answer.", ("before_headers", "mid_body"))
    hang = HangTime("Silence, then a FIN; `forever`: no end.", above_zero=True)
    drip: Either[Drip] = Either(
        "A body so slow that only a total time-out fires.", ByteRate(), DripSchema
    )
    truncate = PartOfBody("A body that ends before its Content-Length.")
    corrupt = Either(
        "A 200 that does not hold what it should.",
        Choice("", ("not_json", "cut_json", "html", "empty_list")),
        CorruptSchema,
        corrupt_of,
    )
    stale = Duration("Gets and lists lag behind by this much.", above_zero=True)
    duplicate = one(DuplicateSchema, "A proxy delivers the call more than once.")
    keepalive_cut = Marker("After the answer the connection closes.", KeepaliveCut())

    at = Choice("Before or after the effect.", ("before", "after_commit"))
    retry_after: Either[RetryAfterRule | None] = Either(
        "The Retry-After: `auto`, `none`, a duration, a date or a raw text.",
        RetryAfterWord(),
        RetryAfterFormsSchema,
    )
    spread = Duration("A draw of up to this much is added to the Retry-After.")
    message = Text("The message of the fault.", longest=4096)
    headers = Table("Further headers of the answer.", header_name, HeaderText())
    body = Choice("The form of the body.", ("fault", "html", "text", "xml", "empty"))

    @validates_schema(pass_original=True, skip_on_field_errors=False)
    def check_together(self, data: dict[str, Any], original: object, **_: object) -> None:
        """Refuse what is sound by itself but not with the rest of the rule."""
        if not isinstance(original, Mapping):
            return
        given = cast("Mapping[str, object]", original)
        wrong: dict[str, list[Flaw]] = {}
        for check in _TOGETHER:
            for key, flaw in check(given, data):
                wrong.setdefault(key, []).append(flaw)
        if wrong:
            raise ValidationError(cast("dict[str, Any]", wrong))


Given = Mapping[str, object]
Found = Iterator[tuple[str, Flaw]]


def _faults(given: Given) -> list[str]:
    return [key for key in given if key in FAULT_KEYS]


def _check_one_fault(given: Given, _data: Mapping[str, Any]) -> Found:
    faults = _faults(given)
    if not faults:
        keys = RuleSchema.keys()
        meant = {nearest(key, keys) for key in given if key not in keys}
        if meant.isdisjoint(FAULT_KEYS):
            yield "_schema", Flaw("a rule needs one fault", f"one of {', '.join(FAULT_KEYS)}")
    for extra in faults[1:]:
        hint = "make it two rules"
        if {faults[0], extra} == {"limit", "status"}:
            hint = "write limit: {rate: …, status: …}"
        yield extra, Flaw(f"two faults in one rule: {faults[0]} and {extra}", hint, on_key=True)


def _check_place(given: Given, data: Mapping[str, Any]) -> Found:
    faults = _faults(given)
    if "at" not in given or len(faults) != 1:
        return
    fault = faults[0]
    if fault in {"truncate", "drip", "corrupt"} or data.get("close") == "mid_body":
        named = "close: mid_body" if fault == "close" else fault
        detail = f"{named} always comes after the commit"
        yield "at", Flaw(f"at is not allowed here: {detail}", "leave it out", on_key=True)
    elif fault in {"stale", "duplicate", "keepalive_cut"}:
        yield "at", Flaw(f"at has no meaning beside {fault}", "leave it out", on_key=True)
    elif fault in {"limit", "capacity"} and data.get("at") == "after_commit":
        yield "at", Flaw(f"{fault} always comes before the effect", "leave at out")


def _check_answer(given: Given, _data: Mapping[str, Any]) -> Found:
    faults = _faults(given)
    if not faults or {"status", "limit"}.intersection(faults):
        return
    for key in (*_ANSWER, "retry_after", "spread"):
        if key in given:
            yield key, Flaw(f"{key} belongs beside status or limit, not {faults[0]}", on_key=True)


def _check_retry_after(given: Given, data: Mapping[str, Any]) -> Found:
    asked = data.get("retry_after")
    sound = "retry_after" in data and isinstance(asked, RetryAfterRule | None)
    faults = _faults(given)
    ends = [key for key in _ENDS if key in given]
    if sound and asked and asked.kind == "auto" and faults == ["status"] and not ends:
        hint = "add during, between or flap, or write a duration"
        yield "retry_after", Flaw("retry_after: auto has no end to wait for", hint)
    if "spread" not in given:
        return
    if "retry_after" not in given:
        hint = "add retry_after: auto" if "limit" in faults else "add retry_after: 2s"
        yield "spread", Flaw("spread belongs beside retry_after", hint, on_key=True)
    elif sound and (asked is None or asked.kind == "raw"):
        yield "spread", Flaw("spread needs a retry_after with a time", on_key=True)


def _check_chance(given: Given, data: Mapping[str, Any]) -> Found:
    moves = isinstance(given.get("chance"), Mapping)
    if moves and isinstance(data.get("chance"), Chance) and "during" not in given:
        hint = "add during: with the name of a phase"
        yield "chance", Flaw("a chance that moves needs a phase to move across", hint)


_TOGETHER: tuple[Callable[[Given, Mapping[str, Any]], Found], ...] = (
    _check_one_fault,
    _check_place,
    _check_answer,
    _check_retry_after,
    _check_chance,
)


# ── the value ────────────────────────────────────────────────────────────────────────────────────


def rule_of(
    data: Mapping[str, Any],
    *,
    id: str,  # noqa: A002 -- the name of the rule's attribute
    source: Mapping[str, Any],
    origin: Origin = "scenario",
    place: tuple[int, int] = (0, 0),
) -> Rule:
    """Return the rule that `RuleSchema` read."""
    key = next(key for key in FAULT_KEYS if key in data)
    schedule = {key: data[key] for key in _SCHEDULE if key in data}
    retry_after: RetryAfterRule | None = data.get("retry_after")
    if key == "limit":
        schedule.setdefault("per", "user")
        retry_after = data.get("retry_after", RetryAfterRule(kind="auto"))
    if retry_after is not None and "spread" in data:
        retry_after = replace(retry_after, spread=data["spread"])
    return Rule(
        id=id,
        fault=_fault_of(key, data),
        match=data.get("match", Match()),
        schedule=Schedule(**schedule),
        at=data.get("at", "after_commit" if _comes_after(key, data) else "before"),
        retry_after=retry_after,
        origin=origin,
        source=source,
        line=place[0],
        column=place[1],
    )


def _comes_after(key: str, data: Mapping[str, Any]) -> bool:
    return key in {"truncate", "drip", "corrupt"} or data.get("close") == "mid_body"


def _fault_of(key: str, data: Mapping[str, Any]) -> Any:
    value = data[key]
    if key in {"status", "limit"}:
        answer = Status(status=value) if key == "status" else value
        return replace(
            answer,
            message=data.get("message", ""),
            headers=tuple(data.get("headers", {}).items()),
            body=data.get("body"),
        )
    make = _VALUES.get(key)
    return make(value) if make else value


_VALUES: Mapping[str, Callable[[Any], object]] = {
    "latency": lambda value: Latency(delay=value),
    "close": lambda value: Close(where=value),
    "hang": lambda value: Hang(seconds=value),
    "stale": lambda value: Stale(seconds=value),
}


class RuleIds:
    """Hands out the ids of rules: the name, else a digest of the text and its rank among equals.

    Source: scenario format, "The same every time" (docs/scenarios.md).
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._ranks: dict[str, int] = {}

    def of(self, source: Mapping[str, Any]) -> str:
        """Return the id of the next rule."""
        name = source.get("name")
        found = name if isinstance(name, str) else self._ranked(_digest(source))
        self._taken.add(found)
        return found

    def _ranked(self, digest: str) -> str:
        while True:
            rank = self._ranks[digest] = self._ranks.get(digest, 0) + 1
            found = digest if rank == 1 else f"{digest}-{rank}"
            if found not in self._taken:
                return found


def _digest(source: Mapping[str, Any]) -> str:
    text = json.dumps(source, sort_keys=True, ensure_ascii=False)
    return f"r-{blake2b(text.encode(), digest_size=3).hexdigest()}"
