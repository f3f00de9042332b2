"""How a backend is found by its URL."""

from __future__ import annotations

import pytest

from vifsim.backend import (
    DECORATORS_GROUP,
    OWN_DECORATOR,
    OWN_STORES,
    decorator,
    find,
    installed,
    points,
)


def test_our_own_backends_are_the_entry_points_that_are_installed() -> None:
    ours = {
        name: point.value
        for name, point in installed().items()
        if point.dist is not None and point.dist.name == "vifsim"
    }
    decorators = {name: point.value for name, point in points(DECORATORS_GROUP).items()}

    assert ours == {name: point.value for name, point in OWN_STORES.items()}
    assert decorators == {OWN_DECORATOR.name: OWN_DECORATOR.value}


@pytest.mark.parametrize("scheme", ["memory", "sqlite"])
def test_our_own_backends_are_what_their_entry_points_name(scheme: str) -> None:
    assert find(f"{scheme}:") is installed()[scheme].load()


def test_what_faults_is_what_its_entry_point_names() -> None:
    assert decorator() is points(DECORATORS_GROUP)["faults"].load()
