"""Puts backend, scenario, clock, journal and app together; starts and stops them.

The house rule: nothing is decided here; who knows what is told, and who needs what is given it.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self, TypeVar

from aiohttp import web

from vifsim import autojump, clients
from vifsim import backend as backends
from vifsim import scenario as scenarios
from vifsim.accord import Alone
from vifsim.alongside import OpenJournal, OpenState, at_once
from vifsim.arguments import checked_mode, checked_seed, make_clock, read_scenario, seconds
from vifsim.backend import Change
from vifsim.clock import LONGEST_OFFSET
from vifsim.errors import ControlFault, UsageError
from vifsim.http.access import Access, is_control
from vifsim.http.codec import MAX_BODY_BYTES
from vifsim.http.edge import Edge
from vifsim.http.serving import Everything, Life, expect
from vifsim.http.site import Site
from vifsim.journal import DEFAULT_MAX_BYTES
from vifsim.keeping import Keeping
from vifsim.rewinding import Rewinding
from vifsim.rulebook import Rulebook
from vifsim.worlds import KnownNames, Worlds, lists_things

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import aiohttp
    import httpx

    from vifsim.accord import Accord
    from vifsim.arguments import ClockMode, ScenarioArgument
    from vifsim.backend import Backend
    from vifsim.clock import Mode, SimClock
    from vifsim.connector import MemoryConnector
    from vifsim.difference import Beginning
    from vifsim.documents import Documents
    from vifsim.exchange import Decision
    from vifsim.expectations import Effects, Invariants
    from vifsim.facade import AddedRule, Cloud
    from vifsim.http.control import Control
    from vifsim.recording import Place
    from vifsim.records import Record, Scorecard
    from vifsim.rulebook import Faults
    from vifsim.scenario.rule import Rule, Scenario
    from vifsim.scorecard import Run

T = TypeVar("T")


class Simulator:
    """A simulated cloud.

    `with Simulator() as vifsim` runs it in a thread and gives a `Cloud`; `async with Simulator() as
    vifsim` runs it on the running loop and gives the simulator itself.

    Args:
        scenario: a name, a path, a mapping, or a list of these.
        seed: of ids and draws; None: the scenario's, else 0.
        backend: the URL of a backend.
        world: the `world` of a scenario, under whatever the scenario itself says.
        clock: real, scaled (with `speed`), manual, or autojump: then the time of the running loop
            jumps to its next timer whenever it has nothing to do (docs/time.md).
        speed: simulated seconds in a real one.
        host: to listen on.
        port: to listen on; 0: a free one.
        tls: whether to serve https with a throw-away certificate.
        access: who may use the control API.
        journal_bytes: above this the journal drops its oldest entries, and says so.
        reuse_port: whether other processes may listen on the same port.

    Raises:
        UsageError: an argument is wrong; the text says what to do.
    """

    def __init__(  # noqa: PLR0913 -- the one place where a simulator is described
        self,
        *,
        scenario: ScenarioArgument = None,
        seed: int | None = None,
        backend: str = "memory:",
        world: Mapping[str, Any] | None = None,
        clock: ClockMode = "real",
        speed: float = 1.0,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: bool = False,
        access: Access | None = None,
        reuse_port: bool = False,
        self_stepping: bool = False,
        sim_clock: SimClock | None = None,
        journal_bytes: int = DEFAULT_MAX_BYTES,
    ) -> None:
        self._asked = scenario is not None
        seed, first = checked_seed(seed), read_scenario(scenario)
        self._worlds = Worlds(world, seed, first)
        self.clock = sim_clock or make_clock(clock, speed, self_stepping=self_stepping)
        store = backends.find(backend)(backend, clock=self.clock)
        decorated = backends.decorator()(store, clock=self.clock)  # a backend, and what faults it
        self.backend: Backend = decorated
        self.faults: Faults = decorated
        self.journal = OpenJournal(self, journal_bytes)
        self.state = OpenState(self)
        self._book = Rulebook(self.faults, self.clock, self.journal, first)
        self._known = KnownNames(self._worlds, self.backend)
        self._keeping = Keeping(self.backend, self._book, self.clock)
        self._accord = self._agree(store)
        self._rewinding = Rewinding(self.backend, self._book, self.clock, self.journal)
        self._accord.outbox.listeners.append(self._rewinding.moments.on_call)
        self.edge = Edge(self.backend, self._accord.outbox, self.clock)
        self._site = Site(self.edge, self.clock, (host, port, reuse_port), tls=tls)
        self.watchers: list[Callable[[str], None]] = []
        self._access = access or Access()
        self._thread: contextlib.AbstractContextManager[Cloud] | None = None
        self._jump: autojump.Autojump | None = None

    def _agree(self, store: Backend) -> Accord:
        """Return how changes come to hold, for this process or for all on the store."""
        if store.sharing is None:
            return Alone(
                self.backend,
                self._book,
                worlds=self._worlds,
                known=self._known,
                keeping=self._keeping,
                journal=self.journal,
            )
        from vifsim.in_step import InStep  # noqa: PLC0415 -- only where processes share

        return InStep(
            store.sharing,
            self.backend,
            book=self._book,
            worlds=self._worlds,
            known=self._known,
            journal=self.journal,
            clock=self.clock,
            cut=self._cut_calls,
            tell=self._changed,
        )

    def _cut_calls(self, longer_than: float) -> None:
        self.edge.cut_calls(longer_than)

    def _changed(self, *names: str) -> None:
        for watcher in self.watchers:
            for name in names:
                watcher(name)

    def __repr__(self) -> str:
        where = self.known_url or "without a port"
        return f"<Simulator {where}, scenario {self.scenario.name}>"

    # ── life ──

    def application(self) -> web.Application:
        """Return the aiohttp application; the backend is opened when it starts."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app[SIMULATOR] = self
        everything = Everything()
        everything.add_route("*", self._answer, expect_handler=expect)
        app.router.register_resource(everything)
        app.on_startup.append(self._on_startup)
        app.on_shutdown.append(self._on_shutdown)
        app.on_cleanup.append(self._on_cleanup)
        return app

    @cached_property
    def _control(self) -> Control:
        """The control API, which most clouds that a test has never hear of."""
        from vifsim.http.control import Control  # noqa: PLC0415 -- as it says

        return Control(self, self.documents, self._access)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if is_control(request.rel_url.raw_path):
            return await self._control.answer(request)
        return await self.edge.handle(request)

    async def start(self) -> Self:
        """Open the backend and listen.

        Raises:
            UsageError: the store cannot be opened, or the port is in use.
        """
        life = Life(self._on_startup, self._on_shutdown, self._on_cleanup)
        await self._site.open(self._answer, life)
        return self

    async def stop(self) -> None:
        """Cut parked calls, stop listening and close the backend."""
        await self._site.close()

    async def move(self, note: Callable[[str], None]) -> None:
        """Be at another `url` from now on, where the port was free to choose.

        Args:
            note: told the method and path of whoever still asks at the last few that were left.
        """
        await self._site.move(note)

    async def drain(self, seconds: float) -> None:
        """Take no new call, and let those under way end, for so long at most."""
        await self._site.drain(seconds)

    async def _on_startup(self, _: object = None) -> None:
        if self.clock.mode == "autojump":
            self._jump = autojump.enter(self.clock.is_busy)
            self.clock.follow(self._jump.time)
        try:
            await self.backend.open(self._worlds.present)
            await self._accord.open(asked=self._asked)
        except BaseException:
            self._end_jumps()
            raise

    def _end_jumps(self) -> None:
        jump, self._jump = self._jump, None
        if jump is not None:
            autojump.leave(jump, self.clock.is_busy)

    async def _on_shutdown(self, _: object = None) -> None:
        if "_control" in vars(self):
            await self._control.let_go()

    async def _on_cleanup(self, _: object = None) -> None:
        try:
            await self._accord.close()
            await self.backend.close()
        finally:
            self._end_jumps()

    async def __aenter__(self) -> Self:
        """Run on the running loop."""
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    def __enter__(self) -> Cloud:
        """Run in a thread."""
        from vifsim.facade import in_thread  # noqa: PLC0415 -- only threaded use needs it

        if self.clock.mode == "autojump":
            raise UsageError(
                "time jumps only where the simulator, its client and the test share a loop "
                "(write `async with`, or use the fixture vifsim_autojump)"
            )
        self._thread = in_thread(self)
        return self._thread.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, and end the thread."""
        if self._thread is not None:
            thread, self._thread = self._thread, None
            thread.__exit__(kind, exc, traceback)

    # ── what it is ──

    @cached_property
    def documents(self) -> Documents:
        """What the control API and the console show."""
        from vifsim.documents import Documents  # noqa: PLC0415 -- few clouds in tests are asked

        return Documents(
            self.backend,
            book=self._book,
            worlds=self._worlds,
            known=self._known,
            clock=self.clock,
            journal=self.journal,
            accord=self._accord,
        )

    @property
    def scenario(self) -> Scenario:
        """The scenario that holds; one that is set holds from the next start or `reset` on."""
        return self._book.scenario

    @scenario.setter
    def scenario(self, scenario: Scenario) -> None:
        self._book.scenario = scenario

    @property
    def seed(self) -> int:
        """The seed of ids and draws."""
        return self.backend.seed

    @property
    def url(self) -> str:
        """Where the cloud is, without a slash at the end; empty before it was started.

        A free port of the loopback address is taken when this is first read: a client that comes
        by `connector()` needs none.
        """
        return self._site.url

    @property
    def known_url(self) -> str:
        """The same where a port is taken, else empty: reading it takes none."""
        return self._site.known_url

    @property
    def auth_url(self) -> str:
        """The URL that clients log in at; ends in `/v2.0`."""
        return f"{self.url}/v2.0"

    @property
    def token(self) -> str:
        """The token of the world's first user that works without a log-in."""
        return self.first_user["token"]

    @property
    def tenant_id(self) -> str:
        """The world's first tenant."""
        return self.first_user["tenant"]

    @property
    def server_id(self) -> str:
        """The id of the world's first server."""
        return next(iter(self.servers.values()), "")

    @property
    def network_id(self) -> str:
        """The id of the world's first isolated network."""
        return next(iter(self.networks.values()), "")

    @property
    def first_user(self) -> dict[str, str]:
        """The world's first user and tenant, with the secrets that a client logs in with."""
        return self._worlds.first_user(self.scenario)

    @property
    def servers(self) -> dict[str, str]:
        """Names of servers and their ids, as when the world began or `learn_names` last ran."""
        return self._known.now()[0]

    @property
    def networks(self) -> dict[str, str]:
        """Labels of networks and their ids, likewise."""
        return self._known.now()[1]

    async def learn_names(self) -> None:
        """Let `servers` and `networks` say what exists now."""
        await self._known.learn()

    def env(self) -> dict[str, str]:
        """Return the environment variables that a client needs, by name."""
        led = clients.variables(
            self.url,
            self.first_user,
            server=self.server_id,
            network=self.network_id,
            region=self.backend.settings.region,
        )
        return led | clients.trust_variables(self.ca_file)

    @property
    def ca_file(self) -> str | None:
        """Path of the certificate that clients must trust, None without TLS."""
        return self._site.ca_file

    def aiohttp_client(self) -> aiohttp.ClientSession:
        """Return an aiohttp session for this cloud; close it on the loop that uses it."""
        return clients.aiohttp_client(self.url, self.token, self.ca_file)

    def connector(self) -> MemoryConnector:
        """Return an aiohttp connector that leads to this cloud without a port.

        Raises:
            UsageError: the simulator does not run.
        """
        return self._site.connector()

    def httpx_client(self) -> httpx.Client:
        """Return an httpx client for this cloud.

        Raises:
            UsageError: httpx is not installed.
        """
        return clients.httpx_client(self.url, self.token, self.ca_file)

    def write_openrc(self, path: str | Path) -> None:
        """Write the variables of `env` as a file for a shell."""
        clients.write(path, clients.openrc(self.env()))

    def write_clouds_yaml(self, path: str | Path) -> None:
        """Write a `clouds.yaml` with one cloud, `vifsim`."""
        clients.write(path, clients.clouds_yaml(self.env(), self.ca_file))

    # ── scenario ──

    def impose(
        self, decisions: Mapping[Place, Decision], added: Sequence[Rule], removed: Collection[str]
    ) -> None:
        """Let a recorded run's decisions hold, from the start on; see `Rulebook.impose`."""
        self._book.impose(decisions, added, removed)

    async def load(self, scenario: ScenarioArgument) -> None:
        """Let another scenario hold: rules, counts and scenario time begin again.

        Where it lists tenants, servers, networks or interfaces, the world is made anew.

        Raises:
            UsageError: it is not sound; nothing is changed.
        """
        await self._take(read_scenario(scenario))

    async def load_text(self, text: str) -> None:
        """Let another scenario hold, from its text; raises as `load`."""
        await self._take(scenarios.load_text(text, source="scenario"))

    async def _take(self, scenario: Scenario) -> None:
        world = self._worlds.make(scenario, self.seed)
        anew = lists_things(scenario)
        if anew:
            await self.backend.reset(world)
        else:
            self._known.hold()  # what exists stays, whatever the new scenario's own world would be
            await self.backend.configure(world.settings)
        self._worlds.present = world
        self._book.become(scenario)
        self.journal.number_anew()
        if anew:
            await self._known.begin()
        await self._accord.keep()
        self._changed("scenario", "state")

    async def catch_up(self) -> None:
        """Learn what other processes on the store have said and answered, where there are any."""
        await self._accord.catch_up()

    async def catch_up_counts(self) -> None:
        """Learn what the rules have counted in all processes, where there are several."""
        await self._accord.catch_up_counts()

    # ── rules ──

    async def add_rule(self, rule: Mapping[str, Any]) -> str:
        """Add a rule, read before the scenario's, and return its id; raises as `put_rule`."""
        return (await self.make_rule(rule)).id

    async def make_rule(
        self, rule: Mapping[str, Any], *, numbers_are_seconds: bool = False
    ) -> Rule:
        """Add a rule for all processes; raises as `put_rule`."""
        return await self._accord.say(
            lambda: self.put_rule(rule, numbers_are_seconds=numbers_are_seconds)
        )

    def put_rule(self, rule: Mapping[str, Any], *, numbers_are_seconds: bool = False) -> Rule:
        """Add a rule, read before the scenario's, and return it.

        Raises:
            UsageError: it is not sound; nothing is changed.
        """
        made = self._book.put(rule, numbers_are_seconds=numbers_are_seconds)
        self._changed_rules()
        return made

    def rule(self, **keys: Any) -> AddedRule:
        """Add a rule, its keys and values as in a scenario; a number is seconds.

        Raises:
            UsageError: it is not sound.
        """
        from vifsim.facade import AddedRule  # noqa: PLC0415 -- a server that nobody tests needs none

        return AddedRule(self, self.put_rule(keys, numbers_are_seconds=True).id, at_once)

    async def remove_rule(self, rule_id: str) -> None:
        """Remove any one rule; raises as `drop_rule`."""
        await self._accord.say(lambda: self.drop_rule(rule_id))

    def drop_rule(self, rule_id: str) -> None:
        """Remove any one rule.

        Raises:
            ControlFault: 404, there is none with this id.
        """
        self._book.drop(rule_id)
        self._changed_rules()

    def _changed_rules(self) -> None:
        self._accord.mark_unsaid()
        self._changed("scenario")

    def added_rules(self) -> list[str]:
        """Return the ids of all rules that were ever added by hand, removed ones too."""
        return list(self._book.ever_added)

    def forget_rule(self, rule_id: str) -> None:
        """Remove an added rule as if it had never been there; raises as `drop_rule`."""
        self.drop_rule(rule_id)
        self._book.ever_added.pop(rule_id, None)

    async def remove_added_rules(self) -> None:
        """Remove all added rules."""
        await self._accord.say(self._drop_added)

    def _drop_added(self) -> None:
        self._book.drop_added()
        self._changed("scenario")

    def rule_counts(self, rule_id: str) -> tuple[int, int]:
        """Return how many calls a rule has matched, and how often it has fired."""
        return self._book.counts(rule_id)

    def scenario_document(self) -> dict[str, Any]:
        """Return the scenario and its rules, in the order in which they are read."""
        return self.documents.scenario()

    # ── state ──

    def beginning(self) -> Beginning:
        """Return, just after a start or `begin`, how this cloud begins, to be looked at later."""
        from vifsim.difference import Beginning  # noqa: PLC0415 -- only tests look

        return Beginning.of(self.backend, self._worlds.present)

    async def state_document(self) -> Mapping[str, Any]:
        """Return the world now, in the shape of a scenario's `world`."""
        return await self.backend.state_document()

    async def reset(self, seed: int | None = None) -> None:
        """Begin again: world, ids, tokens, clock, journal and counts; added rules are gone.

        Calls under way are cut; the scenario stays.
        """
        self.edge.cut_calls()
        passed = self.clock.real()
        self.clock.restart()
        self._site.set_back(passed)
        self._worlds.present = self._worlds.make(self.scenario, self.seed if seed is None else seed)
        await self.backend.reset(self._worlds.present)
        self._book.begin(self.scenario)
        self._book.install()
        self._rewinding.moments.clear()
        await self._accord.restart_journal()
        await self._known.begin()
        await self._accord.keep()
        self._changed("clock", "scenario", "state")

    async def begin(self, scenario: ScenarioArgument, seed: int | None) -> None:
        """Begin again under another scenario; see `reset`.

        Args:
            scenario: as of a new simulator.
            seed: of ids and draws; None: the scenario's, else 0.

        Raises:
            UsageError: one of them is wrong; nothing is changed.
        """
        given, taken = checked_seed(seed), read_scenario(scenario)
        self._worlds.make(taken)
        self.scenario = taken
        await self.reset((taken.seed or 0) if given is None else given)

    async def snapshot(self) -> dict[str, Any]:
        """Return everything but the journal."""
        await self.catch_up_counts()
        return await self._keeping.snapshot()

    def forget_entries(self) -> None:
        """Forget all entries; where there are other processes, for them a moment later."""
        self._accord.forget_entries()

    async def clear_journal(self) -> None:
        """Forget all entries; `seq` goes on."""
        await self._accord.clear_journal()

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Become what a snapshot says; the journal goes on.

        Raises:
            ControlFault: 400 or 409; nothing is changed.
        """
        await self._keeping.restore(snapshot)
        await self._settle()

    async def _settle(self) -> None:
        """Let what holds anew be known, last, and hold for other processes."""
        await self._known.learn()
        await self._accord.keep()
        self._changed("clock", "scenario", "state")

    async def rewind(self, before: int) -> None:
        """Let world, rules and date be as they were before an entry; the journal goes on.

        Raises:
            ControlFault: 404, no such entry; 409, that moment is not kept.
        """
        await self._rewinding.go_back(before)
        await self._settle()

    async def export_moment(self, before: int) -> dict[str, Any]:
        """Return the moment before an entry as a scenario, and as a test that repeats the call.

        Raises:
            ControlFault: as `rewind`.
        """
        return await self._rewinding.exported(before)

    async def amend(self, change: str, **values: Any) -> None:
        """Change the cloud by hand.

        Raises:
            ControlFault: the change or what it names does not exist.
        """
        await self.backend.amend(Change(kind=change, values=values))
        self._changed("state")

    async def ids_named(self, kind: str, name: str) -> list[str]:
        """Return the ids of the servers or networks that have this name, label or id.

        Raises:
            ControlFault: 404, there is none.
        """
        return await self._known.ids(kind, name)

    # ── clock ──

    def clock_document(self) -> dict[str, Any]:
        """Return what the clock says."""
        return self.documents.clock()

    async def steer_clock(self, mode: str, speed: float | None = None) -> None:
        """Set the clock's mode; it goes on from now.

        Raises:
            ControlFault: 400, no such mode, or a speed that is wrong; 409, the clock jumps.
        """
        if self.clock.mode == "autojump":
            raise ControlFault(409, "the clock jumps by itself, with its loop; it cannot be set")
        asked = checked_mode(mode, speed, ControlFault)
        await self._accord.say(lambda: self._steer(*asked))

    def _steer(self, mode: Mode, speed: float) -> None:
        self.clock.steer(mode, speed)
        self._book.reinstall()
        self._changed("clock")

    async def advance_clock(self, by: str | float) -> None:
        """Move the clock ahead and run everything that falls due on the way.

        Raises:
            ControlFault: 400, not a duration, or further than a date can be told.
        """
        ahead = seconds(by)
        if not self.clock.offset + ahead < LONGEST_OFFSET:
            raise ControlFault(400, f"{by} is too far: the clock goes 30 years ahead at most")
        await self.catch_up()
        await self.clock.advance(ahead)
        self._book.reinstall()
        await self._accord.publish_clock()
        self._changed("clock", "state")

    # ── explain ──

    def explain(self, entry: int | Mapping[str, Any]) -> list[Record]:
        """Return every rule's look at a call, by its entry or `seq`; raises as below."""
        seq = entry if isinstance(entry, int) else entry["seq"]
        from vifsim.records import Record  # noqa: PLC0415 -- a server that nobody tests needs none

        return [Record(look) for look in self.documents.explain(seq)["looks"]]

    def never_fired(self) -> dict[str, Any]:
        """Return the rules that never fired, and what stopped them."""
        return self.documents.never_fired()

    def export_header(self) -> dict[str, Any]:
        """Return the first line of a journal export."""
        return self.documents.export_header()

    @property
    def effects(self) -> Effects:
        """What was committed so far."""
        from vifsim.expectations import Effects  # noqa: PLC0415 -- a server that nobody tests needs none

        return Effects(self.journal.calls)

    async def invariants(self) -> Invariants:
        """Return what must hold whatever went wrong."""
        from vifsim.expectations import Invariants  # noqa: PLC0415 -- a server that nobody tests needs none

        return Invariants(self.journal.view(), await self.state.interfaces())

    # ── scorecard ──

    def run_so_far(self) -> Run:
        """Return what has happened so far, to be judged; no client's end is known."""
        return self.documents.run()

    def scorecard_document(self) -> dict[str, Any]:
        """Return how well the clients of this simulator have coped so far."""
        return self.documents.scorecard()

    def scorecard(self) -> Scorecard:
        """Return the same as a value, with `require`."""
        from vifsim.records import Scorecard  # noqa: PLC0415 -- only a caller in Python needs it

        return Scorecard(self.scorecard_document())


SIMULATOR = web.AppKey("vifsim.simulator", Simulator)
"""Where an application made by `create_app` keeps its simulator."""


def create_app(**settings: Any) -> web.Application:
    """Return an aiohttp application of a simulated cloud, for `aiohttp_client` and its like.

    Takes the arguments of `Simulator` but `host`, `port`, `tls` and `reuse_port`; the simulator is
    `app[vifsim.SIMULATOR]`.

    Raises:
        UsageError: an argument is wrong.
    """
    for name in ("host", "port", "tls", "reuse_port"):
        if name in settings:
            raise UsageError(f"create_app takes no {name}: whoever serves the app decides that")
    try:
        return Simulator(**settings).application()
    except TypeError as exc:
        raise UsageError(str(exc).replace("Simulator.__init__()", "create_app()")) from exc
