"""Two backends, the same random calls: the first difference, made as small as it goes.

The house rule: everything follows from a seed; the same seed finds the same difference.
"""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from difflib import unified_diff
from typing import TYPE_CHECKING, Any, TypeVar

from vifsim import backend as backends
from vifsim.clock import SimClock
from vifsim.draws import draw
from vifsim.testing.steps import CIDRS, OPERATIONS, STATUSES, MakeBackend, Side, Step
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

T = TypeVar("T")

_WEIGHTS = {"create_virtual_interface": 6, "delete_virtual_interface": 3, "wait": 1, "restore": 1}
"""How many chances each operation has; 2 where nothing is said."""


@frozen
class Difference:
    """Where two backends part: after these steps the last one is answered differently."""

    steps: tuple[Step, ...]
    left: str
    right: str
    left_answer: Any
    right_answer: Any

    def __str__(self) -> str:
        lines = [f"{self.left} and {self.right} part after {len(self.steps)} steps:"]
        lines += [f"  {number}. {step}" for number, step in enumerate(self.steps, 1)]
        lines += unified_diff(
            _lines(self.left_answer),
            _lines(self.right_answer),
            self.left,
            self.right,
            lineterm="",
        )
        return "\n".join(lines)


def diff(
    backend: str | MakeBackend, model: str | MakeBackend, *, calls: int = 1000, seed: int = 0
) -> None:
    """Expect that two backends answer the same random calls alike.

    Args:
        backend: a URL, or what makes a new empty backend on a clock; it is made several times.
        model: what it is held against, likewise.
        calls: how many calls are made up.
        seed: of the calls; the same seed makes the same ones.

    Raises:
        AssertionError: they part; with the fewest calls that still show it, and both answers.
        UsageError: a URL names no backend.
    """
    left, right = _maker(backend), _maker(model)
    names = (_name(backend, "backend"), _name(model, "model"))
    steps = make_steps(calls, seed)
    found = _run(_first_difference(steps, (left, right), names))
    if found is not None:
        raise AssertionError(str(_run(_shrunk(found, (left, right), names))))


def make_steps(calls: int, seed: int) -> tuple[Step, ...]:
    """Return random steps; each is a function of the seed and its number alone."""
    chances = [name for name in OPERATIONS for _ in range(_WEIGHTS.get(name, 2))]

    def pick(number: int, what: str, size: int) -> int:
        return int(draw(seed, "step", number, what) * size)

    def step(number: int) -> Step:
        operation = chances[pick(number, "operation", len(chances))]
        words = CIDRS if operation == "create_network" else STATUSES
        return Step(
            operation=operation,
            server=pick(number, "server", 12),
            network=pick(number, "network", 12),
            interface=pick(number, "interface", 40),
            text=words[pick(number, "text", len(words))],
            beta=pick(number, "tenant", 5) == 0,
            seconds=pick(number, "seconds", 7200) if operation == "wait" else 0.0,
        )

    return tuple(step(number) for number in range(calls))


async def first_difference(steps: Sequence[Step], sides: tuple[Side, Side]) -> Difference | None:
    """Do steps on both sides, in turn, until they part."""
    left, right = sides
    for number, step in enumerate(steps):
        if step.seconds:
            await left.clock.advance(step.seconds)
        answers = await left.do(step), await right.do(step)
        if answers[0] != answers[1]:
            return Difference(
                steps=tuple(steps[: number + 1]),
                left=left.name,
                right=right.name,
                left_answer=answers[0],
                right_answer=answers[1],
            )
    return None


async def _first_difference(
    steps: Sequence[Step], makers: tuple[MakeBackend, MakeBackend], names: tuple[str, str]
) -> Difference | None:
    clock = SimClock(mode="manual")
    left = await Side.opened(names[0], makers[0], clock)
    try:
        right = await Side.opened(names[1], makers[1], clock)
        try:
            return await first_difference(steps, (left, right))
        finally:
            await right.backend.close()
    finally:
        await left.backend.close()


async def _shrunk(
    found: Difference, makers: tuple[MakeBackend, MakeBackend], names: tuple[str, str]
) -> Difference:
    """Leave out steps, ever smaller runs of them, as long as the two still part."""
    size = max(1, len(found.steps) // 2)
    while size:
        start = 0
        while start < len(found.steps) - 1:
            kept = found.steps[:start] + found.steps[start + size :]
            smaller = await _first_difference(kept, makers, names)
            if smaller is None:
                start += size
            else:
                found = smaller
        size //= 2
    return found


def _maker(backend: str | MakeBackend) -> MakeBackend:
    if not isinstance(backend, str):
        return backend
    url = backend
    kind = backends.find(url)
    return lambda clock: kind(url, clock=clock)


def _name(backend: str | MakeBackend, default: str) -> str:
    return backend if isinstance(backend, str) else getattr(backend, "__name__", default)


def _lines(answer: Any) -> list[str]:
    return json.dumps(answer, indent=1, sort_keys=True, default=str).splitlines()


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run to the end, in a thread of its own: the caller may be on a loop already."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()
