"""Scenario text → plain data that remembers its places.

YAML is read as events and built up here, so that every key, value and item keeps its line and
column. Plain scalars mean what YAML 1.2 says, not 1.1: `on`, `yes`, `1:30` and dates are texts.

The house rule: nothing here knows what a scenario is; what comes out is JSON's data model and
nothing else.

Source: scenario format, "Strict" (docs/scenarios.md).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from typing import Any, NoReturn, cast

import yaml

from vifsim.errors import Problem, ScenarioError
from vifsim.values import frozen, slotted

Path = tuple[str | int, ...]
"""The way to a value of a document: keys, and places in lists from 0."""

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_KEYS = 200
"""How many keys one mapping may have; nothing that a scenario holds has as many."""
MAX_REPEATED = 20_000
"""How many values aliases may repeat, all together."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times as fast
_UNPRINTABLE = re.compile(
    "[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|(?!\\A)\ufeff"
)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_CONSTANTS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB]\w\w)\\u([dD][c-fC-F]\w\w)")


@slotted
class Node:
    """A value with its place, and the places of its keys; lines and columns count from 1."""

    data: Any
    line: int | None = None
    column: int | None = None
    children: dict[str | int, Node] = field(default_factory=dict[str | int, "Node"])
    keys: dict[str, tuple[int, int]] = field(default_factory=dict[str, tuple[int, int]])
    size: int = 1
    height: int = 1


@frozen
class Document:
    """What was read. `problems` are those that do not stand in the way of reading the rest."""

    root: Node
    problems: tuple[Problem, ...] = ()

    @property
    def data(self) -> Any:
        """The plain data."""
        return self.root.data

    def problem(self, path: Path, detail: str, *, hint: str = "", on_key: bool = False) -> Problem:
        """Return a problem with the place of a value, or of its key.

        A path that leads to nothing has the place of the innermost value on its way that is there.
        """
        node = self.root
        place = (node.line, node.column)
        for step in path:
            child = node.children.get(step)
            if child is None:
                break
            key_place = node.keys.get(step) if isinstance(step, str) else None
            node = child
            place = (key_place if on_key and key_place else None) or (node.line, node.column)
        line, column = place
        return Problem(detail=detail, at=path_text(path), line=line, column=column, hint=hint)


