"""Injected delays are distributed as their scenario says: the Kolmogorov-Smirnov test."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.exchange import Call, Facts
from vifsim.model import Settings
from vifsim.scenario.engine import Engine
from vifsim.scenario.schema import load_mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Cdf = Callable[[float], float]

N = 5000
CRITICAL = 1.628 / math.sqrt(N)
"""Beyond it a sample of that size differs from its definition, wrong in 1 case of 100.

Source: the Kolmogorov distribution's quantile at 0.99.
"""
Z99 = NormalDist().inv_cdf(0.99)
SEEDS = (0, 7, 20261124)


def normal_share(z: float) -> float:
    return NormalDist().cdf(z)


def uniform_cdf(x: float) -> float:
    return min(1.0, max(0.0, (x - 0.1) / 0.4))


def lognormal_cdf(x: float) -> float:
    return normal_share(math.log(x / 0.08) * Z99 / math.log(0.9 / 0.08))


def capped_lognormal_cdf(x: float) -> float:
    return 1.0 if x >= 0.3 else lognormal_cdf(x)


def pareto_cdf(x: float) -> float:
    return max(0.0, 1 - math.pow(0.05 / x, 1.5))


def capped_pareto_cdf(x: float) -> float:
    return 1.0 if x >= 0.4 else pareto_cdf(x)


def quantiles_cdf(x: float) -> float:
    if x < 0.02:
        return 0.5 * x / 0.02
    if x < 0.2:
        return 0.5 + 0.4 * (x - 0.02) / 0.18
    return 0.9 + 0.09 * (x - 0.2) / 0.8 if x < 1.0 else 1.0


DISTRIBUTIONS: list[tuple[dict[str, Any], Cdf]] = [
    ({"uniform": ["100ms", "500ms"]}, uniform_cdf),
    ({"lognormal": {"p50": "80ms", "p99": "900ms"}}, lognormal_cdf),
    ({"lognormal": {"p50": "80ms", "p99": "900ms", "max": "300ms"}}, capped_lognormal_cdf),
    ({"pareto": {"min": "50ms", "shape": 1.5, "max": "1h"}}, pareto_cdf),
    ({"pareto": {"min": "50ms", "shape": 1.5, "max": "400ms"}}, capped_pareto_cdf),
    ({"quantiles": {"p50": "20ms", "p90": "200ms", "p99": "1s"}}, quantiles_cdf),
]
NAMES = ["uniform", "lognormal", "capped lognormal", "pareto", "capped pareto", "quantiles"]


def delays(latency: Mapping[str, Any] | str, seed: int) -> list[float]:
    """Return the delays of calls of many keys, as the engine decides them, sorted."""
    scenario = load_mapping({"version": 1, "rules": [{"latency": latency}]})
    engine = Engine(scenario.rules, seed=seed, settings=Settings())
    state = engine.new_state(0.0)
    found: list[float] = []
    for number in range(N):
        call = Call(
            seq=number + 1,
            id="",
            operation="get_server",
            method="GET",
            path="/",
            headers={},
            peer="",
            conn=1,
            arrived=0.0,
            real_arrived=0.0,
            tenant="1",
            server=str(number % 50),
        )
        found.append(engine.decide(Facts(call=call), 0.0, state).delay_before)
    return sorted(found)


def distance(sample: Sequence[float], cdf: Cdf) -> float:
    """Return the largest distance between a sorted sample's share below a delay and its cdf."""
    size = len(sample)
    largest = 0.0
    for rank, delay in enumerate(sample):
        last_of_its_like = rank + 1 == size or sample[rank + 1] > delay
        if last_of_its_like:
            largest = max(largest, abs((rank + 1) / size - cdf(delay)))
        if rank == 0 or sample[rank - 1] < delay:
            largest = max(largest, abs(rank / size - cdf(delay * (1 - 1e-12))))
    return largest


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("latency", "cdf"), DISTRIBUTIONS, ids=NAMES)
def test_delays_are_distributed_as_defined(latency: dict[str, Any], cdf: Cdf, seed: int) -> None:
    assert distance(delays(latency, seed), cdf) < CRITICAL


def test_the_distance_tells_a_neighbouring_distribution_apart() -> None:
    sample = delays({"lognormal": {"p50": "85ms", "p99": "900ms"}}, 7)

    assert distance(sample, lognormal_cdf) > CRITICAL


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("latency", "percentiles"),
    [
        ({"lognormal": {"p50": "80ms", "p99": "900ms"}}, {0.5: 0.08, 0.99: 0.9}),
        (
            {"quantiles": {"p50": "20ms", "p90": "200ms", "p99": "1s"}},
            {0.5: 0.02, 0.9: 0.2},
        ),
        ({"uniform": ["100ms", "500ms"]}, {0.25: 0.2, 0.5: 0.3, 0.75: 0.4}),
    ],
    ids=["lognormal", "quantiles", "uniform"],
)
def test_percentiles_given_are_percentiles_got(
    latency: dict[str, Any], percentiles: dict[float, float], seed: int
) -> None:
    sample = delays(latency, seed)

    for share, delay in percentiles.items():
        got = sum(one <= delay for one in sample) / N
        assert got == pytest.approx(share, abs=3 * math.sqrt(share * (1 - share) / N))


def test_no_delay_exceeds_the_largest_percentile_or_the_maximum() -> None:
    assert delays({"quantiles": {"p50": "20ms", "p99": "1s"}}, 7)[-1] == 1.0
    assert delays({"pareto": {"min": "50ms", "shape": 1.5, "max": "400ms"}}, 7)[-1] == 0.4


def test_a_constant_delay_is_that_delay() -> None:
    assert set(delays("250ms", 7)) == {0.25}
