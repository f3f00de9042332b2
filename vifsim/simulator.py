"""Puts backend, scenario, clock, journal and app together; starts and stops them.

The house rule: nothing is decided here; who knows what is told, and who needs what is given it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from aiohttp import web

from vifsim import autojump, clients
from vifsim import backend as backends
from vifsim import scenario as scenarios
from vifsim.alongside import OpenJournal, OpenState, at_once
from vifsim.arguments import checked_mode, checked_seed, make_clock, read_scenario, seconds
from vifsim.backend import Change
from vifsim.clock import LONGEST_OFFSET
from vifsim.difference import Beginning
from vifsim.errors import ControlFault, ScenarioError, UsageError
from vifsim.exchange import Facts
from vifsim.facade import AddedRule, Effects, Invariants, Record
from vifsim.http.access import Access
from vifsim.http.codec import MAX_BODY_BYTES
from vifsim.http.control import Control
from vifsim.http.edge import Edge
from vifsim.http.serving import Everything, Life, expect
from vifsim.http.site import Site
from vifsim.journal import DEFAULT_MAX_BYTES, Journal, in_order
from vifsim.moments import Frame, Moment, Moments, apart
from vifsim.recording import added_rules, explained
from vifsim.scenario.documented import documented_rules
from vifsim.scenario.engine import Engine, arrivals_of
from vifsim.scenario.rule import Scenario
from vifsim.seeding import reading
from vifsim.version import __version__
from vifsim.worlds import KnownNames, Worlds, lists_things, text_without_secrets, without_secrets

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import aiohttp
    import httpx

    from vifsim.arguments import ClockMode, ScenarioArgument
    from vifsim.backend import Backend
    from vifsim.clock import Mode, SimClock
    from vifsim.connector import MemoryConnector
    from vifsim.exchange import Decision
    from vifsim.facade import Cloud, Scorecard
    from vifsim.recording import Place
    from vifsim.scenario.engine import State
    from vifsim.scenario.rule import Rule
    from vifsim.scorecard import Run
    from vifsim.sharing import Published
    from vifsim.together import Together

T = TypeVar("T")

_ATTEMPTS = 5
"""How often rules are changed for all processes where another one was quicker."""


class Faults(Protocol):
    """What a simulator needs of the fault decorator, beside that it is a backend."""

    engine: Engine | None
    state: State

    def use(self, engine: Engine, state: State) -> None:
        """Let an engine decide from now on."""


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
        self._given_scenario = scenario is not None
        seed = checked_seed(seed)
        self.scenario = read_scenario(scenario)
        self._worlds = Worlds(world, seed, self.scenario)
        self.clock = sim_clock or make_clock(clock, speed, self_stepping=self_stepping)
        inner = backends.find(backend)(backend, clock=self.clock)
        self.faults: Faults = _decorated(inner, self.clock)
        self.backend: Backend = cast("Backend", self.faults)  # it is both: a decorator is a backend
        self.journal = OpenJournal(self, journal_bytes)
        self.state = OpenState(self)
        self._known = KnownNames(self._worlds, self.backend)
        self._together = self._join(inner)
        self.edge = Edge(self.backend, self._own_journal, self.clock)
        self._site = Site(self.edge, self.clock, (host, port, reuse_port), tls=tls)
        self.watchers: list[Callable[[str], None]] = []
        self._added: list[Rule] = []
        self._ever_added: dict[str, Rule] = {}
        self._removed: set[str] = set()
        self._fresh: set[str] = set()
        self._imposed: Mapping[Place, Decision] = {}
        self._engine: Engine | None = None
        self._moments: Moments = Moments(self._moment, self.clock)
        self._own_journal.listeners.append(self._moments.on_call)
        self._access = access or Access()
        self._thread: contextlib.AbstractContextManager[Cloud] | None = None
        self._jump: autojump.Autojump | None = None

    def _join(self, store: Backend) -> Together | None:
        """Return what keeps this process in step with others, where the store is shared."""
        if store.sharing is None:
            return None
        from vifsim.together import Outbox, Together  # noqa: PLC0415 -- only where processes share

        return Together(
            store.sharing,
            Outbox(self.clock),
            self.journal,
            say=self._document,
            take=self._take_published,
            cut=self._cut_calls,
            clock=self.clock,
        )

    @property
    def _own_journal(self) -> Journal:
        """What keeps the calls that this process answers."""
        return self.journal if self._together is None else self._together.outbox

    def _cut_calls(self, longer_than: float) -> None:
        self.edge.cut_calls(longer_than)

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
        return Control(self, self._access)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if Control.owns(request.rel_url.raw_path):
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

    async def drain(self, seconds: float) -> None:
        """Take no new call, and let those under way end, for so long at most."""
        await self._site.drain(seconds)

    async def _on_startup(self, _: object = None) -> None:
        if self.clock.mode == "autojump":
            self._jump = autojump.enter(self.clock.is_busy)
            self.clock.follow(self._jump.time)
        try:
            await self._open()
        except BaseException:
            self._end_jumps()
            raise

    def _end_jumps(self) -> None:
        jump, self._jump = self._jump, None
        if jump is not None:
            autojump.leave(jump, self.clock.is_busy)

    async def _open(self) -> None:
        await self.backend.open(self._worlds.present)
        if self._together is not None:
            await self._open_together(self._together)
            return
        kept = await self.backend.kept_scenario()
        if kept is not None and not self._given_scenario:
            self._take_kept(kept)
        else:
            await self.backend.configure(self._worlds.present.settings)
            self._install()
        await self._known.begin()

    async def _open_together(self, together: Together) -> None:
        """Go by what the other processes go by; where asked for something else, let them."""
        asked, mode, speed = self.scenario, self.clock.mode, self.clock.speed
        await together.start()
        while True:
            await together.hear()
            other = self._given_scenario and asked.digest != self.scenario.digest
            anew = other or not together.sharing.version
            if anew:
                self._begin_with(asked)
                await self.backend.configure(self._worlds.present.settings)
                self._install()
            elif mode in {"real", "autojump", self.clock.mode}:
                break
            if mode not in {"autojump", self.clock.mode}:
                self.clock.steer(mode, speed)
            if await together.publish(state=self.faults.state if anew else None):
                break
        await self.learn_names()
        if self.clock.mode != "autojump":
            together.watch()

    def _begin_with(self, scenario: Scenario) -> None:
        self.scenario, self._worlds.present = scenario, self._worlds.make(scenario)
        self._added, self._removed, self._ever_added = [], set(), {}

    async def _on_shutdown(self, _: object = None) -> None:
        if "_control" in vars(self):
            await self._control.let_go()

    async def _on_cleanup(self, _: object = None) -> None:
        try:
            if self._together is None:
                await self._keep()
            else:
                await self._together.stop()
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

    def _engine_class(self) -> Callable[..., Engine]:
        if not self._imposed:
            return Engine
        from vifsim.scenario.replaying import ReplayingEngine  # noqa: PLC0415 -- only a replay

        return partial(ReplayingEngine, self._imposed)

    def _install(self, state: dict[str, Any] | None = None) -> None:
        """Let the engine of the present rules decide; counts go on where `state` is given."""
        scenario = self.scenario
        settings = self.backend.settings
        rules = [
            rule
            for rule in (*documented_rules(settings), *self._added, *scenario.rules)
            if rule.id not in self._removed
        ]
        self._engine = self._engine_class()(
            rules,
            scenario.phases,
            seed=self.seed,
            settings=settings,
            hold=scenario.hold,
            start=scenario.start,
        )
        if self.clock.is_virtual:
            self._engine.retry_after_form = "seconds"
        if state is None:
            state = self._engine.new_state(self.clock.now())
        self.faults.use(self._engine, state)

    def impose(
        self, decisions: Mapping[Place, Decision], added: Sequence[Rule], removed: Collection[str]
    ) -> None:
        """Let a recorded run's decisions hold, from the start on, for the calls that it knows.

        Args:
            decisions: by call key and arrival.
            added: rules that are read before the scenario's.
            removed: ids of rules, added or not, that do not hold.
        """
        self._imposed = decisions
        self._added = [rule for rule in added if rule.id not in removed]
        self._ever_added = {rule.id: rule for rule in added}
        self._removed = set(removed)

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
        self.scenario, self._worlds.present = scenario, world
        self._added = []
        self._removed = set()
        self._install()
        self.journal.number_anew()
        if anew:
            await self._known.begin()
        await self._keep()
        self._changed("scenario", "state")

    # ── several processes ──

    async def catch_up(self) -> None:
        """Learn what other processes on the store have said and answered, where there are any."""
        if self._together is not None and self._together.process:
            await self._together.catch_up()

    async def catch_up_counts(self) -> None:
        """Learn what the rules have counted in all processes, where there are several."""
        if self._together is not None:
            self.faults.state = await self._together.sharing.state()

    def _document(self) -> dict[str, Any]:
        """Return what all processes on a store go by."""
        header = self.export_header()
        return {
            "scenario": header["scenario"],
            "added": header["added"],
            "removed": sorted(self._removed),
            "clock": self.clock.told(),
        }

    async def _take_published(self, found: Published) -> None:
        """Go by what another process has said."""
        document = found.document
        if document is None:
            return
        name, text = document["scenario"]["name"], document["scenario"]["text"]
        scenario = scenarios.load_text(text, source=name) if text.strip() else Scenario(name=name)
        if scenario.digest != self.scenario.digest:
            self.journal.number_anew()
        self.scenario = replace(scenario, name=name)
        ended = {item["id"] for item in document["added"] if item["removed"]}
        rules = added_rules(document["added"], scenario)
        self._ever_added = {rule.id: rule for rule in rules}
        self._added = [rule for rule in rules if rule.id not in ended]
        self._removed = set(document["removed"])
        if self.clock.mode != "autojump":
            await self.clock.take(document["clock"])
        self._install({"t0": found.start, "calls": 0, "arrivals": {}, "rules": {}})
        await self.learn_names()
        self._changed("clock", "scenario", "state")

    async def _say(self, change: Callable[[], T]) -> T:
        """Change the rules or the clock, for all processes where there are several.

        Raises:
            ControlFault: 409, others have changed them again and again in the meantime.
        """
        together = self._together
        if together is None:
            result = change()
            await self._keep()
            return result
        idle = False

        def act() -> T:
            nonlocal idle
            idle = self.faults.engine is None
            self._fresh.clear()
            return change()

        def how() -> dict[str, Any]:
            first = idle and self.faults.engine is not None
            return {"state": self.faults.state if first else None, "forget": list(self._fresh)}

        await together.catch_up()
        for _ in range(_ATTEMPTS):
            said, result = await together.change(act, how)
            if said:
                return result
        raise ControlFault(409, "other processes change the rules at this moment (try again)")

    def _changed(self, *names: str) -> None:
        for watcher in self.watchers:
            for name in names:
                watcher(name)

    async def add_rule(self, rule: Mapping[str, Any]) -> str:
        """Add a rule, read before the scenario's, and return its id; raises as `put_rule`."""
        return (await self.make_rule(rule)).id

    async def make_rule(
        self, rule: Mapping[str, Any], *, numbers_are_seconds: bool = False
    ) -> Rule:
        """Add a rule for all processes; raises as `put_rule`."""
        return await self._say(lambda: self.put_rule(rule, numbers_are_seconds=numbers_are_seconds))

    def put_rule(self, rule: Mapping[str, Any], *, numbers_are_seconds: bool = False) -> Rule:
        """Add a rule, read before the scenario's, and return it.

        Raises:
            UsageError: it is not sound; nothing is changed.
        """
        taken = {other.id for other in self._rules()}
        phases = [phase.name for phase in self.scenario.phases]
        made = scenarios.load_rule(
            rule, existing_ids=taken, phases=phases, numbers_are_seconds=numbers_are_seconds
        )
        self._added.append(made)
        self._ever_added[made.id] = made
        self._fresh.add(made.id)
        state = self.faults.state
        state["rules"].pop(made.id, None)  # a rule of the same id that was removed has counted
        if self.faults.engine is None:
            state["arrivals"] = self.journal.arrivals()  # nobody else has counted them
        self._install(state)
        self._changed_rules()
        return made

    def rule(self, **keys: Any) -> AddedRule:
        """Add a rule, its keys and values as in a scenario; a number is seconds.

        Raises:
            UsageError: it is not sound.
        """
        return AddedRule(self, self.put_rule(keys, numbers_are_seconds=True).id, at_once)

    async def remove_rule(self, rule_id: str) -> None:
        """Remove any one rule; raises as `drop_rule`."""
        await self._say(lambda: self.drop_rule(rule_id))

    def drop_rule(self, rule_id: str) -> None:
        """Remove any one rule.

        Raises:
            ControlFault: 404, there is none with this id.
        """
        if rule_id not in {rule.id for rule in self._rules()}:
            raise ControlFault(404, f"no rule {rule_id}")
        added = [rule for rule in self._added if rule.id != rule_id]
        if len(added) == len(self._added):
            self._removed.add(rule_id)
        self._added = added
        self._install(self.faults.state)
        self._changed_rules()

    def _changed_rules(self) -> None:
        if self._together is not None:
            self._together.unsaid = True
        self._changed("scenario")

    def added_rules(self) -> list[str]:
        """Return the ids of all rules that were ever added by hand, removed ones too."""
        return list(self._ever_added)

    def forget_rule(self, rule_id: str) -> None:
        """Remove an added rule as if it had never been there; raises as `drop_rule`."""
        self.drop_rule(rule_id)
        self._ever_added.pop(rule_id, None)

    async def remove_added_rules(self) -> None:
        """Remove all added rules."""
        await self._say(self._drop_added)

    def _drop_added(self) -> None:
        self._added = []
        self._install(self.faults.state)
        self._changed("scenario")

    def _rules(self) -> tuple[Rule, ...]:
        return () if self._engine is None else self._engine.rules

    def rule_counts(self, rule_id: str) -> tuple[int, int]:
        """Return how many calls a rule has matched, and how often it has fired."""
        counted = self.faults.state.get("rules", {}).get(rule_id, {})
        return int(counted.get("matched", 0)), int(counted.get("fired", 0))

    def scenario_document(self) -> dict[str, Any]:
        """Return the scenario and its rules, in the order in which they are read."""
        rules: list[dict[str, Any]] = []
        for rule in self._rules():
            matched, fired = self.rule_counts(rule.id)
            rules.append(
                {
                    "id": rule.id,
                    "origin": rule.origin,
                    "rule": dict(rule.source),
                    "matched": matched,
                    "fired": fired,
                }
            )
        return {
            "name": self.scenario.name,
            "description": self.scenario.description,
            "seed": self.seed,
            "digest": self.scenario.digest,
            "text": self.scenario.text,
            "rules": rules,
        }

    # ── state ──

    def health_document(self) -> dict[str, Any]:
        """Return how the simulator is."""
        return {
            "status": "ok",
            "version": __version__,
            "backend": _without_secrets(self.backend.url),
            "seed": self.seed,
            "scenario": self.scenario.name,
            **({} if self._together is None else {"process": self._together.process}),
        }

    def beginning(self) -> Beginning:
        """Return, just after a start or `begin`, how this cloud begins, to be looked at later."""
        return Beginning.of(self.backend, self._worlds.present)

    async def state_document(self) -> Mapping[str, Any]:
        """Return the world now, in the shape of a scenario's `world`."""
        return await self.backend.state_document()

    async def reset(self, seed: int | None = None) -> None:
        """Begin again: world, ids, tokens, clock, journal and counts; added rules are gone.

        Calls under way are cut; the scenario stays.
        """
        self.edge.cut_calls()
        self.clock.restart()
        self._worlds.present = self._worlds.make(self.scenario, self.seed if seed is None else seed)
        await self.backend.reset(self._worlds.present)
        self._added = []
        self._ever_added = {}
        self._removed = set()
        self._install()
        self._moments.clear()
        if self._together is None:
            self.journal.restart()
        else:
            await self._together.restart()
        await self._known.begin()
        await self._keep()
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
        return {**await self.backend.snapshot(), **self._scenario_part()}

    def forget_entries(self) -> None:
        """Forget all entries; where there are other processes, for them a moment later."""
        self.journal.clear()
        if self._together is not None:
            self._together.forget_soon()

    async def clear_journal(self) -> None:
        """Forget all entries; `seq` goes on."""
        if self._together is None:
            self.journal.clear()
        else:
            await self._together.clear()

    def _scenario_part(self) -> dict[str, Any]:
        return {
            "scenario": {
                "text": self.scenario.text,
                "added": [dict(rule.source) for rule in self._added],
                "seed": self.seed,
                "state": {**self.faults.state, "at": self.clock.now()},
            },
            "clock": {"offset": round(self.clock.offset, 6)},
        }

    async def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Become what a snapshot says; the journal goes on.

        Raises:
            ControlFault: 400 or 409; nothing is changed.
        """
        with reading(snapshot):
            part, offset = snapshot["scenario"], _offset(snapshot)
            scenario, added = _read_part(part)
            _check_state(_moved(part["state"], self.clock.now()))
        await self.backend.restore(dict(snapshot))
        self.clock.shift_to_offset(offset)
        self._take_part(scenario, added, part["state"])
        await self.learn_names()
        await self._keep()
        self._changed("clock", "scenario", "state")

    def _take_part(self, scenario: Scenario, added: list[Rule], state: Mapping[str, Any]) -> None:
        self.scenario = scenario
        self._added = added
        self._removed = set()
        self._install(_moved(state, self.clock.now()))

    def _take_kept(self, kept: Mapping[str, Any]) -> None:
        scenario, added = _read_part(kept["scenario"])
        self.clock.shift_to_offset(float(kept["clock"]["offset"]))
        self._take_part(scenario, added, kept["scenario"]["state"])

    async def _keep(self) -> None:
        """Let rules and counts, as they are now, last, and hold for other processes."""
        if self._together is not None:
            if self._together.process:
                await self._together.publish(state=self.faults.state, anyway=True)
        elif self.backend.durable and self._engine is not None:
            await self.backend.keep_scenario(self._scenario_part())

    # ── going back ──

    def _moment(self, at: float) -> Moment | None:
        store = self.backend.moment()
        state = self.faults.state
        frame = self._moments.frames.get(state, self._engine, self._frame)
        if store is None or frame is None:
            return None
        arrived = frame.arrivals.total
        return Moment(store, frame, state["calls"], arrived, at, self.clock.epoch(at))

    def _frame(self) -> Frame:
        counted = {
            key: value
            for key, value in self.faults.state.items()
            if key not in {"calls", "arrivals"}
        }
        return Frame(
            scenario=self.scenario,
            added=tuple(self._added),
            removed=frozenset(self._removed),
            counted=apart(counted),
            arrivals=arrivals_of(self.faults.state),
        )

    def _moment_before(self, seq: int) -> Moment:
        if not 0 < seq <= self.journal.last:
            raise ControlFault(404, f"no entry {seq}")
        if self.backend.moment() is None:
            raise ControlFault(
                409, "this backend keeps no moments: take a snapshot, or use --backend memory:"
            )
        return self._moments.before(seq)

    async def rewind(self, before: int) -> None:
        """Let world, rules and date be as they were before an entry; the journal goes on.

        Raises:
            ControlFault: 404, no such entry; 409, that moment is not kept.
        """
        moment = self._moment_before(before)
        state = _moved(moment.state, self.clock.now())
        await self.backend.go_back(moment.store)
        self.clock.shift_to_offset(moment.epoch - self.clock.wall())
        frame = moment.frame
        self.scenario = frame.scenario
        self._added, self._removed = list(frame.added), set(frame.removed)
        self._install(state)
        await self.learn_names()
        await self._keep()
        self._changed("clock", "scenario", "state")

    async def export_moment(self, before: int) -> dict[str, Any]:
        """Return the moment before an entry as a scenario, and as a test that repeats the call.

        Raises:
            ControlFault: as `rewind`.
        """
        from vifsim.export import exported  # noqa: PLC0415 -- only who exports needs it

        moment = self._moment_before(before)
        call = self.journal.find(before)
        if call is None:
            raise ControlFault(404, f"no entry {before}")
        world = await self.backend.state_at(moment.store)
        (entry,) = self.journal.documents([call])
        return exported(entry, moment, world, self.seed)

    # ── the console ──

    def timeline_document(self) -> dict[str, Any]:
        """Return where scenario time is, the phases, and when each rule may hold."""
        from vifsim.showing import timeline  # noqa: PLC0415 -- only the console needs it

        return timeline(self.scenario, self._rules(), self.faults.state.get("t0"))

    def clients_document(self) -> dict[str, Any]:
        """Return how well each client has coped so far."""
        from vifsim.showing import clients  # noqa: PLC0415 -- only the console needs it

        return clients(self.run_so_far())

    def shipped_document(self) -> dict[str, Any]:
        """Return the name, description and text of each shipped scenario."""
        from vifsim.showing import shipped  # noqa: PLC0415 -- only the console needs it

        return shipped()

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
        now = self.clock.now()
        return {
            "mode": self.clock.mode,
            "speed": self.clock.speed,
            "now": round(now, 6),
            "utc": self.clock.utc(now).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    async def steer_clock(self, mode: str, speed: float | None = None) -> None:
        """Set the clock's mode; it goes on from now.

        Raises:
            ControlFault: 400, no such mode, or a speed that is wrong; 409, the clock jumps.
        """
        if self.clock.mode == "autojump":
            raise ControlFault(409, "the clock jumps by itself, with its loop; it cannot be set")
        asked = checked_mode(mode, speed, ControlFault)
        await self._say(lambda: self._steer(*asked))

    def _steer(self, mode: Mode, speed: float) -> None:
        self.clock.steer(mode, speed)
        self._install(self.faults.state)
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
        self._install(self.faults.state)
        if self._together is not None:
            await self._together.publish(anyway=True)
        self._changed("clock", "state")

    # ── explain ──

    def explain(self, entry: int | Mapping[str, Any]) -> list[Record]:
        """Return every rule's look at a call, by its entry or `seq`; raises as below."""
        seq = entry if isinstance(entry, int) else entry["seq"]
        return [Record(look) for look in self.explain_document(seq)["looks"]]

    def explain_document(self, seq: int) -> dict[str, Any]:
        """Return every rule's look at one call.

        Raises:
            ControlFault: 404, the entry is not kept.
        """
        call = self.journal.find(seq)
        if call is None:
            raise ControlFault(404, f"no entry {seq}")
        engine = self._engine
        looks = [] if engine is None else engine.all_looks(Facts(call=call), call.outcome.looks)
        return {"entry": seq, "looks": explained(looks)}

    def never_fired(self) -> dict[str, Any]:
        """Return the rules that never fired, and what stopped them."""
        if self._engine is None or self.faults.engine is None:
            return {"never_fired": []}
        found = self._engine.never_fired(self.faults.state)
        return {"never_fired": [{"rule": rule, "stopped_at": stops} for rule, stops in found]}

    def openapi_document(self) -> dict[str, Any]:
        """Return the OpenAPI document of the simulated API and the control API.

        Raises:
            ControlFault: 501, apispec is not installed.
        """
        from vifsim.http.openapi import document  # noqa: PLC0415 -- only who asks for it needs it

        try:
            return document()
        except UsageError as exc:
            raise ControlFault(501, str(exc)) from exc

    def export_header(self) -> dict[str, Any]:
        """Return the first line of a journal export."""
        return {
            "seed": self.seed,
            "scenario": {
                "name": self.scenario.name,
                "digest": self.scenario.digest,
                "text": text_without_secrets(self.scenario),
            },
            "clock": self.clock.mode,
            "speed": self.clock.speed,
            "started": self.clock.utc(0.0).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "world": without_secrets(self._worlds.base),
            "added": [
                {"id": rule.id, "rule": dict(rule.source), "removed": rule not in self._added}
                for rule in self._ever_added.values()
            ],
        }

    @property
    def effects(self) -> Effects:
        """What was committed so far."""
        return Effects(self.journal.calls)

    async def invariants(self) -> Invariants:
        """Return what must hold whatever went wrong."""
        return Invariants(self.journal.view(), await self.state.interfaces())

    # ── scorecard ──

    def run_so_far(self) -> Run:
        """Return what has happened so far, to be judged; no client's end is known."""
        from vifsim.scorecard import Run  # noqa: PLC0415 -- only a verdict needs it

        return Run(
            entries=in_order(self.journal.documents(self.journal)),
            seed=self.seed,
            scenario=self.scenario,
            settings=self.backend.settings,
            rules=(*self._ever_added.values(), *self._rules()),
            clock=self.clock.mode,
            speed=self.clock.speed,
            dropped=self.journal.dropped,
        )

    def scorecard_document(self) -> dict[str, Any]:
        """Return how well the clients of this simulator have coped so far."""
        from vifsim.scorecard import score  # noqa: PLC0415 -- only a verdict needs it

        return score(self.run_so_far())

    def scorecard(self) -> Scorecard:
        """Return the same as a value, with `require`."""
        from vifsim.facade import Scorecard  # noqa: PLC0415 -- only a caller in Python needs it

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


