"""How values are made: slotted dataclasses that share what can be shared, and write late.

`dataclass` writes source text for up to eight methods of each class and has it compiled, at each
start anew: for all of ours that took longer than everything else that `vifsim serve` imports
beside aiohttp. Here all but one are the same for all classes; the one that a class needs of its
own, `__init__`, is written when the first value is made, and most are never asked for one.

The house rule: a value made here behaves as one that `dataclass` made by itself; `__post_init__`
and fields that are no arguments are not for values.
"""

from __future__ import annotations

import sys
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, dataclass_transform, overload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")


@overload
def frozen(cls: type[T]) -> type[T]: ...
@overload
def frozen(*, kw_only: bool) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(cls: type[T] | None = None, *, kw_only: bool = True) -> Any:
    """Make a class a dataclass that is frozen and slotted.

    Args:
        cls: the class.
        kw_only: whether its fields are given by name alone.
    """

    def decorate(cls: type[T]) -> Any:
        return _made(cls, _FROZEN, kw_only=kw_only)

    return decorate if cls is None else decorate(cls)


@overload
def slotted(cls: type[T]) -> type[T]: ...
@overload
def slotted(*, kw_only: bool = ..., eq: bool = ...) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(field_specifiers=(field,))
def slotted(cls: type[T] | None = None, *, kw_only: bool = False, eq: bool = True) -> Any:
    """Make a class a dataclass that is slotted, and whose fields can be set.

    Args:
        cls: the class.
        kw_only: whether its fields are given by name alone.
        eq: whether two that hold the same are equal, and so have no hash.
    """

    def decorate(cls: type[T]) -> Any:
        return _made(cls, _EQUAL if eq else _ITSELF, kw_only=kw_only)

    return decorate if cls is None else decorate(cls)


def _made(cls: Any, methods: Mapping[str, Any], *, kw_only: bool) -> Any:
    for name, method in methods.items():
        if name not in vars(cls):
            setattr(cls, name, method)
    made: Any = dataclass(slots=True, kw_only=kw_only, init=False, eq=False, repr=False)(cls)
    made.__init__ = _Init(made)
    return made


class _Init:
    """Stands where the `__init__` of a class will be, and writes it when it is asked for."""

    def __init__(self, cls: Any) -> None:
        self._cls = cls

    def __get__(self, value: object, owner: type[Any] | None = None) -> Any:
        self._cls.__init__ = written = _written(self._cls)
        return written.__get__(value, owner)


def _written(cls: Any) -> Any:
    """Return the `__init__` of a class, as `dataclass` would write it."""
    known: dict[str, Any] = {"_UNSET": MISSING}
    lines = [_set(cls, one, known) for one in fields(cls)] or ["pass"]
    by_place = [_argument(one) for one in fields(cls) if not one.kw_only]
    by_name = [_argument(one) for one in fields(cls) if one.kw_only]
    arguments = ", ".join(["self", *by_place, *(["*", *by_name] if by_name else [])])
    method = "\n  ".join([f" def __init__({arguments}):", *lines])
    source = f"def _make({', '.join(known)}):\n{method}\n return __init__"
    made: dict[str, Any] = {}
    module = sys.modules.get(cls.__module__)  # where its annotations are looked up
    names = {"__name__": cls.__module__} if module is None else vars(module)
    exec(source, names, made)  # noqa: S102 -- of the names in our own sources, as `dataclass` does
    written = made["_make"](**known)
    written.__qualname__ = f"{cls.__qualname__}.__init__"
    written.__annotations__ = {one.name: one.type for one in fields(cls)} | {"return": None}
    return written


def _argument(one: Field[Any]) -> str:
    if one.default is not MISSING:
        return f"{one.name}=_default_{one.name}"
    return one.name if one.default_factory is MISSING else f"{one.name}=_UNSET"


def _set(cls: Any, one: Field[Any], known: dict[str, Any]) -> str:
    """Return the line that sets a field; what it refers to becomes known."""
    name = value = one.name
    known[f"_default_{name}"] = one.default
    if one.default_factory is not MISSING:
        known[f"_make_{name}"] = one.default_factory
        value = f"_make_{name}() if {name} is _UNSET else {name}"
    if cls.__setattr__ is not _refuse_to_set:
        return f"self.{name} = {value}"
    known[f"_set_{name}"] = getattr(cls, name).__set__  # past `__setattr__`, and faster than it
    return f"_set_{name}(self, {value})"


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


def _refuse_to_set(_: Any, name: str, __: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(_: Any, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in fields(self)]


def _become(self: Any, state: Sequence[Any]) -> None:
    for one, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)


_ITSELF: Mapping[str, Any] = {"__repr__": _text}
_EQUAL: Mapping[str, Any] = {"__eq__": _equal, "__hash__": None, **_ITSELF}
_FROZEN: Mapping[str, Any] = {
    "__eq__": _equal,
    "__hash__": _hash,
    "__setattr__": _refuse_to_set,
    "__delattr__": _refuse_to_delete,
    "__getstate__": _state,  # what is copied or pickled is set anew, past `__setattr__`
    "__setstate__": _become,
    **_ITSELF,
}


@cache
def _compared(cls: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cls) if one.compare)


@cache
def _hashed(cls: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cls) if (one.compare if one.hash is None else one.hash))


@cache
def _shown(cls: type[Any]) -> tuple[str, ...]:
    return tuple(one.name for one in fields(cls) if one.repr)
