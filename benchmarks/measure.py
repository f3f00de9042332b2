"""How figures are taken and shown: interleaved rounds, ratios within a round, medians of them.

The house rule: a figure of ours never stands alone; what it is held against ran in the same round.
"""

from __future__ import annotations

import resource
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured ratio and the mark that it is held against.

    `mark` is the highest ratio that is good enough, or, with `at_least`, the lowest.
    """

    name: str
    ratio: float
    mark: float | None = None
    at_least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool:
        """Whether the mark is met; true where there is none."""
        if self.mark is None:
            return True
        return self.ratio >= self.mark if self.at_least else self.ratio <= self.mark


@dataclass(slots=True)
class Rounds:
    """Costs of several subjects, one of each per round."""

    costs: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def add(self, subject: str, cost: float) -> None:
        """Note what a subject cost in the round under way."""
        self.costs.setdefault(subject, []).append(cost)

    def ratio(self, ours: str, theirs: str) -> float:
        """Return the median over the rounds of one subject's cost by another's."""
        pairs = zip(self.costs[ours], self.costs[theirs], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def least_ratio(self, ours: str, theirs: str) -> float:
        """Return the least cost of one subject by the least of another's."""
        return min(self.costs[ours]) / min(self.costs[theirs])

    def median(self, subject: str) -> float:
        """Return the median cost of a subject."""
        return statistics.median(self.costs[subject])


def cpu_seconds(pid: int) -> float:
    """Return the processor time, user and system, that a process has used (Linux)."""
    spent = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9


def own_memory_bytes(process: str) -> int:
    """Return the resident memory of a process, by its id or `self` (Linux)."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def show(title: str, figures: Sequence[Figure], tell: Callable[[str], None] = print) -> bool:
    """Print figures beside their marks; return whether all are met."""
    tell(f"\n{title}")
    for figure in figures:
        relation = ">=" if figure.at_least else "<="
        mark = "" if figure.mark is None else f"{relation} {figure.mark:g}"
        verdict = "" if figure.mark is None else ("met" if figure.met else "NOT MET")
        tell(f"  {figure.name:44} {figure.ratio:7.2f}  {mark:9} {verdict:8} {figure.detail}")
    return all(figure.met for figure in figures)
