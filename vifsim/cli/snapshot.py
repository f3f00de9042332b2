"""`vifsim snapshot save|load FILE`: keep a running cloud, or bring one back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vifsim.cli import remote
from vifsim.errors import UsageError

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=["save", "load"], help="to the file, or from it")
    parser.add_argument("file", type=Path, metavar="FILE", help="JSON; loads into any backend")
    remote.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Save or load.

    Raises:
        UsageError: the file cannot be read or written; nobody answers; the simulator refuses.
    """
    path: Path = options.file
    if options.action == "save":
        _write(path, remote.ask(options, "GET", "snapshot"))
    else:
        remote.ask(options, "PUT", "snapshot", _read(path))
    return 0


def _write(path: Path, document: Any) -> None:
    try:
        path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot save {path}: {exc.strerror}") from exc


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as exc:
        raise UsageError(f"cannot load {path}: {exc.strerror}") from exc
    except ValueError as exc:
        hint = f"vifsim snapshot save {path} writes one"
        raise UsageError(f"{path} is no snapshot: it is not JSON ({hint})") from exc
