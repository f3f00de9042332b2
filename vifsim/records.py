"""Documents of the control API as values: their keys are attributes, and lists keep their order.

The house rule: a value shows what was there when it was asked for, and asks for nothing itself.

Source: control API, section 4 (docs/control-api.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeGuard, overload

from vifsim.errors import UsageError

SHOWN = 20
"""Lines of a table, the last ones of what there is."""
_WIDE = 26
"""Characters of what was asked for: the longest operation has 24."""


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


class Record(Mapping[str, Any]):
    """A document of the control API whose keys are attributes too."""

    __slots__ = ("_document",)

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: str) -> Any:
        value = self._document[key]
        return Record(value) if _is_object(value) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __repr__(self) -> str:
        return f"Record({dict(self._document)!r})"


class Records(Sequence[Record]):
    """Documents in their order."""

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        self._records = [Record(document) for document in documents]

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


def status_of(entry: Mapping[str, Any]) -> int | None:
    """Return the status that an entry's client was told, or None for no answer."""
    told = entry["told"]
    return None if told is None else int(told["status"])


def asked_of(entry: Mapping[str, Any]) -> str:
    """Return a call's operation, or where there is none, what was asked for."""
    operation: str = entry["operation"]
    return operation if operation != "unknown" else f"{entry['method']} {entry['path']}"


def _short(text: str) -> str:
    return text if len(text) <= _WIDE else f"{text[: _WIDE - 1]}…"


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the last entries as a table, a line each."""
    if not entries:
        return "  none"
    lines = ["  seq  operation                  status  committed  fault"]
    for entry in list(entries)[-SHOWN:]:
        decision = entry["decision"]
        status = status_of(entry)
        lines.append(
            f"{entry['seq']:5}  {_short(asked_of(entry)):26} {status or '-':>6}  "
            f"{'yes' if entry['committed'] else 'no':9}  {(decision and decision['by']) or '-'}"
        )
    return "\n".join(lines)


def interfaces_in(
    document: Mapping[str, Any], server: str | None, network: str | None
) -> list[Record]:
    """Return the interfaces of a state document that are on a server and a network."""
    names = {item["id"]: item["name"] for item in document["servers"]}
    labels = {item["id"]: item["label"] for item in document["networks"]}
    name = None if server is None else names.get(server, server)
    label = None if network is None else labels.get(network, network)
    return [
        Record(item)
        for item in document["virtual_interfaces"]
        if name in {None, item["server"]} and label in {None, item["network"]}
    ]


def counted(number: int, what: str) -> str:
    """Return how many of something there are, in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


class Scorecard(Record):
    """How well the clients of a cloud coped: the document, whose keys are attributes too."""

    __slots__ = ()

    def require(self, *rules: str) -> Scorecard:
        """Expect that each of these rules, by name or code, was exercised and passed.

        Raises:
            AssertionError: one did not; with its verdict, reason and evidence.
            UsageError: there is no such rule.
        """
        __tracebackhide__ = True
        known = self["rules"]
        names = {known[name]["code"]: name for name in known}
        for asked in rules:
            name = names.get(asked, asked)
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
                raise UsageError(f"the scorecard has no rule {asked} ({hint})")
            if known[name]["verdict"] != "pass":
                raise AssertionError(_shortfall(name, known[name]))
        return self


def _shortfall(name: str, rule: Mapping[str, Any]) -> str:
    lines = [f"{rule['code']} {name}: {rule['verdict']}: {rule['reason']}"]
    lines += [f"  evidence: {dict(piece)}" for piece in rule["evidence"]]
    if rule["advice"]:
        lines.append(f"  advice: {rule['advice']}")
    return "\n".join(lines)
