"""How the backend that is judged is made.

The house rule: each test has a store of its own, and time stands still.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import pytest

from vifsim.clock import SimClock
from vifsim.conformance.given import (
    world,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from vifsim.backend import Backend
    from vifsim.clock import Clock
    from vifsim.model import (
        World,
    )


class Judged(ABC):
    """A backend under judgement; a subclass says how one is made."""

    @abstractmethod
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        """Return a backend whose store belongs to `tmp_path`: the same path, the same store."""

    def wrap(self, backend: Backend) -> Backend:
        """Return the backend to judge; a decorator puts itself around it here."""
        return backend

    @pytest.fixture
    def clock(self) -> SimClock:
        """Return a clock that stands until a test moves it."""
        return SimClock(mode="manual")

    @pytest.fixture
    async def backend(self, tmp_path: Path, clock: SimClock) -> AsyncIterator[Backend]:
        """Return the backend, open, with the suite's world."""
        backend = await self.opened(tmp_path, clock, world())
        yield backend
        await backend.close()

    async def opened(self, tmp_path: Path, clock: Clock, filled_with: World) -> Backend:
        """Return a backend that is open."""
        backend = self.wrap(self.make_backend(tmp_path, clock))
        await backend.open(filled_with)
        return backend
