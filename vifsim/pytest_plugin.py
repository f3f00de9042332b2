"""Fixtures and markers for pytest.

The house rule: nothing heavy is imported before a test asks for a fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vifsim.facade import Cloud

pytest.register_assert_rewrite("vifsim.conformance")

_MARKER_KEYS = ("scenario", "seed", "backend", "clock", "speed")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
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


def _settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("vifsim")
    if marker is None:
        return {}
    unknown = [key for key in marker.kwargs if key not in _MARKER_KEYS]
    if unknown or marker.args:
        known = ", ".join(_MARKER_KEYS)
        pytest.fail(f"the marker vifsim takes {known} by name, not {unknown or marker.args}")
    return dict(marker.kwargs)
