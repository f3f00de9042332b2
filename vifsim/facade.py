"""The synchronous face of a simulator that runs in a thread of its own.

The house rule: a `Cloud` only carries calls to the simulator's loop; what it returns are values.

Source: control API, section 4 (docs/control-api.md).
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from vifsim.errors import ControlFault, UsageError
from vifsim.expectations import Effects, Invariants, JournalView
from vifsim.records import Record, interfaces_in

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Mapping
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    import aiohttp
    import httpx

    from vifsim.arguments import ScenarioArgument
    from vifsim.connector import MemoryConnector
    from vifsim.records import Scorecard
    from vifsim.simulator import Simulator

T = TypeVar("T")


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
        """Return the virtual interfaces of a server, a network, both, or all.

        Raises:
            UsageError: no server or network was ever called that.
        """
        __tracebackhide__ = True
        found = interfaces_in(self._document(), server, network)
        if not found:
            self._cloud.journal.check_names(server=server, network=network)
        return found

    def servers(self) -> list[Record]:
        """Return the servers."""
        return [Record(item) for item in self._document()["servers"]]

    def networks(self) -> list[Record]:
        """Return the isolated networks."""
        return [Record(item) for item in self._document()["networks"]]

    def _document(self) -> Mapping[str, Any]:
        return self._cloud.run(self._cloud.simulator.state_document())


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

    def __repr__(self) -> str:
        simulator = self.simulator
        where = simulator.known_url or "without a port"
        return f"<Cloud {where}, scenario {simulator.scenario.name}>"

    def run(self, action: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the simulator's loop and return what it returns.

        Raises:
            UsageError: the cloud has ended; only what `call` asks for can be had.
        """
        __tracebackhide__ = True
        if self._loop.is_closed():
            action.close()
            raise UsageError("the cloud has ended: ask for this before (its journal is still here)")
        try:
            return asyncio.run_coroutine_threadsafe(action, self._loop).result()
        except (UsageError, ControlFault) as exc:  # a mistake in the test, which is where to look
            raise exc.with_traceback(None) from exc.__cause__

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
        __tracebackhide__ = True
        self.run(self.simulator.load(scenario))

    def reset(self) -> None:
        """Begin again; see `Simulator.reset`."""
        __tracebackhide__ = True
        self.run(self.simulator.reset())

    def snapshot(self) -> dict[str, Any]:
        """Return everything but the journal."""
        __tracebackhide__ = True
        return self.run(self.simulator.snapshot())

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Become what a snapshot says; see `Simulator.restore`."""
        __tracebackhide__ = True
        self.run(self.simulator.restore(snapshot))

    def amend(self, change: str, **values: Any) -> None:
        """Change the cloud by hand; see `Simulator.amend`."""
        __tracebackhide__ = True
        self.run(self.simulator.amend(change, **values))

    def rule(self, **keys: Any) -> AddedRule:
        """Add a rule, its keys and values as in a scenario; a number is seconds.

        Raises:
            UsageError: it is not sound.
        """
        __tracebackhide__ = True
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
