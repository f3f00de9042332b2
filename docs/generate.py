"""Writes the pages that are made from the code: `python docs/generate.py`.

A test compares them with what stands here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marshmallow import fields as plain

from vifsim.cli import COMMANDS, parser_of, takes_command
from vifsim.cli.drawing import drawn
from vifsim.scenario import durations, fault_schema, fields, scenario_schema
from vifsim.scenario.plan import plan
from vifsim.scenario.schema import load_named, load_world, shipped_names
from vifsim.scenario.strict import Strict, instance

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

DOCS = Path(__file__).parent
REFERENCE = re.compile("(?<=<!-- reference -->\n).*(?=<!-- end of reference -->)", re.DOTALL)

FORMS: dict[type, str] = {
    scenario_schema.Version: "`1`",
    fault_schema.HangTime: "duration, `forever`",
    fault_schema.ByteRate: "`16B/s`",
    fault_schema.PartOfBody: "`40%`, `128B`",
    fault_schema.RetryAfterWord: "`auto`, `none`, duration",
    fault_schema.OneSetting: "`{path: value}`",
    fault_schema.DataPath: "path",
    durations.Duration: "duration",
    durations.Rate: "rate",
    fields.Count: "whole number",
    fields.Number: "number",
    fields.Probability: "0 to 1",
    fields.Flag: "`true`, `false`",
    fields.Marker: "`true`",
    fields.Name: "name",
    fields.Text: "text",
}
"""How the values of a field are written, the special kinds of field first."""


def form_of(field: Any) -> str:
    """Return how the value of a field is written."""
    known = field  # which keeps its parts when the match narrows it
    match field:
        case fields.Choice():
            return ", ".join(f"`{choice}`" for choice in known.choices)
        case fields.Either():
            return f"{form_of(known.short)}, or {_link(known.long)}"
        case fields.ListOf():
            return _form_of_list(known)
        case plain.List():
            return f"list of: {form_of(known.inner)}"
        case plain.Nested():
            return _link(known.schema.__class__)
        case _:
            kinds = (form for kind, form in FORMS.items() if isinstance(field, kind))
            return next(kinds, "mapping" if isinstance(field, fields.Table) else "text")


def _form_of_list(field: fields.ListOf[Any]) -> str:
    item = form_of(field.item)
    if field.length is not None:
        return f"`[{', '.join([item] * field.length)}]`"
    return f"{item}, or a list" if field.or_one else f"list of: {item}"


def _title(schema: type[Any]) -> str:
    words = re.findall("[A-Z][a-z0-9]*", schema.__name__.removesuffix("Schema"))
    return " ".join(words).capitalize()


def _link(schema: type[Any]) -> str:
    return f"[{_title(schema).lower()}](#{_title(schema).lower().replace(' ', '-')})"


def _inner(field: Any) -> Iterator[type[Any]]:
    """Yield the schemas that a field's value may be read by."""
    known = field
    match field:
        case fields.Either():
            yield from _inner(known.short)
            yield known.long
        case fields.ListOf():
            yield from _inner(known.item)
        case plain.List():
            yield from _inner(known.inner)
        case plain.Nested():
            yield known.schema.__class__
        case _:
            return


def _fields(schema: type[Strict]) -> dict[str, Any]:
    known: Any = instance(schema)  # whose fields marshmallow leaves half typed
    return dict(known.fields)


def _schemas(schema: type[Strict], seen: dict[type[Strict], None]) -> dict[type[Strict], None]:
    """Return a schema and all below it, each once, in the order in which they are read."""
    if schema not in seen:
        seen[schema] = None
        for field in _fields(schema).values():
            for inner in _inner(field):
                _schemas(inner, seen)
    return seen


def reference() -> str:
    """Return the tables of all keys, one for each schema."""
    return "\n".join(_section(schema) for schema in _schemas(scenario_schema.ScenarioSchema, {}))


def _section(schema: type[Strict]) -> str:
    said = " ".join((schema.__doc__ or "").split())
    rows = "".join(_row(field.data_key or name, field) for name, field in _fields(schema).items())
    head = f"### {_title(schema)}\n{said}\n\n| key | value | meaning |\n|---|---|---|\n"
    return f"{head}{rows}"


def _row(key: str, field: Any) -> str:
    shown = f"**`{key}`**" if field.required else f"`{key}`"
    meaning = field.metadata["description"].replace("|", "\\|")
    return f"| {shown} | {form_of(field)} | {meaning} |\n"


def scenario_page(name: str) -> str:
    """Return the page of a shipped scenario: what it says, and what that comes to."""
    scenario = load_named(name)
    made = plan(scenario, load_world(scenario.world, scenario.seed or 0))
    picture = "\n".join(line.plain.rstrip() for line in list(drawn(made))[2:])
    return (
        f"# {name}\n\n{scenario.description}\n\n```yaml\n{scenario.text.strip()}\n```\n\n"
        f"`vifsim scenarios plan {name}` draws:\n\n```text\n{picture}\n```\n"
    )


def commands() -> str:
    """Return what each command is for, and its arguments."""
    return "\n".join(_command(name) for name in COMMANDS)


def _command(name: str) -> str:
    parser = parser_of(name)
    rows = "".join(map(_argument, parser._actions[1:]))  # noqa: SLF001 -- argparse lists them nowhere else
    table = f"\n| argument | meaning |\n|---|---|\n{rows}" if rows else ""
    after = " -- COMMAND" if takes_command(name) else ""
    return f"### vifsim {name}{after}\n{parser.description}\n{table}"


def _argument(action: argparse.Action) -> str:
    choices = None if action.choices is None else "\\|".join(map(str, action.choices))
    value = action.metavar if isinstance(action.metavar, str) else choices or action.dest.upper()
    shown = value.replace("\\|", "|").replace("|", "\\|")
    if action.option_strings:
        shown = f"{action.option_strings[0]} {'' if action.nargs == 0 else shown}".strip()
    meaning = (action.help or "").replace("%%", "%").replace("|", "\\|")
    return f"| `{shown}` | {meaning} |\n"


def pages() -> dict[Path, str]:
    """Return every generated page, by its path."""
    found = {DOCS / "scenarios" / f"{name}.md": scenario_page(name) for name in shipped_names()}
    index = "".join(
        f"- [{name}]({name}.md): {load_named(name).description}\n" for name in shipped_names()
    )
    found[DOCS / "scenarios" / "README.md"] = (
        "# The scenarios that ship\n\nChoose one by its name, `--scenario brownout`. The format is "
        f"in [scenarios.md](../scenarios.md).\n\n{index}"
    )
    page = DOCS / "scenarios.md"
    found[page] = REFERENCE.sub(lambda _: reference(), page.read_text("utf-8"))
    page = DOCS / "cli.md"
    found[page] = REFERENCE.sub(lambda _: commands(), page.read_text("utf-8"))
    return found


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, "utf-8")
