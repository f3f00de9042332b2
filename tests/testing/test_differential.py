"""Backends that answer alike, and what is told of two that do not."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from vifsim.testing import backend_machine, diff
from vifsim.testing.differential import make_steps
from vifsim_backends.memory import MemoryBackend
from vifsim_backends.sqlite import SqliteBackend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vifsim.backend import Backend
    from vifsim.clock import SimClock

    MakeBackend = Callable[[SimClock], Backend]


def memory(clock: SimClock) -> Backend:
    return MemoryBackend("memory:", clock=clock)


@pytest.fixture
def sqlite(tmp_path: Path) -> MakeBackend:
    numbers = count(1)

    def make(clock: SimClock) -> Backend:
        return SqliteBackend(f"sqlite:///{tmp_path}/{next(numbers)}.db", clock=clock)

    return make


class Forgetful(MemoryBackend):
    """Detaches nothing from a server that has two interfaces."""

    async def delete_virtual_interface(self, call: Any, server_id: Any, interface_id: Any) -> None:
        if len(await self.list_virtual_interfaces(call, server_id)) < 2:
            await super().delete_virtual_interface(call, server_id, interface_id)


class Boastful(MemoryBackend):
    """Lists each interface with another MAC than it has."""

    async def list_virtual_interfaces(self, call: Any, server_id: Any) -> Any:
        found = await super().list_virtual_interfaces(call, server_id)
        return [replace(one, mac_address="00:00:00:00:00:00") for one in found]


def test_memory_and_sqlite_answer_alike(sqlite: MakeBackend) -> None:
    diff(sqlite, memory, calls=250, seed=7)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_memory_and_sqlite_answer_alike_for_long(sqlite: MakeBackend, seed: int) -> None:
    diff(sqlite, memory, calls=2000, seed=seed)


def test_a_difference_is_told_with_the_fewest_calls_that_show_it() -> None:
    with pytest.raises(AssertionError) as told:
        diff(lambda clock: Forgetful("memory:", clock=clock), "memory:", calls=400, seed=3)

    lines = str(told.value).splitlines()
    steps = [line for line in lines if line.startswith("  ")]
    assert lines[0].endswith(f"part after {len(steps)} steps:")
    assert len(steps) <= 4
    assert any("delete_virtual_interface" in step for step in steps)


def test_the_same_seed_makes_the_same_calls() -> None:
    assert make_steps(50, 7) == make_steps(50, 7)
    assert make_steps(50, 7) != make_steps(50, 8)


async def test_it_runs_where_a_loop_runs_already() -> None:
    diff("memory:", "memory:", calls=20)


def test_a_state_machine_finds_no_difference(sqlite: MakeBackend) -> None:
    machine = backend_machine(sqlite, memory)

    run_state_machine_as_test(machine, settings=how(25))


@pytest.mark.long
def test_a_state_machine_finds_no_difference_in_ten_thousand_examples(
    sqlite: MakeBackend, tmp_path: Path
) -> None:
    def clean() -> None:
        for path in tmp_path.iterdir():
            path.unlink()

    run_state_machine_as_test(backend_machine(sqlite, memory, after=clean), settings=how(10_000))


def test_a_state_machine_finds_a_difference() -> None:
    machine = backend_machine(lambda clock: Boastful("memory:", clock=clock), memory)

    with pytest.raises(AssertionError, match="00:00:00:00:00:00"):
        run_state_machine_as_test(machine, settings=how(300, phases=[Phase.generate]))


def how(examples: int, **more: Any) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=20,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        **more,
    )
