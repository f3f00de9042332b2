"""The door to scenarios: files, texts and mappings → `Scenario`, `Rule`, `World`.

The house rule: nothing is guessed or put right in silence; what is not sound does not load, and all
that is wrong is told at once, each with its place.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, cast

from vifsim.errors import ScenarioError, UsageError
from vifsim.scenario.durations import bare_numbers, with_units
from vifsim.scenario.flaws import did_you_mean
from vifsim.scenario.rule_schema import MatchSchema, RuleIds, RuleSchema, rule_of
from vifsim.scenario.scenario_schema import (
    VERSION,
    ClientSchema,
    ExpectSchema,
    PhaseSchema,
    Plain,
    ScenarioSchema,
    ThresholdsSchema,
    added_rule_flaws,
    problems_of,
    read_scenario,
)
from vifsim.scenario.strict import load_with
from vifsim.scenario.text import MAX_BYTES, Path, decode, read_data, read_text, shown
from vifsim.scenario.world_schema import SettingsSchema, WorldSchema, load_world

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from vifsim.scenario.rule import Rule, Scenario

__all__ = [
    "ClientSchema",
    "ExpectSchema",
    "MatchSchema",
    "PhaseSchema",
    "RuleSchema",
    "ScenarioSchema",
    "SettingsSchema",
    "ThresholdsSchema",
    "WorldSchema",
    "load_file",
    "load_mapping",
    "load_named",
    "load_rule",
    "load_text",
    "load_world",
    "merge",
    "shipped_names",
]


_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what cannot be meant as a path


# ── loading ──────────────────────────────────────────────────────────────────────────────────────


def load_text(text: str, *, source: str) -> Scenario:
    """Load a scenario from YAML or JSON.

    Args:
        text: the scenario.
        source: where it came from, for messages; its stem is the name where the text gives none.

    Raises:
        ScenarioError: the text is no sound scenario.
    """
    return read_scenario(read_text(text, source=source), source=source, text=text)


def load_file(path: str | FilePath) -> Scenario:
    """Load a scenario from a file.

    Raises:
        UsageError: the file cannot be read.
        ScenarioError: it holds no sound scenario.
    """
    source = str(path)
    try:
        with FilePath(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise UsageError(f"cannot read {shown(source)}: {reason}") from exc
    return load_text(decode(data, source=source), source=source)


def load_mapping(data: Mapping[str, Any], *, source: str = "scenario") -> Scenario:
    """Load a scenario from plain data, as JSON has it.

    Raises:
        ScenarioError: the data are no sound scenario.
    """
    document = read_data(data, source=source)
    text = json.dumps(document.data, indent=2, ensure_ascii=False) + "\n"
    return read_scenario(document, source=source, text=text)


def load_named(name_or_path: str) -> Scenario:
    """Load a scenario that ships with vifsim by its name, or any by its path.

    Raises:
        UsageError: there is no such scenario, or the file cannot be read.
        ScenarioError: it is not sound.
    """
    names = shipped_names()
    if name_or_path in names:
        return _shipped(name_or_path)
    if _WORD.fullmatch(name_or_path) and not FilePath(name_or_path).exists():
        hint = did_you_mean(name_or_path, names) or "see: vifsim scenarios list"
        raise UsageError(f"there is no scenario {name_or_path} ({hint})")
    return load_file(name_or_path)


@cache
def _shipped(name: str) -> Scenario:
    file = resources.files("vifsim_scenarios").joinpath(f"{name}.yaml")
    return load_text(file.read_text("utf-8"), source=f"{name}.yaml")


@cache
def _shipped_names() -> tuple[str, ...]:
    files = resources.files("vifsim_scenarios").iterdir()
    return tuple(sorted(f.name.removesuffix(".yaml") for f in files if f.name.endswith(".yaml")))


def shipped_names() -> list[str]:
    """Return the names of the scenarios that ship with vifsim, sorted."""
    return list(_shipped_names())


def load_rule(
    mapping: Mapping[str, Any],
    *,
    existing_ids: Collection[str] = (),
    phases: Iterable[str] = (),
    numbers_are_seconds: bool = False,
    source: str = "rule",
) -> Rule:
    """Load one rule that is added to a running scenario.

    Args:
        mapping: the rule as a scenario would write it.
        existing_ids: the ids that are taken.
        phases: the names that `during` may hold.
        numbers_are_seconds: whether a bare number is a duration, as in Python calls.
        source: where it came from, for messages.

    Raises:
        ScenarioError: the rule is not sound, or its name is taken.
    """
    document = read_data(mapping, source=source)
    given: Any = document.data
    token = bare_numbers.set(numbers_are_seconds)
    try:
        data, flaws = load_with(RuleSchema, given)
    finally:
        bare_numbers.reset(token)
    flaws += added_rule_flaws(given, set(existing_ids), set(phases))
    if flaws:
        raise ScenarioError(source, problems_of(document, flaws))
    source_of = with_units(RuleSchema, given) if numbers_are_seconds else given
    return rule_of(data, id=RuleIds(existing_ids).of(source_of), source=source_of, origin="added")


# ── several ──────────────────────────────────────────────────────────────────────────────────────


def merge(scenarios: Sequence[Scenario]) -> Scenario:
    """Return one scenario that does what several do: rules and phases follow one another.

    Raises:
        UsageError: a name, seed or world setting is given twice and differently.
        ScenarioError: what each says is sound, but not all of it together.
    """
    distinct = list({scenario.digest: scenario for scenario in scenarios}.values())
    if len(distinct) == 1:
        return distinct[0]
    merging = _Merging()
    for scenario in distinct:
        merging.add(scenario)
    if merging.conflicts:
        raise UsageError("\n".join(merging.conflicts))
    name = "-and-".join(scenario.name for scenario in distinct)[:64] or "none"
    return load_mapping({"version": VERSION, "name": name, **merging.data}, source=name)


class _Merging:
    """Puts plain scenarios together, and says what two of them say differently."""

    def __init__(self) -> None:
        self.data: Plain = {}
        self.conflicts: list[str] = []
        self._owners: dict[Path, str] = {}
        self._owner = ""

    def add(self, scenario: Scenario) -> None:
        self._owner = scenario.name
        raw = cast("Plain", read_text(scenario.text, source=scenario.name).data)
        for key, value in raw.items():
            if key in {"rules", "phases"}:
                self._append(key, value)
            elif key == "description":
                self.data[key] = " ".join(filter(None, (self.data.get(key, ""), value)))
            elif key not in {"version", "name"}:
                self._put(self.data, (key,), value)

    def _append(self, section: str, items: Sequence[Plain]) -> None:
        known: list[Plain] = self.data.setdefault(section, [])
        for item in items:
            name = item.get("name")
            twin = next((other for other in known if name and other.get("name") == name), None)
            if twin is None:
                self._owners[section, str(name)] = self._owner
                known.append(item)
            elif twin != item:
                self._conflict((section, str(name)), f"the name {name} in {section}")

    def _put(self, target: Plain, path: Path, value: Any) -> None:
        key = cast("str", path[-1])
        if isinstance(value, dict) and isinstance(target.setdefault(key, {}), dict):
            for inner, item in cast("Plain", value).items():
                self._put(target[key], (*path, inner), item)
        elif key not in target:
            self._owners[path] = self._owner
            target[key] = value
        elif target[key] != value:
            self._conflict(path, ".".join(map(str, path)))

    def _conflict(self, path: Path, what: str) -> None:
        first = self._owners.get(path, "an earlier one")
        self.conflicts.append(
            f"{what} is given twice and differently: in {first} and {self._owner}"
        )
