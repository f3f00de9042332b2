"""What a rule finds in a run: instances with their evidence, and the verdict made of them.

The house rule: a finding without a verdict says why nothing can be told; it never becomes a pass.

Source: scorecard, "Definitions" (docs/scorecard.md).
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from vifsim.scorecard.traffic import Traffic

Severity = Literal["critical", "major", "minor"]
Verdict = Literal["pass", "fail", "not_exercised"]

MOST_EVIDENCE = 20
_MOST_ENTRIES = 50


@frozen
class Finding:
    """One instance of a rule.

    Attributes:
        verdict: "pass" or "fail"; None where the evidence is too thin to tell.
        reason: for people, with the numbers compared.
        evidence: `entries`, the numbers, `tolerance` and `fault`; None where there is nothing.
    """

    verdict: Literal["pass", "fail"] | None
    reason: str
    evidence: Mapping[str, Any] | None = None


@frozen
class Judged:
    """The verdict of one rule over a whole run."""

    verdict: Verdict
    reason: str
    evidence: Sequence[Mapping[str, Any]] = ()


@frozen
class Rule:
    """One rule of the catalogue.

    Attributes:
        code, name, severity, term: as in the catalogue.
        exercised_when: what a run must hold for the rule to have anything to say.
        advice: the sentence that says what to change.
        judge: finds the instances.
        votes: whether a majority of the instances decides instead of any failure.
    """

    code: str
    name: str
    severity: Severity
    term: str
    exercised_when: str
    advice: str
    judge: Callable[[Traffic], Iterable[Finding]] = field(repr=False)
    votes: bool = False


def evidence(entries: Iterable[int], *, fault: str | None = None, **numbers: Any) -> dict[str, Any]:
    """Return a piece of evidence: the entries, the numbers compared, tolerance, fault."""
    seqs = list(entries)
    shown: dict[str, Any] = {"entries": seqs[:_MOST_ENTRIES]}
    if len(seqs) > _MOST_ENTRIES:
        shown["entries_in_all"] = len(seqs)
    shown |= {name: _rounded(value) for name, value in numbers.items()}
    shown.setdefault("tolerance", None)
    shown["fault"] = fault
    return shown


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    return [_rounded(item) for item in value] if is_list(value) else value


def is_list(value: Any) -> TypeGuard[list[Any]]:
    """Return whether a value of a document is a list."""
    return isinstance(value, list)


def passed(reason: str, proof: Mapping[str, Any] | None = None) -> Finding:
    """Return an instance in which the client did well."""
    return Finding(verdict="pass", reason=reason, evidence=proof)


def failed(reason: str, proof: Mapping[str, Any] | None = None) -> Finding:
    """Return an instance in which the client did not."""
    return Finding(verdict="fail", reason=reason, evidence=proof)


def unclear(reason: str, proof: Mapping[str, Any] | None = None) -> Finding:
    """Return an instance of which nothing can be told."""
    return Finding(verdict=None, reason=reason, evidence=proof)


def verdict_of(rule: Rule, findings: Iterable[Finding]) -> Judged:
    """Return a rule's verdict: any failure fails it, or with `votes` a majority."""
    found = list(findings)
    fails = [item for item in found if item.verdict == "fail"]
    passes = [item for item in found if item.verdict == "pass"]
    if rule.votes and fails and passes:
        fails, passes = _majority(fails, passes)
        if not fails and not passes:
            return Judged(verdict="not_exercised", reason="inconclusive: as many for as against")
    if fails:
        return _judged("fail", fails)
    if passes:
        return _judged("pass", passes)
    reason = found[0].reason if found else f"not exercised: {rule.exercised_when}"
    return Judged(
        verdict="not_exercised",
        reason=reason,
        evidence=[item.evidence for item in found[:MOST_EVIDENCE] if item.evidence is not None],
    )


def _majority(fails: list[Finding], passes: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    if len(fails) == len(passes):
        return [], []
    return (fails, []) if len(fails) > len(passes) else ([], passes)


def _judged(verdict: Verdict, items: list[Finding]) -> Judged:
    more = f" (and {len(items) - 1} more)" if verdict == "fail" and len(items) > 1 else ""
    kept = [item.evidence for item in items if item.evidence is not None]
    return Judged(verdict=verdict, reason=items[0].reason + more, evidence=kept[:MOST_EVIDENCE])
