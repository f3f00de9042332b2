"""Fixtures, options and the marker for pytest; what they do is in `vifsim.testing.fixtures`.

The house rule: nothing heavy is imported before a test asks for a fixture.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from vifsim.facade import Cloud
    from vifsim.simulator import Simulator

pytest.register_assert_rewrite("vifsim.conformance")

_STRAGGLERS = "vifsim_stragglers"
_OPTIONS = {
    "seed": "of ids and draws of every cloud that its test gives none",
    "scenario": "name or path of the scenario of every cloud that its test gives none",
    "backend": "URL of the backend of every cloud that its test gives none",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options and ini keys."""
    group = parser.getgroup("vifsim")
    for name, text in _OPTIONS.items():
        group.addoption(f"--vifsim-{name}", default=None, metavar=name.upper(), help=text)
        parser.addini(f"vifsim_{name}", text)
    group.addoption(
        "--vifsim-artifacts",
        default=None,
        metavar="DIR",
        help="keep journal, HAR and scenario of each failing test in this folder",
    )
    group.addoption(
        "--vifsim-cov",
        action="store_true",
        help="report which documented errors the clients of this session have met",
    )
    group.addoption(
        "--vifsim-cov-fail-under",
        type=float,
        metavar="PERCENT",
        help="fail where they have met less of what is documented; turns --vifsim-cov on",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and count what is met where that is asked for."""
    least = config.getoption("--vifsim-cov-fail-under")
    if config.getoption("--vifsim-cov") or least is not None:
        from vifsim.coverage_plugin import CoveragePlugin  # noqa: PLC0415 -- only where asked for

        config.pluginmanager.register(CoveragePlugin(least), "vifsim-coverage")
    config.addinivalue_line(
        "markers",
        "vifsim(scenario=None, seed=None, backend='memory:', clock='real', speed=1.0, "
        "checks=None): how the simulated cloud of this test is set up, and what is checked at its "
        "end",
    )


# ── what a suite may override ────────────────────────────────────────────────────────────────────


@pytest.fixture
def vifsim_settings() -> dict[str, Any]:
    """Arguments of `Simulator`, and `checks`, for the clouds of these tests."""
    return {}


@pytest.fixture
def vifsim_backend(pytestconfig: pytest.Config) -> str | None:
    """URL of the backend of these tests' clouds; None: memory."""
    return _given(pytestconfig, "backend")


@pytest.fixture
def vifsim_scenario(pytestconfig: pytest.Config) -> Any:
    """Scenario of these tests' clouds: name, path, mapping, or a list of these."""
    return _given(pytestconfig, "scenario")


@pytest.fixture
def vifsim_tls() -> bool:
    """Whether these tests' clouds speak TLS, with a certificate of a throw-away authority."""
    return False


def _given(config: pytest.Config, name: str) -> str | None:
    """Return what the command line says, else the ini file."""
    option: str | None = config.getoption(f"--vifsim-{name}")
    return option or config.getini(f"vifsim_{name}") or None


# ── fixtures ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def _vifsim_order(
    request: pytest.FixtureRequest,
    vifsim_settings: dict[str, Any],
    vifsim_backend: str | None,
    vifsim_scenario: Any,
    vifsim_tls: bool,  # noqa: FBT001 -- a fixture is named, never placed
) -> Any:
    from vifsim.testing.fixtures import Order  # noqa: PLC0415 -- heavy, and only now needed

    around = {
        "backend": vifsim_backend,
        "scenario": vifsim_scenario,
        "tls": vifsim_tls or None,
        "seed": _given(request.config, "seed"),
    }
    return Order.of(request, vifsim_settings, around)


@pytest.fixture
def vifsim(_vifsim_order: Any) -> Iterator[Cloud]:
    """A simulated cloud of the test's own, in a thread, on a port of its own."""
    with _vifsim_order.cloud() as cloud:
        yield cloud


@pytest.fixture
def make_vifsim(_vifsim_order: Any) -> Iterator[Callable[..., Cloud]]:
    """Make clouds, each with the arguments of `Simulator`; all end with the test."""
    with _vifsim_order.maker() as make:
        yield make


@pytest.fixture(scope="session")
def _vifsim_shared() -> Iterator[Any]:
    from vifsim.testing.fixtures import Shared  # noqa: PLC0415 -- heavy, and only now needed

    with Shared() as shared:
        yield shared


@pytest.fixture
def vifsim_session(_vifsim_order: Any, _vifsim_shared: Any) -> Iterator[Cloud]:
    """A cloud that all tests share one server of, begun anew for each."""
    with _vifsim_order.view(_vifsim_shared) as cloud:
        yield cloud


async def _autojump(_vifsim_order: Any) -> AsyncIterator[Simulator]:
    async with _vifsim_order.jumping() as simulator:
        yield simulator


def _no_autojump() -> None:
    pytest.fail("vifsim_autojump needs pytest-asyncio (pip install pytest-asyncio)")


def _autojump_fixture() -> Callable[..., object]:
    try:
        # In its strict mode pytest-asyncio takes no coroutine from pytest's own decorator.
        from pytest_asyncio import fixture as async_fixture  # noqa: PLC0415 -- may be missing
    except ImportError:
        return pytest.fixture(name="vifsim_autojump")(_no_autojump)
    return async_fixture(name="vifsim_autojump")(_autojump)


vifsim_autojump = _autojump_fixture()
"""A simulated cloud on the test's loop, whose time jumps to the next timer when nothing runs."""


# ── what is told of a failure ────────────────────────────────────────────────────────────────────


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a failing test that had a cloud end with what happened there."""
    report = yield
    if report.failed and _in_use():
        from vifsim.testing.fixtures import tell_failure  # noqa: PLC0415 -- only a failure needs it

        tell_failure(item, report)
    return report


def _in_use() -> bool:
    """Say whether any test so far had a cloud."""
    return "vifsim.testing.fixtures" in sys.modules


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Name the tests whose clients went on talking after their end."""
    if _in_use():
        from vifsim.testing.fixtures import stragglers  # noqa: PLC0415 -- only then is there any

        for line in stragglers():
            terminalreporter.write_line(line, red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session in which a client went on talking after its test."""
    if _in_use():
        from vifsim.testing.fixtures import stragglers  # noqa: PLC0415 -- only then is there any

        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_STRAGGLERS] = stragglers()
        elif stragglers() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a process of pytest-xdist has seen of clients that went on."""
    lines = getattr(node, "workeroutput", {}).get(_STRAGGLERS)
    if lines:
        from vifsim.testing.fixtures import seen_elsewhere  # noqa: PLC0415 -- only then is there any

        seen_elsewhere(lines)
