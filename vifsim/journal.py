"""Keeps every exchange, answers questions about them, and writes them out.

An entry opens when a request's headers are in and is closed before the last byte of its answer is
handed over, so that a client that saw its answer finds its entry finished.

The house rule: entries are kept as values and turned into documents only when somebody reads them.

Source: control API, sections 3.2 and 3.3 (docs/control-api.md).
"""

from __future__ import annotations

import json
import logging
from collections import deque
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard

from vifsim.arrivals import call_key, count_up
from vifsim.errors import JournalError
from vifsim.scenario.matching import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from vifsim.clock import Clock
    from vifsim.exchange import Answer, Call, Decision, Ending, Look

log = logging.getLogger(__name__)

_ENTRY_BYTES = 1600
"""What an entry costs beside its headers and path: measured with a create on CPython 3.11."""

_DROPPED_AT_ONCE = 128
"""Part of a full journal that is dropped at once, one in so many."""

DEFAULT_MAX_BYTES = 256 * 1024 * 1024

EVERYWHERE: list[Callable[[Call], None]] = []
"""Who listens to every journal that is made from now on: a test session counts what it met."""


class Journal:
    """The exchanges of one simulator, oldest first, bounded by their size.

    Args:
        clock: that ends are stamped by.
        max_bytes: above this the oldest entries are dropped, which is logged once and counted.
    """

    def __init__(self, clock: Clock, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._entries: deque[Call] = deque()
        self._sizes: deque[int] = deque()
        self._size = 0
        self._seq = 0
        self._numbered: dict[str, int] = {}
        self._numbered_to = 0
        self._under_way: set[int] = set()
        self.dropped = 0
        self.listeners: list[Callable[[Call], None]] = list(EVERYWHERE)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Call]:
        return iter(list(self._entries))

    @property
    def last(self) -> int:
        """The `seq` of the newest entry, 0 before the first."""
        return self._seq

    @property
    def under_way(self) -> int:
        """How many calls have no end yet."""
        return len(self._under_way)

    def next_seq(self) -> int:
        """Return the `seq` of the entry that opens next."""
        self._seq += 1
        return self._seq

    def open(self, call: Call, headers_bytes: int = 0) -> None:
        """Begin an entry whose headers take so many bytes."""
        self._entries.append(call)
        size = _ENTRY_BYTES + 2 * len(call.path) + headers_bytes  # its ids are parts of it
        self._sizes.append(size)
        self._size += size
        self._under_way.add(call.seq)
        if self._size > self._max_bytes:
            self._drop()
        for listener in self.listeners:
            listener(call)

    def close(self, call: Call, answer: Answer | None, ending: Ending) -> None:
        """End an entry: what the client was told, and how it ended.

        One that has ended, of a client that proves to be gone while its answer is written, is
        corrected; who listens was told of its end, and may count ends.
        """
        outcome = call.outcome
        told_already = outcome.ending is not None
        outcome.answer = answer
        outcome.ending = ending
        outcome.end = self._clock.now()
        outcome.real_end = self._clock.real()
        self._under_way.discard(call.seq)
        if told_already:
            return
        for listener in self.listeners:
            listener(call)

    def receive(self, call: Call) -> None:
        """Take in an entry that is kept elsewhere, under way or ended, after all others."""
        self._seq = call.seq
        self.open(call, sum(map(len, (*call.headers, *call.headers.values()))))
        if call.outcome.ending is not None:
            self._under_way.discard(call.seq)

    def correct(self, call: Call) -> None:
        """Tell that an entry that was received has changed."""
        if call.outcome.ending is not None:
            self._under_way.discard(call.seq)
        for listener in self.listeners:
            listener(call)

    def forget(self, up_to: int) -> None:
        """Forget the entries up to a `seq`."""
        self._number()
        self._seq = max(self._seq, up_to)
        while self._entries and self._entries[0].seq <= up_to:
            self._under_way.discard(self._entries.popleft().seq)
            self._size -= self._sizes.popleft()

    def find(self, seq: int) -> Call | None:
        """Return the entry with this `seq`, or None where it is not kept."""
        if not self._entries or not self._entries[0].seq <= seq <= self._seq:
            return None
        # Entries are in order, but a cleared journal may have gaps at its start only.
        return next((call for call in self._entries if call.seq == seq), None)

    def clear(self) -> None:
        """Forget all entries; `seq` goes on, and so do the arrivals of each call key."""
        self._number()
        self._entries.clear()
        self._sizes.clear()
        self._size = 0
        self.dropped = 0

    def restart(self) -> None:
        """Forget everything; `seq` begins again at 1."""
        self.clear()
        self._seq = 0
        self._under_way.clear()
        self.number_anew()

    def number_anew(self) -> None:
        """Count the arrivals of each call key from here on: another scenario was loaded."""
        self._numbered = {}
        self._numbered_to = self._seq

    def arrivals(self) -> dict[str, int]:
        """Return how many calls of each call key have arrived since they are counted."""
        self._number()
        return dict(self._numbered)

    def query(
        self,
        *,
        operation: str = "*",
        tenant: str | None = None,
        server: Iterable[str] | None = None,
        network: Iterable[str] | None = None,
        outcome: str | None = None,
        since: int = 0,
    ) -> Iterator[Call]:
        """Yield the entries after `since` that all filters allow, oldest first.

        `operation` is a glob; `server` and `network` are the ids that will do.
        """
        servers = None if server is None else set(server)
        networks = None if network is None else set(network)
        for call in list(self._entries):
            if (
                call.seq > since
                and (operation == "*" or fits(call.operation or "unknown", (operation,)))
                and tenant in {None, call.tenant}
                and (servers is None or call.server in servers)
                and (networks is None or call.network in networks)
                and outcome in {None, call.outcome.ending}
            ):
                yield call

    def documents(self, calls: Iterable[Call]) -> list[dict[str, Any]]:
        """Return entries as the control API shows them."""
        self._number()
        return [entry_document(call) for call in calls]

    def number(self, call: Call) -> None:
        """Let a call that has ended know its `n`: which arrival of its call key it was."""
        if call.outcome.ending is not None and not call.outcome.n:
            self._number()

    def lines(self, header: Mapping[str, Any]) -> Iterator[str]:
        """Yield the lines of an export, the header first."""
        yield json.dumps({"vifsim_journal": 1, **header, "dropped": self.dropped})
        self._number()
        for call in list(self._entries):
            looks = [look_document(look) for look in call.outcome.looks]
            yield json.dumps({**entry_document(call), "looks": looks})

    def _drop(self) -> None:
        if not self.dropped:
            log.warning(
                "the journal is over %d bytes: its oldest entries are dropped from here on "
                "(vifsim serve --journal-size, Simulator(journal_bytes=), or clear it)",
                self._max_bytes,
            )
        # Some at once: a journal that is full would do all this with each call.
        wanted = self._max_bytes - self._max_bytes // _DROPPED_AT_ONCE
        while self._size > wanted and len(self._entries) > 1:
            self._count(self._entries.popleft())
            self._size -= self._sizes.popleft()
            self.dropped += 1

    def _number(self) -> None:
        """Give entries that no rule has counted their `n`: which arrival of their key they are."""
        if not self._entries or self._numbered_to == self._seq:
            return
        new = list(takewhile(lambda call: call.seq > self._numbered_to, reversed(self._entries)))
        for call in reversed(new):
            self._count(call)
        self._numbered_to = self._seq

    def _count(self, call: Call) -> None:
        """Count the next entry in their order, where that was not done, and give it its `n`."""
        if call.seq <= self._numbered_to:
            return
        self._numbered_to = call.seq
        number = count_up(self._numbered, call_key(call))
        if not call.outcome.n:
            call.outcome.n = number


