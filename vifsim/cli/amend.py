"""`vifsim amend CHANGE KEY=VALUE…`: change a running cloud by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from vifsim.cli import remote
from vifsim.errors import UsageError

if TYPE_CHECKING:
    import argparse

_NAMES = frozenset({"tenant", "server", "network", "user"})
"""Values that are texts even where they are digits, as the id of a tenant is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("change", metavar="CHANGE", help="such as set_status")
    parser.add_argument(
        "values", nargs="*", metavar="KEY=VALUE", help="such as server=web-1 status=SUSPENDED"
    )
    remote.add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    """Send the change.

    Raises:
        UsageError: a value is no KEY=VALUE; nobody answers; the simulator refuses.
    """
    document = {"change": options.change, **dict(map(_pair, options.values))}
    remote.ask(options, "POST", "amend", document)
    return 0


def _pair(text: str) -> tuple[str, Any]:
    """Return a key and a value; a value that is JSON is read as JSON, anything else is a text."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"{text} is no KEY=VALUE")
    if key in _NAMES:
        return key, value
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value
