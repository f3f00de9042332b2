"""The calls of a running cloud as they come: a table on a terminal, else a line for each."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vifsim.journal import entry_document

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from vifsim.exchange import Call
    from vifsim.simulator import Simulator

_MARGIN = 8
"""Lines of the screen that are not rows of the table."""
_FEWEST, _MOST = 5, 40
_WIDTH = 120


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
        table = Table(box=box.SIMPLE_HEAD, width=min(_WIDTH, self.console.width), pad_edge=False)
        for name, justify in (("", "right"), ("at", "right"), ("call", "left")):
            table.add_column(name, justify="right" if justify == "right" else "left", no_wrap=True)
        table.add_column("who", no_wrap=True)
        table.add_column("what really happened", no_wrap=True)
        table.add_column("told", justify="right")
        table.add_column("ms", justify="right")
        table.add_column("rule", style="magenta", no_wrap=True)
        for call in list(self._calls):
            table.add_row(*_row(entry_document(call)))
        if not self._calls:
            table.add_row("", "", Text("no call yet", style="dim"), "", "", "", "", "")
        return Group(self._head(), table)

    def _head(self) -> RenderableType:
        simulator = self._simulator
        return Text.assemble(
            ("vifsim ", "bold"),
            simulator.url,
            (f"   scenario {simulator.scenario.name}", "cyan"),
            f"   calls {self._ended}   decided by rules {self._decided}   ",
            f"under way {simulator.journal.under_way}   clock {simulator.clock.now():.1f} s",
        )


def _row(entry: dict[str, Any]) -> tuple[Text | str, ...]:
    told = _told(entry)
    style = "dim" if entry["outcome"] is None else _style(told)
    took = "" if entry["end"] is None else f"{(entry['end'] - entry['arrived']) * 1000:.0f}"
    decision: dict[str, Any] = entry["decision"] or {}
    return (
        Text(str(entry["seq"]), style="dim"),
        f"{entry['arrived']:.2f}",
        _asked(entry),
        entry["user"] or "-",
        Text(happened(entry), style="green" if entry["effects"] else "dim"),
        Text(told, style=style),
        took,
        decision.get("by") or "",
    )


def _asked(entry: dict[str, Any]) -> Text:
    """Return a call's operation, or where there is none, what was asked for."""
    if entry["operation"] != "unknown":
        return Text(entry["operation"], style="bold")
    return Text(f"{entry['method']} {entry['path']}", style="dim")


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


def line_of(entry: dict[str, Any]) -> str:
    """Return an entry as one plain line."""
    decision: dict[str, Any] = entry["decision"] or {}
    by: str | None = decision.get("by")
    rule = f"  rule {by}" if by else ""
    return (
        f"{entry['seq']:5}  {entry['arrived']:9.3f}  {entry['operation']:26} "
        f"{entry['user'] or '-':10} {happened(entry):28} told {_told(entry)}{rule}"
    )
