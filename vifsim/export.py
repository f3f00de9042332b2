"""A moment as files: a scenario that begins there, and a test that makes the next call again.

The house rule: pure functions of what the simulator hands them; what a scenario cannot say stands
in it as a comment.

Source: console (docs/console.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.moments import Moment

_LISTS = ("networks", "servers", "virtual_interfaces")


def exported(
    entry: Mapping[str, Any], moment: Moment, world: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Return `{"before", "name", "scenario", "test"}`: two texts, for files of that name."""
    name = f"before-{entry['seq']}"
    return {
        "before": entry["seq"],
        "name": name,
        "scenario": _scenario(name, entry, moment, world, seed),
        "test": _test(name, entry),
    }


def _scenario(
    name: str, entry: Mapping[str, Any], moment: Moment, world: Mapping[str, Any], seed: int
) -> str:
    given = _given(moment.frame.scenario.text)
    own: dict[str, Any] = given.get("world") or {}
    shown = {key: own[key] for key in ("settings", "tenants") if key in own}
    document: dict[str, Any] = {
        "version": 1,
        "name": name,
        "description": f"The cloud as it was before {_asked(entry)}.",
        "seed": seed,
        **{key: given[key] for key in ("start", "hold", "phases") if key in given},
        "world": {**shown, **{key: world[key] for key in _LISTS}},
    }
    counted: Mapping[str, Mapping[str, Any]] = moment.state.get("rules", {})
    rules = [
        _left_of(dict(rule.source), counted.get(rule.id, {}))
        for rule in (*moment.frame.added, *moment.frame.scenario.rules)
        if rule.id not in moment.frame.removed
    ]
    document["rules"] = [rule for rule in rules if rule is not None]
    if not document["rules"]:
        del document["rules"]
        document.pop("phases", None)
    return f"{_remarks(moment)}{yaml.safe_dump(document, sort_keys=False, allow_unicode=True)}"


def _given(text: str) -> dict[str, Any]:
    loaded: object = yaml.safe_load(text) if text else None
    return cast("dict[str, Any]", loaded) if isinstance(loaded, dict) else {}


def _left_of(rule: dict[str, Any], counted: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a rule with what is left of its counts, or None where nothing is."""
    if "times" in rule:
        rule["times"] -= counted.get("fired", 0)
    counts: Mapping[str, int] = counted.get("counts", {})
    if len(counts) == 1 and "every" not in rule:
        (seen,) = counts.values()
        _count_on(rule, seen)
    spent = rule.get("times", 1) < 1 or rule.get("first", 1) < 1 or rule.get("nth") == []
    return None if spent else rule


def _count_on(rule: dict[str, Any], seen: int) -> None:
    if "first" in rule:
        rule["first"] -= seen
    if "after" in rule:
        rule["after"] = max(0, rule["after"] - seen)
    if "nth" in rule:
        given: list[int] | int = rule["nth"]
        numbers = given if isinstance(given, list) else [given]
        rule["nth"] = [number - seen for number in numbers if number > seen]


def _remarks(moment: Moment) -> str:
    lines = ["# Tokens, and what a limit or a rule `per` something has counted, begin anew."]
    start = moment.state.get("t0")
    if moment.frame.scenario.phases and start is not None:
        at = float(moment.state["at"]) - float(start)
        lines.append(f"# Scenario time begins at 0s again; it was {at:.3f}s.")
    return "".join(f"{line}\n" for line in lines)


def _asked(entry: Mapping[str, Any]) -> str:
    return f"entry {entry['seq']}, {entry['method']} {entry['path']}"


def _told(entry: Mapping[str, Any]) -> str:
    return "no answer" if entry["told"] is None else str(entry["told"]["status"])


def _test(name: str, entry: Mapping[str, Any]) -> str:
    body: dict[str, Any] | None = None
    if entry["operation"] == "create_virtual_interface" and entry["network"]:
        body = {"virtual_interface": {"network_id": entry["network"]}}
    told = None if entry["told"] is None else entry["told"]["status"]
    unknown = ""
    if body is None and entry["body_digest"] is not None:
        unknown = "    # The journal keeps no bodies: give the one that the client sent.\n"
    asked = [entry["method"], entry["path"], *([] if body is None else [body])]
    return _TEST.format(
        doc=f"{_asked(entry)}, was told {_told(entry)}.",
        name=name,
        function=f"{entry['operation']}_is_told_{_told(entry).replace(' ', '_')}",
        asked=", ".join(repr(item) for item in asked),
        unknown=unknown,
        told=[told],
        operation=entry["operation"],
    )


_TEST = '''\
"""{doc}"""

import json
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

import pytest


@pytest.mark.vifsim(scenario=Path(__file__).with_name("{name}.yaml"))
def test_{function}(vifsim):
{unknown}    ask(vifsim, {asked})

    vifsim.journal.calls("{operation}").told({told})


def ask(vifsim, method, path, body=None):
    """Stand in for your client: let it make the call instead."""
    data = None if body is None else json.dumps(body).encode()
    headers = {{"X-Auth-Token": vifsim.token, "Content-Type": "application/json"}}
    request = Request(vifsim.url + path, data=data, headers=headers, method=method)
    with suppress(OSError, HTTPException):
        urlopen(request, timeout=5).close()
'''
