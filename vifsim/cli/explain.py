"""`vifsim explain [ENTRY]`: why each rule fired for a call or did not, or which never fire."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vifsim.cli import remote
from vifsim.recording import Recording

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "entry",
        type=int,
        nargs="?",
        metavar="ENTRY",
        help="the seq of a journal entry; without it: the rules that never fired",
    )
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="an exported journal, not a running simulator"
    )
    remote.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Explain.

    Raises:
        UsageError: nobody answers, there is no such entry, or the file is no journal.
    """
    if options.entry is None:
        lines = never_fired(_asked(options, "explain"))
    else:
        lines = looks(_asked(options, f"explain/{options.entry}"))
    sys.stdout.writelines(f"{line}\n" for line in lines)
    return 0


def _asked(options: argparse.Namespace, path: str) -> Any:
    if options.journal is None:
        return remote.ask(options, "GET", path)
    recording = Recording.read(options.journal)
    return recording.never_fired() if options.entry is None else recording.explain(options.entry)


def looks(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each rule: whether it fired, and why not."""
    found = document["looks"]
    if not found:
        yield f"entry {document['entry']}: no rule was read"
    width = max((len(look["rule"]) for look in found), default=0)
    for look in found:
        detail = look["detail"]
        if not isinstance(detail, str):
            detail = f"the draw {detail['draw']} is not below {detail['threshold']}"
        detail = detail.removeprefix("fired: ")
        verdict = "fired" if look["fired"] else f"no: {look['stopped_at'].replace('_', ' ')}"
        yield f"{look['rule']:{width}}  {verdict:15}  {detail}"


def never_fired(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each rule that never fired: what stopped it, and how often."""
    found = document["never_fired"]
    if not found:
        yield "every rule has fired"
    width = max((len(item["rule"]) for item in found), default=0)
    for item in found:
        stops = sorted(item["stopped_at"].items(), key=lambda stop: -stop[1])
        told = ", ".join(f"{name.replace('_', ' ')} {_times(number)}" for name, number in stops)
        yield f"{item['rule']:{width}}  never fired; stopped by: {told or 'no call came'}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
