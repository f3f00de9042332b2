"""What a run shows of a client under a schedule of faults: its symptoms, and what it did.

The house rule: a symptom is a name that is the same from run to run, so that runs can be compared.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from vifsim.chaos.faults import is_survivable
from vifsim.chaos.search import Trial
from vifsim.scorecard import score
from vifsim.scorecard.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vifsim.chaos.faults import Schedule
    from vifsim.scorecard import Run

_KEEPS_ANY = 1_000_000
"""What the calm run may leave behind: what it does leave is what the client means to."""

NO_END = "no end in time"
LEAK = "interfaces left behind"


class Judge:
    """Judges runs by what the client does on a calm cloud, which is judged first.

    Args:
        time_limit: seconds that a run may take.
    """

    def __init__(self, time_limit: float) -> None:
        self.time_limit = time_limit
        self.keeps: int | None = None

    @property
    def allowed(self) -> int:
        """How many interfaces may be left behind."""
        return _KEEPS_ANY if self.keeps is None else self.keeps

    def trial(self, schedule: Schedule, run: Run, *, ended: bool, failure: str | None) -> Trial:
        """Return what a run shows.

        Args:
            schedule: that it was under.
            run: what the journal kept.
            ended: whether the client came to an end by itself.
            failure: how it failed in its own words, such as `exit code 1`; None where it did not.
        """
        left = len(Traffic(run).left)
        if self.keeps is None:
            self.keeps = left
        reasons = _failed_rules(score(run))
        if not ended:
            reasons = {NO_END: f"it was ended after {self.time_limit:g} s", **reasons}
        if left > self.keeps:
            reasons[LEAK] = f"{left}, on a calm cloud {self.keeps}"
        if ended and failure and is_survivable(schedule, self.time_limit):
            reasons[failure] = ""
        return Trial(
            schedule=schedule,
            sites=dict(Counter(_operations(run))),
            symptoms=tuple(reasons),
            reasons=reasons,
            calls=tuple(map(_call, run.entries)),
        )


def _failed_rules(card: Mapping[str, Any]) -> dict[str, str]:
    """Return the critical and major rules that failed, with the reasons, the worst first."""
    failed = {
        name: rule
        for name, rule in card["rules"].items()
        if rule["verdict"] == "fail" and rule["severity"] in {"critical", "major"}
    }
    worst = sorted(failed, key=lambda name: failed[name]["severity"])
    return {name: f"{failed[name]['severity']}, {failed[name]['reason']}" for name in worst}


def _operations(run: Run) -> Iterator[str]:
    return (str(entry["operation"]) for entry in run.entries if entry["operation"] != "unknown")


def _call(entry: Mapping[str, Any]) -> str:
    told = entry["told"]
    answer = told["status"] if told else "no answer"
    return f"{entry['operation']} → {answer}{', spoiled' if told and told['spoiled'] else ''}"
