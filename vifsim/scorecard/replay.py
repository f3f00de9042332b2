"""The replay test of R06: the same run again, wait against wait.

The house rule: the server is the same in every repeat, so what differs is the client's own; a
client that draws its waits cannot repeat them.

Source: scorecard, R06 (docs/scorecard.md).
"""

from __future__ import annotations

from collections import Counter
from statistics import fmean, median
from typing import TYPE_CHECKING

from vifsim.scorecard.chains import retry_waits
from vifsim.scorecard.findings import evidence, failed, passed, unclear
from vifsim.scorecard.traffic import seqs
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vifsim.scorecard.chains import Chain
    from vifsim.scorecard.findings import Finding
    from vifsim.scorecard.traffic import Traffic

_SAME = 0.05
_APART = 0.10
_FEWEST_WAITS = 3
_COARSE = 5.0

Name = tuple[str, str, "str | None", int]


@frozen
class Repeat:
    """The chains of one run by what they asked, so that another run's can be laid beside them."""

    run: int
    tolerance: float
    chains: Mapping[Name, Chain]


def repeat_of(traffic: Traffic, run: int) -> Repeat:
    """Return the chains of a run that one actor made and that were told no Retry-After."""
    ranks: Counter[tuple[str, str, str | None]] = Counter()
    chains: dict[Name, Chain] = {}
    shared = {chain.key for chain in traffic.chains if chain.overlapping or chain.unclear}
    for chain in traffic.chains:
        asked = (chain.first.method, chain.first.path, chain.first.digest)
        ranks[asked] += 1
        told = any(x.retry_after is not None for x in chain.attempts)
        if (
            len(chain) > _FEWEST_WAITS
            and chain.key not in shared
            and not chain.polling
            and not told
        ):
            chains[*asked, ranks[asked]] = chain
    return Repeat(run=run, tolerance=traffic.tolerance, chains=chains)


def compare_repeats(repeats: Sequence[Repeat]) -> Iterator[Finding]:
    """Judge the chains that every repeat holds; nothing where there are no two repeats."""
    if len(repeats) < 2:
        return
    names = [name for name in repeats[0].chains if all(name in r.chains for r in repeats)]
    for name in names:
        yield from _compared(repeats, name)


def _compared(repeats: Sequence[Repeat], name: Name) -> Iterator[Finding]:
    waits = [retry_waits(repeat.chains[name]) for repeat in repeats]
    length = min(len(series) for series in waits)
    if length < _FEWEST_WAITS:
        return
    columns = [[series[k] for series in waits] for k in range(length)]
    spreads = [max(column) - min(column) for column in columns]
    means = [fmean(column) for column in columns]
    eps = repeats[0].tolerance
    proof = {
        **evidence(
            seqs(repeats[0].chains[name].attempts), waits=waits, spreads=spreads, tolerance=eps
        ),
        "run": repeats[0].run,
        "runs": [repeat.run for repeat in repeats],
    }
    if any(s > max(3 * eps, _APART * m) for s, m in zip(spreads, means, strict=True)):
        yield passed(
            f"the waits of {len(repeats)} repeats differ by up to {max(spreads):.3f} s", proof
        )
    elif _all_same(spreads, means, eps):
        yield failed(f"{length} waits were the same in {len(repeats)} repeats", proof)
    else:
        yield unclear("inconclusive: the waits of the repeats differ by little", proof)


def _all_same(spreads: Sequence[float], means: Sequence[float], eps: float) -> bool:
    """Return whether every wait from the second on is the same in every repeat."""
    later = list(zip(spreads[1:], means[1:], strict=True))
    long_enough = median(means[1:]) >= _COARSE * eps
    return long_enough and all(s <= max(eps, _SAME * m) for s, m in later)
