"""A cloud in the memory of the process.

The house rule: rows never suspend, so an operation runs to its end between two awaits of the loop,
and is atomic without a lock.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeVar

from vifsim import snapshots
from vifsim.clock import SimClock
from vifsim.errors import ControlFault, UsageError
from vifsim.store import StoreBackend, TokenTable
from vifsim_backends.memory_rows import MemoryRows
from vifsim_backends.way_back import Place, WayBack

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ParamSpec

    from vifsim.clock import Clock
    from vifsim.model import Identity, Settings, World
    from vifsim.store import Fill, Operation
    from vifsim_backends.memory_rows import Step

    P = ParamSpec("P")
T = TypeVar("T")

_prepared: OrderedDict[int, tuple[World, MemoryRows, TokenTable]] = OrderedDict()
"""What worlds came to, by the identity of the world, to be copied."""
_MOST_PREPARED = 8
_SMALL = 500
"""Servers and interfaces up to which a world is kept prepared."""
_LARGE = 1_000
"""Servers from which on a world is gone back to, not made again, at a reset."""


class MemoryBackend(StoreBackend):
    """A cloud that lasts as long as the process: `memory:`."""

    at_once = True

    _rows: MemoryRows
    _tokens: TokenTable

    def __init__(self, url: str, *, clock: Clock) -> None:
        super().__init__(url, clock=clock)
        self._way: WayBack[Step] = WayBack()
        self._base: tuple[World, Place] | None = None
        if url != "memory:":
            raise UsageError(f"the memory backend takes no place: write memory:, not {url}")

    @property
    def settings(self) -> Settings:
        return self._rows.settings

    @property
    def seed(self) -> int:
        return self._rows.seed

    async def open(self, world: World) -> None:
        await self.reset(world)

    async def close(self) -> None:
        """Do nothing: there is nothing to let go."""

    async def reset(self, world: World) -> None:
        if self._goes_back_to(world):
            return
        if not self._copies(world):
            await super().reset(world)
            self._prepare(world)
        self._base = world, self._rows.start_log()

    def _copies(self, world: World) -> bool:
        """Hold what another store held when it was filled with the same world."""
        known = _prepared.get(id(world))
        if known is None:
            return False
        _, rows, tokens = known
        self._tokens = tokens.copied()
        self._rows = rows.copied(self.clock, self._tokens, self._way)
        self._rows.date(self.clock.epoch())
        return True

    def _prepare(self, world: World) -> None:
        """Keep what a small world came to: most tests begin with the same one."""
        if len(world.servers) + len(world.interfaces) > _SMALL:
            return
        tokens, clock = self._tokens.copied(), SimClock()  # ours would keep its loop alive
        _prepared[id(world)] = world, self._rows.copied(clock, tokens, WayBack()), tokens
        if len(_prepared) > _MOST_PREPARED:
            _prepared.popitem(last=False)

    def _goes_back_to(self, world: World) -> bool:
        """Undo what happened since a large world was made, where it is to be made again.

        Making it takes as long as it is large. It is as it was made then, dates included.
        """
        made, place = self._base or (None, None)
        if made is not world or place is None or len(world.servers) < _LARGE:
            return False
        try:
            self._rows.go_back(place)
        except ControlFault:
            return False  # too much has happened since
        self._base = world, self._rows.start_log()
        return True

    async def configure(self, settings: Settings) -> None:
        self._rows.configure(settings)

    def moment(self) -> Place:
        return self._way.place

    async def go_back(self, moment: object) -> None:
        self._rows.go_back(_place(moment))

    async def state_at(self, moment: object) -> Mapping[str, Any]:
        now = self._way.place
        self._rows.go_back(_place(moment))
        contents, settings = await self._rows.contents(), self._rows.settings
        self._rows.go_back(now)
        return snapshots.state_document(contents, settings, self.clock.epoch())

    async def _replace(self, settings: Settings, seed: int, fill: Fill) -> None:
        tokens = TokenTable()
        rows = MemoryRows(settings, seed, self.clock, tokens, self._way)
        await fill(rows)
        self._rows, self._tokens, self._base = rows, tokens, None
        rows.start_log()

    async def identify(self, token: str) -> Identity | None:
        return self._tokens.identify(token, self.clock.epoch())

    async def _read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await operation(self._rows, *args, **kwargs)

    async def _write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        value = await operation(self._rows, *args, **kwargs)
        self._way.trim()
        return value


def _place(moment: object) -> Place:
    assert isinstance(moment, Place)  # noqa: S101 -- `moment` gives no other
    return moment
