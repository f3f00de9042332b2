"""What a snapshot, and a store that lasts, hold of rules, their counts and the date.

The house rule: what is read is judged whole before anything is changed.

Source: control API, section 2, `snapshot` (docs/control-api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vifsim import scenario as scenarios
from vifsim.clock import LONGEST_OFFSET
from vifsim.errors import ControlFault, ScenarioError
from vifsim.rulebook import moved
from vifsim.scenario.engine import plain
from vifsim.scenario.rule import Scenario
from vifsim.snapshots import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.backend import Backend
    from vifsim.clock import SimClock
    from vifsim.rulebook import Rulebook
    from vifsim.scenario.rule import Rule


class Keeping:
    """Takes snapshots of a simulator, and lets it become what they say."""

    def __init__(self, backend: Backend, book: Rulebook, clock: SimClock) -> None:
        self._backend = backend
        self._book = book
        self._clock = clock

    async def snapshot(self) -> dict[str, Any]:
        """Return everything but the journal."""
        return {**await self._backend.snapshot(), **self._part()}

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Become what a snapshot says; the journal goes on.

        Raises:
            ControlFault: 400 or 409; nothing is changed.
        """
        with reading(snapshot):
            part, offset = snapshot["scenario"], _offset(snapshot)
            scenario, added = _read_part(part)
            _check_state(moved(part["state"], self._clock.now()))
        await self._backend.restore(dict(snapshot))
        self._clock.shift_to_offset(offset)
        self._book.become(scenario, added, state=moved(part["state"], self._clock.now()))

    async def keep(self) -> None:
        """Let rules, counts and date last with a store that does."""
        if self._backend.durable and self._book.engine is not None:
            await self._backend.keep_scenario(self._part())

    async def take_kept(self) -> bool:
        """Go on with what the store has kept; return whether it has kept anything."""
        kept = await self._backend.kept_scenario()
        if kept is None:
            return False
        scenario, added = _read_part(kept["scenario"])
        self._clock.shift_to_offset(float(kept["clock"]["offset"]))
        state = moved(kept["scenario"]["state"], self._clock.now())
        self._book.become(scenario, added, state=state)
        return True

    def _part(self) -> dict[str, Any]:
        book = self._book
        return {
            "scenario": {
                "text": book.scenario.text,
                "added": [dict(rule.source) for rule in book.added],
                "seed": self._backend.seed,
                "state": {**plain(book.faults.state), "at": self._clock.now()},
            },
            "clock": {"offset": round(self._clock.offset, 6)},
        }


def _read_part(part: Mapping[str, Any]) -> tuple[Scenario, list[Rule]]:
    """Return the scenario and added rules of a snapshot.

    Raises:
        ControlFault: 400, they are not sound.
    """
    try:
        text = str(part["text"])
        scenario = scenarios.load_text(text, source="snapshot") if text else Scenario(name="none")
        added: list[Rule] = []
        for source in part["added"]:
            taken = {rule.id for rule in (*added, *scenario.rules)}
            phases = [phase.name for phase in scenario.phases]
            added.append(scenarios.load_rule(source, existing_ids=taken, phases=phases))
    except ScenarioError as exc:
        raise ControlFault(400, "the snapshot's scenario is not sound", exc.problems) from exc
    return scenario, added


def _offset(snapshot: Mapping[str, Any]) -> float:
    """Return how far a snapshot's date is ahead, seconds.

    Raises:
        ValueError: further than a date can be told.
    """
    offset = float(snapshot["clock"]["offset"])
    if not abs(offset) < LONGEST_OFFSET:
        raise ValueError(f"offset {offset} is further than 30 years")
    return offset


def _check_state(state: Mapping[str, Any]) -> None:
    """Refuse what no engine could have counted.

    Raises:
        ValueError: it is none of an engine's states.
    """
    counts = [state["calls"], *state["arrivals"].values()]
    for counted in state["rules"].values():
        counts += [counted["matched"], counted["fired"]]
    if not all(type(count) is int for count in counts):
        raise ValueError("the scenario's state holds counts that are no numbers")
