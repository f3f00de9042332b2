"""How values are made: frozen dataclasses that share what can be shared.

`dataclass` writes source text for six methods of each class and has it compiled, at each start
anew. Three of them are the same for all classes, and are written here: that takes a fifth off what
`vifsim serve` imports beside aiohttp.

The house rule: a value made here behaves as one that `dataclass` made by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Make a class a dataclass that is frozen and slotted, and whose fields are given by name."""
    for name, method in (("__eq__", _equal), ("__hash__", _hash), ("__repr__", _text)):
        if name not in vars(cls):
            setattr(cls, name, method)
    return dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)(cls)


def _equal(self: Any, other: object) -> Any:
    cls: Any = self.__class__
    names = _compared(cls)
    if other.__class__ is not cls:
        return NotImplemented
    return [getattr(self, name) for name in names] == [getattr(other, name) for name in names]


def _hash(self: Any) -> int:
    cls: Any = self.__class__
    return hash(tuple([getattr(self, name) for name in _hashed(cls)]))


def _text(self: Any) -> str:
    cls: Any = self.__class__
    shown = [f"{name}={getattr(self, name)!r}" for name in _shown(cls)]
    return f"{cls.__qualname__}({', '.join(shown)})"


@cache
def _compared(cls: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cls) if one.compare)


@cache
def _hashed(cls: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cls) if (one.compare if one.hash is None else one.hash))


@cache
def _shown(cls: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cls) if one.repr)
