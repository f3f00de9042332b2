"""What the processes on one PostgreSQL database share beside the cloud: rules, counts, journal.

The house rule: nothing is kept here from one transaction to the next; who asks is told what the
database says.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from vifsim.sharing import Entry, Head, Outdated, Published, Sharing
from vifsim_backends.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from vifsim.sharing import Document, Question, State
    from vifsim_backends.postgres_locks import Connection, Locks

T = TypeVar("T")

_QUESTIONS = 200
"""Most decisions in one transaction: other processes wait for the rules' rows."""
KEPT = 50_000
"""Entries that the journal of all holds; the oldest are dropped first."""
_READ = 500
"""Entries that are read at a time: some 30 ms of work."""
_KEYED = (("counts", "count"), ("windows", "window"))
"""What a rule counts under each key: the name in the state, and that in a key's row."""

_PUBLISHED = "SELECT published AS version, scenario AS document, start FROM meta"
_PUBLISH = """
UPDATE meta SET published = published + 1, scenario = $1 WHERE $2::bigint IS NULL OR published = $2
RETURNING published"""
_START = "UPDATE meta SET start = coalesce(start, $1) RETURNING start"
_COUNTS = """
SELECT rule, key, counted FROM rule_counts
JOIN unnest($1::text[], $2::text[]) AS asked (rule, key) USING (rule, key)"""
_PUT_COUNTS = """
INSERT INTO rule_counts (rule, key, counted)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[])
ON CONFLICT (rule, key) DO UPDATE SET counted = excluded.counted"""
_ARRIVE = """
INSERT INTO arrivals (call, n)
SELECT call, n FROM unnest($1::text[], $2::bigint[]) AS come (call, n) ORDER BY call
ON CONFLICT (call) DO UPDATE SET n = arrivals.n + excluded.n RETURNING call, n"""
_HEAD = "SELECT published AS version, run, last, cleared, dropped FROM meta, journal_head"
_ADVANCE = """
UPDATE journal_head SET last = last + $1, dropped = greatest(dropped, last + $1 - $3)
WHERE run = $2"""
_BEGIN_AGAIN = "UPDATE journal_head SET run = run + 1, last = 0, cleared = 0, dropped = 0"
_KNOWN = "SELECT * FROM journal WHERE seq = ANY($1) ORDER BY seq"
_AFTER = "SELECT * FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2"
_FORGET = "DELETE FROM journal WHERE seq <= (SELECT greatest(cleared, dropped) FROM journal_head)"