def entry_document(call: Call) -> dict[str, Any]:
    """Return an entry as the control API shows it.

    Source: control API, section 3.2 (docs/control-api.md).
    """
    outcome = call.outcome
    return {
        "seq": call.seq,
        "id": call.id,
        "operation": call.operation or "unknown",
        "method": call.method,
        "path": call.path,
        "headers": dict(call.headers),
        "peer": call.peer,
        "conn": call.conn,
        "user": call.user,
        "tenant": call.tenant,
        "token_id": call.token_id,
        "server": call.server,
        "network": call.network,
        "interface": call.interface,
        "body_digest": call.body_digest,
        "n": outcome.n,
        "arrived": round(call.arrived, 6),
        "end": _rounded(outcome.end),
        "real": {
            "connected": _rounded(call.connected),
            "arrived": round(call.real_arrived, 6),
            "end": _rounded(outcome.real_end),
        },
        "decision": None if outcome.decision is None else decision_document(outcome.decision),
        "effects": [
            {
                "kind": effect.kind,
                "object": effect.object,
                "id": effect.id,
                "at": round(effect.at, 6),
                "name": effect.name,
            }
            for effect in outcome.effects
        ],
        "committed": outcome.committed,
        "told": None if outcome.answer is None else _told(outcome.answer),
        "outcome": outcome.ending,
        **({} if call.process is None else {"process": call.process}),
    }


