"""Which of the documented errors the clients of a test session have met, and in which forms.

The house rule: what is documented is said by the OpenAPI document's source alone; an operation
that no client called is not counted.

Source: docs/chaos.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vifsim.http.openapi import documented_statuses
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vifsim.exchange import Call

Met = tuple[str, int, str]
"""An operation, the status that it answered, and the form of the body; status 0: no answer."""

_OK = 400


@frozen
class Row:
    """What was met of one operation.

    Attributes:
        operation: its name.
        met: documented statuses that were met, each with its forms.
        missing: documented statuses that were not.
        others: statuses and forms beside those, such as a cut connection.
    """

    operation: str
    met: dict[int, list[str]]
    missing: list[int]
    others: list[str]


@dataclass
class ErrorCoverage:
    """What the clients of one session have met."""

    seen: set[Met] = field(default_factory=set[Met])

    def note(self, call: Call) -> None:
        """Take in what a call was told, when it is over."""
        outcome = call.outcome
        if outcome.ending is None:
            return
        operation = call.operation or "unknown"
        if outcome.answer is None:
            self.seen.add((operation, 0, "no answer"))
            return
        fault = outcome.decision.fault if outcome.decision else None
        form = "spoiled" if outcome.answer.spoiled else (fault.body if fault else "fault")
        self.seen.add((operation, outcome.answer.status, form))

    def merge(self, seen: Iterable[Iterable[str | int]]) -> None:
        """Take in what another process has seen."""
        for operation, status, form in seen:
            self.seen.add((str(operation), int(status), str(form)))

    def rows(self) -> list[Row]:
        """Return one row for each operation that was called, by name."""
        documented = documented_statuses()
        called = sorted({operation for operation, _, _ in self.seen} - {"unknown"})
        return [self._row(operation, documented[operation]) for operation in called]

    def _row(self, operation: str, documented: frozenset[int]) -> Row:
        met: dict[int, list[str]] = {}
        others: list[str] = []
        for name, status, form in sorted(self.seen):
            if name != operation:
                continue
            if status in documented:
                met.setdefault(status, []).append(form)
            elif status >= _OK:
                others.append(str(status))
            elif form != "fault":
                others.append(form)
        return Row(
            operation=operation,
            met=met,
            missing=sorted(documented - set(met)),
            others=list(dict.fromkeys(others)),
        )

    def percent(self) -> float:
        """Return how much of what is documented was met; 0 where nothing was called."""
        rows = self.rows()
        met = sum(len(row.met) for row in rows)
        return 100.0 * met / (met + sum(len(row.missing) for row in rows)) if rows else 0.0

    def lines(self) -> Iterator[str]:
        """Yield the report, line by line."""
        rows = self.rows()
        if not rows:
            yield "no client called a simulator"
            return
        yield f"{'operation':26} met  of  missing"
        for row in rows:
            of = len(row.met) + len(row.missing)
            yield f"{row.operation:26} {len(row.met):3} {of:3}  {' '.join(map(str, row.missing))}"
            forms = [f"{status} {'/'.join(forms)}" for status, forms in row.met.items()]
            if forms or row.others:
                yield f"{'':26} met: {', '.join([*forms, *row.others])}"
        yield f"{'all':26} {self.percent():.1f} %"
