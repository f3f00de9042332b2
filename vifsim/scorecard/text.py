"""A scorecard for people and for CI: terminal text, Markdown, JUnit XML.

The house rule: a form of the document and nothing else; what came from a client or a scenario is
escaped, whatever it holds.

Source: scorecard, "Output" (docs/scorecard.md).
"""

from __future__ import annotations

import re
from html import escape
from textwrap import wrap
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree as Xml

from vifsim.scorecard.findings import is_list
from vifsim.scorecard.report import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Named = tuple[str, Mapping[str, Any]]

_MARKS = {"fail": "FAIL", "pass": "pass", "not_exercised": "-"}
_ORDER = ("fail", "pass", "not_exercised")
_WEIGHTS = ("critical", "major", "minor")
_SHOWN_EVIDENCE = 3
_WIDTH = 100
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: object) -> str:
    """Return a text without characters that a terminal obeys or XML forbids."""
    return _UNPRINTABLE.sub("�", str(text))


def in_order(document: Mapping[str, Any]) -> list[Named]:
    """Return the rules: failures first, the gravest first, those not exercised last."""
    rules: Mapping[str, Mapping[str, Any]] = document["rules"]
    return sorted(
        rules.items(),
        key=lambda item: (
            _ORDER.index(item[1]["verdict"]),
            _WEIGHTS.index(item[1]["severity"]),
            item[1]["code"],
        ),
    )


def title(document: Mapping[str, Any]) -> str:
    """Return the one line that says what was judged and how it came out."""
    where = document["scenario"] or "several scenarios"
    seed = "" if document["seed"] is None else f", seed {document['seed']}"
    if document["score"] is None:
        return f"{where}{seed}: nothing was exercised"
    grade = document["grade"] or "no grade, fewer than 5 rules were exercised"
    return f"{where}{seed}: {grade} (score {document['score']:.2f})"


def unmet(document: Mapping[str, Any]) -> list[str]:
    """Return a line for each expectation of the scenario that is not met."""
    return [
        f"expected {item['expect']}: {item['wanted']}, found {item['got']}"
        + (f" (run {item['run']})" if "run" in item else "")
        for item in document["expectations"]
        if not item["met"]
    ]


def evidence_line(piece: Mapping[str, Any]) -> str:
    """Return a piece of evidence as one line; what is None is left out."""
    parts = [f"{name.replace('_', ' ')} {_short(value)}" for name, value in piece.items()]
    shown = [part for part, value in zip(parts, piece.values(), strict=True) if value is not None]
    return printable("; ".join(shown))


def _short(value: Any) -> str:
    if isinstance(value, dict):
        named = cast("dict[str, Any]", value)  # evidence is plain data of the scorecard's own
        return " ".join(f"{name}={_short(item)}" for name, item in named.items())
    if is_list(value):
        text = ", ".join(_short(item) for item in value[:10])
        return f"{text}, … ({len(value)})" if len(value) > 10 else text
    return f"{value:g}" if isinstance(value, float) else str(value)


# ── terminal ─────────────────────────────────────────────────────────────────────────────────────


def terminal(document: Mapping[str, Any]) -> str:
    """Return a scorecard for a terminal of 100 columns, without colour."""
    lines = [f"scorecard of {printable(title(document))}", ""]
    for name, rule in in_order(document):
        head = f"{_MARKS[rule['verdict']]:5} {rule['code']} {name:24} {rule['severity']:9}"
        lines += _hanging(head, rule["reason"])
        if rule["verdict"] == "fail":
            lines += _details(rule)
    lines += [f"FAIL  {printable(text)}" for text in unmet(document)]
    lines += ["", *wrap(LIMITS, _WIDTH)]
    return "\n".join(lines) + "\n"


