"""The schemas of a scenario, and how one is read: shape first, then what must fit together.

The house rule: every check looks at what is given, so that one mistake hides no other.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, cast

from marshmallow import ValidationError, post_load

from vifsim.errors import Problem, ScenarioError
from vifsim.scenario.durations import Duration
from vifsim.scenario.fields import Choice, Count, Flag, Name, Number, Table, Text, Value
from vifsim.scenario.flaws import Flaw, Flaws, did_you_mean, refusal
from vifsim.scenario.rule import SCORECARD_RULES, ClientIntent, Expectation, Phase, Rule, Scenario
from vifsim.scenario.rule_schema import RuleIds, RuleSchema, rule_of
from vifsim.scenario.shadow import shadowed
from vifsim.scenario.strict import Strict, load_with, many, one
from vifsim.scenario.text import Document, Path, shown
from vifsim.scenario.world_schema import WorldSchema, read_world

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Plain = dict[str, Any]
VERSION = 1
MAX_RULES = 500
_RESERVED = re.compile(r"documented-[0-9]+")
_LARGEST_SEED = 2**63 - 1


# ── schemas ──────────────────────────────────────────────────────────────────────────────────────


class Version(Value[int]):
    """The version of the format."""

    def _read(self, value: object) -> int:
        if value != VERSION or isinstance(value, bool | float):
            hint = f"this vifsim reads version {VERSION}"
            raise refusal(f"must be {VERSION}, not {shown(value)}", hint)
        return VERSION


class Seed(Count):
    """What every draw depends on."""

    def _read(self, value: object) -> int:
        seed = super()._read(value)
        if seed > _LARGEST_SEED:
            raise refusal(f"must be at most {_LARGEST_SEED}")
        return seed


class PhaseSchema(Strict):
    """A named stretch of scenario time."""

    name = Name("What rules call it.", required=True)
    start = Duration("When it begins.", required=True, data_key="from")
    length = Duration("How long it lasts.", above_zero=True, required=True, data_key="for")

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Phase:
        """Return the value."""
        return Phase(name=data["name"], start=data["start"], end=data["start"] + data["length"])


class ClientSchema(Strict):
    """What the client under test means to do."""

    keeps = Count("Interfaces left on purpose.", least=0)
    fail_fast = Flag("Whether it makes one attempt only, by design.")
    max_reasonable_wait = Duration("A longer Retry-After may be ignored; 1h unless said.")

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> ClientIntent:
        """Return the value."""
        return ClientIntent(**data)


class ThresholdsSchema(Strict):
    """Where the scorecard draws its lines."""

    max_attempts = Count("Attempts in a chain (retries_capped); 10 unless said.")
    timeout_max = Duration("When a hung call is given up (hung_request_abandoned).")
    reasonable = Duration("What a client waits for (timeout_not_too_short).")
    deadline = Duration("All attempts together (overall_deadline).", above_zero=True)
    amplification = Number("Requests for one intent in an outage (amplification_bounded).")
    window = Duration("How far apart attempts of one intent are.", above_zero=True)
    polls_per_minute = Number("Lists of one server (poll_paced).")


def _scorecard_rule(key: str) -> str:
    if key not in SCORECARD_RULES:
        detail = f"unknown scorecard rule {shown(key)}"
        raise ValidationError([Flaw(detail, did_you_mean(key, SCORECARD_RULES), on_key=True)])
    return key


class ExpectSchema(Strict):
    """What turns a scenario into a test."""

    rules = Table(
        "Scorecard rule → the verdict that it must have.",
        _scorecard_rule,
        Choice("", ("pass", "fail", "any")),
    )
    interfaces = Count("Made by the client and left at the end.", least=0)
    max_requests = Count("The most requests that it may take.", least=0)
    finishes_within = Duration("How long it may take.", above_zero=True)
    thresholds = one(ThresholdsSchema, "Where the scorecard draws its lines.")

    @post_load
    def to_value(self, data: dict[str, Any], **_: object) -> Expectation:
        """Return the value."""
        return Expectation(**data)


class ScenarioSchema(Strict):
    """A scenario: how the cloud misbehaves, to whom, and when."""

    version = Version("The version of the format.", required=True)
    name = Name("What it is called; the file's stem unless said.")
    description = Text("One sentence for people.", longest=4096, empty=True)
    seed = Seed("What every draw depends on.", least=0)
    start = Choice("When scenario time begins.", ("load", "first_call"))
    hold = Duration("How long every injected answer is held.")
    world = one(WorldSchema, "What exists at the start, and how the cloud behaves.")
    phases = many(PhaseSchema, "Named stretches of scenario time; they may overlap.")
    rules = many(RuleSchema, "What goes wrong; read from the top for every call.")
    client = one(ClientSchema, "What the client under test means to do.")
    expect = one(ExpectSchema, "What turns the scenario into a test.")


# ── one scenario ─────────────────────────────────────────────────────────────────────────────────


def read_scenario(document: Document, *, source: str, text: str) -> Scenario:
    """Return the scenario of a document.

    Raises:
        ScenarioError: it is not sound; all that is wrong at once.
    """
    raw = document.data
    if not isinstance(raw, dict):
        detail = "the scenario is empty" if raw is None else "a scenario must be a mapping"
        problem = document.problem((), detail, hint=f"begin with version: {VERSION}")
        raise ScenarioError(source, [*document.problems, problem])
    given = cast("Plain", raw)
    _check_number(document, given, source)
    data, flaws = load_with(ScenarioSchema, given)
    sources = _mappings(given.get("rules"))
    flaws += [*_world_flaws(given, flaws), *_names_and_phases(given, sources)]
    rules = _rules(document, sources, data.get("rules", []) if not flaws else None, flaws)
    flaws += _shadow_flaws(rules)
    if flaws or document.problems:
        raise ScenarioError(source, _sorted([*document.problems, *problems_of(document, flaws)]))
    return Scenario(
        name=data.get("name") or _name_of(source),
        description=data.get("description", ""),
        seed=data.get("seed"),
        start=data.get("start", "load"),
        hold=data.get("hold", 0.0),
        world=given.get("world", {}),
        phases=tuple(data.get("phases", ())),
        rules=tuple(rules.values()),
        client=data.get("client", ClientIntent()),
        expect=data.get("expect", Expectation()),
        text=text,
        digest=blake2b(text.encode(), digest_size=16).hexdigest(),
    )


def _name_of(source: str) -> str:
    """Return the stem of a source in the form of a name."""
    words = re.findall("[a-z0-9]+", PurePath(source).stem.lower())
    return "-".join(words)[:64] or "scenario"


def _mappings(items: object) -> dict[int, Plain]:
    """Return the mappings of a list by their places."""
    things = cast("list[object]", items) if isinstance(items, list) else []
    return {i: cast("Plain", item) for i, item in enumerate(things) if isinstance(item, dict)}


def _check_number(document: Document, given: Plain, source: str) -> None:
    """Refuse more rules than anyone means to write, before the time is spent to read them.

    Raises:
        ScenarioError: there are too many.
    """
    rules = given.get("rules")
    if isinstance(rules, list) and len(cast("list[object]", rules)) > MAX_RULES:
        hint = "one rule may match several operations"
        problem = document.problem(("rules", MAX_RULES), f"more than {MAX_RULES} rules", hint=hint)
        raise ScenarioError(source, [*document.problems, problem])


def _rules(
    document: Document,
    sources: Mapping[int, Plain],
    loaded: Sequence[Plain] | None,
    flaws: Flaws,
) -> dict[int, Rule]:
    """Return the sound rules by their places; `loaded` None: some are not sound."""
    broken = {path[1] for path, _ in flaws if path[:1] == ("rules",) and len(path) > 1}
    rules: dict[int, Rule] = {}
    ids = RuleIds()
    for index, source in sources.items():
        if index in broken:
            continue
        data = loaded[index] if loaded is not None else load_with(RuleSchema, source)[0]
        node = document.root.children["rules"].children[index]
        place = (node.line or 0, node.column or 0)
        rules[index] = rule_of(data, id=ids.of(source), source=source, place=place)
    return rules


# ── what does not fit together ───────────────────────────────────────────────────────────────────


def _world_flaws(given: Plain, flaws: Flaws) -> Flaws:
    world = given.get("world")
    if not isinstance(world, dict) or any(path[:1] == ("world",) for path, _ in flaws):
        return []
    _, found = read_world(cast("Plain", world))
    return [(("world", *path), flaw) for path, flaw in found]


def _names_and_phases(given: Plain, rules: Mapping[int, Plain]) -> Iterator[tuple[Path, Flaw]]:
    phases = _mappings(given.get("phases"))
    yield from _name_flaws(rules, set())
    names: set[str] = set()
    for index, phase in phases.items():
        name = phase.get("name")
        if isinstance(name, str):
            if name in names:
                yield ("phases", index, "name"), _twice("phase", name)
            names.add(name)
    if isinstance(given.get("phases", []), list):
        yield from _phase_flaws(rules, names)


def added_rule_flaws(given: object, taken: set[str], phases: set[str]) -> Flaws:
    """Return what is wrong with a rule's name and phases where others run already."""
    rules = _mappings([given])
    found = [*_phase_flaws(rules, phases), *_name_flaws(rules, taken)]
    return [(path[2:], flaw) for path, flaw in found]