def path_text(path: Path) -> str:
    """Return a path as it is written for people: `rules[0].match`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{shown(step)}" for step in path)
    return text.removeprefix(".")


def shown(value: object) -> str:
    """Return a user's value as it may stand within a one-line message: short and printable."""
    text = value if isinstance(value, str) else _json_text(value)
    if not text or not text.isprintable():
        text = ascii(text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _json_text(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return type(value).__name__


class _Stop(Exception):
    """Reading cannot go on: `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def read_text(text: str, *, source: str) -> Document:
    """Read YAML, or JSON, which is YAML as well.

    Raises:
        ScenarioError: the text cannot be read as one document of plain data.
    """
    try:
        return _read_yaml(text)
    except _Stop as exc:
        problem = exc.problem
    friendly = _yaml_of_json(text)
    if friendly is not None:
        try:
            return _read_yaml(friendly)
        except _Stop as exc:
            problem = exc.problem
    raise ScenarioError(source, [problem])


def decode(data: bytes, *, source: str) -> str:
    """Return the text of a scenario file.

    Raises:
        ScenarioError: too long, or not UTF-8.
    """
    if len(data) > MAX_BYTES:
        raise ScenarioError(source, [_too_long()])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = data[: exc.start].decode("utf-8", "replace")
        raise ScenarioError(source, [_at_end_of(before, "not UTF-8 text")]) from exc


def _too_long() -> Problem:
    return Problem(detail="larger than 1 MiB", line=1, column=1)


def _at_end_of(before: str, detail: str) -> Problem:
    line = before.count("\n") + 1
    column = len(before) - before.rfind("\n")
    return Problem(detail=detail, line=line, column=column)


def _read_yaml(text: str) -> Document:
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise _Stop(_too_long())
    bad = _UNPRINTABLE.search(text)
    if bad:
        detail = f"the character U+{ord(bad.group()):04X} is not allowed"
        raise _Stop(_at_end_of(text[: bad.start()], detail))
    try:
        return _Builder(yaml.parse(text, Loader=_Loader)).document()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        detail = f"not YAML: {exc.problem or exc.context or 'cannot be read'}"
        raise _Stop(_marked(mark, detail)) from exc
    except yaml.YAMLError as exc:
        raise _Stop(Problem(detail="not YAML", line=1, column=1)) from exc


def _yaml_of_json(text: str) -> str | None:
    """Return JSON that PyYAML refuses in a form that it takes, or None where it is no JSON.

    Tabs, which JSON knows as white space only, become blanks, so that columns stay; a character
    that is escaped as a pair of surrogates becomes the character.
    """
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _SURROGATES.sub(_joined, text.replace("\t", " "))


def _joined(pair: re.Match[str]) -> str:
    before, high, low = pair.groups()
    return before + chr(0x10000 + ((int(high, 16) - 0xD800) << 10) + int(low, 16) - 0xDC00)


def _marked(mark: Any, detail: str, hint: str = "") -> Problem:
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    return Problem(detail=detail, line=line, column=column, hint=hint)


class _Builder:
    """Builds nodes from YAML events, and counts what aliases repeat."""

    def __init__(self, events: Any) -> None:
        self._events: Iterator[Any] = iter(events)
        self._anchors: dict[str, Node | None] = {}
        self._repeated = 0
        self._problems: list[Problem] = []

    def document(self) -> Document:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._stop(event, "a second document begins", "one scenario in one file")
                root = self._node(next(self._events), 1)
        return Document(root=root or Node(None, 1, 1), problems=tuple(self._problems))

    def _stop(self, event: Any, detail: str, hint: str = "") -> NoReturn:
        raise _Stop(_marked(event.start_mark, detail, hint))

    def _node(self, event: Any, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if depth > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH}")
        if event.tag is not None:
            self._problem(event, f"tags are not allowed: {shown(event.tag)}")
        anchor: str | None = event.anchor
        if anchor is not None:
            self._anchors[anchor] = None
        node = self._new_node(event, depth)
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _new_node(self, event: Any, depth: int) -> Node:
        line, column = _place(event)
        if isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0]
            return Node(_constant(event.value) if plain else event.value, line, column)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(Node([], line, column), depth)
        return self._mapping(Node({}, line, column), depth)

    def _sequence(self, node: Node, depth: int) -> Node:
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            child = self._node(event, depth + 1)
            node.children[len(node.data)] = child
            node.data.append(child.data)
            _grow(node, child)
        return node

    def _mapping(self, node: Node, depth: int) -> Node:
        event: Any
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._stop(event, "a key must be text")
            key = event.value
            place = _place(event)
            if len(node.keys) >= MAX_KEYS:
                self._stop(event, f"more than {MAX_KEYS} keys")
            if key in node.keys:
                first = f"first in line {node.keys[key][0]}"
                self._problem(event, f"the key {shown(key)} is given twice", first)
            if event.tag is not None:
                self._problem(event, f"tags are not allowed: {shown(event.tag)}")
            child = self._node(next(self._events), depth + 1)
            node.keys[key] = place
            node.children[key] = child
            node.data[key] = child.data
            _grow(node, child)
        return node

    def _alias(self, event: Any, depth: int) -> Node:
        if event.anchor not in self._anchors:
            self._stop(event, f"no anchor is called {shown(event.anchor)}")
        node = self._anchors[event.anchor]
        if node is None:
            self._stop(event, f"the alias {shown(event.anchor)} is within its own anchor")
        self._repeated += node.size
        if self._repeated > MAX_REPEATED:
            self._stop(event, f"aliases repeat more than {MAX_REPEATED} values")
        if depth + node.height - 1 > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH}")
        line, column = _place(event)
        return replace(node, line=line, column=column)

    def _problem(self, event: Any, detail: str, hint: str = "") -> None:
        self._problems.append(_marked(event.start_mark, detail, hint))


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _grow(node: Node, child: Node) -> None:
    node.size += child.size
    node.height = max(node.height, child.height + 1)


def _constant(text: str) -> str | int | float | bool | None:
    """Return what a plain scalar means.

    Source: YAML 1.2.2, section 10.3.2, core schema; without octal and hexadecimal numbers,
    infinities and what no float holds, which stay texts.
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text


# ── data that never was text ─────────────────────────────────────────────────────────────────────


def read_data(data: object, *, source: str) -> Document:
    """Take a copy of plain data: mappings with text for keys, lists, tuples and scalars.

    Raises:
        ScenarioError: there is something else in it, or it is nested too deep.
    """
    try:
        return Document(root=_copied(data, ()))
    except _Stop as exc:
        raise ScenarioError(source, [exc.problem]) from exc


def _copied(value: object, path: Path) -> Node:
    if len(path) >= MAX_DEPTH:
        raise _Stop(Problem(detail=f"nested deeper than {MAX_DEPTH}", at=path_text(path)))
    node = Node(value)
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        if len(items) > MAX_KEYS:
            raise _Stop(Problem(detail=f"more than {MAX_KEYS} keys", at=path_text(path)))
        node.children = {_key(key, path): _copied(item, (*path, str(key))) for key, item in items}
        node.data = {key: child.data for key, child in node.children.items()}
    elif isinstance(value, list | tuple):
        things = cast("list[object]", value)
        node.children = {i: _copied(item, (*path, i)) for i, item in enumerate(things)}
        node.data = [child.data for child in node.children.values()]
    elif not _is_plain(value):
        detail = f"{type(value).__name__} is not plain data"
        raise _Stop(Problem(detail=detail, at=path_text(path), hint="text, number, true or null"))
    return node


def _key(key: object, path: Path) -> str:
    if isinstance(key, str) and _is_plain(key):
        return key
    detail = f"a key must be text, not {shown(key)}"
    raise _Stop(Problem(detail=detail, at=path_text(path)))


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 10**18
    return value is None
