"""Server-sent events: what happens, told to whoever listens.

```
journal, simulator ──► Feed ──► one bounded queue for each listener ──► its connection
```

The house rule: nobody waits for a reader; a slow one loses its oldest events and is told how many,
and while nobody listens the feed is not even subscribed.

Source: control API, section 2 (docs/control-api.md); WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from vifsim.http.entries import EntryTexts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.journal import Journal

    Document = Callable[[], Awaitable[Mapping[str, Any]]]

MOST_WAITING = 4096
"""Events that may wait for one listener; above this its oldest ones are dropped."""

_SHARE = 200
"""Times that it took to make a document which pass before it is made again."""


class Watched(Protocol):
    """What can be listened to: whatever changes is named to each of the `watchers`."""

    watchers: list[Callable[[str], None]]


class Listener:
    """One reader's queue.

    Args:
        pace: least seconds between two writes; an entry that has arrived and ended in between is
            shown once, as it is then. 0: everything at once, entries at arrival and at the end.
        most: events that may wait.
    """

    def __init__(self, *, pace: float = 0.0, most: int = MOST_WAITING) -> None:
        self.pace = pace
        self._most = most
        self._waiting: OrderedDict[object, bytes | Call] = OrderedDict()
        self._ranks = count()
        self._dropped = 0
        self._woken = asyncio.Event()
        self.closed = False

    def put(self, event: bytes, *, instead_of: str | None = None) -> None:
        """Queue an event; where an older one of the same name waits, it takes its place."""
        key: object = ("event", next(self._ranks)) if instead_of is None else instead_of
        self._queue(key, event)

    def put_call(self, call: Call) -> None:
        """Queue an entry as it will be when the queue is written."""
        if call.seq not in self._waiting:
            self._queue(call.seq, call)

    def _queue(self, key: object, item: bytes | Call) -> None:
        self._waiting.pop(key, None)
        self._waiting[key] = item
        if len(self._waiting) > self._most:
            self._waiting.popitem(last=False)
            self._dropped += 1
        self._woken.set()

    def close(self) -> None:
        """Let the reader go once the queue is empty."""
        self.closed = True
        self._woken.set()

    async def take(self) -> list[bytes | Call]:
        """Wait for events and return all that wait, oldest first."""
        await self._woken.wait()
        self._woken.clear()
        taken = list(self._waiting.values())
        self._waiting.clear()
        if self._dropped:
            taken.insert(0, event_bytes("dropped", {"dropped": self._dropped}))
            self._dropped = 0
        return taken


class Feed:
    """Tells listeners what happens in a journal and to a simulator.

    Args:
        journal: whose entries are events.
        watched: whose changes are events.
        documents: by the name of a change, what to send when it happened.
        clock: paces are kept by its real seconds.
    """

    def __init__(
        self,
        journal: Journal,
        watched: Watched,
        documents: Mapping[str, Document],
        clock: Clock,
    ) -> None:
        self._journal = journal
        self._watched = watched
        self._documents = documents
        self._clock = clock
        self._listeners: list[Listener] = []
        self._entries = EntryTexts()
        self._due: dict[str, None] = {}
        self._teller: asyncio.Task[None] | None = None

    async def stream(
        self, request: web.Request, *, pace: float = 0.0, brief: bool = False
    ) -> web.StreamResponse:
        """Answer with events until the reader leaves or the simulator stops.

        `pace` is the least time between two writes, in seconds; with one, `brief` leaves out of
        the entries what a list of calls does not show.
        """
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        listener = Listener(pace=pace)
        self._add(listener)
        try:
            await response.prepare(request)
            await response.write(b": listening\n\n")
            while not listener.closed:
                items = await listener.take()
                await response.write(b"".join(self._bytes(item, brief=brief) for item in items))
                if pace:
                    await self._clock.pause(pace)
        finally:
            self._remove(listener)
        return response

    async def aclose(self) -> None:
        """Let all readers go."""
        for listener in self._listeners:
            listener.close()
        if self._teller is not None:
            self._teller.cancel()

    def _bytes(self, item: bytes | Call, *, brief: bool) -> bytes:
        if isinstance(item, bytes):
            return item
        if brief:
            return f"event: entry\ndata: {self._entries.brief(item)}\n\n".encode()
        return self._entry(item)

    def _entry(self, call: Call) -> bytes:
        self._journal.number(call)
        return f"event: entry\ndata: {self._entries.text(call)}\n\n".encode()

    def _add(self, listener: Listener) -> None:
        if not self._listeners:
            self._journal.listeners.append(self._on_call)
            self._watched.watchers.append(self._on_change)
        self._listeners.append(listener)

    def _remove(self, listener: Listener) -> None:
        self._listeners.remove(listener)
        if not self._listeners:
            self._journal.listeners.remove(self._on_call)
            self._watched.watchers.remove(self._on_change)
            self._due.clear()

    # ── what happens ──

    def _on_call(self, call: Call) -> None:
        event: bytes | None = None
        for listener in self._listeners:
            if listener.pace:
                listener.put_call(call)
            else:
                # As it is now: the call goes on while the event waits.
                event = self._entry(call) if event is None else event
                listener.put(event)
        if call.outcome.effects and call.outcome.ending is not None:
            self._on_change("state")

    def _on_change(self, name: str) -> None:
        self._due[name] = None
        if self._teller is None:
            self._teller = asyncio.get_running_loop().create_task(self._tell())

    async def _tell(self) -> None:
        """Send the documents that are due: at once, then as often as they are cheap to make."""
        try:
            while self._due and self._listeners:
                began = self._clock.real()
                due, self._due = self._due, {}
                for name in due:
                    event = event_bytes(name, await self._documents[name]())
                    for listener in self._listeners:
                        listener.put(event, instead_of=name)
                await self._clock.pause((self._clock.real() - began) * _SHARE)
        finally:
            self._teller = None


def event_bytes(name: str, document: Mapping[str, Any]) -> bytes:
    """Return an event on the wire."""
    return f"event: {name}\ndata: {json.dumps(document)}\n\n".encode()
