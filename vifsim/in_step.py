"""Lets what holds in one process hold in all that share a store, and hears what they say.

The house rule: what is published is the whole of what holds, never a difference; whoever was
quicker is heard first, and the change is made again on top of what he said.

Source: "One cloud, several processes" (docs/demo-environment.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from vifsim.errors import ControlFault
from vifsim.recording import added_rules, told_scenario
from vifsim.together import Outbox, Together

if TYPE_CHECKING:
    from collections.abc import Callable

    from vifsim.backend import Backend
    from vifsim.clock import SimClock
    from vifsim.journal import Journal
    from vifsim.rulebook import Rulebook
    from vifsim.scenario.rule import Scenario
    from vifsim.sharing import Published, Sharing
    from vifsim.worlds import KnownNames, Worlds

T = TypeVar("T")

_ATTEMPTS = 5
"""How often rules are changed for all processes where another one was quicker."""


class InStep:
    """One process among those on a store.

    Args:
        sharing: what the store offers.
        backend: over that store.
        book: that holds in this process.
        worlds: whose present one is in the store.
        known: names, which others change too.
        journal: of all processes.
        clock: of this process, which goes as that of the others.
        cut: ends the calls that are under way for longer than so many real seconds.
        tell: names what has changed to who watches.
    """

    def __init__(  # noqa: PLR0913 -- all that several processes have in common
        self,
        sharing: Sharing,
        backend: Backend,
        *,
        book: Rulebook,
        worlds: Worlds,
        known: KnownNames,
        journal: Journal,
        clock: SimClock,
        cut: Callable[[float], None],
        tell: Callable[..., None],
    ) -> None:
        self._backend = backend
        self._book = book
        self._worlds = worlds
        self._known = known
        self._journal = journal
        self._clock = clock
        self._tell = tell
        self.outbox = Outbox(clock)
        self._together = Together(
            sharing,
            self.outbox,
            journal,
            say=self._document,
            take=self._take_published,
            cut=cut,
            clock=clock,
        )

    @property
    def process(self) -> str | None:
        """The name of this process; empty before it has joined the others."""
        return self._together.process

    # ── life ──

    async def open(self, *, asked: bool) -> None:
        """Go by what the other processes go by; where asked for something else, let them."""
        together, wanted = self._together, self._book.scenario
        mode, speed = self._clock.mode, self._clock.speed
        await together.start()
        while True:
            await together.hear()
            other = asked and wanted.digest != self._book.scenario.digest
            anew = other or not together.sharing.version
            if anew:
                await self._begin_with(wanted)
            elif mode in {"real", "autojump", self._clock.mode}:
                break
            if mode not in {"autojump", self._clock.mode}:
                self._clock.steer(mode, speed)
            if await together.publish(state=self._book.faults.state if anew else None):
                break
        await self._known.learn()
        if self._clock.mode != "autojump":
            together.watch()

    async def _begin_with(self, scenario: Scenario) -> None:
        self._book.begin(scenario)
        self._worlds.present = self._worlds.make(scenario)
        await self._backend.configure(self._worlds.present.settings)
        self._book.install()

    async def close(self) -> None:
        """Hand over what is left, and look no more."""
        await self._together.stop()

    # ── saying and hearing ──

    def _document(self) -> dict[str, Any]:
        """Return what all processes on a store go by."""
        return {
            **self._book.header(),
            "removed": sorted(self._book.removed),
            "clock": self._clock.told(),
        }

    async def _take_published(self, found: Published) -> None:
        """Go by what another process has said."""
        document = found.document
        if document is None:
            return
        scenario = told_scenario(document["scenario"])
        if scenario.digest != self._book.scenario.digest:
            self._journal.number_anew()
        ended = {item["id"] for item in document["added"] if item["removed"]}
        rules = added_rules(document["added"], scenario)
        if self._clock.mode != "autojump":
            await self._clock.take(document["clock"])
        self._book.ever_added = {rule.id: rule for rule in rules}
        self._book.become(
            scenario,
            (rule for rule in rules if rule.id not in ended),
            document["removed"],
            {"t0": found.start, "calls": 0, "arrivals": {}, "rules": {}},
        )
        await self._known.learn()
        self._tell("clock", "scenario", "state")

    async def say(self, change: Callable[[], T]) -> T:
        """Change the rules or the clock, for all processes.

        Raises:
            ControlFault: 409, others have changed them again and again in the meantime.
        """
        book = self._book
        idle = False

        def act() -> T:
            nonlocal idle
            idle = book.faults.engine is None
            book.fresh.clear()
            return change()

        def how() -> dict[str, Any]:
            first = idle and book.faults.engine is not None
            return {"state": book.faults.state if first else None, "forget": list(book.fresh)}

        await self._together.catch_up()
        for _ in range(_ATTEMPTS):
            said, result = await self._together.change(act, how)
            if said:
                return result
        raise ControlFault(409, "other processes change the rules at this moment (try again)")

    async def keep(self) -> None:
        """Let rules and counts, as they are now, hold for all processes."""
        if self._together.process:
            await self._together.publish(state=self._book.faults.state, anyway=True)

    async def publish_clock(self) -> None:
        """Let the clock, as it stands now, hold for all processes."""
        await self._together.publish(anyway=True)

    def mark_unsaid(self) -> None:
        """Say that rules were changed here without waiting for other processes to hear of it."""
        self._together.unsaid = True

    async def catch_up(self) -> None:
        """Learn what other processes have said and answered, once this one has joined them."""
        if self._together.process:
            await self._together.catch_up()

    async def catch_up_counts(self) -> None:
        """Learn what the rules have counted in all processes."""
        self._book.faults.state = await self._together.sharing.state()

    # ── the journal ──

    async def clear_journal(self) -> None:
        """Forget all entries, in all processes; `seq` goes on."""
        await self._together.clear()

    def forget_entries(self) -> None:
        """Forget all entries, in other processes a moment later."""
        self._journal.clear()
        self._together.forget_soon()

    async def restart_journal(self) -> None:
        """Begin the journal again, for all processes."""
        await self._together.restart()
