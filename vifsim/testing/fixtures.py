"""What the fixtures do: set clouds up, check them at the end, and tell what happened in them.

The house rule: what a test's client did is laid to that test, and to no other.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.errors import UsageError
from vifsim.facade import Cloud, in_thread
from vifsim.simulator import Simulator
from vifsim.testing.telling import Watched, called, stops, tell, unnamed
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence

CHECKS = ("rules_fired", "known_paths", "nothing_in_flight", "no_straggler")
"""What is checked when a test ends; `checks` of the marker or the settings names those that are on.

rules_fired: each rule that was added with `.rule()` fired. known_paths: no request went to a path
that the cloud does not have. nothing_in_flight: no request was without its answer.
no_straggler: no client went on talking after its test.
"""

_MARKER_KEYS = ("scenario", "seed", "backend", "clock", "speed", "checks")
_ENDPOINT = re.compile(r"/v2(\.0)?/[^/?]+/?")
"""What the catalog names as the endpoint itself: stock clients probe it, and live with a 404."""
_PATIENCE = 20
_PAUSE = 0.01
_KEY = pytest.StashKey[list[Watched]]()
_FAILED = pytest.StashKey[bool]()
"""Whether a test has failed: then it is no wonder that a rule never fired."""
_STRAGGLERS: list[str] = []


@frozen
class Order:
    """How the clouds of one test are set up, and what is checked at its end."""

    item: pytest.Item
    settings: Mapping[str, Any]
    checks: frozenset[str]

    @classmethod
    def of(
        cls,
        request: pytest.FixtureRequest,
        settings: Mapping[str, Any],
        around: Mapping[str, Any],
    ) -> Order:
        """Return what marker, settings, fixtures and command line say together, in that order."""
        item: pytest.Item = request.node
        found = {key: value for key, value in around.items() if value is not None}
        if "seed" in found:
            found["seed"] = _seed(found["seed"])
        found |= settings
        found |= _marker(item)
        checks = _checks(found.pop("checks", None))
        return cls(item=item, settings=found, checks=checks)

    @contextmanager
    def cloud(self) -> Generator[Cloud, None, None]:
        """Run a cloud in a thread for this test, and check it at the end."""
        with self._run(_threaded(self.settings)) as cloud:
            yield cloud

    @contextmanager
    def _run(self, simulator: Simulator) -> Generator[Cloud, None, None]:
        with in_thread(simulator) as cloud:
            watched = self._watch(simulator, cloud)
            yield cloud
            problems = self._look_at(cloud, watched)
        _complain(problems, simulator)

    @contextmanager
    def maker(self) -> Generator[Callable[..., Cloud], None, None]:
        """Give a function that runs further clouds for this test."""
        with ExitStack() as clouds:

            def make(**more: Any) -> Cloud:
                __tracebackhide__ = True
                settings: dict[str, Any] = {**self.settings, **more, "self_stepping": True}
                _no_jump(settings)
                try:
                    simulator = Simulator(**settings)
                except UsageError as exc:  # a mistake in the test, which is where to look
                    raise exc.with_traceback(None) from exc.__cause__
                return clouds.enter_context(self._run(simulator))

            yield make

    @contextmanager
    def view(self, shared: Shared) -> Generator[Cloud, None, None]:
        """Begin the shared cloud anew for this test, and check it at the end."""
        cloud = shared.begin(self.settings)
        watched = self._watch(cloud.simulator, cloud)
        yield cloud
        problems = self._look_at(cloud, watched)
        if "no_straggler" in self.checks:
            shared.ended(cloud, self.item.nodeid)
        _complain(problems, cloud.simulator)

    @asynccontextmanager
    async def jumping(self) -> AsyncGenerator[Simulator]:
        """Run a cloud on the test's own loop whose time jumps."""
        if self.settings.get("clock", "autojump") != "autojump":
            pytest.fail("vifsim_autojump has its own clock: leave `clock` out of the marker")
        async with _made({**self.settings, "clock": "autojump"}) as simulator:
            watched = self._watch(simulator)
            yield simulator
            if "nothing_in_flight" in self.checks:
                await _settle(simulator)
            problems = self._problems(watched)
        _complain(problems, simulator)

    def _watch(self, simulator: Simulator, cloud: Cloud | None = None) -> Watched:
        watched = Watched.from_now(simulator, cloud)
        if _KEY not in self.item.stash:
            self.item.stash[_KEY] = []
        self.item.stash[_KEY].append(watched)
        return watched

    def _look_at(self, cloud: Cloud, watched: Watched) -> list[str]:
        if "nothing_in_flight" in self.checks and cloud.simulator.journal.under_way:
            cloud.run(_settle(cloud.simulator))
        return self._problems(watched)

    def _problems(self, watched: Watched) -> list[str]:
        """Return what is wrong at the end of a test that did not fail itself."""
        problems: list[str] = []
        if self.item.stash.get(_FAILED, False):
            return problems
        for check, look in _LOOKS.items():
            if check in self.checks:
                problems += watched.ask(partial(look, watched.simulator))
        return problems


