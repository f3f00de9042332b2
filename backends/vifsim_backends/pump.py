"""Hands whatever waits to one function, together: many waiters, one round trip.

The house rule: nobody waits for company; what has come while the last batch ran is the next one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

A = TypeVar("A")
R = TypeVar("R")


class Pump(Generic[A, R]):
    """Answers questions in batches, one batch after the other.

    Args:
        answer: returns an answer or an exception for each question; what it raises is for all.
        most: questions in a batch.
    """

    def __init__(
        self, answer: Callable[[list[A]], Awaitable[Sequence[R | Exception]]], *, most: int
    ) -> None:
        self._answer = answer
        self._most = most
        self._waiting: deque[tuple[A, asyncio.Future[R]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def ask(self, question: A) -> R:
        """Return the answer; a caller that is cancelled takes back nothing."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def aclose(self) -> None:
        """Answer what waits, and end."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._waiting:
            size = min(len(self._waiting), self._most)
            batch = [self._waiting.popleft() for _ in range(size)]
            try:
                answers = await self._answer([question for question, _ in batch])
            except Exception as exc:  # noqa: BLE001 -- whoever waits must hear of a defect, too
                answers = [exc] * size
            for (_, future), answer in zip(batch, answers, strict=True):
                _tell(future, answer)
        self._task = None


def _tell(future: asyncio.Future[R], answer: R | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
