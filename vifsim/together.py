"""Keeps a simulator in step with the other processes on its store.

```
edge ──► Outbox ──► the store's journal ──► Journal of all, which everybody reads
control call ──► publish ──► the store ──► take, in every process
```

The house rule: what one process says holds for all at the next call that asks the store, and a
second later at most for those that do not; the clouds themselves are the store's.

Source: control API (docs/control-api.md), "One cloud, several processes"
(docs/demo-environment.md).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from vifsim.errors import ApiFault
from vifsim.exchange import (
    Answer,
    Call,
    Decision,
    Effect,
    Look,
    WireClose,
    WireCorrupt,
    WireDrip,
    WireHang,
    WireKeepaliveCut,
    WireReset,
    WireTruncate,
)
from vifsim.http.entries import EntryTexts
from vifsim.journal import Journal, look_document
from vifsim.recording import call_of
from vifsim.scenario.answers import fault_of
from vifsim.scenario.rule import Status
from vifsim.sharing import Entry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from vifsim.clock import Clock
    from vifsim.exchange import Ending, Outcome, WireEffect
    from vifsim.sharing import Head, Published, Sharing

T = TypeVar("T")

log = logging.getLogger(__name__)

_PULSE = 0.25
"""Real seconds between two looks at what the others have done."""
_MOST_WAITING = 100_000
"""Entries that wait for a store that is away; above this the oldest are lost."""
_NUMBERS = 32
"""Bits of an entry's own number; those above are the process's, so that request ids differ."""
_CONNECTIONS = 1_000_000
"""Connection 12 of process 3 is 3000012 in the journal of all."""
_WIRES: Mapping[str, WireEffect] = {
    "reset": WireReset(),
    "close": WireClose(),
    "hang": WireHang(),
    "drip": WireDrip(),
    "truncate": WireTruncate(),
    "corrupt": WireCorrupt("not_json"),
    "keepalive_cut": WireKeepaliveCut(),
}


class Outbox(Journal):
    """The entries of this process, until the store has them.

    Args:
        clock: that ends are stamped by.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.listeners = []  # who listens wants the entries of all
        self._number_of_process = 0
        self._came: dict[int, float] = {}
        self._new: dict[int, Call] = {}
        self._placed: dict[int, int] = {}
        self._ended: dict[int, Call] = {}
        self._sent_open: set[int] = set()
        self.lost = 0

    def begin(self, process: int) -> None:
        """Number entries from here on, as no other process does."""
        self._number_of_process = process
        self._seq = process << _NUMBERS

    def open(self, call: Call, headers_bytes: int = 0) -> None:  # noqa: ARG002 -- the store bounds
        """Begin an entry."""
        self._under_way.add(call.seq)
        self._new[call.seq] = call
        self._came[call.seq] = asyncio.get_running_loop().time()
        if len(self._new) > _MOST_WAITING:
            oldest = next(iter(self._new))
            del self._new[oldest], self._came[oldest]
            self.lost += 1

    def close(self, call: Call, answer: Answer | None, ending: Ending) -> None:
        """End an entry: what the client was told, and how it ended."""
        super().close(call, answer, ending)
        if call.seq in self._placed:
            self._ended[call.seq] = call

    def take(self) -> tuple[list[Call], list[tuple[int, Call]]]:
        """Return the entries without a place, and those with one that have ended since."""
        new, ended = list(self._new.values()), self._ended
        self._new, self._ended = {}, {}
        self._sent_open = {call.seq for call in new if call.outcome.ending is None}
        return new, [(self._placed[seq], call) for seq, call in ended.items()]

    def give_back(self, new: list[Call], ended: list[tuple[int, Call]]) -> None:
        """Take back what the store could not be given, but for what was forgotten meanwhile."""
        kept = {call.seq: call for call in new if call.seq in self._came}
        self._new = kept | self._new
        late = {call.seq: call for _, call in ended if call.seq in self._placed}
        self._ended = late | self._ended

    def place(self, new: list[Call], places: list[int], ended: list[tuple[int, Call]]) -> None:
        """Learn the places that the store gave; what has ended is done with."""
        for _, call in ended:
            self._placed.pop(call.seq, None)
            self._came.pop(call.seq, None)
        for call, place in zip(new, places, strict=True):
            if call.seq not in self._sent_open:
                self._came.pop(call.seq, None)
            else:
                self._placed[call.seq] = place
                if call.outcome.ending is not None:
                    self._ended[call.seq] = call  # while it was on its way

    def begin_again(self, age: float) -> None:
        """Forget the entries that are older, real seconds, and number from the start."""
        since = asyncio.get_running_loop().time() - age
        self._came = {seq: came for seq, came in self._came.items() if came > since}
        self._new = {seq: call for seq, call in self._new.items() if seq in self._came}
        self._placed, self._ended, self._sent_open = {}, {}, set()
        self._under_way.intersection_update(self._came)
        if not self._came:
            self.begin(self._number_of_process)


