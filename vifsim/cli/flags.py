"""Flags that several commands have.

The house rule: a flag that two commands share means the same in both, and is read here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vifsim.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def add_verdict_flags(parser: argparse.ArgumentParser, forms: Sequence[str]) -> None:
    """Add the flags of a command that judges: which verdict is an error, and the reports."""
    parser.add_argument(
        "--fail-on",
        choices=["critical", "major", "minor"],
        default="major",
        help="exit with 1 where a rule of this severity or above failed (default: major)",
    )
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="FORM=FILE",
        help=f"write a report: {', '.join(forms)}; repeatable",
    )


def report_of(text: str, forms: Sequence[str]) -> tuple[str, Path]:
    """Return the form and the file of a `--report`.

    Raises:
        UsageError: there is no such form, or no folder for the file.
    """
    form, mark, path = text.partition("=")
    if not mark or not path or form not in forms:
        raise UsageError(f"--report {text} is none of {', '.join(f'{f}=FILE' for f in forms)}")
    if not Path(path).parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {Path(path).parent}")
    return form, Path(path)


def duration_of(flag: str, text: str) -> float:
    """Return the seconds that a flag such as `--time-limit 120s` means, more than 0.

    Raises:
        UsageError: it is no duration, or none at all.
    """
    from marshmallow import ValidationError  # noqa: PLC0415 -- slow to import

    from vifsim.scenario.durations import seconds_of  # noqa: PLC0415 -- likewise

    try:
        seconds = seconds_of(text)
    except ValidationError as exc:
        raise UsageError(f"--{flag} {text} is not a duration such as 120s") from exc
    if seconds <= 0:
        raise UsageError(f"--{flag} {text}: more than nothing")
    return seconds
