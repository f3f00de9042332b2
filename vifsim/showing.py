"""What the console asks beyond the rest: a timeline of the scenario, and a scorecard per client.

The house rule: pure functions of what the simulator hands them.

Source: console (docs/console.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vifsim.scenario.rule import Rule, Scenario
    from vifsim.scorecard import Run


def timeline(scenario: Scenario, rules: Iterable[Rule], start: float | None) -> dict[str, Any]:
    """Return the phases of a scenario, and the stretches in which each rule may fire.

    `start` is where scenario time is 0, on the simulator's clock; all other times are scenario
    time. A rule without stretches may fire at any time.
    """
    phases = {phase.name: [phase.start, phase.end] for phase in scenario.phases}
    return {
        "start": start,
        "phases": [{"name": name, "from": at[0], "to": at[1]} for name, at in phases.items()],
        "rules": [
            {"id": rule.id, "fault": rule.fault.key, "stretches": _stretches(rule, phases)}
            for rule in rules
        ],
    }


def _stretches(rule: Rule, phases: Mapping[str, list[float]]) -> list[list[float]]:
    between = rule.schedule.between
    stretches = [phases[name] for name in rule.schedule.during]
    return stretches if between is None else [*stretches, list(between)]


def clients(run: Run) -> dict[str, Any]:
    """Return a scorecard for each client: a program, by its User-Agent, on a machine."""
    from vifsim.scorecard import score  # noqa: PLC0415 -- only a verdict needs it

    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for entry in run.entries:
        headers: Mapping[str, str] = entry["headers"]
        agent = next((v for k, v in headers.items() if k.lower() == "user-agent"), "no User-Agent")
        host = str(entry["peer"]).rpartition(":")[0]
        found.setdefault((agent, host), []).append(entry)
    return {
        "clients": [
            {
                "client": agent,
                "host": host,
                "calls": len(entries),
                "last": entries[-1]["seq"],
                "scorecard": score(replace(run, entries=entries)),
            }
            for (agent, host), entries in found.items()
        ]
    }


def shipped() -> dict[str, Any]:
    """Return the shipped scenarios, in alphabetical order."""
    from vifsim.scenario.schema import load_named, shipped_names  # noqa: PLC0415 -- slow to import

    scenarios = [load_named(name) for name in shipped_names()]
    return {
        "scenarios": [
            {"name": made.name, "description": made.description, "text": made.text}
            for made in scenarios
        ]
    }