class PostgresSharing(Sharing):
    """What processes share, in the tables of one cloud.

    Args:
        borrow: runs a function with a connection that is in no transaction; a database that cannot
            be reached is a `ServiceUnavailable`.
        locks: returns the cloud's locks, once it is open.
    """

    def __init__(
        self,
        borrow: Callable[[Callable[[Connection], Awaitable[Any]]], Awaitable[Any]],
        locks: Callable[[], Locks],
    ) -> None:
        self._borrow = borrow
        self._locks = locks
        self._pump: Pump[Question[Any], Any] = Pump(self._answer, most=_QUESTIONS)

    async def aclose(self) -> None:
        """Decide what waits, and end."""
        await self._pump.aclose()

    async def join(self) -> int:
        async def take(connection: Connection) -> int:
            return int(await connection.fetchval("SELECT nextval('processes')"))

        self.number = await self._borrow(take)
        return self.number

    # ── what holds ──

    async def published(self) -> Published:
        async def read(connection: Connection) -> Published:
            return _published(await connection.fetchrow(_PUBLISHED))

        found: Published = await self._borrow(read)
        return found

    async def publish(
        self,
        document: Document,
        *,
        after: int | None,
        state: State | None = None,
        forget: Collection[str] = (),
    ) -> int | None:
        text = json.dumps(document)

        async def write(connection: Connection) -> int | None:
            async with self._locks().everything(connection):
                version: int | None = await connection.fetchval(_PUBLISH, text, after)
                if version is None:
                    return None
                if forget:
                    sql = "DELETE FROM rule_counts WHERE rule = ANY($1)"
                    await connection.execute(sql, [_storable(rule) for rule in forget])
                if state is not None:
                    await _replace_state(connection, state)
                return version

        made: int | None = await self._borrow(write)
        return made

    # ── deciding ──

    async def decide(self, question: Question[T]) -> T:
        answer: T = await self._pump.ask(question)
        return answer

    async def state(self) -> State:
        async def read(connection: Connection) -> State:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                start = await connection.fetchval("SELECT start FROM meta")
                arrivals = await connection.fetch("SELECT call, n FROM arrivals")
                rows = await connection.fetch("SELECT rule, key, counted FROM rule_counts")
            return _state(start, {row["call"]: row["n"] for row in arrivals}, rows)

        found: State = await self._borrow(read)
        return found

    async def _answer(self, questions: list[Question[Any]]) -> list[Any]:
        async def decide(connection: Connection) -> list[Any]:
            rules = {rule for question in questions for rule, _ in question.counted}
            async with self._locks().parts(
                connection, (f"rule {rule}" for rule in rules), relaxed=True
            ):
                return await _decided(connection, questions)

        found: list[Any] = await self._borrow(decide)
        return found

    # ── the journal ──

    async def keep(
        self, run: int, new: Sequence[Entry], ended: Sequence[Entry]
    ) -> tuple[Head, list[int]]:
        async def write(connection: Connection) -> tuple[Head, list[int]]:
            if not new and not ended:
                return _head(await connection.fetchrow(_HEAD)), []
            async with connection.transaction():
                await connection.execute("SET LOCAL synchronous_commit = off")
                moved = await connection.execute(_ADVANCE, len(new), run, KEPT)
                head = _head(await connection.fetchrow(_HEAD))
                if moved == "UPDATE 0":
                    return head, []
                places = list(range(head.last - len(new) + 1, head.last + 1))
                await _write_entries(connection, new, places, ended)
                if head.dropped:
                    await connection.execute(_FORGET)
            return head, places

        found: tuple[Head, list[int]] = await self._borrow(write)
        return found

    async def entries(self, after: int, also: Collection[int]) -> tuple[Head, list[Entry]]:
        async def read(connection: Connection) -> tuple[Head, list[Entry]]:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                head = _head(await connection.fetchrow(_HEAD))
                rows = await connection.fetch(_KNOWN, list(also))
                rows += await connection.fetch(_AFTER, after, _READ)
            return head, [Entry(**dict(row)) for row in rows]

        found: tuple[Head, list[Entry]] = await self._borrow(read)
        return found

    async def forget_entries(self, *, up_to: int | None) -> None:
        async def write(connection: Connection) -> None:
            async with connection.transaction():
                if up_to is None:
                    await connection.execute(_BEGIN_AGAIN)
                    await connection.execute("DELETE FROM journal")
                else:
                    sql = "UPDATE journal_head SET cleared = greatest(cleared, least($1, last))"
                    await connection.execute(sql, up_to)
                    await connection.execute(_FORGET)

        await self._borrow(write)


# ── deciding ──────────────────────────────────────────────────────────────────────────────────────


async def _decided(connection: Connection, questions: Sequence[Question[Any]]) -> list[Any]:
    """Return the answers to questions, in a transaction that holds the locks of their rules."""
    row: Any = await connection.fetchrow("SELECT published, start FROM meta")
    version, start = int(row["published"]), row["start"]
    current = [question for question in questions if question.version == version]
    state = await _state_for(connection, current, start)
    answers = {id(question): _attempt(question, state) for question in current}
    await _put_state(connection, state, current, start)
    return [answers.get(id(question), Outdated()) for question in questions]


def _attempt(question: Question[Any], state: State) -> Any:
    try:
        return question.decide(state)
    except Exception as exc:  # noqa: BLE001 -- a defect of one question is no other's
        return exc


