"""What a test expects of a journal: sentences that hold, or fail with the calls they are about.

The house rule: an expectation that could not but hold, since nothing is called that, is refused.

Source: control API, section 4 (docs/control-api.md).
"""

from __future__ import annotations

import itertools
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from vifsim.errors import UsageError
from vifsim.journal import in_order
from vifsim.model import OPERATIONS
from vifsim.records import SHOWN, Record, Records, status_of, table
from vifsim.scenario.matching import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from vifsim.simulator import Simulator

_ID = re.compile(r"[0-9a-fA-F-]{36}")


class Calls(Records):
    """Some of a journal's entries, and what a test expects of them.

    Each expectation returns the calls themselves, so that they can be joined, and raises
    `AssertionError` with the calls of the same operation and the end of the journal.
    """

    def __init__(
        self,
        documents: Sequence[Mapping[str, Any]],
        asked: str,
        everything: Sequence[Mapping[str, Any]],
        others: Sequence[str] = (),
    ) -> None:
        super().__init__(documents)
        self._asked = asked
        self._everything = everything
        self._others = others

    def told(self, statuses: Sequence[int | None]) -> Calls:
        """Expect exactly these statuses in order, None for no answer."""
        __tracebackhide__ = True
        found = [status_of(entry) for entry in self]
        if found != list(statuses):
            self._fail(f"told {found}, expected {list(statuses)}")
        return self

    def exactly(self, number: int) -> Calls:
        """Expect so many calls."""
        __tracebackhide__ = True
        if len(self) != number:
            self._fail(f"{len(self)} calls, expected {number}")
        return self

    def waited_at_least(self, seconds: float) -> Calls:
        """Expect at least so long between the end of each call and the next one's arrival."""
        __tracebackhide__ = True
        for before, after in itertools.pairwise(self):
            waited = after["arrived"] - (before["end"] or before["arrived"])
            if waited < seconds:
                self._fail(
                    f"entry {after['seq']} came {waited:.3f} s after the end of entry "
                    f"{before['seq']}, expected at least {seconds} s"
                )
        return self

    def _fail(self, text: str) -> None:
        __tracebackhide__ = True
        parts = [f"{self._asked}: {text}", f"these calls:\n{table(self)}"]
        if self._others:
            last = "\n".join(self._others[-SHOWN:])
            parts.append(f"calls of the same operation that differ:\n{last}")
        parts.append(f"end of the journal:\n{table(self._everything)}")
        raise AssertionError("\n\n".join(parts))


class Effects(Records):
    """What was committed, and by which call."""

    def __init__(self, calls: Callable[..., Calls]) -> None:
        self._calls = calls
        super().__init__(
            [
                {**effect, "entry": entry["seq"], "operation": entry["operation"]}
                for entry in calls()
                for effect in entry["effects"]
            ]
        )

    def exactly_once(
        self, operation: str, *, server: str | None = None, network: str | None = None
    ) -> Effects:
        """Expect that exactly one such call took effect, whatever its client was told."""
        return self._expect(1, operation, server, network)

    def none(
        self, operation: str, *, server: str | None = None, network: str | None = None
    ) -> Effects:
        """Expect that no such call took effect."""
        return self._expect(0, operation, server, network)

    def _expect(
        self, number: int, operation: str, server: str | None, network: str | None
    ) -> Effects:
        calls = self._calls(operation, server=server, network=network)
        happened = sum(len(entry["effects"]) for entry in calls)
        if happened != number:
            raise AssertionError(
                f"{operation} took effect {happened} times, expected {number}\n\n"
                f"these calls:\n{table(calls)}"
            )
        return self


