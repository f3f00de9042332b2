"""What the tests of shipped scenarios share: a cloud that plays one, and a client of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.conftest import Api, ApiOf, MakeCloud
    from vifsim.simulator import Simulator

    Play = Callable[..., Awaitable["Played"]]


@dataclass(frozen=True, slots=True)
class Played:
    """A cloud that plays a scenario, and a client of it; time moves only when something waits."""

    cloud: Simulator
    api: Api

    async def wait(self, seconds: float) -> None:
        """Let time pass."""
        await self.cloud.clock.advance(seconds)

    def entries(self) -> list[dict[str, Any]]:
        """Return the journal."""
        return self.cloud.journal.documents(self.cloud.journal)


@pytest.fixture
def play(make_cloud: MakeCloud, api_of: ApiOf) -> Play:
    """Start a cloud that plays a shipped scenario."""

    async def start(name: str, *, self_stepping: bool = True) -> Played:
        cloud = await make_cloud(scenario=name, clock="manual", self_stepping=self_stepping)
        return Played(cloud, api_of(cloud))

    return start