def _decorated(inner: Backend, clock: SimClock) -> Faults:
    made: Faults = backends.decorator()(inner, clock=clock)
    return made


def _read_part(part: Mapping[str, Any]) -> tuple[Scenario, list[Rule]]:
    """Return the scenario and added rules of a snapshot.

    Raises:
        ControlFault: 400, they are not sound.
    """
    try:
        text = str(part["text"])
        scenario = scenarios.load_text(text, source="snapshot") if text else Scenario(name="none")
        added: list[Rule] = []
        for source in part["added"]:
            taken = {rule.id for rule in (*added, *scenario.rules)}
            phases = [phase.name for phase in scenario.phases]
            added.append(scenarios.load_rule(source, existing_ids=taken, phases=phases))
    except ScenarioError as exc:
        raise ControlFault(400, "the snapshot's scenario is not sound", exc.problems) from exc
    return scenario, added


def _moved(state: Mapping[str, Any], now: float) -> dict[str, Any]:
    """Return an engine's state with its times moved to another clock's now."""
    moved = json.loads(json.dumps(state))
    shift = now - float(moved.pop("at", now))
    if moved.get("t0") is not None:
        moved["t0"] += shift
    for counted in moved.get("rules", {}).values():
        for window in counted.get("windows", {}).values():
            window[0] += shift
        for key in ("workers", "waiting"):
            if key in counted:
                counted[key] = [at + shift for at in counted[key]]
    return dict(moved)


def _offset(snapshot: Mapping[str, Any]) -> float:
    """Return how far a snapshot's date is ahead, seconds.

    Raises:
        ValueError: further than a date can be told.
    """
    offset = float(snapshot["clock"]["offset"])
    if not abs(offset) < LONGEST_OFFSET:
        raise ValueError(f"offset {offset} is further than 30 years")
    return offset


def _check_state(state: Mapping[str, Any]) -> None:
    """Refuse what no engine could have counted.

    Raises:
        ValueError: it is none of an engine's states.
    """
    counts = [state["calls"], *state["arrivals"].values()]
    for counted in state["rules"].values():
        counts += [counted["matched"], counted["fired"]]
    if not all(type(count) is int for count in counts):
        raise ValueError("the scenario's state holds counts that are no numbers")


def _without_secrets(url: str) -> str:
    """Return a backend's URL without the password that it may hold."""
    head, at, tail = url.rpartition("@")
    if not at or "://" not in head:
        return url
    scheme, _, credentials = head.partition("://")
    user = credentials.partition(":")[0]
    return f"{scheme}://{user}@{tail}"
