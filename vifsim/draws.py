"""Numbers that are functions of (seed, key, count), and the distributions made of them.

The house rule: nothing here has state. A number is never drawn in sequence, so whatever runs beside
a call cannot change it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from functools import cache, lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from statistics import NormalDist

_MANTISSA = 53
_STEP = 0x9E3779B97F4B
_TAIL = (1 << 48) - 1
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def draw(seed: int, *parts: str | int) -> float:
    """Return the uniform number in (0, 1) that belongs to this seed and key.

    Source: scenario format, "The same every time" (docs/scenarios.md).
    """
    key = "|".join(map(str, (seed, *parts))).encode()
    number = int.from_bytes(blake2b(key, digest_size=8).digest(), "big") >> (64 - _MANTISSA)
    return (number + 0.5) / (1 << _MANTISSA)


def identifier(seed: int, kind: str, number: int) -> str:
    """Return the id of the `number`-th thing of its kind: a UUID in version 4 form."""
    text = blake2b(f"{seed}|{kind}|{number}".encode(), digest_size=16).hexdigest()
    variant = "89ab"[int(text[16], 16) & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


@lru_cache(maxsize=64)
def _first_request(seed: int) -> str:
    """Return the id that request ids are counted out from; most clouds have the same seed."""
    return identifier(seed, "request", 0)


class RequestIds:
    """The ids of a simulator's requests: `req-` and a UUID in version 4 form, by number.

    They are made on the way of every request, so only the last group is counted out: by an odd
    step around a space of 2^48, in which no number comes twice.
    """

    def __init__(self, seed: int) -> None:
        first = _first_request(seed)
        self.seed = seed
        self._head = f"req-{first[:24]}"
        self._start = int(first[24:], 16)

    def __call__(self, number: int) -> str:
        """Return the id of the `number`-th request."""
        return f"{self._head}{(self._start + number * _STEP) & _TAIL:012x}"


def token_text(seed: int, number: int) -> str:
    """Return the text of the `number`-th token: 32 hexadecimal digits."""
    return blake2b(f"{seed}|token|{number}".encode(), digest_size=16).hexdigest()


_LONGEST_TOKEN = 256


def token_digest(text: str) -> str:
    """Return what is kept of a token instead of the token itself: 32 hexadecimal digits."""
    return _known_digest(text) if len(text) <= _LONGEST_TOKEN else _digest(text)


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()


_known_digest = lru_cache(maxsize=4096)(_digest)
"""The last few thousand are remembered: clients send the same token with every request."""


def secret_digest(text: str) -> str:
    """Return what is kept of a password or API key instead of itself."""
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=32).hexdigest()


def password(seed: int, number: int) -> str:
    """Return the first password of the `number`-th server: 12 letters and digits."""
    digits = blake2b(f"{seed}|password|{number}".encode(), digest_size=12).digest()
    return "".join(_ALPHABET[digit % len(_ALPHABET)] for digit in digits)


@cache
def _normal() -> NormalDist:
    from statistics import NormalDist  # noqa: PLC0415 -- slow to import, and few scenarios need it

    return NormalDist()


def uniform(u: float, *, low: float, high: float) -> float:
    """Return the value below which a share `u` of a uniform distribution lies."""
    return low + (high - low) * u


def lognormal(u: float, *, p50: float, p99: float) -> float:
    """Return the delay below which a share `u` of all delays lies.

    Args:
        u: uniform draw, 0 < u < 1.
        p50: median delay, seconds.
        p99: delay that 1 call in 100 exceeds, seconds; p99 >= p50 > 0.

    Returns:
        Seconds, unrounded.

    Source: quantile function of the lognormal distribution; sigma follows from the two percentiles.
    """
    sigma = math.log(p99 / p50) / _normal().inv_cdf(0.99)
    return p50 * math.exp(sigma * _normal().inv_cdf(u))


def pareto(u: float, *, minimum: float, shape: float) -> float:
    """Return the delay below which a share `u` lies; none is shorter than `minimum` seconds.

    Source: quantile function of the Pareto distribution, minimum / (1 - u) ** (1 / shape).
    """
    return minimum * math.pow(1.0 - u, -1.0 / shape)


def quantiles(u: float, *, points: Sequence[tuple[float, float]]) -> float:
    """Return the delay at share `u` of a distribution given by some of its percentiles.

    Args:
        u: uniform draw, 0 < u < 1.
        points: (share, seconds) in rising order of both. Between two points the delay rises in a
            straight line; below the first from 0 seconds at share 0; above the last it stays.
    """
    shares = [share for share, _ in points]
    index = bisect_left(shares, u)
    if index == len(points):
        return points[-1][1]
    low_share, low = points[index - 1] if index else (0.0, 0.0)
    high_share, high = points[index]
    return low + (high - low) * (u - low_share) / (high_share - low_share)
