"""Shipped scenarios, mutated: each still loads and can be served, or is refused at a place."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from vifsim.cli.drawing import drawn
from vifsim.draws import draw
from vifsim.errors import ScenarioError, UsageError
from vifsim.http.codec import as_list, as_object
from vifsim.http.openapi import documented_statuses
from vifsim.scenario.lint import lint
from vifsim.scenario.plan import plan
from vifsim.scenario.schema import load_mapping, load_named, load_text, load_world, shipped_names
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from vifsim.errors import Problem
    from vifsim.scenario.rule import Scenario

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
PATH = f"/servers/{WEB_1}/os-virtual-interfacesv2"
PAGES = Path(__file__).parents[2] / "docs"
PATIENCE = 20
"""Seconds after which a mutation counts as one that hangs."""

TEXTS = [load_named(name).text for name in shipped_names()]
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (PAGES / "scenarios.md").read_text("utf-8"), re.DOTALL)
WORDS = sorted(set(re.findall(r"[\w.*-]+", "\n".join([*TEXTS, *EXAMPLES]))))
LINES = sorted({line for text in (*TEXTS, *EXAMPLES) for line in text.splitlines()})
MARKS: tuple[str, ...] = (
    *(":", "- ", "{", "}", "[", "]", ",", "#", "'", '"', "\n", "  ", "\t", "&a ", "*a", "!!x "),
    *("|\n", ">\n", "? ", "---\n", "%YAML 1.1\n", "\0", "\ufeff", "\u2028", "<<: ", "0x1f", "~"),
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 0.5, 1e308, 5e-324, 10**17, 600),
    *("", " ", "\n", "0s", "1e9s", "3 days", "*", "none", "\u2028", "\U0001f600", "a" * 300),
    *("99999999999999h", "-5s", "30%", "::1", "10.0.0.0/0"),
    *([], [[]], {}, {"": None}, ["create_*"]),
)
NUMBERS = ("0", "1", "2", "7", "60", "503", "1e3", "0.001", "0.25", "-1", "99999999", "1e300")


class Choices:
    """The choices that make the `number`-th mutation."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._count = 0

    def below(self, end: int) -> int:
        """Return a whole number from 0 to below `end`."""
        self._count += 1
        return int(draw(self._number, "mutation", self._count) * end)

    def of(self, things: Sequence[Any]) -> Any:
        """Return one of the things."""
        return things[self.below(len(things))]


# ── the text ──


def spoiled_text(choices: Choices) -> str:
    text = str(choices.of(TEXTS))
    for _ in range(choices.of((1, 1, 1, 2, 4))):
        text = choices.of(TEXT_STEPS)(text, choices)
    return text


def cut(text: str, choices: Choices) -> str:
    place = choices.below(len(text) + 1)
    return text[:place] + text[place + 1 + choices.below(30) :]


def doubled(text: str, choices: Choices) -> str:
    place = choices.below(len(text) + 1)
    return text[:place] + text[place : place + choices.below(120)] + text[place:]


def put_in(text: str, choices: Choices) -> str:
    place = choices.below(len(text) + 1)
    return text[:place] + str(choices.of(MARKS)) + text[place:]


def other_word(text: str, choices: Choices) -> str:
    found = list(re.finditer(r"[\w.*-]+", text))
    if not found:
        return text
    match = choices.of(found)
    return text[: match.start()] + str(choices.of(WORDS)) + text[match.end() :]


def other_number(text: str, choices: Choices) -> str:
    """Put another number where one stands; its unit stays."""
    found = list(re.finditer(r"(?<![\w-])[0-9.]+", text))
    if not found:
        return text
    match = choices.of(found)
    return text[: match.start()] + str(choices.of(NUMBERS)) + text[match.end() :]


def other_line(text: str, choices: Choices) -> str:
    lines = text.split("\n")
    place = choices.below(len(lines))
    lines[place : place + choices.below(2)] = [str(choices.of(LINES))]
    return "\n".join(lines)


def other_indent(text: str, choices: Choices) -> str:
    lines = text.split("\n")
    place = choices.below(len(lines))
    lines[place] = " " * choices.below(8) + lines[place].lstrip()
    return "\n".join(lines)


TEXT_STEPS = (cut, doubled, put_in, other_word, other_line, other_indent, *[other_number] * 4)


# ── the structure ──


