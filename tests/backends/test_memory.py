from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vifsim.clock import SimClock
from vifsim.conformance import BLUE, BackendConformance, attach, boot, contents, world
from vifsim.errors import ControlFault, UsageError
from vifsim.model import Settings
from vifsim_backends.memory import MemoryBackend

if TYPE_CHECKING:
    from pathlib import Path

    from vifsim.backend import Backend
    from vifsim.clock import Clock


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
