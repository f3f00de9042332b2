"""What the control API and the console need of a simulator: what it can do, and what it shows.

The house rule: each name here is asked for by a handler, and nothing else of a simulator is.

Source: control API, section 2 (docs/control-api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vifsim.clock import Clock
    from vifsim.journal import Journal


class Rewinder(Protocol):
    """What can go back to before a call."""

    async def rewind(self, before: int) -> None:
        """Let world and rules be as they were before an entry."""

    async def export_moment(self, before: int) -> dict[str, Any]:
        """Return the moment before an entry as a scenario and a test."""
        ...


class Watched(Protocol):
    """What the console shows of a simulator: a document each."""

    def timeline(self) -> dict[str, Any]:
        """Return where scenario time is, and when what may happen."""
        ...

    def clients(self) -> dict[str, Any]:
        """Return a scorecard for each client."""
        ...

    def shipped(self) -> dict[str, Any]:
        """Return the shipped scenarios."""
        ...


class Controls(Rewinder, Protocol):
    """What the control API can do to a simulator."""

    watchers: list[Callable[[str], None]]

    @property
    def journal(self) -> Journal:
        """What keeps the exchanges."""
        ...

    @property
    def clock(self) -> Clock:
        """The simulator's clock."""
        ...

    async def catch_up(self) -> None:
        """Learn what other processes on the same store have done."""

    async def catch_up_counts(self) -> None:
        """Learn what the rules have counted in all processes."""

    async def clear_journal(self) -> None:
        """Forget all entries."""

    async def state_document(self) -> Mapping[str, Any]:
        """Return the world now."""
        ...

    async def ids_named(self, kind: str, name: str) -> list[str]:
        """Return the ids of what has this name, label or id."""
        ...

    async def reset(self, seed: int | None = None) -> None:
        """Begin again."""

    async def snapshot(self) -> dict[str, Any]:
        """Return everything but the journal."""
        ...

    async def restore(self, snapshot: dict[str, Any]) -> None:
        """Become what a snapshot says."""

    async def load(self, scenario: Any) -> None:
        """Let another scenario hold."""

    async def load_text(self, text: str) -> None:
        """Let another scenario hold, from its text."""

    async def add_rule(self, rule: Mapping[str, Any]) -> str:
        """Add a rule and return its id."""
        ...

    async def remove_rule(self, rule_id: str) -> None:
        """Remove one rule."""

    async def remove_added_rules(self) -> None:
        """Remove all added rules."""

    async def amend(self, change: str, **values: Any) -> None:
        """Change the cloud by hand."""

    async def steer_clock(self, mode: str, speed: float | None) -> None:
        """Set the clock's mode."""

    async def advance_clock(self, by: str) -> None:
        """Move the clock ahead."""


class Shown(Watched, Protocol):
    """What the control API shows of a simulator: a document each."""

    def health(self) -> dict[str, Any]:
        """Return how the simulator is."""
        ...

    def scenario(self) -> dict[str, Any]:
        """Return the scenario and its rules."""
        ...

    def clock(self) -> dict[str, Any]:
        """Return what the clock says."""
        ...

    def scorecard(self) -> dict[str, Any]:
        """Return how well clients have coped so far."""
        ...

    def explain(self, seq: int) -> dict[str, Any]:
        """Return every rule's look at one call."""
        ...

    def never_fired(self) -> dict[str, Any]:
        """Return the rules that never fired, and why."""
        ...

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document of both APIs."""
        ...

    def export_header(self) -> dict[str, Any]:
        """Return the first line of a journal export."""
        ...
