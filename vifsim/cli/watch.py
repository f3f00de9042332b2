"""The calls of a running cloud as they come: a table on a terminal, else a line for each."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vifsim.journal import entry_document
from vifsim.records import asked_of
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from vifsim.exchange import Call
    from vifsim.simulator import Simulator

_MARGIN = 8
"""Lines of the screen that are not rows of the table."""
_FEWEST, _MOST = 5, 40
_WIDTH = 120
_ROOMY = 100
"""Characters from which a screen shows all columns."""


class Watch:
    """Shows what happens on standard error while the block runs."""

    def __init__(self, simulator: Simulator, console: Console | None = None) -> None:
        self._simulator = simulator
        self.console = console or Console(stderr=True)
        rows = self.console.height - _MARGIN if self.console.is_terminal else _MOST
        self._calls: deque[Call] = deque(maxlen=max(_FEWEST, min(rows, _MOST)))
        self._ended = 0
        self._decided = 0
        self._live: Live | None = None

    def __enter__(self) -> Watch:
        self._simulator.journal.listeners.append(self.on_call)
        if self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=8)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._simulator.journal.listeners.remove(self.on_call)
        if self._live is not None:
            self._live.stop()

    def on_call(self, call: Call) -> None:
        """Show a call that begins, or has ended."""
        if call.outcome.ending is None:
            self._calls.append(call)
            return
        self._ended += 1
        decision = call.outcome.decision
        self._decided += decision is not None and decision.by is not None
        if self._live is None:
            sys.stderr.write(line_of(entry_document(call)) + "\n")

    def __rich__(self) -> RenderableType:
        width = min(_WIDTH, self.console.width)
        shown = COLUMNS if width >= _ROOMY else tuple(c for c in COLUMNS if c.needed)
        table = Table(box=box.SIMPLE_HEAD, width=width, pad_edge=False)
        for column in shown:
            table.add_column(
                column.name, justify=column.justify, no_wrap=True, min_width=column.least
            )
        for call in list(self._calls):
            entry = entry_document(call)
            table.add_row(*(column.cell(entry) for column in shown))
        if not self._calls:
            table.caption = "no call yet"
        return Group(self._head(), table)

    def _head(self) -> RenderableType:
        simulator = self._simulator
        return Text.assemble(
            ("vifsim ", "bold"),
            simulator.url,
            (f"  scenario {simulator.scenario.name}", "cyan"),
            f"  calls {self._ended}  decided by rules {self._decided}",
            f"  under way {simulator.journal.under_way}  clock {simulator.clock.now():.1f} s",
        )


def _asked(entry: dict[str, Any]) -> Text:
    """Return a call's operation, or where there is none, what was asked for."""
    return Text(asked_of(entry), style="dim" if entry["operation"] == "unknown" else "bold")


def happened(entry: dict[str, Any]) -> str:
    """Return what a call did to the cloud, or has done so far, in a few words."""
    done = [f"{effect['object'].replace('_', ' ')} {effect['kind']}" for effect in entry["effects"]]
    nothing = "under way" if entry["outcome"] is None else "nothing changed"
    return ", ".join(done) or nothing


def _told(entry: dict[str, Any]) -> str:
    if entry["told"] is not None:
        return str(entry["told"]["status"])
    return "…" if entry["outcome"] is None else "nothing"


def _style(told: str) -> str:
    if told.startswith("2"):
        return "green"
    return "yellow" if told.startswith("4") else "bold red"


def _told_cell(entry: dict[str, Any]) -> Text:
    told = _told(entry)
    return Text(told, style="dim" if entry["outcome"] is None else _style(told))


def _took(entry: dict[str, Any]) -> str:
    return "" if entry["end"] is None else f"{(entry['end'] - entry['arrived']) * 1000:.0f}"


def _rule(entry: dict[str, Any]) -> str:
    decision: dict[str, Any] = entry["decision"] or {}
    return decision.get("by") or ""


@frozen
class Column:
    """A column of the table: `needed` where the screen is narrow too, `least` characters wide."""

    name: str
    cell: Callable[[dict[str, Any]], Text | str]
    least: int
    justify: Literal["left", "right"] = "left"
    needed: bool = True


COLUMNS = (
    Column(name="", cell=lambda e: Text(str(e["seq"]), style="dim"), least=4, justify="right"),
    Column(name="at", cell=lambda e: f"{e['arrived']:.2f}", least=6, justify="right", needed=False),
    Column(name="call", cell=_asked, least=24),
    Column(name="who", cell=lambda e: e["user"] or "-", least=4, needed=False),
    Column(
        name="what really happened",
        cell=lambda e: Text(happened(e), style="green" if e["effects"] else "dim"),
        least=25,
    ),
    Column(name="told", cell=_told_cell, least=7, justify="right"),
    Column(name="ms", cell=_took, least=5, justify="right", needed=False),
    Column(name="rule", cell=lambda e: Text(_rule(e), style="magenta"), least=6),
)
"""What is shown of a call, from left to right."""


def line_of(entry: dict[str, Any]) -> str:
    """Return an entry as one plain line."""
    by = _rule(entry)
    rule = f"  rule {by}" if by else ""
    return (
        f"{entry['seq']:5}  {entry['arrived']:9.3f}  {asked_of(entry):26} "
        f"{entry['user'] or '-':10} {happened(entry):28} told {_told(entry)}{rule}"
    )
