"""What several processes on one store have in common beside the cloud, as a store offers it.

A store that is shared offers `Sharing`: one document that says which rules and which time hold, one
state of counts to decide by, one journal. A store of one process offers nothing, and pays nothing.

The house rule: values and promises only; how the simulator lives by them stands in `together`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    State = dict[str, Any]
    Document = dict[str, Any]

T = TypeVar("T")


class Outdated(Exception):
    """Another process has published since; catch up, and ask again."""


@frozen
class Published:
    """What one process said last and all of them live by.

    Attributes:
        version: rises by one with each publication; 0 before the first.
        document: the scenario, its rules and the clock; None before the first.
        start: when scenario time began, seconds on the shared clock; None: not yet.
    """

    version: int
    document: Mapping[str, Any] | None
    start: float | None


@frozen
class Question(Generic[T]):
    """Something to decide by the counts of all processes.

    Attributes:
        version: of the publication that the rules are from.
        call_key: under which the call's arrivals count.
        counted: the rules that match, each with the key under which the call counts.
        decide: is given the state, as far as it is asked for, and may change it.
    """

    version: int
    call_key: str
    counted: Sequence[tuple[str, str]]
    decide: Callable[[State], T]


@frozen
class Head:
    """Where the journal of all processes stands.

    Attributes:
        version: of the last publication.
        run: rises when the journal begins again at 1.
        last: the `seq` of its newest entry.
        cleared: up to which `seq` entries were forgotten by hand.
        dropped: up to which `seq` entries had no room, 0 where all had.
    """

    version: int
    run: int
    last: int
    cleared: int
    dropped: int


@frozen
class Entry:
    """One entry of the journal of all processes, as JSON text.

    Attributes:
        seq: its place; 0 where it has none yet.
        process: who answered.
        entry: as the control API shows it, but for `seq` and `process`.
        looks: what the rules looked at, as an export keeps it.
    """

    seq: int
    process: str
    entry: str
    looks: str


class Sharing(ABC):
    """What the processes on one store have in common.

    Attributes:
        number: of this process: which one to join it is, from 1.
        version: of the publication that this process goes by; whoever takes one sets it.
        on_news: is awaited where the store learns that another process has published.
    """

    number: int = 0
    version: int = 0
    on_news: Callable[[], Awaitable[None]] | None = None

    async def tell(self) -> None:
        """Tell this process that another has published."""
        if self.on_news is not None:
            await self.on_news()

    @abstractmethod
    async def join(self) -> int:
        """Return the number of this process, which no other has, or had."""

    @abstractmethod
    async def published(self) -> Published:
        """Return what holds."""

    @abstractmethod
    async def publish(
        self,
        document: Document,
        *,
        after: int | None,
        state: State | None = None,
        forget: Collection[str] = (),
    ) -> int | None:
        """Let a document hold for all processes.

        Args:
            document: JSON-able.
            after: the version that it was made from; None: whatever holds.
            state: that counts begin with; None: they go on.
            forget: rules whose counts begin again.

        Returns:
            Its version, or None where another process was quicker; then nothing has changed.
        """

    @abstractmethod
    async def decide(self, question: Question[T]) -> T:
        """Return an answer that no other process could change in the meantime.

        Raises:
            Outdated: the question's version holds no longer.
            ServiceUnavailable: the store cannot be reached.
        """

    @abstractmethod
    async def state(self) -> State:
        """Return the whole state that is decided by."""

    @abstractmethod
    async def keep(
        self, run: int, new: Sequence[Entry], ended: Sequence[Entry]
    ) -> tuple[Head, list[int]]:
        """Put entries into the journal of all, and bring others up to date.

        Args:
            run: that they belong to; where the journal has begun again since, they are left out.
            new: take the next places.
            ended: have a place already.

        Returns:
            Where the journal stands, and the places of the new ones in their order.
        """

    @abstractmethod
    async def entries(self, after: int, also: Collection[int]) -> tuple[Head, list[Entry]]:
        """Return the next entries after a place, and some that are known, in order.

        Not more than can be read at a time: ask again until there are none after.
        """

    @abstractmethod
    async def forget_entries(self, *, up_to: int | None) -> None:
        """Forget entries; None: all, and begin again at 1."""
