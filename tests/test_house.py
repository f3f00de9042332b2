"""What the parts of the house must agree upon."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import vifsim
from vifsim import errors, testing
from vifsim.backend import Backend
from vifsim.http.app import ROUTES
from vifsim.model import OPERATIONS

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
ASKED = [operation for operation in OPERATIONS if operation != "unknown"]


def modules() -> list[ModuleType]:
    """Return every module of the package that can be imported without an extra."""
    names = [module.name for module in pkgutil.walk_packages(vifsim.__path__, "vifsim.")]
    return [importlib.import_module(name) for name in names if name != "vifsim.__main__"]


def leaves(kind: type[errors.ApiFault]) -> list[type[errors.ApiFault]]:
    """Return the kinds of an error that have no kinds of their own."""
    below = kind.__subclasses__()
    return [leaf for one in below for leaf in leaves(one)] if below else [kind]


@pytest.mark.parametrize("package", [vifsim, testing], ids=lambda package: str(package.__name__))
def test_what_is_exported_is_what_is_named(package: ModuleType) -> None:
    source = inspect.getsource(package)
    typed = re.findall(r"^    from vifsim\S* import (.+)$", source, re.MULTILINE)

    assert sorted(name for line in typed for name in line.split(", ")) == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


def test_each_operation_has_a_route() -> None:
    assert {route.operation for route in ROUTES} == set(ASKED)


@pytest.mark.parametrize("operation", ASKED)
def test_each_operation_is_a_method_of_a_backend(operation: str) -> None:
    assert inspect.iscoroutinefunction(getattr(Backend, operation))


@pytest.mark.parametrize("operation", ASKED)
def test_each_operation_is_described(operation: str) -> None:
    assert f"`{operation}`" in (ROOT / "docs" / "api.md").read_text()


@pytest.mark.parametrize("fault", leaves(errors.ApiFault), ids=lambda fault: str(fault.__name__))
def test_each_fault_is_raised_by_something(fault: type[errors.ApiFault]) -> None:
    injectable = fault in errors.FAULT_BY_STATUS.values()

    raised = [
        path
        for folder in ("vifsim", "backends")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "errors.py" and re.search(rf"\b{fault.__name__}\b", path.read_text())
    ]

    assert raised or injectable


def test_each_module_says_what_it_is_for() -> None:
    silent = [module.__name__ for module in modules() if not module.__doc__]

    assert silent == []
