"""`vifsim scorecard FILE`: how well the client of an exported journal copes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vifsim.errors import UsageError
from vifsim.journal import read_export
from vifsim.scorecard import exit_code, score
from vifsim.scorecard.page import page
from vifsim.scorecard.text import junit, markdown, terminal
from vifsim.simulator import exported_run

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from vifsim.scorecard import Run

FORMS = ("json", "md", "markdown", "junit", "html")
"""What `--report FORM=FILE` writes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="an exported journal")
    parser.add_argument("--json", action="store_true", help="print the whole document")
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
        help=f"write the scorecard to a file as well: {', '.join(FORMS)}",
    )


def run(options: argparse.Namespace) -> int:
    """Judge, print, and return the exit code that the verdicts stand for.

    Raises:
        UsageError: the file is no whole journal; a report cannot be written.
    """
    reports = [_report(text) for text in options.report]
    judged = exported_run(*read_export(options.file))
    document = score(judged)
    for form, path in reports:
        _write(path, rendered(form, document, judged))
    shown = json.dumps(document, indent=1) + "\n" if options.json else terminal(document)
    sys.stdout.write(shown)
    return exit_code(document, fail_on=options.fail_on, reached=bool(judged.entries))


def rendered(form: str, document: Mapping[str, Any], judged: Run) -> str:
    """Return a scorecard in one of the forms."""
    match form:
        case "json":
            return json.dumps(document, indent=1) + "\n"
        case "md" | "markdown":
            return markdown(document)
        case "junit":
            return junit(document)
        case _:
            return page(document, [(judged.scenario.name, judged)])


def _report(text: str) -> tuple[str, Path]:
    form, mark, path = text.partition("=")
    if not mark or not path or form not in FORMS:
        raise UsageError(f"--report {text} is none of {', '.join(f'{f}=FILE' for f in FORMS)}")
    return form, Path(path)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as exc:
        raise UsageError(f"cannot write {path}: {exc.strerror}") from exc
