"""A run as its export tells it: its rules and its decisions, made again from the file.

The house rule: nothing here runs; what a journal says is turned back into the values that made it.

Source: control API, section 3.3 (docs/control-api.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from vifsim import scenario as scenarios
from vifsim.arrivals import call_key
from vifsim.errors import JournalError, RetryAfter, ScenarioError
from vifsim.exchange import NAMED_KINDS, PASS, Call, Look, facts_of
from vifsim.journal import in_order, read_export
from vifsim.scenario.answers import Making, fault_of
from vifsim.scenario.documented import documented_rules
from vifsim.scenario.engine import Engine
from vifsim.scenario.rule import Capacity, Limit, Scenario, Status
from vifsim.values import frozen
from vifsim.worlds import merged_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from vifsim.errors import RetryAfterForm
    from vifsim.exchange import Decision
    from vifsim.model import Settings
    from vifsim.scenario.rule import Rule
    from vifsim.scorecard import Run

Document = dict[str, Any]
Place = tuple[str, int]
"""A call key, and which of its arrivals is meant."""

_FACTS = (
    "seq", "id", "method", "path", "headers", "peer", "conn", "arrived", "user", "tenant",
    "token_id", "server", "network", "interface", "body_digest",
)  # fmt: skip


# ── explaining ──


def explained(looks: Iterable[Look]) -> list[Document]:
    """Return looks as the control API shows them.

    Source: control API, section 2, `explain` (docs/control-api.md).
    """
    return [
        {
            "rule": look.rule,
            "fired": look.stopped_at is None,
            "stopped_at": look.stopped_at,
            "detail": {"draw": round(look.number or 0.0, 6), "threshold": look.bound}
            if look.stopped_at == "chance"
            else look.detail,
        }
        for look in looks
    ]


# ── the recording ──


@frozen
class Recording:
    """An export, read.

    Attributes:
        header: its first line.
        entries: in the order of `seq`.
        client: the command that was run, or None.
        scenario: that held at the end.
        world: what the simulator was given beside the scenario, without secrets.
        settings: how the cloud behaved.
        added: the rules that were added by hand, those that were removed again among them.
        removed: the ids of the latter.
        names: behind the ids of calls, of `NAMED_KINDS` by id; an older export tells none.
    """

    header: Mapping[str, Any]
    entries: Sequence[Mapping[str, Any]]
    client: Mapping[str, Any] | None
    scenario: Scenario
    world: Mapping[str, Any]
    settings: Settings
    added: tuple[Rule, ...]
    removed: frozenset[str]
    names: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Return what a file holds.

        Raises:
            JournalError: it is no whole journal.
        """
        return cls.of(*read_export(path))

    @classmethod
    def of(
        cls,
        header: Mapping[str, Any],
        entries: Sequence[Mapping[str, Any]],
        client: Mapping[str, Any] | None,
    ) -> Self:
        """Return what the lines of an export hold.

        Raises:
            JournalError: a part of the header is not sound.
        """
        world: Mapping[str, Any] = header.get("world", {})
        added: Sequence[Mapping[str, Any]] = header.get("added", [])
        try:
            scenario = told_scenario(header["scenario"])
            settings = scenarios.load_world(
                merged_world(world, scenario.world), header["seed"]
            ).settings
            rules = added_rules(added, scenario)
            told: Mapping[str, Any] = header.get("names", {})
            names = {kind: dict(told.get(kind, {})) for kind in NAMED_KINDS}
        except (ScenarioError, KeyError, TypeError, ValueError, AttributeError) as exc:
            raise JournalError(f"the journal's header is not sound: {exc}") from exc
        return cls(
            header=header,
            entries=entries,
            client=client,
            scenario=scenario,
            world=world,
            settings=settings,
            added=rules,
            removed=frozenset(item["id"] for item in added if item.get("removed")),
            names=names,
        )

    @property
    def seed(self) -> int:
        """The seed of ids and draws."""
        return int(self.header["seed"])

    @property
    def run(self) -> Run:
        """The run, to be judged."""
        from vifsim.scorecard import Run  # noqa: PLC0415 -- only a verdict needs it

        return Run(
            entries=in_order(self.entries),
            seed=self.seed,
            scenario=self.scenario,
            settings=self.settings,
            rules=self.added,
            clock=self.header["clock"],
            speed=self.header["speed"],
            client=self.client,
            dropped=self.header.get("dropped", 0),
        )

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules that held at some time, in the order in which they are read."""
        return (*documented_rules(self.settings), *self.added, *self.scenario.rules)

    def explain(self, seq: int) -> Document:
        """Return every rule's look at one call, as the control API does.

        Raises:
            JournalError: there is no such entry.
        """
        entry = next((entry for entry in self.entries if entry["seq"] == seq), None)
        if entry is None:
            raise JournalError(f"the journal has no entry {seq}")
        facts = facts_of(call_of(entry), self.names)
        looks = self._engine().all_looks(facts, _looks(entry))
        return {"entry": seq, "looks": explained(looks)}

    def never_fired(self) -> Document:
        """Return the rules that never fired, and what stopped them, as the control API does."""
        state: Document = {"calls": len(self.entries), "rules": {}}
        for look in (look for entry in self.entries for look in _looks(entry)):
            counted = state["rules"].setdefault(look.rule, {"fired": 0, "stops": {}})
            if look.stopped_at is None:
                counted["fired"] += 1
            else:
                stops = counted["stops"]
                stops[look.stopped_at] = stops.get(look.stopped_at, 0) + 1
        found = self._engine().never_fired(state)
        return {"never_fired": [{"rule": rule, "stopped_at": stops} for rule, stops in found]}

    def _engine(self) -> Engine:
        return Engine(self.rules, self.scenario.phases, seed=self.seed, settings=self.settings)

    def decisions(self, *, without: str | None = None) -> dict[Place, Decision]:
        """Return what was decided for each call, by its key and arrival.

        Calls in which the rule `without` fired are left out: nothing is known of them any more.

        Raises:
            JournalError: a decision names a rule that the journal does not hold.
        """
        rules = {rule.id: rule for rule in self.rules}
        found: dict[Place, Decision] = {}
        for entry in self.entries:
            decided = entry["decision"]
            if decided is None:
                found[place_of(entry)] = PASS
            elif without not in decided["fired"]:
                found[place_of(entry)] = self._decision(entry, decided, rules)
        return found

    def _decision(
        self, entry: Mapping[str, Any], decided: Mapping[str, Any], rules: Mapping[str, Rule]
    ) -> Decision:
        making = Making(
            fired=list(decided["fired"]),
            before=decided["delay_before"],
            after=decided["delay_after"],
        )
        if decided["by"] is None:
            return making.done()
        rule = rules.get(decided["by"])
        if rule is None:
            raise JournalError(
                f"entry {entry['seq']} was decided by {decided['by']}, which the journal lacks"
            )
        match rule.fault:
            case Status() | Limit():
                told = self._retry_after(rule, entry)
                return making.refused(rule, fault_of(rule.fault, told), 0.0)
            case Capacity(shed=status):
                return making.refused(rule, fault_of(Status(status=status), None), 0.0)
            case _:
                return making.decided(rule, 0.0)

    def _retry_after(self, rule: Rule, entry: Mapping[str, Any]) -> RetryAfter | None:
        """Return what the client was told, or would have been."""
        asked = rule.retry_after
        if asked is None:
            return None
        if asked.kind == "raw":
            return RetryAfter(None, "raw", asked.text)
        answer: Mapping[str, Any] = entry["told"] or {}
        told: float | None = answer.get("retry_after")
        seconds = asked.seconds if told is None else told * float(self.header["speed"])
        form: RetryAfterForm = "date" if asked.kind == "date" else "seconds"
        return RetryAfter(seconds, self.settings.retry_after if asked.kind == "auto" else form)


def told_scenario(told: Mapping[str, Any]) -> Scenario:
    """Return the scenario that an export's header tells of.

    Raises:
        ScenarioError: it is not sound.
    """
    name, text = told["name"], told["text"]
    found = scenarios.load_text(text, source=name) if text.strip() else Scenario(name=name)
    return replace(found, name=name)


def added_rules(added: Iterable[Mapping[str, Any]], scenario: Scenario) -> tuple[Rule, ...]:
    """Return the rules that were added to a scenario by hand, as an export lists them.

    Raises:
        ScenarioError: one of them is not sound.
    """
    phases = [phase.name for phase in scenario.phases]
    return tuple(
        replace(scenarios.load_rule(item["rule"], phases=phases), id=item["id"]) for item in added
    )


def _looks(entry: Mapping[str, Any]) -> list[Look]:
    return [
        Look(look["rule"], look["stopped_at"], look["number"], look["bound"])
        for look in entry.get("looks", ())
    ]


def call_of(entry: Mapping[str, Any]) -> Call:
    """Return the call of a journal's entry."""
    operation = entry["operation"]
    facts: dict[str, Any] = {name: entry.get(name) for name in _FACTS}
    return Call(
        operation=None if operation == "unknown" else operation,
        real_arrived=entry["real"]["arrived"],
        connected=entry["real"].get("connected"),
        **facts,
    )


def place_of(entry: Mapping[str, Any]) -> Place:
    """Return the key of an entry's call, and which of its arrivals it was."""
    return call_key(call_of(entry)), entry["n"]
