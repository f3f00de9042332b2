"""A journal entry as JSON text, for the stream of events: the way of every call while one looks.

The house rule: to the letter what `json.dumps` makes of the entry's document, in half the time;
`tests/http/test_entries.py` holds the two against one another.

Source: control API, section 3.2 (docs/control-api.md).
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import TYPE_CHECKING

from vifsim.journal import decision_document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.exchange import Answer, Call, Effect, Outcome

_REMEMBERED = 64


class EntryTexts:
    """Writes entries; the headers of a connection, which are one object, are written once."""

    def __init__(self) -> None:
        self._headers: dict[int, tuple[Mapping[str, str], str]] = {}

    def text(self, call: Call) -> str:
        """Return an entry as the control API shows it."""
        outcome = call.outcome
        return (
            f'{{"seq": {call.seq}, "id": {_text(call.id)}, '
            f'"operation": {_text(call.operation or "unknown")}, "method": {_text(call.method)}, '
            f'"path": {_text(call.path)}, "headers": {self._headers_of(call)}, '
            f'"peer": {_text(call.peer)}, "conn": {call.conn}, "user": {_text(call.user)}, '
            f'"tenant": {_text(call.tenant)}, "token_id": {_text(call.token_id)}, '
            f'"server": {_text(call.server)}, "network": {_text(call.network)}, '
            f'"interface": {_text(call.interface)}, "body_digest": {_text(call.body_digest)}, '
            f'"n": {outcome.n}, "arrived": {round(call.arrived, 6)!r}, '
            f'"end": {_number(outcome.end)}, "real": {{"connected": {_number(call.connected)}, '
            f'"arrived": {round(call.real_arrived, 6)!r}, "end": {_number(outcome.real_end)}}}, '
            f"{_outcome(outcome)}{_process(call)}}}"
        )

    def brief(self, call: Call) -> str:
        """Return what of an entry a list of calls shows: no headers, ids and digests.

        A path is shown only where there is no operation that says as much.
        """
        outcome = call.outcome
        return (
            f'{{"seq": {call.seq}, "operation": {_text(call.operation or "unknown")}, '
            f"{'' if call.operation else _asked(call)}"
            f'"server": {_text(call.server)}, "network": {_text(call.network)}, '
            f'"arrived": {round(call.arrived, 6)!r}, "end": {_number(outcome.end)}, '
            f"{_outcome(outcome)}}}"
        )

    def _headers_of(self, call: Call) -> str:
        known = self._headers.get(id(call.headers))
        if known is not None and known[0] is call.headers:
            return known[1]
        if len(self._headers) >= _REMEMBERED:
            self._headers.clear()
        text = json.dumps(dict(call.headers))
        self._headers[id(call.headers)] = (call.headers, text)
        return text


def _asked(call: Call) -> str:
    return f'"method": {_text(call.method)}, "path": {_text(call.path)}, '


def _outcome(outcome: Outcome) -> str:
    decision = outcome.decision
    decided = "null" if decision is None else json.dumps(decision_document(decision))
    effects = ", ".join(map(_effect, outcome.effects)) if outcome.effects else ""
    return (
        f'"decision": {decided}, "effects": [{effects}], '
        f'"committed": {"true" if outcome.effects else "false"}, '
        f'"told": {_told(outcome.answer)}, "outcome": {_text(outcome.ending)}'
    )


def _process(call: Call) -> str:
    return "" if call.process is None else f', "process": {_text(call.process)}'


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value)


def _number(value: float | None) -> str:
    return "null" if value is None else repr(round(value, 6))


def _effect(effect: Effect) -> str:
    return (
        f'{{"kind": "{effect.kind}", "object": "{effect.object}", "id": {_text(effect.id)}, '
        f'"at": {round(effect.at, 6)!r}, "name": {_text(effect.name)}}}'
    )


def _told(answer: Answer | None) -> str:
    if answer is None:
        return "null"
    waits = json.dumps(answer.retry_after)
    return (
        f'{{"status": {answer.status}, "retry_after": {waits}, '
        f'"spoiled": {"true" if answer.spoiled else "false"}, "bytes": {answer.size_bytes}}}'
    )
