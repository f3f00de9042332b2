"""What a test expects of a journal: sentences that hold, or fail with the calls they are about.

The house rule: an expectation that could not but hold, since nothing is called that, is refused.

Source: control API, section 4 (docs/control-api.md).
"""

from __future__ import annotations

import itertools
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from vifsim.errors import UsageError
from vifsim.journal import in_order
from vifsim.model import OPERATIONS
from vifsim.records import SHOWN, Record, Records, counted, status_of, table
from vifsim.scenario.matching import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from vifsim.simulator import Simulator

_ID = re.compile(r"[0-9a-fA-F-]{36}")
_ALIKE = 0.001
"""Seconds by which two clocks may differ for a reader not to be told."""


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
        """Expect exactly these statuses in order, None for no answer.

        Raises:
            UsageError: it is one status, not a list of them.
        """
        __tracebackhide__ = True
        if isinstance(statuses, int):  # by whom nothing checks the types of
            raise UsageError(f"told takes the statuses of all calls: told([{statuses}])")
        found = [status_of(entry) for entry in self]
        if found != list(statuses):
            self.fail(f"told {found}, expected {list(statuses)}")
        return self

    def exactly(self, number: int) -> Calls:
        """Expect so many calls."""
        __tracebackhide__ = True
        if len(self) != number:
            self.fail(f"{counted(len(self), 'call')}, expected {number}")
        return self

    def waited_at_least(self, seconds: float) -> Calls:
        """Expect at least so long between the end of each call and the next one's arrival."""
        __tracebackhide__ = True
        for before, after in itertools.pairwise(self):
            waited = _between(before, after)
            if waited < seconds:
                self.fail(
                    f"entry {after['seq']} came {waited:.3f} s after the end of entry "
                    f"{before['seq']}{_on_the_wall(before, after)}, expected at least {seconds} s"
                )
        return self

    def fail(self, text: str) -> NoReturn:
        """Fail with these calls, those of the same operation, and the end of the journal.

        Raises:
            AssertionError: always.
        """
        __tracebackhide__ = True
        parts = [f"{self._asked}: {text}", f"these calls:\n{table(self)}"]
        if self._others:
            last = "\n".join(self._others[-SHOWN:])
            parts.append(f"calls of the same operation that differ:\n{last}")
        parts.append(f"end of the journal:\n{table(self._everything)}")
        raise AssertionError("\n\n".join(parts))


def _between(before: Record, after: Record) -> float:
    """Return the seconds from the end of a call, or its arrival, to the next one's arrival."""
    return float(after["arrived"] - (before["end"] or before["arrived"]))


def _on_the_wall(before: Record, after: Record) -> str:
    """Return how long it was for the client, where that is something else: it has its own clock."""
    real = _between(before["real"], after["real"])
    if abs(real - _between(before, after)) < _ALIKE:
        return ""
    return f" on the simulator's clock ({real:.3f} s in real time)"


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
        __tracebackhide__ = True
        return self._expect(1, operation, server, network)

    def none(
        self, operation: str, *, server: str | None = None, network: str | None = None
    ) -> Effects:
        """Expect that no such call took effect."""
        __tracebackhide__ = True
        return self._expect(0, operation, server, network)

    def _expect(
        self, number: int, operation: str, server: str | None, network: str | None
    ) -> Effects:
        __tracebackhide__ = True
        calls = self._calls(operation, server=server, network=network)
        happened = sum(len(entry["effects"]) for entry in calls)
        if happened != number:
            calls.fail(f"took effect {counted(happened, 'time')}, expected {number}")
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
        __tracebackhide__ = True
        if not any(fits(known, (operation,)) for known in OPERATIONS):
            near = get_close_matches(operation, OPERATIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else "docs/api.md lists them"
            raise UsageError(f"there is no operation {operation} ({hint})")
        asked = {"server": server, "network": network, "tenant": tenant}
        names = {kind: self._names(kind) for kind, name in asked.items() if name}
        wanted = {kind: names[kind].of(name) for kind, name in asked.items() if name}
        same = [entry for entry in self if fits(entry["operation"], (operation,))]
        differing = {
            entry["seq"]: [
                f"{kind} {names[kind].name(entry[kind])}"
                for kind, ids in wanted.items()
                if ids.isdisjoint(_about(entry, kind))
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

    def _names(self, kind: str) -> _Names:
        """Return what the things of a kind have been called so far."""
        if kind == "tenant":
            return _Names(kind, {entry["tenant"]: entry["tenant"] for entry in self})
        simulator = self._simulator
        names = _Names(kind, simulator.servers if kind == "server" else simulator.networks)
        for entry in self:
            for effect in entry["effects"]:
                if effect["object"] == kind:
                    names.add(effect["name"], effect["id"])
        return names

    def check_names(self, *, server: str | None = None, network: str | None = None) -> None:
        """Make sure that these are, or were, names or ids of the cloud.

        Raises:
            UsageError: nothing was ever called that.
        """
        __tracebackhide__ = True
        for kind, name in (("server", server), ("network", network)):
            if name is not None:
                self._names(kind).of(name)

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


class _Names:
    """What the things of a kind have been called: one name may have been that of several.

    Args:
        kind: server or network, or tenant, whose name is its id.
        known: ids by name.
    """

    def __init__(self, kind: str, known: Mapping[str, str]) -> None:
        self._kind = kind
        self._ids = {name: {key} for name, key in known.items()}

    def add(self, name: str, key: str) -> None:
        """Learn a name."""
        self._ids.setdefault(name, set()).add(key)

    def of(self, name: str) -> set[str]:
        """Return the ids that a name has had, and the names that an id has had, itself included.

        Raises:
            UsageError: it is neither.
        """
        __tracebackhide__ = True
        if name not in self._ids and not self._may_be_id(name):
            near = get_close_matches(name, self._ids, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(self._ids)}"
            raise UsageError(f"there is no {self._kind} {name} ({hint})")
        found = {name} | self._ids.get(name, set())
        return found.union(other for other, keys in self._ids.items() if keys & found)

    def _may_be_id(self, name: str) -> bool:
        return self._kind == "tenant" or _ID.fullmatch(name) is not None

    def name(self, key: str | None) -> str | None:
        """Return a name of an id, or the id itself."""
        return next((name for name, keys in self._ids.items() if key in keys), key)


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
        __tracebackhide__ = True
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
        __tracebackhide__ = True
        left = {interface["id"] for interface in self._interfaces}
        leaked = [(entry["seq"], made) for entry in self._journal for made in _made(entry, left)]
        if leaked:
            text = ", ".join(f"{leak} (entry {seq})" for seq, leak in leaked)
            raise AssertionError(f"interfaces left behind: {text}\n{table(self._journal)}")
        return self

    def told_is_true(self) -> Invariants:
        """Expect that every client was told what happened."""
        __tracebackhide__ = True
        gaps = self._journal.gaps()
        if gaps:
            raise AssertionError(f"told something else than what happened:\n{table(gaps)}")
        return self
