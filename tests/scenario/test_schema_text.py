"""What the text of a scenario may be, and where each of its errors is."""

from __future__ import annotations

import json

import pytest

from vifsim.errors import ScenarioError
from vifsim.scenario.schema import load_mapping, load_text


def errors_of(text: str) -> list[tuple[int | None, int | None, str]]:
    with pytest.raises(ScenarioError) as caught:
        load_text(text, source="t.yaml")
    return [(found.line, found.column, found.detail) for found in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "line", "column", "detail"),
    [
        ("", 1, 1, "the scenario is empty"),
        ("# nothing\n", 1, 1, "the scenario is empty"),
        ("- version: 1\n", 1, 1, "a scenario must be a mapping"),
        ("version: 1\nname: [a\n", 3, 1, "not YAML"),
        ("version: 1\n\tname: a\n", 2, 1, "not YAML"),
        ("version: 1\nname: !!python/name:os.system x\n", 2, 7, "tags are not allowed"),
        ("version: 1\nseed: !!int '7'\n", 2, 7, "tags are not allowed"),
        ("version: 1\n? [a]\n: b\n", 2, 3, "a key must be text"),
        ("version: 1\nname: a\nname: b\n", 3, 1, "the key name is given twice"),
        ("version: 1\n---\nversion: 1\n", 2, 1, "a second document begins"),
        ("version: 1\nname: *a\n", 2, 7, "no anchor is called a"),
        ("version: 1\nrules: &a [*a]\n", 2, 12, "the alias a is within its own anchor"),
        ("version: 1\nname: \x07\n", 2, 7, "the character U+0007 is not allowed"),
        ("version: 1\nname: \ud800\n", 2, 7, "the character U+D800 is not allowed"),
        ("version: 1\nrules: " + "[" * 30 + "]" * 30, 2, 27, "nested deeper than 20"),
        ("version: 1\n#" + "x" * (1 << 20), 1, 1, "larger than 1 MiB"),
        ("version: 1\n" + "".join(f"k{n}: 1\n" for n in range(300)), 201, 1, "more than 200 keys"),
        ("version: 1\nrules:\n" + "- {reset: true}\n" * 600, 503, 3, "more than 500 rules"),
    ],
)
def test_text_that_cannot_be_a_scenario_is_refused_at_its_place(
    text: str, line: int, column: int, detail: str
) -> None:
    first = errors_of(text)[0]

    assert first[:2] == (line, column)
    assert detail in first[2]


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    found = errors_of("\n".join(lines))

    assert [detail for *_, detail in found] == ["aliases repeat more than 20000 values"]


def test_aliases_do_not_get_round_the_limit_of_depth() -> None:
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} {'[' * 10}*a{i - 1}{']' * 10}" for i in range(1, 4)]

    assert errors_of("\n".join(lines))[0][2] == "nested deeper than 20"


def test_an_alias_may_repeat_a_part_of_the_scenario() -> None:
    text = (
        "version: 1\n"
        "rules:\n"
        "  - {match: &some [create_*, delete_*], first: 1, status: 503}\n"
        "  - {match: *some, reset: true}\n"
    )

    first, second = load_text(text, source="t.yaml").rules

    assert first.match == second.match


def test_an_error_within_an_alias_is_told_where_it_was_written() -> None:
    text = "version: 1\nrules:\n  - {match: &some {metod: GET}, reset: true}\n"

    assert errors_of(text) == [(3, 20, "unknown key metod")]


@pytest.mark.parametrize("word", ["yes", "on", "off", "no"])
def test_words_that_were_booleans_in_older_yaml_are_texts(word: str) -> None:
    scenario = load_text(f"version: 1\nname: {word}\n", source="t.yaml")

    assert scenario.name == word


def test_json_loads_as_it_is() -> None:
    rule = {"match": "create_*", "first": 2, "status": 503, "message": 'a "b" \\ \U0001f600\t/'}
    document = {"version": 1, "name": "from-json", "rules": [rule]}

    plain = load_text(json.dumps(document), source="t.json")
    pretty = load_text(json.dumps(document, indent="\t", ensure_ascii=False), source="t.json")

    assert plain.rules[0].source == pretty.rules[0].source == rule


def test_errors_of_tab_indented_json_have_their_places() -> None:
    text = '{\n\t"version": 1,\n\t"sed": 7\n}\n'

    assert errors_of(text) == [(3, 2, "unknown key sed")]


def test_errors_come_in_the_order_of_the_text_one_line_each() -> None:
    text = "version: 2\nsed: 1\nrules:\n  - {reset: yes}\nname: a\nname: b\n"

    with pytest.raises(ScenarioError) as caught:
        load_text(text, source="dir/t.yaml")

    assert str(caught.value).splitlines() == [
        "dir/t.yaml:1:10: version must be 1, not 2 (this vifsim reads version 1)",
        "dir/t.yaml:2:1: unknown key sed (did you mean seed?)",
        "dir/t.yaml:4:13: reset must be true, not yes (or leave the key out)",
        "dir/t.yaml:6:1: the key name is given twice (first in line 5)",
    ]


def test_keys_that_are_no_single_line_do_not_break_the_line() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text('version: 1\n"a\\nb": 1\n', source="t.yaml")

    assert str(caught.value) == r"t.yaml:2:1: unknown key 'a\nb'"


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), b"x", float("nan"), float("inf"), "\ud800", {1: "x"}, 10**30]
)
def test_a_mapping_may_hold_plain_data_only(value: object) -> None:
    with pytest.raises(ScenarioError):
        load_mapping({"version": 1, "description": value})


def test_a_mapping_that_holds_itself_is_refused() -> None:
    rules: list[object] = []
    rules.append(rules)

    with pytest.raises(ScenarioError, match="nested deeper than 20"):
        load_mapping({"version": 1, "rules": rules})


def test_a_mapping_of_more_keys_than_a_scenario_has_is_refused() -> None:
    with pytest.raises(ScenarioError, match="more than 200 keys"):
        load_mapping({"version": 1, "world": {f"k{number}": 1 for number in range(201)}})


def test_an_error_in_a_mapping_is_told_by_its_path() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_mapping({"version": 1, "rules": [{"reset": True, "frist": 1}]})

    assert str(caught.value) == "scenario: rules[0].frist: unknown key frist (did you mean first?)"
    assert caught.value.problems[0].line is None
