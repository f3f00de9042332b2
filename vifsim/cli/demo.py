"""`vifsim demo`: a careful client meets a careless cloud, before the reader's eyes."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from vifsim.cli.output import write
from vifsim.demo import LABEL, SCENARIO, Step, play
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from vifsim.demo import Ending

_WIDTH = 104
_DRAIN = 2.0
_FONT = re.compile(r"\s*@font-face \{[^}]*\}")
_OPENING = (
    f"A client wants one thing: web-1 on {LABEL}. The cloud is slow, busy, limited, "
    "and loses an answer."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("--keep", action="store_true", help="leave the cloud running afterwards")
    parser.add_argument(
        "--svg", type=Path, metavar="FILE", help="write the last screen as a picture"
    )


def run(options: argparse.Namespace) -> int:
    """Play the demo.

    Raises:
        UsageError: the picture cannot be written.
    """
    if options.svg is not None:
        write(options.svg, "")  # a wrong path is told before the play, not after it
    return asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with Simulator(scenario=SCENARIO) as cloud:
        screen = Screen() if sys.stdout.isatty() else None
        playing = asyncio.ensure_future(_play(cloud, screen))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _on_signal, stopping, playing)
        try:
            steps, ending = await playing
        except asyncio.CancelledError:
            return 1
        if options.svg is not None:
            _write_picture(options.svg, steps, ending)
        if options.keep:
            _say(f"the cloud keeps running at {cloud.url} (Ctrl-C ends it)")
            await stopping.wait()
            await cloud.drain(_DRAIN)
    return 0 if ending.interfaces == 1 else 1


def _on_signal(stopping: asyncio.Event, playing: asyncio.Future[tuple[list[Step], Ending]]) -> None:
    stopping.set()
    playing.cancel()


async def _play(cloud: Simulator, screen: Screen | None) -> tuple[list[Step], Ending]:
    steps: list[Step] = []
    if screen is None:
        _say(_OPENING)
        ending = await play(cloud, _each(steps, lambda: _say(_line(steps[-1]))))
        _say(_closing(steps, ending))
        return steps, ending
    with Live(screen, console=screen.console, refresh_per_second=12) as live:
        ending = await play(cloud, _each(steps, lambda: screen.show(steps)))
        screen.show(steps, ending)
        live.refresh()
    return steps, ending


def _each(steps: list[Step], then: Callable[[], None]) -> Callable[[Step], None]:
    def tell(step: Step) -> None:
        steps.append(step)
        then()

    return tell


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _line(step: Step) -> str:
    wait = f"; waits {step.wait:g} s" if step.wait else ""
    return f"{step.number:2}  {step.operation:24} {step.happened:28} told {step.told}{wait}"


def _closing(steps: list[Step], ending: Ending) -> str:
    refused = sum(step.status in {413, 503} for step in steps)
    lost = sum(step.status is None for step in steps)
    grade = "" if ending.grade is None else f" Scorecard: grade {ending.grade}."
    verdict = "exactly the one it wanted" if ending.interfaces == 1 else "not what it wanted"
    return (
        f"{len(steps)} calls, {refused} refused, {lost} answer lost.{grade}\n"
        f"web-1 has {ending.interfaces} interface on {LABEL}, {ending.address}: {verdict}."
    )


# ── the screen ───────────────────────────────────────────────────────────────────────────────────


class Screen:
    """The table that grows, and the line below it."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console()
        self._steps: list[Step] = []
        self._ending: Ending | None = None
        self._spinner = Spinner("dots", style="cyan")

    def show(self, steps: list[Step], ending: Ending | None = None) -> None:
        """Show these calls, and the summary once it is there."""
        self._steps, self._ending = steps, ending

    def __rich__(self) -> RenderableType:
        table = Table(box=box.SIMPLE_HEAD, width=min(_WIDTH, self.console.width), pad_edge=False)
        table.add_column("", style="dim", justify="right")
        table.add_column("call", style="bold", no_wrap=True)
        table.add_column("what really happened")
        table.add_column("what the client was told")
        table.add_column("waits", justify="right")
        for step in self._steps:
            table.add_row(
                str(step.number),
                step.operation,
                Text(step.happened, style=_happened_style(step)),
                Text(step.told, style=_told_style(step)),
                f"{step.wait:g} s" if step.wait else "",
            )
        return Group(Text(_OPENING, style="italic"), table, self._below())

    def _below(self) -> RenderableType:
        if self._ending is not None:
            summary, _, verdict = _closing(self._steps, self._ending).partition("\n")
            style = "bold green" if self._ending.interfaces == 1 else "bold red"
            return Text.assemble(summary, "\n", (verdict, style))
        waits = self._steps and self._steps[-1].wait
        self._spinner.update(text=f"waits {waits:g} s" if waits else "asks")
        return self._spinner


def _happened_style(step: Step) -> str:
    if "created" in step.happened:
        return "green" if step.status is not None else "bold magenta"
    return "dim"


def _told_style(step: Step) -> str:
    if step.status is None:
        return "bold magenta"
    return {413: "yellow", 503: "red"}.get(step.status, "green")


def _write_picture(path: Path, steps: list[Step], ending: Ending) -> None:
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=_WIDTH, file=nowhere, force_terminal=True)
        screen = Screen(console)
        screen.show(steps, ending)
        console.print(screen)
        picture = console.export_svg(title="vifsim demo")
    write(path, _FONT.sub("", picture))  # a picture that asks no other host