def _twice(kind: str, name: str) -> Flaw:
    return Flaw(f"there is another {kind} {shown(name)}", "a name may be given once")


def _name_flaws(rules: Mapping[int, Plain], taken: set[str]) -> Iterator[tuple[Path, Flaw]]:
    for index, rule in rules.items():
        name = rule.get("name")
        if not isinstance(name, str):
            continue
        if _RESERVED.fullmatch(name):
            flaw = Flaw(f"{name} is the name of a documented rate limit", "choose another")
            yield ("rules", index, "name"), flaw
        elif name in taken:
            yield ("rules", index, "name"), _twice("rule", name)
        taken.add(name)


def _phase_flaws(rules: Mapping[int, Plain], known: set[str]) -> Iterator[tuple[Path, Flaw]]:
    for index, rule in rules.items():
        during = rule.get("during")
        path: Path = ("rules", index, "during")
        named: list[tuple[Path, object]] = [(path, during)]
        if isinstance(during, list):
            named = [((*path, i), item) for i, item in enumerate(cast("list[object]", during))]
        for place, name in named:
            if isinstance(name, str) and name not in known:
                flaw = Flaw(f"there is no phase {shown(name)}", did_you_mean(name, known))
                yield place, flaw


def _shadow_flaws(rules: Mapping[int, Rule]) -> Iterator[tuple[Path, Flaw]]:
    for index, wall in shadowed(rules):
        where = f" in line {wall.line}" if wall.line else ""
        detail = f"this rule is never reached: {wall.id}{where} answers every such call"
        yield ("rules", index), Flaw(detail, "move it up, or limit the other")


def problems_of(document: Document, flaws: Flaws) -> list[Problem]:
    """Return flaws with their places, in the order of the text."""
    return _sorted(
        document.problem(path, flaw.at(path), hint=flaw.hint, on_key=flaw.on_key)
        for path, flaw in flaws
    )


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))
