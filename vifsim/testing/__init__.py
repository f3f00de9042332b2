"""What tests of clients and of backends are made with, beside the fixtures.

The house rule: nothing is imported here before it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vifsim.testing.cases import every_fault
    from vifsim.testing.differential import Difference, diff
    from vifsim.testing.hunting import HuntResult, hunt
    from vifsim.testing.machine import backend_machine
    from vifsim.testing.unit import VifsimTestCase

__all__ = [
    "Difference",
    "HuntResult",
    "VifsimTestCase",
    "backend_machine",
    "diff",
    "every_fault",
    "hunt",
]

_HOMES = {
    "Difference": "differential",
    "HuntResult": "hunting",
    "diff": "differential",
    "every_fault": "cases",
    "hunt": "hunting",
    "backend_machine": "machine",
    "VifsimTestCase": "unit",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"vifsim.testing.{home}"), name)
