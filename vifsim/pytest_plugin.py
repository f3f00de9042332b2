"""Fixtures and markers for pytest.

The house rule: nothing heavy is imported before a test asks for a fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from vifsim.facade import Cloud
    from vifsim.simulator import Simulator

pytest.register_assert_rewrite("vifsim.conformance")

_MARKER_KEYS = ("scenario", "seed", "backend", "clock", "speed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the flags."""
    group = parser.getgroup("vifsim")
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
        "vifsim(scenario=None, seed=None, backend='memory:', clock='real', speed=1.0): "
        "how the simulated cloud of this test is set up",
    )


@pytest.fixture
def vifsim(request: pytest.FixtureRequest) -> Iterator[Cloud]:
    """A simulated cloud of the test's own, in a thread, on a port of its own."""
    from vifsim.simulator import Simulator  # noqa: PLC0415 -- heavy, and only now needed

    with Simulator(**_settings(request), self_stepping=True) as cloud:
        yield cloud
        defect = cloud.simulator.edge.last_defect
    if defect is not None:
        raise AssertionError("the simulator itself failed during this test") from defect


async def _autojump(request: pytest.FixtureRequest) -> AsyncIterator[Simulator]:
    from vifsim.simulator import Simulator  # noqa: PLC0415 -- heavy, and only now needed

    settings = _settings(request)
    if settings.setdefault("clock", "autojump") != "autojump":
        pytest.fail("vifsim_autojump has its own clock: leave `clock` out of the marker")
    async with Simulator(**settings) as simulator:
        yield simulator
        defect = simulator.edge.last_defect
    if defect is not None:
        raise AssertionError("the simulator itself failed during this test") from defect


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


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("vifsim")
    if marker is None:
        return {}
    unknown = [key for key in marker.kwargs if key not in _MARKER_KEYS]
    if unknown or marker.args:
        known = ", ".join(_MARKER_KEYS)
        pytest.fail(f"the marker vifsim takes {known} by name, not {unknown or marker.args}")
    return dict(marker.kwargs)
