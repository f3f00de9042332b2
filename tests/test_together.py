"""Entries on their way to the journal of all processes, while another one begins it again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.clock import SimClock
from vifsim.conformance import a_call
from vifsim.exchange import Answer
from vifsim.journal import Journal
from vifsim.sharing import Entry, Head, Published, Sharing
from vifsim.together import Outbox, Together

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class Store(Sharing):
    """A store that another process has reset, as this one hears while its entries are on their way.

    Args:
        since: that reset, seconds.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        self.run = 1
        self.kept: list[str] = []
        self.together: Together | None = None

    async def join(self) -> int:
        return 1

    async def published(self) -> Published:
        document = {"run": self.run, "clock": {"wall": SimClock().wall() - self.since}}
        return Published(version=self.run, document=document, start=0.0)

    async def keep(
        self, run: int, new: Sequence[Entry], ended: Sequence[Entry]
    ) -> tuple[Head, list[int]]:
        if self.together is not None and new:
            together, self.together = self.together, None
            self.run += 1
            await together.hear()  # as the call that is under way does
        if run == self.run:
            self.kept += [json.loads(one.entry)["id"] for one in new]
        head = Head(version=self.run, run=self.run, last=len(self.kept), cleared=0, dropped=0)
        return head, list(range(1, len(new) + 1))

    async def entries(self, after: int, also: Collection[int]) -> tuple[Head, list[Entry]]:
        return (await self.keep(self.run, (), ()))[0], []

    async def publish(self, document: Any, **_: Any) -> int | None:
        raise NotImplementedError

    async def decide(self, question: Any) -> Any:
        raise NotImplementedError

    async def state(self) -> Any:
        raise NotImplementedError

    async def forget_entries(self, *, up_to: int | None) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(("since", "kept"), [(1.0, 1), (-1.0, 0)], ids=["after", "before"])
async def test_a_call_on_its_way_is_kept_where_it_came_after_the_reset(
    since: float, kept: int
) -> None:
    store, clock = Store(since), SimClock()
    outbox = Outbox(clock)

    async def take(_: Published) -> None: ...

    together = Together(
        store,
        outbox,
        Journal(clock),
        say=dict,
        take=take,
        cut=lambda _: None,
        clock=clock,
    )
    await together.start()
    await together.hear()
    call = a_call()
    store.together = together
    outbox.open(call)
    outbox.close(call, Answer(200), "completed")

    await together.catch_up(receive=False)
    await together.catch_up(receive=False)

    assert store.kept == [call.id] * kept