def _threaded(settings: Mapping[str, Any]) -> Simulator:
    """Return a simulator that will run in a thread, where time cannot jump."""
    _no_jump(settings)
    return _made({**settings, "self_stepping": True})


def _no_jump(settings: Mapping[str, Any]) -> None:
    if settings.get("clock") == "autojump":
        pytest.fail(
            "time jumps only where cloud, client and test share a loop: "
            "use the fixture vifsim_autojump, without `clock`",
            pytrace=False,
        )


def _made(settings: dict[str, Any]) -> Simulator:
    """Return a simulator; a wrong setting fails the test in one line, not with a traceback."""
    try:
        return Simulator(**settings)
    except UsageError as exc:
        wrong = exc
    pytest.fail(f"vifsim: {wrong}", pytrace=False)


def _marker(item: pytest.Item) -> dict[str, Any]:
    marker = item.get_closest_marker("vifsim")
    if marker is None:
        return {}
    unknown = [key for key in marker.kwargs if key not in _MARKER_KEYS]
    if unknown or marker.args:
        known = ", ".join(_MARKER_KEYS)
        pytest.fail(
            f"the marker vifsim takes {known} by name, not {unknown or list(marker.args)}",
            pytrace=False,
        )
    return dict(marker.kwargs)


def _seed(text: str) -> int:
    if not text.isdecimal():
        pytest.fail(f"--vifsim-seed {text} is not a whole number, 0 or more", pytrace=False)
    return int(text)


def _checks(names: Sequence[str] | None) -> frozenset[str]:
    if names is None:
        return frozenset(CHECKS)
    if isinstance(names, str):
        pytest.fail(f"checks is a list: write checks=[{names!r}]", pytrace=False)
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        pytest.fail(f"no check {unknown[0]}: there are {', '.join(CHECKS)}", pytrace=False)
    return frozenset(names)


# ── one server for all tests ─────────────────────────────────────────────────────────────────────


_BEGUN_ANEW = frozenset({"scenario", "seed"})
"""What a cloud can be given when it begins anew; anything else needs a server of its own."""


