"""`every_fault`: one test as one case for each call, fault and place.

The house rule: what may befall which call is said by `chaos.faults` alone.

Source: docs/chaos.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import wraps
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import pytest

from vifsim.chaos.faults import KINDS, Fault, Kind, Site
from vifsim.errors import UsageError
from vifsim.model import OPERATIONS
from vifsim.scenario.rule import FAULT_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vifsim.facade import Cloud
    from vifsim.simulator import Simulator

    Test = Callable[..., Any]
    Asked = str | int | Mapping[str, Any]

PLACES = ("before", "after_commit")
_FIXTURES = ("vifsim", "vifsim_session", "vifsim_autojump")
_ARGUMENT = "vifsim_fault"
_NAMED = {kind.name: kind for kind in KINDS}
_USUAL = tuple(name for name in _NAMED if name != "hang")
_PLACED = {"status", "reset", "hang", "latency", "expire_token"}


def every_fault(
    *,
    operations: str | Sequence[str] = "*",
    faults: Sequence[Asked] = _USUAL,
    at: Sequence[str] = PLACES,
    calls: int = 1,
) -> Callable[[Test], Test]:
    """Turn a test into one case for each call, fault and place; what is not lawful is left out.

    The test takes the fixture `vifsim`, `vifsim_session` or `vifsim_autojump`. A case in which the
    client never made the call, so that nothing happened to it, is skipped.

    Args:
        operations: names or globs of the operations whose calls are meant.
        faults: statuses, names of `vifsim.chaos.faults.KINDS` such as "reset", or rules' own keys
            such as `{"status": 503, "retry_after": "1s"}`; all named ones but "hang" unless said.
        at: before the effect, after it, or both; a fault which has no choice comes once.
        calls: how many calls of each operation, from the first.

    Raises:
        UsageError: an operation, fault or place is not known, or nothing is left.
    """
    cases = [
        pytest.param(fault, id=fault.id)
        for fault in _cases(_matching(operations), list(map(_kind, faults)), _places(at), calls)
    ]
    if not cases:
        raise UsageError("every_fault: no such fault can befall these operations there")

    def decorate(test: Test) -> Test:
        return pytest.mark.parametrize(_ARGUMENT, cases)(_taking_a_fault(test))

    return decorate


def _cases(
    operations: Sequence[str], kinds: Sequence[Kind], places: Sequence[str], calls: int
) -> Iterator[Fault]:
    for operation, nth, kind in product(operations, range(1, calls + 1), kinds):
        for place in kind.places(operation):
            if place in places or not kind.placed:
                yield Fault(site=Site(operation=operation, nth=nth), kind=kind, at=place)


def _matching(operations: str | Sequence[str]) -> list[str]:
    globs = [operations] if isinstance(operations, str) else operations
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in OPERATIONS):
            raise UsageError(f"every_fault: there is no operation {glob}{_near(glob, OPERATIONS)}")
    return [name for name in OPERATIONS if any(fnmatchcase(name, glob) for glob in globs)]


def _kind(asked: Asked) -> Kind:
    if isinstance(asked, Mapping):
        return _own_kind(asked)
    known = _NAMED.get(str(asked))
    if known:
        return known
    if isinstance(asked, int):
        return _own_kind({"status": asked})
    raise UsageError(f"every_fault: there is no fault {asked}{_near(asked, list(_NAMED))}")


def _own_kind(keys: Mapping[str, Any]) -> Kind:
    found = [key for key in keys if key in FAULT_KEYS]
    if len(found) != 1:
        raise UsageError(f"every_fault: {dict(keys)} needs one of {', '.join(FAULT_KEYS)}")
    (key,) = found
    words = "-".join(f"{name}-{value}" for name, value in keys.items())
    name = "".join(x if x.isalnum() else "-" for x in words.lower()).strip("-")
    placed = key in _PLACED or keys.get("close") == "before_headers"
    return Kind(name=name[:24], keys=dict(keys), words=f"meets {dict(keys)}", placed=placed)


def _places(at: Sequence[str]) -> Sequence[str]:
    places = [at] if isinstance(at, str) else list(at)
    for place in places:
        if place not in PLACES:
            raise UsageError(f"every_fault: at is before or after_commit, not {place}")
    return places


def _near(word: str, known: Sequence[str]) -> str:
    near = get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]}?)" if near else f" (known: {', '.join(known)})"


def _taking_a_fault(test: Test) -> Test:
    """Return a test that takes a fault, lets it befall the cloud, and is skipped where it did not.

    Raises:
        UsageError: it takes none of our fixtures.
    """
    signature = inspect.signature(test)
    fixture = next((name for name in _FIXTURES if name in signature.parameters), None)
    if fixture is None:
        raise UsageError(f"every_fault: {test.__name__} takes none of {', '.join(_FIXTURES)}")

    def add(arguments: dict[str, Any]) -> Callable[[], None]:
        fault: Fault = arguments.pop(_ARGUMENT)
        cloud = cast("Cloud | Simulator", arguments[fixture])
        rule = cloud.rule(**fault.rule())

        def check() -> None:
            if not rule.fired:
                rule.forget()  # a rule that never fired would fail the test at its end
                pytest.skip(f"the client made no such call: {fault}")

        return check

    @wraps(test)
    def in_thread(**arguments: Any) -> None:
        check = add(arguments)
        test(**arguments)
        check()

    @wraps(test)
    async def on_loop(**arguments: Any) -> None:
        check = add(arguments)
        await test(**arguments)
        check()

    made: Any = on_loop if inspect.iscoroutinefunction(test) else in_thread
    wanted = inspect.Parameter(_ARGUMENT, inspect.Parameter.KEYWORD_ONLY)
    given = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()
    ]
    made.__signature__ = signature.replace(parameters=[*given, wanted])
    return cast("Test", made)
