"""What is told of a failing test: its clouds, their calls, and what is not as it was.

The house rule: nothing of this is worked out before a test has failed.
"""

from __future__ import annotations

import json
import re
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vifsim.difference import Beginning, differences, picture_of
from vifsim.errors import UsageError, VifsimError
from vifsim.http.har import har_document
from vifsim.records import SHOWN, counted, table
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    import pytest

    from vifsim.facade import Cloud
    from vifsim.simulator import Simulator

T = TypeVar("T")


@frozen(kw_only=False)
class Watched:
    """A simulator that a test used, how it began, and its face where it runs in a thread."""

    simulator: Simulator
    cloud: Cloud | None
    begun: Beginning

    @classmethod
    def from_now(cls, simulator: Simulator, cloud: Cloud | None = None) -> Watched:
        """Watch a simulator that has just begun."""
        return cls(simulator, cloud, simulator.beginning())

    def ask(self, action: Callable[[], Any]) -> Any:
        """Call a function where the simulator is."""
        return action() if self.cloud is None else self.cloud.call(action)

    def changes(self, entries: Sequence[Mapping[str, Any]]) -> list[str] | None:
        """Return a line for each thing that is not as it was, or None where nobody can say."""
        compare = partial(_compare, self.simulator, self.begun, entries)
        try:
            return _at_once(compare()) if self.cloud is None else self.cloud.run(compare())
        except UsageError:  # the cloud has ended
            return None if self.simulator.backend.durable else _at_once(compare())
        except VifsimError:  # a store that fails is no reason to tell nothing at all
            return None


async def _compare(
    simulator: Simulator, begun: Beginning, entries: Sequence[Mapping[str, Any]]
) -> list[str] | None:
    before = await begun.picture(simulator.backend)
    if before is None:
        return None
    return differences(before, await picture_of(simulator.backend), entries)


def _at_once(action: Coroutine[Any, Any, T]) -> T | None:
    """Return what an action returns that waits for nothing, or None: no loop runs any more."""
    try:
        action.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    action.close()
    return None


def tell(item: pytest.Item, report: pytest.TestReport, several: Sequence[Watched]) -> None:
    """Add to a report what happened in the clouds of its test, and keep it where asked."""
    for number, watched in enumerate(several, 1):
        evidence: dict[str, Any] = watched.ask(partial(_evidence, watched.simulator))
        evidence["changes"] = watched.changes(evidence["entries"])
        evidence["kept"] = _keep(item, number, evidence)
        report.sections.append((f"vifsim {evidence['url']}", _story(evidence, item)))


def _evidence(simulator: Simulator) -> dict[str, Any]:
    """Return what there is to tell."""
    entries = simulator.journal.documents(simulator.journal)
    return {
        "url": simulator.known_url or "without a port",
        "seed": simulator.seed,
        "scenario": simulator.scenario,
        "entries": entries,
        "decided": sum(1 for entry in entries if entry["decision"] and entry["decision"]["by"]),
        "unnamed": unnamed(simulator),
        "never_fired": simulator.never_fired()["never_fired"],
        "lines": list(simulator.journal.lines(simulator.export_header())),
        "har": har_document(entries, simulator.clock.utc(0.0), simulator.known_url),
    }


def unnamed(simulator: Simulator) -> dict[str, str]:
    """Return what each rule without a name says, by the digest that is shown for it."""
    from vifsim.scenario.plan import as_written  # noqa: PLC0415 -- only a failure needs it

    return {
        rule["id"]: as_written(rule["rule"])
        for rule in simulator.scenario_document()["rules"]
        if "name" not in rule["rule"]
    }


def called(rule: str, said: Mapping[str, str]) -> str:
    """Return how a rule is spoken of: by its name, or by its digest and what it says."""
    return f"rule {rule} ({said[rule]})" if rule in said else f"rule {rule}"


def stops(stopped_at: Mapping[str, int]) -> str:
    """Return why a rule never fired: at which of its keys how many calls stopped."""
    if not stopped_at:
        return "no call came while it was there"
    each = [f"{counted(number, 'call')} stopped at {name}" for name, number in stopped_at.items()]
    return ", ".join(each)


def _story(evidence: Mapping[str, Any], item: pytest.Item) -> str:
    scenario = evidence["scenario"]
    entries = evidence["entries"]
    calls = f"{counted(len(entries), 'call')}, {evidence['decided']} decided by rules"
    lines = [f"seed {evidence['seed']}, scenario {scenario.name}, {calls}"]
    lines += [
        f"{called(rule['rule'], evidence['unnamed'])} never fired: {stops(rule['stopped_at'])}"
        for rule in evidence["never_fired"]
    ]
    if entries:
        heading = f"the last {SHOWN} calls:" if len(entries) > SHOWN else "calls:"
        lines += ["", heading, table(entries), *_who_decided(evidence)]
    lines += ["", *_what_changed(evidence)]
    again = f"pytest {shlex.quote(item.nodeid)} --vifsim-seed {evidence['seed']}"
    lines += ["", *evidence["kept"], f"again: {again}"]
    return "\n".join(lines)


def _who_decided(evidence: Mapping[str, Any]) -> list[str]:
    """Return a line for each digest in the table: which rule it stands for."""
    last = evidence["entries"][-SHOWN:]
    deciding = {entry["decision"]["by"] for entry in last if entry["decision"]}
    return [f"  {rule}: {said}" for rule, said in evidence["unnamed"].items() if rule in deciding]


def _what_changed(evidence: Mapping[str, Any]) -> list[str]:
    changes: list[str] | None = evidence["changes"]
    if changes is None:
        heading = "what calls changed (how this store was at the start is not known):"
        changes = _effects(evidence["entries"])
    else:
        heading = "what is not as it was at the start:"
    return [heading, *(f"  {line}" for line in changes or ["nothing"])]


def _effects(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each of the last things that calls have done."""
    return [
        f"{effect['kind']} {effect['object'].replace('_', ' ')} {effect['name']}"
        f"  {effect['id']}  (entry {entry['seq']})"
        for entry in entries
        for effect in entry["effects"]
    ][-SHOWN:]


def _keep(item: pytest.Item, number: int, evidence: Mapping[str, Any]) -> list[str]:
    """Write journal, archive and scenario of a failing test into the folder that was asked for.

    Returns:
        A line that says where they are, if anywhere.
    """
    folder: str | None = item.config.getoption("--vifsim-artifacts")
    if folder is None:
        return []
    name = re.sub(r"[^\w.-]+", "_", item.nodeid) + ("" if number == 1 else f"-{number}")
    place = Path(folder) / name
    place.mkdir(parents=True, exist_ok=True)
    journal = "".join(f"{line}\n" for line in evidence["lines"])
    (place / "journal.ndjson").write_text(journal, "utf-8")
    (place / "journal.har").write_text(json.dumps(evidence["har"], indent=1), "utf-8")
    (place / "scenario.yaml").write_text(evidence["scenario"].text or "version: 1\n", "utf-8")
    return [f"kept: {place}"]