class Shared:
    """One server that every test begins anew; another one where a test wants another kind."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._clouds: list[tuple[dict[str, Any], Cloud]] = []
        self._last: tuple[Cloud, str, int] | None = None

    def __enter__(self) -> Shared:
        return self

    def __exit__(self, *_: object) -> None:
        self._look_for_stragglers()
        self._stack.close()

    def begin(self, settings: Mapping[str, Any]) -> Cloud:
        """Return the cloud as at its start, with these settings."""
        note = self._look_for_stragglers()
        fixed = {key: value for key, value in settings.items() if key not in _BEGUN_ANEW}
        cloud = next((cloud for known, cloud in self._clouds if known == fixed), None)
        if cloud is None:
            simulator = _threaded(fixed)
            cloud = self._stack.enter_context(in_thread(simulator))
            self._clouds.append((fixed, cloud))
        cloud.run(cloud.simulator.move(note))
        cloud.run(cloud.simulator.begin(settings.get("scenario"), settings.get("seed")))
        return cloud

    def ended(self, cloud: Cloud, test: str) -> None:
        """Note that a test has ended: who talks from now on is its straggler."""
        self._last = cloud, test, cloud.simulator.journal.last

    def _look_for_stragglers(self) -> Callable[[str], None]:
        """Name the last test for each call since its end; return what names it for later ones."""
        if self._last is None:
            return _nobody
        cloud, test, last = self._last
        self._last = None
        late = cloud.call(lambda: list(cloud.simulator.journal.query(since=last)))
        for call in late:
            _straggled(test, f"{call.method} {call.path}")
        return partial(_straggled, test)


def _nobody(_: str) -> None:
    """Name no test: the last one did not ask for it."""


def _straggled(test: str, asked: str) -> None:
    _STRAGGLERS.append(f"vifsim: a client of {test} went on after its end: {asked}")


def seen_elsewhere(lines: Sequence[str]) -> None:
    """Take over what another process of this run has seen."""
    _STRAGGLERS.extend(lines)


def stragglers() -> list[str]:
    """Return a line for each call that came after its test had ended."""
    return list(_STRAGGLERS)


# ── checks ───────────────────────────────────────────────────────────────────────────────────────


async def _settle(simulator: Simulator) -> None:
    """Give calls under way the moment that they need: a client may be about to hang up."""
    for _ in range(_PATIENCE):
        if not simulator.journal.under_way:
            return
        await simulator.clock.pause(_PAUSE)


def _rules_fired(simulator: Simulator) -> list[str]:
    stopped = {item["rule"]: item["stopped_at"] for item in simulator.never_fired()["never_fired"]}
    unused = [rule for rule in simulator.added_rules() if simulator.rule_counts(rule)[1] == 0]
    said = unnamed(simulator) if unused else {}
    return [
        f"rules_fired: {called(rule, said)} never fired: {stops(stopped.get(rule, {}))}"
        for rule in unused
    ]


def _known_paths(simulator: Simulator) -> list[str]:
    return [
        f"known_paths: entry {entry['seq']} asked for what the cloud does not have: "
        f"{entry['method']} {entry['path']}"
        for entry in simulator.journal.documents(simulator.journal)
        if entry["operation"] == "unknown" and not _ENDPOINT.fullmatch(entry["path"])
    ]


def _nothing_in_flight(simulator: Simulator) -> list[str]:
    return [
        f"nothing_in_flight: entry {entry['seq']} has no answer yet: "
        f"{entry['method']} {entry['path']}"
        for entry in simulator.journal.documents(simulator.journal)
        if entry["outcome"] is None
    ]


_LOOKS: Mapping[str, Callable[[Simulator], list[str]]] = {
    "rules_fired": _rules_fired,
    "known_paths": _known_paths,
    "nothing_in_flight": _nothing_in_flight,
}


def _complain(problems: Sequence[str], simulator: Simulator) -> None:
    """Fail the test for what is wrong at its end.

    Raises:
        AssertionError: the simulator itself failed.
    """
    defect = simulator.edge.last_defect
    if defect is not None:
        raise AssertionError("the simulator itself failed during this test") from defect
    if problems:
        off = "@pytest.mark.vifsim(checks=[…]) names the checks that are on"
        pytest.fail("\n".join([*problems, f"({off})"]), pytrace=False)


# ── what is told of a failure ────────────────────────────────────────────────────────────────────


def tell_failure(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add to a report what happened in the clouds of its test, and keep it where asked."""
    nothing: list[Watched] = []
    several = item.stash.get(_KEY, nothing)
    item.stash[_FAILED] = True
    tell(item, report, several)
