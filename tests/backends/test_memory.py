from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vifsim.backend import Change
from vifsim.clock import SimClock
from vifsim.conformance import BLUE, BackendConformance, attach, boot, contents, world
from vifsim.conformance.given import ALPHA, ONE, TINY, a_call, detach, log_in
from vifsim.errors import ControlFault, UsageError
from vifsim.model import SeedServer, ServerQuery, Settings
from vifsim_backends.memory import MemoryBackend

if TYPE_CHECKING:
    from pathlib import Path

    from vifsim.backend import Backend
    from vifsim.clock import Clock
    from vifsim.model import World


class TestMemoryBackend(BackendConformance):
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        return MemoryBackend("memory:", clock=clock)


@pytest.mark.parametrize("url", ["memory:demo", "memory://", "memory:///demo.db"])
def test_a_memory_url_takes_no_place(url: str) -> None:
    with pytest.raises(UsageError, match="write memory:"):
        MemoryBackend(url, clock=SimClock())


@pytest.mark.parametrize("happened", [1, 12])
async def test_a_large_world_is_as_it_was_made_after_a_reset(
    monkeypatch: pytest.MonkeyPatch, happened: int
) -> None:
    monkeypatch.setattr("vifsim_backends.memory._LARGE", 1)
    monkeypatch.setattr("vifsim_backends.way_back.MOST", 10)
    backend = MemoryBackend("memory:", clock=SimClock(mode="manual"))
    made = world()
    await backend.open(made)
    before = await contents(backend)
    for _ in range(3):
        for _ in range(happened):
            await boot(backend, networks=(BLUE,))
        await backend.configure(Settings(region="ORD"))

        await backend.reset(made)

        assert await contents(backend) == before
        assert backend.settings == Settings()
    await backend.reset(world(seed=8))
    assert backend.seed == 8


async def test_nothing_leads_back_beyond_a_reset() -> None:
    backend = MemoryBackend("memory:", clock=SimClock(mode="manual"))
    await backend.open(world())
    await attach(backend)
    moment = backend.moment()
    await backend.reset(world())
    before = await contents(backend)

    with pytest.raises(ControlFault) as refused:
        await backend.go_back(moment)

    assert refused.value.status == 409
    assert await contents(backend) == before


async def opened(made: World, clock: Clock | None = None) -> MemoryBackend:
    backend = MemoryBackend("memory:", clock=clock or SimClock(mode="manual"))
    await backend.open(made)
    return backend


async def change_everything(backend: Backend) -> None:
    interface = await attach(backend)
    await attach(backend, network_id=TINY)
    await detach(backend, interface)
    await boot(backend, networks=(BLUE,))
    await log_in(backend)
    for change in (
        Change(kind="set_quotas", values={"tenant": ALPHA, "quotas": {"networks": 1}}),
        Change(kind="set_status", values={"server": ONE, "status": "ERROR"}),
        Change(kind="fill_network", values={"network": "blue", "free": 2}),
        Change(kind="revoke_all_tokens"),
    ):
        await backend.amend(change)


async def test_stores_of_one_world_feel_nothing_of_one_another() -> None:
    made = replace(
        world(),
        servers=(
            *(SeedServer(id=ONE, name="one", tenant=ALPHA, networks=()),),
            *(SeedServer(name=name, tenant=ALPHA, networks=("blue", "six")) for name in "ab"),
        ),
    )
    clock = SimClock(mode="manual")
    first, second = await opened(made, clock), await opened(made, clock)
    before, listed = await contents(first), await first.list_servers(a_call(), ServerQuery())

    await change_everything(first)
    third = await opened(made, clock)
    await change_everything(second)

    assert await contents(third) == before
    assert await third.list_servers(a_call(), ServerQuery()) == listed
    assert await contents(first) == await contents(second) != before
    await change_everything(third)
    assert await contents(third) == await contents(first)


async def test_a_world_that_is_known_keeps_no_clock_alive() -> None:
    clock = SimClock()
    gone = weakref.ref(clock)

    backend = await opened(world(), clock)
    del backend, clock
    gc.collect()

    assert gone() is None


async def test_a_store_of_a_known_world_can_be_gone_back_in() -> None:
    made = world()
    await opened(made)
    backend = await opened(made)
    before, moment = await contents(backend), backend.moment()

    await change_everything(backend)
    await backend.go_back(moment)

    assert await contents(backend) == before


async def test_the_servers_of_a_known_world_are_created_when_it_begins_again() -> None:
    made = replace(
        world(build_time=60.0), servers=(SeedServer(name="new", tenant=ALPHA, status="BUILD"),)
    )
    await opened(made)
    clock = SimClock(mode="manual")
    await clock.advance(1000)

    (server,) = (await (await opened(made, clock)).snapshot())["world"]["servers"]

    assert (server["created"], server["updated"]) == (clock.epoch(), clock.epoch())
    assert server["active_at"] == clock.epoch() + 60
