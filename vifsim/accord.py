"""How what holds comes to hold: for a simulator alone on its store, or for all on it.

`in_step` has the other kind, which most simulators never need.

The house rule: who changes rules or clock need not know whether others are there.

Source: control API (docs/control-api.md), "One cloud, several processes"
(docs/demo-environment.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from vifsim.backend import Backend
    from vifsim.journal import Journal
    from vifsim.keeping import Keeping
    from vifsim.rulebook import Rulebook
    from vifsim.worlds import KnownNames, Worlds

T = TypeVar("T")


class Accord(Protocol):
    """What a simulator asks of it."""

    @property
    def outbox(self) -> Journal:
        """What keeps the calls that this process answers."""
        ...

    @property
    def process(self) -> str | None:
        """The name of this process among several; None where it is alone."""
        ...

    async def open(self, *, asked: bool) -> None:
        """Let hold what is to hold at first.

        Args:
            asked: whether the scenario was asked for, so that what the store has is not gone by.
        """

    async def close(self) -> None:
        """Keep what is to last, and end."""

    async def say(self, change: Callable[[], T]) -> T:
        """Change the rules or the clock, for all processes.

        Raises:
            ControlFault: 409, others have changed them again and again in the meantime.
        """
        ...

    async def keep(self) -> None:
        """Let rules and counts, as they are now, last, and hold for all processes."""

    async def publish_clock(self) -> None:
        """Let the clock, as it stands now, hold for all processes."""

    def mark_unsaid(self) -> None:
        """Say that rules were changed here without waiting for other processes to hear of it."""

    async def catch_up(self) -> None:
        """Learn what other processes have said and answered."""

    async def catch_up_counts(self) -> None:
        """Learn what the rules have counted in all processes."""

    async def clear_journal(self) -> None:
        """Forget all entries; `seq` goes on."""

    def forget_entries(self) -> None:
        """Forget all entries, in other processes a moment later."""

    async def restart_journal(self) -> None:
        """Forget all entries; `seq` begins again."""


class Alone:
    """One process that has its store for itself.

    Args:
        backend: of its own.
        book: that holds.
        worlds: whose present one is in the store.
        known: names, which the store may have others of.
        keeping: that lets rules last.
        journal: of all calls, which are its own.
    """

    process = None

    def __init__(
        self,
        backend: Backend,
        book: Rulebook,
        *,
        worlds: Worlds,
        known: KnownNames,
        keeping: Keeping,
        journal: Journal,
    ) -> None:
        self._backend = backend
        self._book = book
        self._worlds = worlds
        self._known = known
        self._keeping = keeping
        self.outbox = journal

    async def open(self, *, asked: bool) -> None:
        """Go on with the rules that the store has kept, unless others are asked for."""
        if asked or not await self._keeping.take_kept():
            await self._backend.configure(self._worlds.present.settings)
            self._book.install()
        await self._known.begin()

    async def close(self) -> None:
        """Let rules and counts last where the store does."""
        await self._keeping.keep()

    async def say(self, change: Callable[[], T]) -> T:
        """Change the rules or the clock."""
        result = change()
        await self._keeping.keep()
        return result

    async def keep(self) -> None:
        """Let rules and counts, as they are now, last where the store does."""
        await self._keeping.keep()

    async def publish_clock(self) -> None:
        """Do nothing: nobody else goes by this clock."""

    def mark_unsaid(self) -> None:
        """Do nothing: there is nobody to be told."""

    async def catch_up(self) -> None:
        """Do nothing: there is nobody to hear."""

    async def catch_up_counts(self) -> None:
        """Do nothing: nobody else counts."""

    async def clear_journal(self) -> None:
        """Forget all entries; `seq` goes on."""
        self.outbox.clear()

    def forget_entries(self) -> None:
        """Forget all entries; `seq` goes on."""
        self.outbox.clear()

    async def restart_journal(self) -> None:
        """Forget all entries; `seq` begins again."""
        self.outbox.restart()