class Together:
    """One process among those on a store.

    Attributes:
        process: its name in entries.
        unsaid: whether rules were changed here without waiting for the others to hear of it.

    Args:
        sharing: what the store offers.
        outbox: of this process.
        journal: of all processes.
        say: returns what holds here, for all the others.
        take: lets what another has published hold here.
        cut: ends the calls that are under way for longer than so many real seconds: another process
            has begun everything again then.
        clock: its real seconds are the pulse.
    """

    def __init__(
        self,
        sharing: Sharing,
        outbox: Outbox,
        journal: Journal,
        *,
        say: Callable[[], dict[str, Any]],
        take: Callable[[Published], Awaitable[None]],
        cut: Callable[[float], None],
        clock: Clock,
    ) -> None:
        self.sharing = sharing
        self.outbox = outbox
        self.process = ""
        self.unsaid = False
        self._journal = journal
        self._say = say
        self._take = take
        self._cut = cut
        self._clock = clock
        self._texts = EntryTexts()
        self._run = 0
        self._open: dict[int, Call] = {}
        self._cleared = 0
        self._forget = 0
        self._missed = 0
        self._turn = asyncio.Lock()
        self._news = asyncio.Lock()
        self._beat: asyncio.Task[None] | None = None

    # ── life ──

    async def start(self) -> None:
        """Join the others; raises as the store."""
        number = await self.sharing.join()
        self.process = f"{socket.gethostname()}/{os.getpid()}/{number}"
        self.outbox.begin(number)
        head, _ = await self.sharing.keep(0, (), ())
        self._run = head.run
        self.sharing.on_news = self.hear

    def watch(self) -> None:
        """Look at what the others do from here on, unless time would jump to every look."""
        self._beat = asyncio.create_task(self._pulse())

    async def stop(self) -> None:
        """Hand over what is left, and look no more."""
        self.sharing.on_news = None
        beat, self._beat = self._beat, None
        if beat is not None:
            beat.cancel()
            await asyncio.wait([beat])
        if self.process:
            try:
                await self._send()
            except ApiFault:
                log.warning("the last entries of the journal could not be stored")

    async def _pulse(self) -> None:
        while True:
            await self._clock.pause(_PULSE)
            try:
                await self.catch_up(receive=False)
            except ApiFault:
                pass  # the store is away, which the calls say: the next look may find it
            except Exception:
                log.exception("defect in keeping in step")

    # ── what holds ──

    async def hear(self) -> None:
        """Let hold what was published since, if anything."""
        async with self._news:
            await self._hear()

    async def _hear(self) -> None:
        found = await self.sharing.published()
        if found.version == self.sharing.version or found.document is None:
            return
        self.sharing.version = found.version
        if found.document["run"] != self._run:
            age = max(0.0, self._clock.wall() - found.document["clock"]["wall"])
            self._begin_again(found.document["run"], age)
            self._cut(age)
        await self._take(found)

    async def change(
        self, act: Callable[[], T], how: Callable[[], dict[str, Any]]
    ) -> tuple[bool, T]:
        """Change what holds, from what holds for all; return whether no other process was quicker.

        Nobody hears or says anything between the change and its publication.

        Args:
            act: changes what holds here.
            how: returns what `Sharing.publish` takes beside the document, after the change.
        """
        async with self._news:
            await self._hear()
            try:
                result = act()
                self.unsaid = False
                said = await self._publish(after=self.sharing.version, **how())
            except ApiFault:
                self.sharing.version = 0  # the change is undone by what is heard next
                raise
        return said, result

    async def publish(self, **how: Any) -> bool:
        """Let hold for all what holds here; return whether no other process was quicker.

        Takes what `Sharing.publish` does; `anyway` instead of `after` says to be second to none.
        """
        async with self._news:
            after = None if how.pop("anyway", False) else self.sharing.version
            return await self._publish(after=after, **how)

    async def _publish(self, **how: Any) -> bool:
        version = await self.sharing.publish({**self._say(), "run": self._run}, **how)
        if version is not None:
            self.sharing.version = version
            self.unsaid = False
        return version is not None

    # ── the journal ──

    async def catch_up(self, *, receive: bool = True) -> None:
        """Hand over the entries of this process, and learn what the others did.

        `receive` says whether their entries are wanted, too, where nobody listens to them.
        """
        async with self._turn:
            if self._forget > self._cleared:
                await self.sharing.forget_entries(up_to=self._forget)
            if self.unsaid:
                await self.publish(anyway=True)
            head = await self._send()
            if head.version != self.sharing.version:
                await self.hear()
            if head.run != self._run:
                self._missed_run(head.run)
            elif receive or self._journal.listeners:
                await self._receive(head)

    async def clear(self) -> None:
        """Forget all entries, in all processes."""
        await self.catch_up()
        self.forget_soon()
        await self.catch_up()

    def forget_soon(self) -> None:
        """Forget the entries that are known now, in all processes, at the next look."""
        self._forget = self._journal.last

    async def restart(self) -> None:
        """Begin the journal again, for all processes."""
        async with self._turn:
            await self.sharing.forget_entries(up_to=None)
            head, _ = await self.sharing.keep(0, (), ())
            self._begin_again(head.run, 0.0)

    def _missed_run(self, run: int) -> None:
        """Begin again where whoever has begun does not say so: it may have ended meanwhile."""
        if self._missed != run:
            self._missed = run
        else:
            self._begin_again(run, _PULSE)

    def _begin_again(self, run: int, age: float) -> None:
        self._run = run
        self._cleared = self._forget = 0
        self._open.clear()
        self.outbox.begin_again(age)
        self._journal.restart()

    async def _send(self) -> Head:
        new, ended = self.outbox.take()
        run = self._run  # a call may hear meanwhile that another has begun
        try:
            entries = [self._entry(0, call) for call in new]
            closed = [self._entry(place, call) for place, call in ended]
            head, places = await self.sharing.keep(run, entries, closed)
        except BaseException:
            self.outbox.give_back(new, ended)
            raise
        if head.run == run == self._run:
            self.outbox.place(new, places, ended)
        else:
            self.outbox.give_back(new, ended)
        return head

    def _entry(self, seq: int, call: Call) -> Entry:
        looks = [look_document(look) for look in call.outcome.looks]
        return Entry(
            seq=seq,
            process=self.process,
            entry=self._texts.text(call),
            looks=json.dumps(looks) if looks else "[]",
        )

    async def _receive(self, head: Head) -> None:
        """Read entries up to where the journal stands, and those that were under way."""
        while head.last > self._journal.last or self._open:
            before, waiting = self._journal.last, len(self._open)
            head, entries = await self.sharing.entries(before, list(self._open))
            if head.run != self._run:
                return  # the next look begins again
            for entry in entries:
                self._receive_one(entry)
            if self._journal.last == before and len(self._open) == waiting:
                break
        if head.cleared > self._cleared:
            self._cleared = head.cleared
            self._journal.forget(head.cleared)
            self._journal.dropped = 0
            self._open = {seq: call for seq, call in self._open.items() if seq > head.cleared}
        self._journal.dropped = max(self._journal.dropped, head.dropped - head.cleared)

    def _receive_one(self, entry: Entry) -> None:
        call = received(entry)
        known = self._open.pop(entry.seq, None)
        if known is not None:
            for slot in fields(Call):
                setattr(known, slot.name, getattr(call, slot.name))
            call = known
        if call.outcome.ending is None:
            self._open[entry.seq] = call
        if known is None:
            self._journal.receive(call)
        elif call.outcome.ending is not None:
            self._journal.correct(call)