def _details(rule: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for piece in rule["evidence"][:_SHOWN_EVIDENCE]:
        lines += _hanging("      evidence:", evidence_line(piece))
    more = len(rule["evidence"]) - _SHOWN_EVIDENCE
    if more > 0:
        lines.append(f"      and {more} more, in the JSON document")
    return lines + _hanging("      advice:", rule["advice"])


def _hanging(head: str, text: str) -> list[str]:
    indent = " " * min(len(head) + 1, 16)
    return wrap(
        printable(text) or "-",
        _WIDTH,
        initial_indent=f"{head} ",
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


# ── Markdown ─────────────────────────────────────────────────────────────────────────────────────


def reproduction(document: Mapping[str, Any], rule: Mapping[str, Any]) -> str | None:
    """Return the command that shows a failed rule again; None where no command was run."""
    runs: Sequence[Mapping[str, Any]] = document.get("runs", ())
    numbers = [int(piece["run"]) for piece in rule["evidence"] if "run" in piece]
    return str(runs[numbers[0] - 1 if numbers else 0]["reproduce"]) if runs else None


def markdown(document: Mapping[str, Any]) -> str:
    """Return a scorecard in Markdown that fits a comment on a pull request."""
    rules = in_order(document)
    lines = [f"### vifsim scorecard: {_cell(title(document))}", ""]
    lines += _table([item for item in rules if item[1]["verdict"] != "not_exercised"])
    lines += [f"- :x: {_cell(text)}" for text in unmet(document)]
    failed = [item for item in rules if item[1]["verdict"] == "fail"]
    for name, rule in failed:
        lines += ["", f"**{rule['code']} {name}**: {_cell(rule['advice'])}", ""]
        lines += [f"- {_cell(evidence_line(p))}" for p in rule["evidence"][:_SHOWN_EVIDENCE]]
        again = reproduction(document, rule)
        lines += [f"- again: {_code(again)}"] if again else []
    lines += _folded([item for item in rules if item[1]["verdict"] == "not_exercised"])
    lines += ["", f"<sub>{escape(LIMITS)}</sub>"]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    """Return text as code that can be copied as it stands, whatever quotes are in it."""
    plain = printable(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", plain)), default=0))
    pad = " " if fence != "`" else ""
    return f"{fence}{pad}{plain}{pad}{fence}"


def _table(rules: Iterable[Named]) -> list[str]:
    rows = [
        f"| {':x:' if rule['verdict'] == 'fail' else ':white_check_mark:'} | {rule['code']} {name} "
        f"| {rule['severity']} | {_cell(rule['reason'])} |"
        for name, rule in rules
    ]
    return (
        ["| | rule | severity | reason |", "| --- | --- | --- | --- |", *rows, ""] if rows else []
    )


def _folded(rules: Sequence[Named]) -> list[str]:
    if not rules:
        return []
    items = [f"- {rule['code']} {name}: {_cell(rule['reason'])}" for name, rule in rules]
    summary = f"<details><summary>{len(rules)} rules not exercised</summary>"
    return ["", summary, "", *items, "", "</details>"]


def _cell(text: object) -> str:
    """Return a text that stays inside its cell and is shown as it stands."""
    flat = " ".join(printable(text).split())
    return re.sub(r"([\\`*_\[\]|~#@])", r"\\\1", escape(flat, quote=False))


# ── JUnit ────────────────────────────────────────────────────────────────────────────────────────


def junit(document: Mapping[str, Any], cards: Sequence[Named] = ()) -> str:
    """Return JUnit XML: a suite for the whole, and one for each run with its name."""
    root = Xml.Element("testsuites", name="vifsim scorecard")
    for name, card in [("scorecard", document), *cards]:
        root.append(_suite(name, card))
    Xml.indent(root)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"
    )


def _suite(name: str, card: Mapping[str, Any]) -> Xml.Element:
    rules: Mapping[str, Mapping[str, Any]] = card["rules"]
    verdicts = [rule["verdict"] for rule in rules.values()]
    missing = unmet(card)
    suite = Xml.Element(
        "testsuite",
        name=printable(name),
        tests=str(len(rules) + len(missing)),
        failures=str(verdicts.count("fail") + len(missing)),
        skipped=str(verdicts.count("not_exercised")),
        errors="0",
    )
    for rule_name, rule in rules.items():
        suite.append(_case(name, rule_name, rule))
    for text in missing:
        case = Xml.SubElement(
            suite, "testcase", classname=printable(name), name=printable(text), time="0"
        )
        Xml.SubElement(case, "failure", message=printable(text), type="major")
    return suite


def _case(suite: str, name: str, rule: Mapping[str, Any]) -> Xml.Element:
    case = Xml.Element(
        "testcase", classname=printable(suite), name=f"{rule['code']} {name}", time="0"
    )
    message = printable(rule["reason"])
    if rule["verdict"] == "not_exercised":
        Xml.SubElement(case, "skipped", message=message)
    elif rule["verdict"] == "fail":
        failure = Xml.SubElement(case, "failure", message=message, type=rule["severity"])
        lines = [evidence_line(piece) for piece in rule["evidence"]]
        failure.text = "\n".join([*lines, printable(rule["advice"])])
    return case
