"""The scenario and the rules that hold, and the engine that is made of them.

The house rule: on each change a new engine is made of all rules, and given to the fault decorator;
who changes something says whether counts go on. Nobody else is told from here.

Source: scenarios (docs/scenarios.md); control API, section 2 (docs/control-api.md).
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from vifsim import scenario as scenarios
from vifsim.errors import ControlFault
from vifsim.scenario.documented import documented_rules
from vifsim.scenario.engine import Engine
from vifsim.worlds import text_without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from vifsim.clock import SimClock
    from vifsim.exchange import Decision, Facts, Look
    from vifsim.journal import Journal
    from vifsim.model import Settings
    from vifsim.scenario.engine import State
    from vifsim.scenario.rule import Rule, Scenario

    Place = tuple[str, int]


class Faults(Protocol):
    """What is needed of the fault decorator, beside that it is a backend."""

    engine: Engine | None
    state: State
    seen: dict[str, dict[str, str]]

    @property
    def settings(self) -> Settings:
        """How the cloud behaves."""
        ...

    @property
    def seed(self) -> int:
        """The seed of ids and draws."""
        ...

    def use(self, engine: Engine, state: State) -> None:
        """Let an engine decide from now on."""


class Rulebook:
    """What decides about calls.

    Args:
        faults: whose engine this is.
        clock: that scenario time is counted by.
        journal: that has counted the calls which came while no rule could hold.
        scenario: that holds at first, once `install` is called.

    Attributes:
        scenario: that holds.
        added: the rules that were added by hand, read before the scenario's.
        ever_added: those that were, by id, removed ones too.
        removed: ids of the scenario's and the documented rules that do not hold.
        fresh: ids of the rules that were added since somebody last cleared this.
        engine: made of all of them; None until `install` is called.
    """

    def __init__(
        self, faults: Faults, clock: SimClock, journal: Journal, scenario: Scenario
    ) -> None:
        self.faults = faults
        self.engine: Engine | None = None
        self.fresh: set[str] = set()
        self._clock = clock
        self._journal = journal
        self._imposed: Mapping[Place, Decision] = {}
        self.begin(scenario)

    # ── what holds ──

    def begin(self, scenario: Scenario) -> None:
        """Let a scenario hold from the next `install` on, as if no rule had ever been added."""
        self.scenario = scenario
        self.added: list[Rule] = []
        self.ever_added: dict[str, Rule] = {}
        self.removed: set[str] = set()

    def become(
        self,
        scenario: Scenario,
        added: Iterable[Rule] = (),
        removed: Iterable[str] = (),
        state: State | None = None,
    ) -> None:
        """Let a scenario and rules hold; counts go on where `state` is given."""
        self.scenario = scenario
        self.added, self.removed = list(added), set(removed)
        self.ever_added |= {rule.id: rule for rule in self.added}
        self.install(state)

    def impose(
        self, decisions: Mapping[Place, Decision], added: Iterable[Rule], removed: Collection[str]
    ) -> None:
        """Let a recorded run's decisions hold from the next `install` on, for calls that it knows.

        Args:
            decisions: by call key and arrival.
            added: rules that are read before the scenario's.
            removed: ids of rules, added or not, that do not hold.
        """
        self._imposed = decisions
        self.ever_added = {rule.id: rule for rule in added}
        self.added = [rule for rule in added if rule.id not in removed]
        self.removed = set(removed)

    def install(self, state: State | None = None) -> None:
        """Let the engine of the present rules decide; counts go on where `state` is given."""
        scenario, settings = self.scenario, self.faults.settings
        rules = [
            rule
            for rule in (*documented_rules(settings), *self.added, *scenario.rules)
            if rule.id not in self.removed
        ]
        self.engine = self._engine_class()(
            rules,
            scenario.phases,
            seed=self.faults.seed,
            settings=settings,
            hold=scenario.hold,
            start=scenario.start,
        )
        if self._clock.is_virtual:
            self.engine.retry_after_form = "seconds"
        if state is None:
            state = self.engine.new_state(self._clock.now())
        self.faults.use(self.engine, state)

    def reinstall(self) -> None:
        """Let the engine of the present rules decide; counts go on."""
        self.install(self.faults.state)

    def _engine_class(self) -> Callable[..., Engine]:
        if not self._imposed:
            return Engine
        from vifsim.scenario.replaying import ReplayingEngine  # noqa: PLC0415 -- only a replay

        return partial(ReplayingEngine, self._imposed)

    # ── rules by hand ──

    def put(self, rule: Mapping[str, Any], *, numbers_are_seconds: bool = False) -> Rule:
        """Add a rule, read before the scenario's, and return it.

        Raises:
            UsageError: it is not sound; nothing is changed.
        """
        taken = {other.id for other in self.rules}
        phases = [phase.name for phase in self.scenario.phases]
        made = scenarios.load_rule(
            rule, existing_ids=taken, phases=phases, numbers_are_seconds=numbers_are_seconds
        )
        self.added.append(made)
        self.ever_added[made.id] = made
        self.fresh.add(made.id)
        state = self.faults.state
        state["rules"].pop(made.id, None)  # a rule of the same id that was removed has counted
        if self.faults.engine is None:
            state["arrivals"] = self._journal.arrivals()  # nobody else has counted them
        self.install(state)
        return made

    def drop(self, rule_id: str) -> None:
        """Remove any one rule.

        Raises:
            ControlFault: 404, there is none with this id.
        """
        if rule_id not in {rule.id for rule in self.rules}:
            raise ControlFault(404, f"no rule {rule_id}")
        added = [rule for rule in self.added if rule.id != rule_id]
        if len(added) == len(self.added):
            self.removed.add(rule_id)
        self.added = added
        self.reinstall()

    def drop_added(self) -> None:
        """Remove all added rules."""
        self.added = []
        self.reinstall()

    # ── what is known of it ──

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules that hold, in the order in which they are read."""
        return () if self.engine is None else self.engine.rules

    def counts(self, rule_id: str) -> tuple[int, int]:
        """Return how many calls a rule has matched, and how often it has fired."""
        counted = self.faults.state.get("rules", {}).get(rule_id, {})
        return int(counted.get("matched", 0)), int(counted.get("fired", 0))

    def looks(self, facts: Facts) -> list[Look]:
        """Return every rule's look at a call that was decided."""
        if self.engine is None:
            return []
        return self.engine.all_looks(facts, facts.call.outcome.looks)

    def never_fired(self) -> list[tuple[str, Any]]:
        """Return the ids of rules that never fired, each with what stopped it."""
        if self.engine is None or self.faults.engine is None:
            return []
        return self.engine.never_fired(self.faults.state)

    def header(self) -> dict[str, Any]:
        """Return the scenario, without secrets, and all added rules, as an export holds them."""
        return {
            "scenario": {
                "name": self.scenario.name,
                "digest": self.scenario.digest,
                "text": text_without_secrets(self.scenario),
            },
            "added": [
                {"id": rule.id, "rule": dict(rule.source), "removed": rule not in self.added}
                for rule in self.ever_added.values()
            ],
        }


def moved(state: Mapping[str, Any], now: float) -> State:
    """Return a copy of an engine's state with its times, told at its `at`, moved to `now`."""
    copy: State = json.loads(json.dumps(state))
    shift = now - float(copy.pop("at", now))
    if copy.get("t0") is not None:
        copy["t0"] += shift
    for counted in copy.get("rules", {}).values():
        for window in counted.get("windows", {}).values():
            window[0] += shift
        for key in ("workers", "waiting"):
            if key in counted:
                counted[key] = [at + shift for at in counted[key]]
    return copy
