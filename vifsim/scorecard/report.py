"""The scorecard itself: grade and score, the document, the merging of several runs.

The house rule: documents only, plain data; every rule is always present, and no number stands in
one form of the report that does not stand in the document.

Source: scorecard, "Output"; control API, section 3.4 (docs/scorecard.md, docs/control-api.md).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from vifsim.scorecard.findings import MOST_EVIDENCE, Judged, verdict_of
from vifsim.scorecard.replay import Repeat, compare_repeats, repeat_of
from vifsim.scorecard.rules import BY_NAME, CATALOGUE, judge_all
from vifsim.scorecard.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vifsim.scorecard.attempts import Run
    from vifsim.scorecard.findings import Severity

Document = dict[str, Any]

VERSION = 1
WEIGHTS: Mapping[str, int] = {"critical": 10, "major": 4, "minor": 1}
SEVERITIES: tuple[Severity, ...] = ("critical", "major", "minor")
_GRADES = ((0.95, "A"), (0.85, "B"), (0.70, "C"), (0.50, "D"))
_FEWEST = 5

OK, FOUND, UNREACHED, NOTHING = 0, 1, 3, 4

LIMITS = (
    "What a server cannot see: connections that were refused, names that were not found, what a "
    "client reports to its user, circuit breakers that send nothing, and whether a person asked "
    "twice."
)
"""The footer of every report, so that a pass is not oversold."""


def score(run: Run) -> Document:
    """Return the scorecard of one run.

    A pure function of the journal: the same entries give the same document.

    Source: control API, section 3.4 (docs/control-api.md).
    """
    traffic = Traffic(run)
    return _document(run.seed, run.scenario.name, judge_all(traffic), _expected(traffic))


def score_runs(runs: Sequence[Run]) -> tuple[Document, list[Document]]:
    """Return the scorecard over several runs, and that of each.

    A rule fails where it failed in any run and passes where it passed in one; each piece of
    evidence says its `run`, counted from 1. Runs of one scenario and seed are compared wait by
    wait as well, which decides `backoff_jittered` where it can.
    """
    cards: list[Document] = []
    repeats: dict[tuple[str, int], list[Repeat]] = defaultdict(list)
    for number, run in enumerate(runs, 1):
        traffic = Traffic(run)
        cards.append(_document(run.seed, run.scenario.name, judge_all(traffic), _expected(traffic)))
        repeats[run.scenario.name, run.seed].append(repeat_of(traffic, number))
    return _merged(cards, repeats), cards


def exit_code(document: Mapping[str, Any], *, fail_on: str = "major", reached: bool = True) -> int:
    """Return the exit code that a scorecard stands for.

    0: nothing failed at or above `fail_on`; 1: something did; 3: the client never reached the
    server; 4: nothing was exercised. A failure that the scenario expects, or allows with "any",
    does not count. The verdicts alone decide, also where the grade is withheld.
    """
    if not reached:
        return UNREACHED
    counted = SEVERITIES[: SEVERITIES.index(_severity(fail_on)) + 1]
    expected: Sequence[Mapping[str, Any]] = document["expectations"]
    allowed = {item["rule"] for item in expected if item["rule"] and item["wanted"] != "pass"}
    rules: Mapping[str, Mapping[str, Any]] = document["rules"]
    exercised = any(item["verdict"] != "not_exercised" for item in rules.values())
    unmet = [item for item in expected if not item["met"]]
    if not exercised and all(item["rule"] for item in unmet):
        return NOTHING
    found = any(
        item["verdict"] == "fail" and item["severity"] in counted and name not in allowed
        for name, item in rules.items()
    )
    return FOUND if found or (unmet and "major" in counted) else OK


def _severity(text: str) -> Severity:
    for severity in SEVERITIES:
        if severity == text:
            return severity
    raise ValueError(f"{text} is none of {', '.join(SEVERITIES)}")


# ── one document ─────────────────────────────────────────────────────────────────────────────────


def _document(
    seed: int | None,
    scenario: str | None,
    verdicts: Mapping[str, Judged],
    expectations: Sequence[Document],
) -> Document:
    total, grade = _grade(verdicts)
    expected = [_met(item, verdicts) for item in expectations]
    return {
        "version": VERSION,
        "seed": seed,
        "scenario": scenario,
        "grade": grade,
        "score": total,
        "rules": {rule.name: _rule(rule.name, verdicts[rule.name]) for rule in CATALOGUE},
        "expectations": expected,
    }


def _rule(name: str, judged: Judged) -> Document:
    rule = BY_NAME[name]
    return {
        "code": rule.code,
        "verdict": judged.verdict,
        "severity": rule.severity,
        "reason": judged.reason,
        "evidence": [dict(piece) for piece in judged.evidence],
        "advice": rule.advice if judged.verdict == "fail" else None,
    }


def _grade(verdicts: Mapping[str, Judged]) -> tuple[float | None, str | None]:
    """Return the score, None where nothing was exercised, and the grade, None where withheld."""
    exercised = [rule for rule in CATALOGUE if verdicts[rule.name].verdict != "not_exercised"]
    if not exercised:
        return None, None
    weight = sum(WEIGHTS[rule.severity] for rule in exercised)
    good = sum(
        WEIGHTS[rule.severity] for rule in exercised if verdicts[rule.name].verdict == "pass"
    )
    total = good / weight
    if len(exercised) < _FEWEST:
        return round(total, 4), None
    grade = next((letter for least, letter in _GRADES if total >= least), "F")
    critical = any(
        rule.severity == "critical" and verdicts[rule.name].verdict == "fail" for rule in exercised
    )
    return round(total, 4), "D" if critical and grade in "ABC" else grade


# ── expectations ─────────────────────────────────────────────────────────────────────────────────


def _expected(traffic: Traffic) -> list[Document]:
    """Return what the scenario expects, each with what was found, verdicts still to be filled in.

    Source: scenario format, "Top level" (docs/scenarios.md).
    """
    expect = traffic.run.scenario.expect
    found = [
        _expectation(f"rules.{name}", name, wanted, None) for name, wanted in expect.rules.items()
    ]
    if expect.interfaces is not None:
        left = len(traffic.left)
        found.append(
            _expectation("interfaces", None, expect.interfaces, left, met=left == expect.interfaces)
        )
    if expect.max_requests is not None:
        number = len(traffic.attempts)
        met = number <= expect.max_requests
        found.append(_expectation("max_requests", None, expect.max_requests, number, met=met))
    if expect.finishes_within is not None:
        began = traffic.attempts[0].arrived if traffic.attempts else 0.0
        took = round(max(0.0, traffic.end - began), 3)
        met = took <= expect.finishes_within and not traffic.left_open
        found.append(_expectation("finishes_within", None, expect.finishes_within, took, met=met))
    return found


def _expectation(
    what: str, rule: str | None, wanted: object, got: object, *, met: bool = True
) -> Document:
    return {
        "expect": what,
        "rule": rule,
        "wanted": wanted,
        "got": got,
        "met": met,
        "severity": "major",
    }


def _met(item: Document, verdicts: Mapping[str, Judged]) -> Document:
    """Return an expectation of a rule with the rule's verdict filled in."""
    if item["rule"] is None:
        return item
    got = verdicts[item["rule"]].verdict
    return {**item, "got": got, "met": item["wanted"] in {"any", got}}