class JournalView(Records):
    """A journal as it is now."""

    def __init__(self, simulator: Simulator, run: Callable[[Callable[[], Any]], Any]) -> None:
        self._simulator = simulator
        self._run = run
        super().__init__(run(lambda: in_order(simulator.journal.documents(simulator.journal))))

    def calls(
        self,
        operation: str = "*",
        *,
        server: str | None = None,
        network: str | None = None,
        tenant: str | None = None,
    ) -> Calls:
        """Return the calls that match: `operation` is a glob, the others names or ids.

        Raises:
            UsageError: no operation, server or network is called that, so that `none` could not
                but hold; what a call has made has its name from then on, even when it is gone.
        """
        if not any(fits(known, (operation,)) for known in OPERATIONS):
            near = get_close_matches(operation, OPERATIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else "docs/api.md lists them"
            raise UsageError(f"there is no operation {operation} ({hint})")
        asked = {"server": server, "network": network, "tenant": tenant}
        wanted = {
            "server": self._ids("server", server, self._simulator.servers) if server else None,
            "network": self._ids("network", network, self._simulator.networks) if network else None,
            "tenant": {tenant} if tenant else None,
        }
        same = [entry for entry in self if fits(entry["operation"], (operation,))]
        differing = {
            entry["seq"]: [
                f"{key} {entry[key]}"
                for key, ids in wanted.items()
                if ids and ids.isdisjoint(_about(entry, key))
            ]
            for entry in same
        }
        named = ", ".join(f"{key}={value}" for key, value in asked.items() if value)
        return Calls(
            [entry for entry in same if not differing[entry["seq"]]],
            f"{operation}({named})",
            list(self),
            [f"{seq:5}  {', '.join(facts)}" for seq, facts in differing.items() if facts],
        )

    def _ids(self, kind: str, name: str, known: Mapping[str, str]) -> set[str]:
        """Return the ids that a name has had so far, and the names that an id has had.

        Raises:
            UsageError: it is neither.
        """
        made: dict[str, set[str]] = {}
        for entry in self:
            for effect in entry["effects"]:
                if effect["object"] == kind:
                    made.setdefault(effect["name"], set()).add(effect["id"])
        names = {**{label: {key} for label, key in known.items()}, **made}
        found = {known[name]} if name in known else set[str]()
        found |= made.get(name, set())
        if found or _ID.fullmatch(name):
            found.add(name)
            return found.union(label for label, keys in names.items() if keys & found)
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}"
        raise UsageError(f"there is no {kind} {name} ({hint})")

    def gaps(self) -> list[Record]:
        """Return the entries whose client was told something else than what happened."""
        return [entry for entry in self if _is_gap(entry)]

    def clear(self) -> None:
        """Forget all entries; `seq` goes on."""
        self._run(self._simulator.forget_entries)

    def export(self, path: str | Path) -> None:
        """Write the journal to a file that `vifsim scorecard`, `explain` and `replay` read."""
        from pathlib import Path as FilePath  # noqa: PLC0415 -- only an export needs it

        header = self._simulator.export_header()
        lines: list[str] = self._run(lambda: list(self._simulator.journal.lines(header)))
        FilePath(path).write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _about(entry: Record, kind: str) -> set[str]:
    """Return the ids of the things of a kind that a call was about, and their names likewise."""
    about = {entry[kind]}
    for effect in entry["effects"]:
        if effect["object"] == kind:
            about.add(effect["id"])
        elif kind == "network" and effect["object"] == "virtual_interface":
            about.add(effect["name"])
    return about


def _is_gap(entry: Record) -> bool:
    """Return whether what a client was told is not what happened."""
    if entry["outcome"] is None:
        return False
    if entry["committed"]:
        return not _was_told(entry)
    return bool(entry["told"] and entry["told"]["spoiled"])


def _was_told(entry: Record) -> bool:
    """Return whether a client has learned what a call that succeeded came to."""
    status = status_of(entry)
    success = status is not None and status < 300 and not entry["told"]["spoiled"]
    return success and entry["outcome"] == "completed"


def _made(entry: Record, left: Collection[str]) -> list[str]:
    """Return the interfaces that a create has made and that are still there."""
    if entry["operation"] != "create_virtual_interface":
        return []
    made = [effect["id"] for effect in entry["effects"] if effect["kind"] == "created"]
    return [interface for interface in made if interface in left]


class Invariants:
    """What must hold whatever went wrong."""

    def __init__(self, journal: JournalView, interfaces: Sequence[Mapping[str, Any]]) -> None:
        self._journal = journal
        self._interfaces = interfaces

    def no_duplicates(self) -> Invariants:
        """Expect that no server has two interfaces that its client asked for once.

        A server takes one interface per network, so the second one is on another: a create whose
        answer was lost took effect and is still there, and before its client looked, another
        create on that server took effect too.
        """
        left = {interface["id"] for interface in self._interfaces}
        unknown: dict[str, list[tuple[int, str]]] = {}
        twice: list[str] = []
        for entry in self._journal:
            server, told = str(entry["server"]), _was_told(entry)
            if entry["operation"] == "list_virtual_interfaces" and told:
                unknown.pop(server, None)
            for made in _made(entry, left):
                lost = unknown.get(server, ())
                twice += [f"{other} (entry {seq}) and {made}" for seq, other in lost]
                if not told:
                    unknown.setdefault(server, []).append((entry["seq"], made))
        if twice:
            raise AssertionError(f"made twice: {', '.join(twice)}\n{table(self._journal)}")
        return self

    def no_leaks(self) -> Invariants:
        """Expect that every interface that a client created is gone again."""
        left = {interface["id"] for interface in self._interfaces}
        leaked = [(entry["seq"], made) for entry in self._journal for made in _made(entry, left)]
        if leaked:
            text = ", ".join(f"{leak} (entry {seq})" for seq, leak in leaked)
            raise AssertionError(f"interfaces left behind: {text}\n{table(self._journal)}")
        return self

    def told_is_true(self) -> Invariants:
        """Expect that every client was told what happened."""
        gaps = self._journal.gaps()
        if gaps:
            raise AssertionError(f"told something else than what happened:\n{table(gaps)}")
        return self
