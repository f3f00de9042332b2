"""What a test on the simulator's own loop asks of it: the names of a `Cloud`, without a thread.

The house rule: values are the facade's; only the way to them differs.

Source: control API, section 4 (docs/control-api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from vifsim.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vifsim.expectations import Calls, JournalView
    from vifsim.records import Record
    from vifsim.simulator import Simulator

T = TypeVar("T")


def at_once(action: Callable[[], T]) -> T:
    """Return what an action returns; whoever asks is on the simulator's loop already."""
    return action()


class OpenJournal(Journal):
    """A journal that a test reads while it is written."""

    def __init__(self, simulator: Simulator, max_bytes: int) -> None:
        super().__init__(simulator.clock, max_bytes=max_bytes)
        self._simulator = simulator

    def view(self) -> JournalView:
        """Return the entries as they are now."""
        from vifsim.expectations import JournalView  # noqa: PLC0415 -- a server that nobody tests needs none

        return JournalView(self._simulator, at_once)

    def calls(self, operation: str = "*", **named: str | None) -> Calls:
        """Return the calls that match, as `JournalView.calls` does; raises as it."""
        return self.view().calls(operation, **named)

    def gaps(self) -> list[Record]:
        """Return the entries whose client was told something else than what happened."""
        return self.view().gaps()

    def export(self, path: str | Path) -> None:
        """Write the journal to a file that `vifsim scorecard`, `explain` and `replay` read."""
        self.view().export(path)


class OpenState:
    """What exists now, as values with the fields of the control API's world."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def interfaces(
        self, server: str | None = None, network: str | None = None
    ) -> list[Record]:
        """Return the virtual interfaces of a server, a network, both, or all.

        Raises:
            UsageError: no server or network was ever called that.
        """
        from vifsim.records import interfaces_in  # noqa: PLC0415 -- a server that nobody tests needs none

        found = interfaces_in(await self._simulator.state_document(), server, network)
        if not found:
            self._simulator.journal.view().check_names(server=server, network=network)
        return found

    async def servers(self) -> list[Record]:
        """Return the servers."""
        return await self._records("servers")

    async def networks(self) -> list[Record]:
        """Return the isolated networks."""
        return await self._records("networks")

    async def _records(self, kind: str) -> list[Record]:
        from vifsim.records import Record  # noqa: PLC0415 -- a server that nobody tests needs none

        document: Any = await self._simulator.state_document()
        return [Record(item) for item in document[kind]]
