from __future__ import annotations

import math
import re
import statistics
from itertools import pairwise
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from vifsim.draws import (
    draw,
    identifier,
    lognormal,
    pareto,
    password,
    quantiles,
    secret_digest,
    token_digest,
    token_text,
    uniform,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HEX_32 = re.compile(r"[0-9a-f]{32}")


def test_a_draw_is_a_function_of_seed_and_key() -> None:
    assert draw(1, "rule", "key", 3) == draw(1, "rule", "key", 3)


def test_a_draw_is_the_same_in_every_version() -> None:
    assert draw(0, "a", 1) == 0.012247416305836867


@pytest.mark.parametrize("other", [(2, "rule", 3), (1, "rules", 3), (1, "rule", 4)])
def test_another_seed_or_key_is_another_draw(other: tuple[int, str, int]) -> None:
    assert draw(1, "rule", 3) != draw(*other)


def test_draws_are_uniform_between_0_and_1() -> None:
    draws = sorted(draw(7, "uniform", number) for number in range(10_000))

    assert draws[0] > 0.0
    assert draws[-1] < 1.0
    # Kolmogorov-Smirnov: 1.95 / sqrt(n) is exceeded by one seed in a thousand.
    gaps = (abs(value - (rank + 0.5) / 10_000) for rank, value in enumerate(draws))
    assert max(gaps) < 1.95 / math.sqrt(10_000)


def test_draws_of_neighbouring_keys_are_not_related() -> None:
    draws = [draw(7, "neighbours", number) for number in range(10_001)]

    assert abs(statistics.correlation(draws[:-1], draws[1:])) < 0.04


@pytest.mark.parametrize("kind", ["server", "network", "virtual_interface"])
def test_ids_are_uuids_in_version_4_form(kind: str) -> None:
    for number in range(200):
        text = identifier(0, kind, number)
        parsed = UUID(text)
        assert str(parsed) == text
        assert parsed.version == 4
        assert parsed.variant == "specified in RFC 4122"


def test_ids_repeat_and_never_collide() -> None:
    keys = [
        (seed, kind, number)
        for seed in range(5)
        for kind in ("server", "network", "virtual_interface")
        for number in range(1000)
    ]

    ids = [identifier(*key) for key in keys]

    assert ids == [identifier(*key) for key in keys]
    assert len(set(ids)) == len(keys)


def test_a_token_is_32_digits_and_is_kept_as_32_others() -> None:
    text = token_text(3, 1)

    assert HEX_32.fullmatch(text)
    assert HEX_32.fullmatch(token_digest(text))
    assert token_digest(text) != text
    assert text != token_text(3, 2)


@pytest.mark.parametrize("text", ["", "naïve", "\udcff", "\0", "x" * 10_000])
def test_whatever_a_client_sends_as_a_secret_has_a_digest(text: str) -> None:
    assert len(token_digest(text)) == 32
    assert len(secret_digest(text)) == 64


def test_a_password_is_12_letters_and_digits() -> None:
    passwords = {password(0, number) for number in range(500)}

    assert len(passwords) == 500
    assert all(re.fullmatch("[A-Za-z0-9]{12}", text) for text in passwords)


@pytest.mark.parametrize(("u", "delay"), [(0.0, 2.0), (0.25, 3.0), (1.0, 6.0)])
def test_uniform_rises_in_a_straight_line(u: float, delay: float) -> None:
    assert uniform(u, low=2.0, high=6.0) == delay


@pytest.mark.parametrize(("u", "delay"), [(0.50, 0.080), (0.99, 0.900)])
def test_lognormal_meets_the_percentiles_it_was_given(u: float, delay: float) -> None:
    assert lognormal(u, p50=0.080, p99=0.900) == pytest.approx(delay)


def test_lognormal_of_two_equal_percentiles_is_constant() -> None:
    assert {lognormal(u, p50=0.1, p99=0.1) for u in (0.001, 0.5, 0.999)} == {0.1}


def test_a_sample_of_lognormal_has_its_percentiles() -> None:
    sample = [lognormal(draw(1, "sample", n), p50=0.08, p99=0.9) for n in range(20_000)]

    cuts = statistics.quantiles(sample, n=100)
    assert cuts[49] == pytest.approx(0.08, rel=0.05)
    assert cuts[98] == pytest.approx(0.9, rel=0.10)


@pytest.mark.parametrize(("u", "delay"), [(0.0, 0.5), (0.75, 1.0), (0.9375, 2.0)])
def test_pareto_meets_its_quantiles(u: float, delay: float) -> None:
    assert pareto(u, minimum=0.5, shape=2.0) == pytest.approx(delay)


@pytest.mark.parametrize(
    ("u", "delay"),
    [(0.25, 0.05), (0.5, 0.1), (0.7, 0.3), (0.9, 0.5), (0.95, 1.0), (0.99, 1.4), (0.999, 1.4)],
)
def test_quantiles_join_their_points_and_stay_at_the_last(u: float, delay: float) -> None:
    points = [(0.5, 0.1), (0.9, 0.5), (0.99, 1.4)]

    assert quantiles(u, points=points) == pytest.approx(delay)


def a_lognormal(u: float) -> float:
    return lognormal(u, p50=0.1, p99=2.0)


def a_pareto(u: float) -> float:
    return pareto(u, minimum=0.1, shape=1.5)


def some_quantiles(u: float) -> float:
    return quantiles(u, points=[(0.1, 0.2), (0.5, 0.2), (0.9, 4.0)])


@pytest.mark.parametrize("quantile", [a_lognormal, a_pareto, some_quantiles])
def test_a_larger_draw_is_never_a_shorter_delay(quantile: Callable[[float], float]) -> None:
    delays = [quantile(n / 1000) for n in range(1, 1000)]

    assert all(after >= before * (1 - 1e-12) for before, after in pairwise(delays))
    assert all(math.isfinite(delay) and delay > 0 for delay in delays)
