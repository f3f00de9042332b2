"""An engine that decides as a recording did, and for itself where the recording is silent.

The house rule: what is imposed is found by call key and arrival alone, never by order or time, so
that another client, or another machine, meets the same.

Source: scenario format, "The same every time" (docs/scenarios.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vifsim.scenario.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.exchange import Decision, Facts, Look
    from vifsim.scenario.engine import State


class ReplayingEngine(Engine):
    """Imposes the decisions of a recording.

    The rules count every call all the same, so that they go on where the recording ends.

    Args:
        decisions: by call key and arrival.
        rules: and what else an engine takes.
        others: likewise.
    """

    def __init__(
        self, decisions: Mapping[tuple[str, int], Decision], *rules: Any, **others: Any
    ) -> None:
        super().__init__(*rules, **others)
        self._decisions = decisions

    @property
    def decides(self) -> bool:
        """Whether there is anything to decide by."""
        return True

    def passing(
        self,
        operation: str,
        state: State,
    ) -> None:
        """Return None: the recording must be asked about every call."""

    def decide(
        self, facts: Facts, now: float, state: State, looks: list[Look] | None = None
    ) -> Decision:
        """Return what was decided for this call, else what the rules say."""
        own = super().decide(facts, now, state, looks)
        imposed = self._decisions.get((facts.key, facts.n))
        if imposed is None:
            return own
        if looks is not None and imposed.fired != own.fired:
            looks.clear()  # they would tell of a decision that was not taken
        return imposed
