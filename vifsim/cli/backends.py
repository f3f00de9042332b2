"""`vifsim backends`: the backends that are installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vifsim.backend import installed, load
from vifsim.errors import UsageError

if TYPE_CHECKING:
    import argparse

_EXAMPLES = {
    "memory": "memory:",
    "sqlite": "sqlite:///demo.db",
    "postgresql": "postgresql://user@host/database",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command takes no arguments."""


def run(_: argparse.Namespace) -> int:
    """Print a line for each backend: its scheme, an example, and what it is."""
    for name, point in installed().items():
        example = _EXAMPLES.get(name, f"{name}:")
        try:
            text = (load(point).__doc__ or "").strip().splitlines()[0]
        except UsageError as exc:
            text = str(exc)
        sys.stdout.write(f"{name:12}{example:34}{text}\n")
    return 0