# ── several runs ─────────────────────────────────────────────────────────────────────────────────


def _merged(
    cards: Sequence[Document], repeats: Mapping[tuple[str, int], Sequence[Repeat]]
) -> Document:
    verdicts = {rule.name: _merged_rule(rule.name, cards) for rule in CATALOGUE}
    jitter = BY_NAME["backoff_jittered"]
    compared = verdict_of(jitter, (f for group in repeats.values() for f in compare_repeats(group)))
    if compared.verdict != "not_exercised":
        verdicts[jitter.name] = compared
    scenarios = {card["scenario"] for card in cards}
    seeds = {card["seed"] for card in cards}
    document = _document(
        seeds.pop() if len(seeds) == 1 else None,
        scenarios.pop() if len(scenarios) == 1 else None,
        verdicts,
        (),
    )
    document["expectations"] = [
        {**item, "run": number}
        for number, card in enumerate(cards, 1)
        for item in card["expectations"]
    ]
    return document


def _merged_rule(name: str, cards: Sequence[Document]) -> Judged:
    given = [(number, card["rules"][name]) for number, card in enumerate(cards, 1)]
    for verdict in ("fail", "pass"):
        same = [(number, item) for number, item in given if item["verdict"] == verdict]
        if same:
            pieces = [{**p, "run": number} for number, item in same for p in item["evidence"]]
            number, item = same[0]
            return Judged(
                verdict=item["verdict"],
                reason=f"{item['reason']} (run {number})",
                evidence=pieces[:MOST_EVIDENCE],
            )
    reasons = list(dict.fromkeys(item["reason"] for _, item in given))
    told = [text for text in reasons if not text.startswith("not exercised: ")] or reasons
    return Judged(verdict="not_exercised", reason=told[0] if told else "not exercised: no run")
