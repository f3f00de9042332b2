from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vifsim.clock import SimClock
from vifsim.conformance import BackendConformance
from vifsim.errors import UsageError
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
