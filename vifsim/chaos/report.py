"""What `vifsim chaos` reports: one document over all runs, and its forms.

The house rule: no number stands in a form that does not stand in the document.

Source: control API, section 3.4 (docs/control-api.md).
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from vifsim.scorecard import exit_code, score_runs
from vifsim.scorecard.page import page
from vifsim.scorecard.text import (
    evidence_line,
    in_order,
    junit,
    markdown,
    printable,
    reproduction,
    title,
    unmet,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vifsim.chaos.command import Ending
    from vifsim.chaos.runs import Finished, Order

    Document = dict[str, Any]

FORMS = ("json", "junit", "md", "html")
_MARKS = {"pass": "+", "fail": "X", "not_exercised": "."}
_SHOWN_EVIDENCE = 2
_TIME_LIMIT = 120.0
_HERD = 10
_FLOOD_BYTES = 1_000_000
"""Output beyond which a client is said to flood it."""
EXERCISED_BY: Mapping[str, tuple[str, str]] = {
    "retry_after_honoured": ("told-to-wait", ""),
    "transient_retried": ("flaky-create", ""),
    "retries_capped": ("endless-outage", ""),
    "no_hot_retry": ("endless-outage", ""),
    "backoff_grows": ("endless-outage", ""),
    "backoff_jittered": ("endless-outage", "--repeat 3"),
    "permanent_not_retried": ("server-building", ""),
    "no_blind_recreate": ("lost-create", ""),
    "reconciled_by_listing": ("lost-create", ""),
    "no_leaked_interface": ("flaky-create", ""),
    "hung_request_abandoned": ("hung", ""),
    "timeout_not_too_short": ("slow-but-fine", ""),
    "reauth_on_401": ("token-expiry", ""),
    "dead_token_not_reused": ("token-expiry", ""),
    "token_cached": ("token-expiry", ""),
    "no_stampede": ("thundering-herd", "--clients 20"),
    "amplification_bounded": ("thundering-herd", "--clients 20"),
    "overall_deadline": ("flaky-create", ""),
    "gone_delete_is_done": ("lost-delete", ""),
    "stale_list_tolerated": ("stale-reads", ""),
    "pagination_followed": ("paged", ""),
    "bad_body_survived": ("spoiled-answers", ""),
    "poll_paced": ("stale-reads", ""),
    "busy_server_awaited": ("server-building", ""),
}
"""The scenario of the standard matrix that exercises each rule of a client that does what the rule
is about, and the flags that it needs; `tests/scorecard/test_matrix.py` holds both."""


def chaos_document(finished: Sequence[Finished], *, standard: bool = False) -> Document:
    """Return the scorecard over all runs, with `runs` beside it.

    With `standard` what a scenario expects of a rule counts only where a client exercised it: the
    matrix is the same for all, and no client meets all of it.
    """
    merged, cards = score_runs([one.run for one in finished])
    for name, way in _ways(merged, finished).items():
        merged["rules"][name]["reason"] += f" (try {way})"
    if standard:
        for document in (merged, *cards):
            document["expectations"] = [
                item
                for item in document["expectations"]
                if item["rule"] is None or item["got"] != "not_exercised"
            ]
    runs = [
        {
            "scenario": one.run.scenario.name,
            "repeat": one.order.repeat,
            "client": dict(one.run.client or {}),
            "leaks": one.leaks(),
            "scorecard": card,
            "reproduce": reproduce(one.order),
        }
        for one, card in zip(finished, cards, strict=True)
    ]
    return {**merged, "runs": runs}


def _ways(document: Document, finished: Sequence[Finished]) -> dict[str, str]:
    """Return for each rule that was not exercised what would, where that was not run."""
    orders = [one.order for one in finished]
    places = {order.scenario for order in orders}
    used = {
        "--clients 20": any(order.clients >= _HERD for order in orders),
        "--repeat 3": any(order.repeat > 1 for order in orders),
    }
    ways: dict[str, str] = {}
    for name, rule in document["rules"].items():
        place, flags = EXERCISED_BY[name]
        wanted = [f"--scenario {place}"] if place not in places else []
        wanted += [flags] if flags and not used[flags] else []
        if wanted and rule["verdict"] == "not_exercised":
            ways[name] = " ".join(wanted)
    return ways


def chaos_exit_code(document: Document, *, fail_on: str, reached: bool) -> int:
    """Return the exit code of a whole `vifsim chaos`."""
    return exit_code(document, fail_on=fail_on, reached=reached)


def reproduce(order: Order) -> str:
    """Return the command that runs one order again."""
    parts = ["vifsim", "chaos"]
    if order.seed is not None:
        parts += ["--seed", str(order.seed)]
    parts += ["--scenario", order.scenario]
    if order.clients > 1:
        parts += ["--clients", str(order.clients)]
    if order.time_limit != _TIME_LIMIT:
        parts += ["--time-limit", f"{order.time_limit:g}s"]
    return shlex.join([*parts, "--", *order.command])


def rendered(form: str, document: Document, finished: Sequence[Finished]) -> str:
    """Return the report in one of `FORMS`."""
    names = [f"{run['scenario']} (run {run['repeat']})" for run in document["runs"]]
    match form:
        case "json":
            return json.dumps(document, indent=1) + "\n"
        case "junit":
            cards = [run["scorecard"] for run in document["runs"]]
            return junit(document, list(zip(names, cards, strict=True)))
        case "md":
            return markdown(document)
        case _:
            runs = [one.run for one in finished]
            return page(document, list(zip(names, runs, strict=True)))


# ── plain text ───────────────────────────────────────────────────────────────────────────────────


def run_line(one: Finished, card: Mapping[str, Any], took: float) -> str:
    """Return the line that says how one run went."""
    failed = [name for name, rule in card["rules"].items() if rule["verdict"] == "fail"]
    verdict = f"fails {', '.join(failed)}" if failed else "no rule failed"
    name = one.run.scenario.name
    repeat = f" run {one.order.repeat}" if one.order.repeat > 1 else ""
    return f"{name + repeat:24} {took:6.1f} s  {how_it_ended(one):26} {verdict}"


def how_it_ended(one: Finished) -> str:
    """Return how the clients of a run ended, the worst thing first."""
    if not one.reached:
        return "never called the cloud"
    endings = one.endings
    if any(ending.ended == "time_limit" for ending in endings):
        return "ended at the time limit"
    if any(ending.ended == "signal" for ending in endings):
        return "ended by a signal"
    left = sum(ending.left_behind for ending in endings)
    codes = sorted({ending.exit_code or 0 for ending in endings})
    text = f"exit code {', '.join(map(str, codes))}"
    return f"{text}, {left} left behind" if left else text


def summary(document: Document, finished: Sequence[Finished]) -> str:
    """Return the matrix scenario by rule, the findings, the worst first, and what was not tried."""
    lines = ["", *_matrix(document), "", f"Scorecard: {printable(title(document))}", ""]
    lines += _findings(document)
    if not any(one.reached for one in finished):
        return "\n".join([*lines, *_strays(finished)]).rstrip() + "\n"
    lines += [f"FAIL  {printable(text)}" for text in unmet(document)]
    lines += _strays(finished)
    lines += _untried(document, finished)
    return "\n".join(lines).rstrip() + "\n"


def _matrix(document: Document) -> list[str]:
    codes = [rule["code"][1:] for rule in document["rules"].values()]
    lines = [f"{'scenario':24} {' '.join(codes)}   + passed   X failed   . not exercised"]
    for run in document["runs"]:
        name = run["scenario"] + (f" run {run['repeat']}" if run["repeat"] > 1 else "")
        marks = [_MARKS[rule["verdict"]] for rule in run["scorecard"]["rules"].values()]
        lines.append(f"{printable(name):24}  {'  '.join(marks)}")
    return lines


def _findings(document: Document) -> list[str]:
    lines: list[str] = []
    for name, rule in in_order(document):
        if rule["verdict"] != "fail":
            continue
        lines.append(f"FAIL  {rule['code']} {name} ({rule['severity']}): {rule['reason']}")
        lines += [f"      evidence: {evidence_line(e)}" for e in rule["evidence"][:_SHOWN_EVIDENCE]]
        lines.append(f"      advice: {rule['advice']}")
        lines.append(f"      again: {reproduction(document, rule)}")
        lines.append("")
    return [printable(line) for line in lines]


def _strays(finished: Sequence[Finished]) -> list[str]:
    """Return what is worth knowing of how clients ended, beside the verdicts."""
    lines = [
        f"note  {one.run.scenario.name}: {text}"
        for one in finished
        for ending in one.endings
        for text in _remarks(ending, reached=one.reached)
    ]
    return [printable(line) for line in dict.fromkeys(lines)]


def _remarks(ending: Ending, *, reached: bool) -> Iterator[str]:
    """Yield what is remarkable about how one client ended."""
    if not reached:
        code = "" if ending.exit_code is None else f", and ended with exit code {ending.exit_code}"
        yield f"the client never called the cloud{code}"
    if ending.left_behind:
        yield f"it left {ending.left_behind} processes, now ended"
    if ending.ended == "time_limit":
        yield "it was ended at the time limit"
    if ending.was_killed:
        yield "it ignored SIGTERM and was killed"
    if ending.output_bytes > _FLOOD_BYTES:
        yield f"it wrote {ending.output_bytes / 1e6:.0f} MB; the end of that is kept"


def _untried(document: Document, finished: Sequence[Finished]) -> list[str]:
    """Return what to try for the rules that a single client, or a single run, seldom exercises."""
    return [
        f"note  {name} was not exercised: try {way}"
        for name, way in _ways(document, finished).items()
        if EXERCISED_BY[name][1]
    ]
