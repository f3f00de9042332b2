"""Scenarios: from YAML to rules, and from rules to decisions.

The house rule: what reads scenarios is imported when something is read. Most clouds have none, and
the libraries behind it take longer to import than a cloud to start.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vifsim.scenario.schema import (
        load_mapping,
        load_named,
        load_rule,
        load_text,
        load_world,
        merge,
    )

__all__ = ["load_mapping", "load_named", "load_rule", "load_text", "load_world", "merge"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("vifsim.scenario.schema"), name)
