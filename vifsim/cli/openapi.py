"""`vifsim openapi`: print the OpenAPI document of the simulated API and the control API."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from vifsim.cli import OK

if TYPE_CHECKING:
    import argparse


def add_arguments(_: argparse.ArgumentParser) -> None:
    """Add the arguments: there are none."""


def run(_: argparse.Namespace) -> int:
    """Print the document.

    Raises:
        UsageError: apispec is not installed.
    """
    from vifsim.http.openapi import document  # noqa: PLC0415 -- slow to import

    sys.stdout.write(json.dumps(document(), indent=2) + "\n")
    return OK