# ── reading entries ───────────────────────────────────────────────────────────────────────────────


def received(entry: Entry) -> Call:
    """Return the call, with its outcome, that an entry tells of."""
    document: dict[str, Any] = json.loads(entry.entry)
    call = call_of({**document, "seq": entry.seq})
    call.process = entry.process
    call.conn += int(entry.process.rpartition("/")[2]) * _CONNECTIONS
    outcome = call.outcome
    outcome.n = document["n"]
    outcome.looks = tuple(Look(**look) for look in json.loads(entry.looks))
    outcome.end, outcome.real_end = document["end"], document["real"]["end"]
    outcome.ending = document["outcome"]
    outcome.effects = tuple(Effect(**effect) for effect in document["effects"])
    _tell(outcome, document)
    return call


def _tell(outcome: Outcome, document: Mapping[str, Any]) -> None:
    told, decided = document["told"], document["decision"]
    if told is not None:
        outcome.answer = Answer(told["status"], told["retry_after"], told["spoiled"], told["bytes"])
    if decided is not None:
        status = decided["fault"]
        outcome.decision = Decision(
            fired=tuple(decided["fired"]),
            by=decided["by"],
            at=decided["at"],
            delay_before=decided["delay_before"],
            delay_after=decided["delay_after"],
            fault=None if status is None else fault_of(Status(status=status), None),
            wire=None if decided["wire"] is None else _WIRES[decided["wire"]],
        )
