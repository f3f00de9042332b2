"""`vifsim scorecard FILE`: how well the client of an exported journal copes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vifsim.cli.flags import add_verdict_flags, report_of
from vifsim.cli.output import say, write
from vifsim.recording import Recording
from vifsim.scorecard import exit_code, score
from vifsim.scorecard.page import page
from vifsim.scorecard.text import junit, markdown, terminal

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
    add_verdict_flags(parser, FORMS)


def run(options: argparse.Namespace) -> int:
    """Judge, print, and return the exit code that the verdicts stand for.

    Raises:
        UsageError: the file is no whole journal; a report cannot be written.
    """
    reports = [report_of(text, FORMS) for text in options.report]
    judged = Recording.read(options.file).run
    document = score(judged)
    for form, path in reports:
        write(path, rendered(form, document, judged))
    shown = json.dumps(document, indent=1) + "\n" if options.json else terminal(document)
    say(shown)
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
