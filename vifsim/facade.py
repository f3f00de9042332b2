"""The synchronous face of a simulator that runs in a thread of its own, and what tests ask of it.

The house rule: a `Cloud` only carries calls to the simulator's loop; what it returns are values.

Source: control API, section 4 (docs/control-api.md).
"""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar, overload

from vifsim.errors import UsageError
from vifsim.journal import in_order
from vifsim.model import OPERATIONS
from vifsim.scenario.matching import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    import aiohttp
    import httpx

    from vifsim.arguments import ScenarioArgument
    from vifsim.connector import MemoryConnector
    from vifsim.simulator import Simulator

T = TypeVar("T")

_TABLE_LENGTH = 20
_ID = re.compile(r"[0-9a-fA-F-]{36}")


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


class Record(Mapping[str, Any]):
    """A document of the control API whose keys are attributes too."""

    __slots__ = ("_document",)

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, key: str) -> Any:
        value = self._document[key]
        return Record(value) if _is_object(value) else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._document)

    def __len__(self) -> int:
        return len(self._document)

    def __repr__(self) -> str:
        return f"Record({dict(self._document)!r})"


class Records(Sequence[Record]):
    """Documents in their order."""

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        self._records = [Record(document) for document in documents]

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Record]: ...

    def __getitem__(self, index: int | slice) -> Record | Sequence[Record]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)})"


def status_of(entry: Mapping[str, Any]) -> int | None:
    """Return the status that an entry's client was told, or None for no answer."""
    told = entry["told"]
    return None if told is None else int(told["status"])