def spoiled_data(choices: Choices) -> Any:
    data = yaml.safe_load(str(choices.of(TEXTS)))
    for _ in range(choices.of((1, 1, 1, 2, 4))):
        places = list(places_in(data))
        if not places:
            return data
        holder, key = choices.of(places)
        choices.of((replaced, replaced, dropped, repeated, renamed, exchanged))(
            holder, key, choices
        )
    return data


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every (holder, key or index) within plain data."""
    mapping, several = as_object(value), as_list(value)
    items: list[tuple[Any, Any]] = list((mapping or {}).items()) or list(enumerate(several or ()))
    for key, item in items:
        yield value, key
        yield from places_in(item)


def some_value(choices: Choices) -> Any:
    if choices.below(2):
        return json.loads(json.dumps(choices.of(VALUES)))
    text = str(choices.of(WORDS))
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 18 else text


def replaced(holder: Any, key: Any, choices: Choices) -> None:
    holder[key] = some_value(choices)


def dropped(holder: Any, key: Any, choices: Choices) -> None:
    del holder[key]


def repeated(holder: Any, key: Any, choices: Choices) -> None:
    """Put what is there once more: beside itself, or into itself."""
    copied = json.loads(json.dumps(holder[key], default=str))
    several = as_list(holder)
    if several is not None:
        several.append(copied)
    else:
        holder[key] = [copied, copied] if choices.below(2) else {key: copied}


def renamed(holder: Any, key: Any, choices: Choices) -> None:
    mapping = as_object(holder)
    if mapping is not None:
        mapping[str(choices.of(WORDS))] = mapping.pop(key)


def exchanged(holder: Any, key: Any, choices: Choices) -> None:
    """Put in what stands at some place of another scenario."""
    other = yaml.safe_load(str(choices.of((*TEXTS, *EXAMPLES))))
    donors = list(places_in(other))
    if donors:
        donor, place = choices.of(donors)
        holder[key] = json.loads(json.dumps(donor[place], default=str))


# ── what must hold ──


@contextmanager
def alarmed(number: int) -> Generator[None]:
    """Turn a hang into a failure that names the mutation."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"mutation {number} hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def loaded(number: int) -> Scenario | None:
    """Return what the `number`-th mutation loads as; None: it is refused as it should be."""
    choices = Choices(number)
    if number % 2:
        text = spoiled_text(choices)
    else:
        data = spoiled_data(choices)
        text = json.dumps(data, indent=2)
        check_mapping(data)
    try:
        return load_text(text, source="m.yaml")
    except ScenarioError as exc:
        check_refusal(exc, text)
        return None


def check_refusal(exc: ScenarioError, text: str) -> None:
    """Hold that each problem is one line that names a place in the text."""
    lines = text.split("\n")
    assert exc.problems
    for problem in exc.problems:
        assert problem.line is not None
        assert problem.column is not None
        assert 1 <= problem.line <= len(lines) + 1, problem
        assert problem.column >= 1, problem
        assert problem.detail
        assert problem.detail.isprintable(), problem
        assert not problem.hint or problem.hint.isprintable(), problem
    assert len(str(exc).split("\n")) == len(exc.problems)


def check_mapping(data: Any) -> None:
    """Hold that data from Python code are a scenario, or refused with a path."""
    problems: Sequence[Problem] = ()
    try:
        load_mapping(data)
    except ScenarioError as exc:
        problems = exc.problems
    assert all(problem.line is None and problem.detail.isprintable() for problem in problems)


def check_plan(scenario: Scenario) -> None:
    """Hold that a scenario can be checked, planned and drawn."""
    world = load_world(scenario.world, scenario.seed or 0)
    lint(scenario, documented_statuses())
    assert list(drawn(plan(scenario, world)))


async def check_served(scenario: Scenario, number: int) -> None:
    """Hold that a cloud of this scenario answers, and that its journal can be read and judged."""
    async with Simulator(scenario=scenario, clock="manual", self_stepping=True) as cloud:
        for kind, path, body in (
            ("GET", "/servers", ""),
            ("POST", PATH, json.dumps({"virtual_interface": {"network_id": ADDED_NETWORK}})),
            ("GET", PATH, ""),
            ("DELETE", f"{PATH}/{WEB_1}", ""),
            ("GET", "/limits", ""),
        ):
            await asyncio.wait_for(told(cloud, kind, path, body), PATIENCE / 2)
        cloud.edge.cut_calls()
        cloud.scorecard_document()
        list(cloud.journal.lines(cloud.export_header()))
        cloud.scenario_document()
        await cloud.snapshot()
        assert cloud.edge.last_defect is None, number


async def told(cloud: Simulator, method: str, path: str, body: str) -> bytes:
    """Return what comes back before it falls silent; a hang is an answer too."""
    host, _, port = cloud.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: sim\r\nX-Auth-Token: {cloud.token}\r\n"
        "Content-Type: application/json\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    try:
        return await asyncio.wait_for(reader.read(), 0.5)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        writer.close()


async def hold(numbers: range, *, serve_every: int) -> tuple[int, int]:
    """Try mutations; return how many loaded, and how many were refused."""
    good = 0
    for number in numbers:
        with alarmed(number):
            scenario = loaded(number)
            if scenario is None:
                continue
            good += 1
            try:
                check_plan(scenario)
                if good % serve_every == 0:
                    await check_served(scenario, number)
            except UsageError as exc:
                raise AssertionError(f"mutation {number} loads, but: {exc}") from exc
    return good, len(numbers) - good


async def test_a_mutated_scenario_can_be_served_or_is_refused_at_its_place() -> None:
    good, refused = await hold(range(300), serve_every=4)

    assert good > 30
    assert refused > 100


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
async def test_20_000_mutated_scenarios_can_be_served_or_are_refused(part: int) -> None:
    await hold(range(part * 1000, (part + 1) * 1000), serve_every=1)