async def _state_for(
    connection: Connection, questions: Sequence[Question[Any]], start: float | None
) -> State:
    """Return what is asked for of the state; arrivals are counted already, and taken back in it."""
    come = Counter(question.call_key for question in questions)
    keys = {_storable(key): key for key in come}
    arrived: Mapping[str, int] = {}
    if come:
        values = list(keys), [come[key] for key in keys.values()]
        rows = await connection.fetch(_ARRIVE, *values)
        arrived = {keys[row["call"]]: row["n"] - come[keys[row["call"]]] for row in rows}
    asked = sorted(
        {
            place
            for question in questions
            for rule, key in question.counted
            for place in ((rule, ""), (rule, f"={key}"))
        }
    )
    counted: list[Any] = []
    if asked:
        places = {(_storable(rule), _storable(key)): (rule, key) for rule, key in asked}
        rows = await connection.fetch(_COUNTS, *_columns(places))
        counted = [
            {"rule": rule, "key": key, "counted": row["counted"]}
            for row in rows
            for rule, key in [places[row["rule"], row["key"]]]
        ]
    return _state(start, arrived, counted)


async def _put_state(
    connection: Connection,
    state: State,
    questions: Sequence[Question[Any]],
    start: float | None,
) -> None:
    """Write what a state counts for these questions."""
    if start is None and state["t0"] is not None:
        await connection.execute(_START, state["t0"])
    touched = {place for question in questions for place in question.counted}
    rows = [
        (_storable(rule), _storable(key), counted)
        for rule, found in state["rules"].items()
        for key, counted in _rows_of(found, {key for name, key in touched if name == rule})
    ]
    if rows:
        await connection.execute(_PUT_COUNTS, *_columns(sorted(rows)))


async def _replace_state(connection: Connection, state: State) -> None:
    await connection.execute("DELETE FROM rule_counts")
    await connection.execute("DELETE FROM arrivals")
    await connection.execute("UPDATE meta SET start = $1", state.get("t0"))
    arrivals: Mapping[str, int] = state.get("arrivals", {})
    await connection.copy_records_to_table(
        "arrivals", records=[(_storable(call), n) for call, n in arrivals.items()]
    )
    rows = [
        (_storable(rule), _storable(key), counted)
        for rule, found in state.get("rules", {}).items()
        for key, counted in _rows_of(found, None)
    ]
    await connection.copy_records_to_table("rule_counts", records=rows)


def _state(start: float | None, arrivals: Mapping[str, int], rows: Iterable[Any]) -> State:
    """Return an engine's state from its rows."""
    rules: dict[str, dict[str, Any]] = {}
    for row in rows:
        counted = rules.setdefault(row["rule"], {"matched": 0, "fired": 0})
        found = json.loads(row["counted"])
        key: str = row["key"]
        if not key:
            counted.update(found)
            continue
        for name, one in _KEYED:
            if one in found:
                counted.setdefault(name, {})[key[1:]] = found[one]
    return {
        "t0": start,
        "calls": sum(arrivals.values()),
        "arrivals": dict(arrivals),
        "rules": rules,
    }


def _rows_of(counted: Mapping[str, Any], keys: Collection[str] | None) -> list[tuple[str, str]]:
    """Return the rows of what one rule has counted; of the keys, those given, or all."""
    apart = {name for name, _ in _KEYED}
    rows = [("", json.dumps({name: value for name, value in counted.items() if name not in apart}))]
    parts: dict[str, dict[str, Any]] = {}
    for name, one in _KEYED:
        for key, value in counted.get(name, {}).items():
            if keys is None or key in keys:
                parts.setdefault(key, {})[one] = value
    return [*rows, *((f"={key}", json.dumps(found)) for key, found in parts.items())]


# ── rows and values ───────────────────────────────────────────────────────────────────────────────


async def _write_entries(
    connection: Connection, new: Sequence[Entry], places: Sequence[int], ended: Sequence[Entry]
) -> None:
    records = [
        (seq, entry.process, entry.entry, entry.looks)
        for seq, entry in zip(places, new, strict=True)
    ]
    if records:
        await connection.copy_records_to_table("journal", records=records)
    if ended:
        await connection.executemany(
            "UPDATE journal SET entry = $2, looks = $3 WHERE seq = $1",
            [(entry.seq, entry.entry, entry.looks) for entry in ended],
        )


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    """Return the columns of rows, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)]


def _storable(text: str) -> str:
    """Return a key as PostgreSQL can hold it: no zero character, no half of a pair."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _published(row: Any) -> Published:
    if row is None:
        return Published(version=0, document=None, start=None)
    text = row["document"]
    document = None if text is None else json.loads(text)
    return Published(version=row["version"], document=document, start=row["start"])


def _head(row: Any) -> Head:
    return Head(**dict(row))