def table(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the last entries as a table, a line each."""
    lines = ["  seq  operation                  status  committed  fault"]
    for entry in list(entries)[-_TABLE_LENGTH:]:
        decision = entry["decision"]
        status = status_of(entry)
        lines.append(
            f"{entry['seq']:5}  {entry['operation']:26} {status or '-':>6}  "
            f"{'yes' if entry['committed'] else 'no':9}  {(decision and decision['by']) or '-'}"
        )
    return "\n".join(lines)


class Scorecard(Record):
    """How well the clients of a cloud coped: the document, whose keys are attributes too."""

    __slots__ = ()

    def require(self, *rules: str) -> Scorecard:
        """Expect that each of these rules, by name or code, was exercised and passed.

        Raises:
            AssertionError: one did not; with its verdict, reason and evidence.
            UsageError: there is no such rule.
        """
        known = self["rules"]
        names = {known[name]["code"]: name for name in known}
        for asked in rules:
            name = names.get(asked, asked)
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise UsageError(f"the scorecard has no rule {asked}{hint}")
            if known[name]["verdict"] != "pass":
                raise AssertionError(_shortfall(name, known[name]))
        return self


def _shortfall(name: str, rule: Mapping[str, Any]) -> str:
    lines = [f"{rule['code']} {name}: {rule['verdict']}: {rule['reason']}"]
    lines += [f"  evidence: {dict(piece)}" for piece in rule["evidence"]]
    if rule["advice"]:
        lines.append(f"  advice: {rule['advice']}")
    return "\n".join(lines)


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
            last = "\n".join(self._others[-_TABLE_LENGTH:])
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


class AddedRule:
    """A rule that was added; also a context manager that removes it at the end."""

    def __init__(self, simulator: Simulator, rule_id: str, run: Callable[..., Any]) -> None:
        self._simulator = simulator
        self._run = run
        self.id = rule_id

    @property
    def matched(self) -> int:
        """How many calls it has matched."""
        return self._counts()[0]

    @property
    def fired(self) -> int:
        """How often it has fired."""
        return self._counts()[1]

    def _counts(self) -> tuple[int, int]:
        if self._simulator.backend.sharing is None:
            return self._simulator.rule_counts(self.id)
        counts: tuple[int, int] = self._run(lambda: self._simulator.rule_counts(self.id))
        return counts

    def remove(self) -> None:
        """Remove it."""
        self._run(lambda: self._simulator.drop_rule(self.id))

    def forget(self) -> None:
        """Remove it as if it had never been added; for one that never fired."""
        self._run(lambda: self._simulator.forget_rule(self.id))

    def __enter__(self) -> AddedRule:
        """Keep it while the block runs."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove it."""
        self.remove()


class CloudClock:
    """The clock of a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def now(self) -> float:
        """Return the seconds since the start, on the simulator's clock."""
        return self._cloud.simulator.clock.now()

    def utc(self) -> datetime:
        """Return the simulated date and time."""
        return self._cloud.simulator.clock.utc()

    def advance(self, by: str | float) -> None:
        """Move the clock ahead and run everything that falls due on the way."""
        self._cloud.run(self._cloud.simulator.advance_clock(by))


class State:
    """What exists now, as values with the fields of the control API's world."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def interfaces(self, server: str | None = None, network: str | None = None) -> list[Record]:
        """Return the virtual interfaces of a server, a network, both, or all."""
        document = self._document()
        return interfaces_in(document, server, network)

    def servers(self) -> list[Record]:
        """Return the servers."""
        return [Record(item) for item in self._document()["servers"]]

    def networks(self) -> list[Record]:
        """Return the isolated networks."""
        return [Record(item) for item in self._document()["networks"]]

    def _document(self) -> Mapping[str, Any]:
        return self._cloud.run(self._cloud.simulator.state_document())


def interfaces_in(
    document: Mapping[str, Any], server: str | None, network: str | None
) -> list[Record]:
    """Return the interfaces of a state document that are on a server and a network."""
    names = {item["id"]: item["name"] for item in document["servers"]}
    labels = {item["id"]: item["label"] for item in document["networks"]}
    name = None if server is None else names.get(server, server)
    label = None if network is None else labels.get(network, network)
    return [
        Record(item)
        for item in document["virtual_interfaces"]
        if name in {None, item["server"]} and label in {None, item["network"]}
    ]


class Cloud:
    """A simulator in a thread of its own, called synchronously.

    Attributes:
        simulator: the simulator itself, which belongs to its own loop.
    """

    def __init__(self, simulator: Simulator, loop: asyncio.AbstractEventLoop) -> None:
        self.simulator = simulator
        self._loop = loop
        self.clock = CloudClock(self)
        self.state = State(self)

    def run(self, action: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the simulator's loop and return what it returns.

        Raises:
            UsageError: the cloud has ended; only what `call` asks for can be had.
        """
        if self._loop.is_closed():
            action.close()
            raise UsageError("the cloud has ended: ask for this before (its journal is still here)")
        return asyncio.run_coroutine_threadsafe(action, self._loop).result()

    def call(self, action: Callable[[], T]) -> T:
        """Call a function on the simulator's loop and return what it returns.

        Once the loop has ended nobody else touches the simulator, and it is called here.
        """
        if self._loop.is_closed():
            return action()

        async def act() -> T:
            await self.simulator.catch_up()
            await self.simulator.catch_up_counts()
            return action()

        return self.run(act())

    @property
    def url(self) -> str:
        """Where the cloud is, without a slash at the end."""
        return self.simulator.url

    @property
    def auth_url(self) -> str:
        """Where clients log in; ends in `/v2.0`."""
        return self.simulator.auth_url

    @property
    def token(self) -> str:
        """The token that works without a log-in."""
        return self.simulator.token

    @property
    def tenant_id(self) -> str:
        """The world's first tenant."""
        return self.simulator.tenant_id

    @property
    def server_id(self) -> str:
        """The id of the world's first server."""
        return self.simulator.server_id

    @property
    def network_id(self) -> str:
        """The id of the world's first isolated network."""
        return self.simulator.network_id

    @property
    def servers(self) -> dict[str, str]:
        """Names of servers and their ids, as they are now."""
        self.run(self.simulator.learn_names())
        return self.simulator.servers

    @property
    def networks(self) -> dict[str, str]:
        """Labels of networks and their ids, as they are now."""
        self.run(self.simulator.learn_names())
        return self.simulator.networks

    def load(self, scenario: ScenarioArgument) -> None:
        """Let another scenario hold; see `Simulator.load`."""
        self.run(self.simulator.load(scenario))

    def reset(self) -> None:
        """Begin again; see `Simulator.reset`."""
        self.run(self.simulator.reset())

    def snapshot(self) -> dict[str, Any]:
        """Return everything but the journal."""
        return self.run(self.simulator.snapshot())

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Become what a snapshot says; see `Simulator.restore`."""
        self.run(self.simulator.restore(snapshot))

    def amend(self, change: str, **values: Any) -> None:
        """Change the cloud by hand; see `Simulator.amend`."""
        self.run(self.simulator.amend(change, **values))

    def rule(self, **keys: Any) -> AddedRule:
        """Add a rule, its keys and values as in a scenario; a number is seconds.

        Raises:
            UsageError: it is not sound.
        """
        made = self.run(self.simulator.make_rule(keys, numbers_are_seconds=True))
        return AddedRule(self.simulator, made.id, self.call)

    @property
    def journal(self) -> JournalView:
        """The journal as it is now."""
        return JournalView(self.simulator, self.call)

    @property
    def effects(self) -> Effects:
        """What was committed so far."""
        return Effects(self.journal.calls)

    @property
    def invariants(self) -> Invariants:
        """What must hold whatever went wrong."""
        return Invariants(self.journal, self.state.interfaces())

    def explain(self, entry: int | Mapping[str, Any]) -> list[Record]:
        """Return every rule's look at a call, by its entry or `seq`."""
        return self.call(lambda: self.simulator.explain(entry))

    def scorecard(self) -> Scorecard:
        """Return how well the clients of this cloud have coped so far."""
        return self.call(self.simulator.scorecard)

    def env(self) -> dict[str, str]:
        """Return the environment variables that a client needs, by name."""
        return self.simulator.env()

    @property
    def ca_file(self) -> str | None:
        """Path of the certificate that clients must trust, None without TLS."""
        return self.simulator.ca_file

    def aiohttp_client(self) -> aiohttp.ClientSession:
        """Return an aiohttp session for this cloud; see `Simulator.aiohttp_client`."""
        return self.simulator.aiohttp_client()

    def connector(self) -> MemoryConnector:
        """Return an aiohttp connector to this cloud without a port; see `Simulator.connector`."""
        return self.simulator.connector()

    def httpx_client(self) -> httpx.Client:
        """Return an httpx client for this cloud; see `Simulator.httpx_client`."""
        return self.simulator.httpx_client()

    def write_openrc(self, path: str | Path) -> None:
        """Write the variables of `env` as a file for a shell."""
        self.simulator.write_openrc(path)

    def write_clouds_yaml(self, path: str | Path) -> None:
        """Write a `clouds.yaml` with one cloud, `vifsim`."""
        self.simulator.write_clouds_yaml(path)


@contextmanager
def in_thread(simulator: Simulator) -> Generator[Cloud, None, None]:
    """Run a simulator in a thread while the block runs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run, args=(loop,), name="vifsim", daemon=True)
    thread.start()
    cloud = Cloud(simulator, loop)
    try:
        cloud.run(simulator.start())
        yield cloud
    finally:
        cloud.run(simulator.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        _cancel_all(loop)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