def in_order(entries: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return entries in the order of their arrival: several processes number theirs in turns."""
    if not any("process" in entry for entry in entries):
        return entries
    return sorted(entries, key=lambda entry: float(entry["arrived"]))


def look_document(look: Look) -> dict[str, Any]:
    """Return a rule's look at a call as an export keeps it; its words are made again from that."""
    return {
        "rule": look.rule,
        "stopped_at": look.stopped_at,
        "number": look.number,
        "bound": look.bound,
    }


def decision_document(decision: Decision) -> dict[str, Any]:
    """Return a decision as the control API shows it."""
    return {
        "fired": list(decision.fired),
        "by": decision.by,
        "at": decision.at,
        "fault": None if decision.fault is None else decision.fault.status,
        "wire": None if decision.wire is None else decision.wire.kind,
        "delay_before": round(decision.delay_before, 6),
        "delay_after": round(decision.delay_after, 6),
    }


def _told(answer: Answer) -> dict[str, Any]:
    return {
        "status": answer.status,
        "retry_after": answer.retry_after,
        "spoiled": answer.spoiled,
        "bytes": answer.size_bytes,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


# ── reading an export ────────────────────────────────────────────────────────────────────────────

_NUMBER = (int, float)
_MAYBE = (type(None),)
_ENTRY: Mapping[str, tuple[type, ...]] = {
    "seq": (int,),
    "operation": (str,),
    "method": (str,),
    "path": (str,),
    "headers": (dict,),
    "conn": (int,),
    "tenant": (str, *_MAYBE),
    "token_id": (str, *_MAYBE),
    "server": (str, *_MAYBE),
    "network": (str, *_MAYBE),
    "interface": (str, *_MAYBE),
    "body_digest": (str, *_MAYBE),
    "arrived": _NUMBER,
    "end": (*_NUMBER, *_MAYBE),
    "real": (dict,),
    "decision": (dict, *_MAYBE),
    "effects": (list,),
    "committed": (bool,),
    "told": (dict, *_MAYBE),
    "outcome": (str, *_MAYBE),
}
"""What a reader of entries may count on, beside what the control API's section 3.2 says."""


def read_export(
    path: str | Path,
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any] | None]:
    """Return the header, the entries and the client's record of an export, line by line.

    The client's record is None where no command was run.

    Raises:
        JournalError: the file cannot be read, or is no whole journal; the text names the line.

    Source: control API, section 3.3 (docs/control-api.md).
    """
    entries: list[dict[str, Any]] = []
    header: dict[str, Any] | None = None
    client: dict[str, Any] | None = None
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                value = _line(path, number, line)
                if header is None:
                    header = _header(path, value)
                elif client is not None:
                    raise JournalError(f"{path}:{number}:1: nothing may follow the client's line")
                elif "client" in value:
                    client = _client(path, number, value["client"])
                else:
                    entries.append(_entry(path, number, value, entries))
    except OSError as exc:
        raise JournalError(f"cannot read {path}: {exc.strerror or exc}") from exc
    except UnicodeDecodeError as exc:
        raise JournalError(f"{path} is no journal: it is not UTF-8 text") from exc
    if header is None:
        raise JournalError(f"{path} is no journal: it is empty")
    return header, entries, client


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Say whether a value read as JSON is an object: its keys are texts then."""
    return isinstance(value, dict)


def _line(path: str | Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as exc:
        cut = " (the file seems to be cut)" if not line.endswith("\n") else ""
        raise JournalError(f"{path}:{number}:1: not JSON{cut}: one object a line") from exc
    if not _is_object(value):
        raise JournalError(f"{path}:{number}:1: not an object: one object a line")
    return value


def _header(path: str | Path, value: dict[str, Any]) -> dict[str, Any]:
    if value.get("vifsim_journal") != 1:
        raise JournalError(
            f"{path}:1:1: not a journal's header: export one with GET /_vifsim/journal/export"
        )
    scenario = value.get("scenario")
    sound = (
        isinstance(value.get("seed"), int)
        and _is_object(scenario)
        and isinstance(scenario.get("name"), str)
        and isinstance(scenario.get("text"), str)
        and value.get("clock") in {"real", "scaled", "manual", "autojump"}
        and isinstance(value.get("speed"), _NUMBER)
    )
    if not sound:
        raise JournalError(f"{path}:1:1: the header needs seed, scenario, clock and speed")
    return value


def _client(path: str | Path, number: int, value: Any) -> dict[str, Any]:
    sound = (
        _is_object(value)
        and value.get("ended") in {"by_itself", "time_limit", "signal"}
        and isinstance(value.get("exit_code"), (int, *_MAYBE))
        and isinstance(value.get("at"), _NUMBER)
    )
    if not sound:
        raise JournalError(f"{path}:{number}:1: the client's line needs ended, exit_code and at")
    return dict(value)


def _entry(
    path: str | Path, number: int, value: dict[str, Any], before: list[dict[str, Any]]
) -> dict[str, Any]:
    for key, types in _ENTRY.items():
        if key not in value or not isinstance(value[key], types):
            what = "has no" if key not in value else "has a wrong"
            raise JournalError(f"{path}:{number}:1: the entry {what} {key}")
    flaw = _flaw(value)
    if flaw is None and before and value["seq"] <= before[-1]["seq"]:
        flaw = f"has seq {value['seq']} after {before[-1]['seq']}"
    if flaw is not None:
        raise JournalError(f"{path}:{number}:1: the entry {flaw}")
    return value


def _is_real(real: dict[str, Any]) -> bool:
    """Say whether the unscaled moments of an entry are whole."""
    timed = isinstance(real.get("arrived"), _NUMBER) and "end" in real
    return timed and isinstance(real.get("connected"), (*_NUMBER, *_MAYBE))


def _flaw(value: dict[str, Any]) -> str | None:
    """Return what is wrong inside an entry, or None."""
    told, decision, real = value["told"], value["decision"], value["real"]
    if told is not None and not isinstance(told.get("status"), int):
        return "has no status in told"
    if decision is not None and "by" not in decision:
        return "has no by in its decision"
    if not _is_real(real):
        return "has no arrived and end in real, or a wrong connected"
    if (value["outcome"] is None) != (value["end"] is None):
        return "has an end without an outcome, or an outcome without an end"
    keys = {"kind", "object", "id", "at"}
    if not all(_is_object(effect) and keys <= set(effect) for effect in value["effects"]):
        return "has an effect without kind, object, id and at"
    return None
