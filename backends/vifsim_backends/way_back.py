"""The way back to what a store was: a log of how to undo each write.

The moments that one goes back to are places in the log. Going back undoes step after step, newest
first, and is logged like any write, so that one can go forward again.

The house rule: the log knows nothing of what its steps are.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from vifsim.errors import ControlFault

S = TypeVar("S")

MOST = 20_000
"""Steps that are kept: some ten megabytes at most."""


Place = int
"""A place in a log: how many steps had been taken there since it was made."""


class WayBack(Generic[S]):
    """The last steps that a store has taken.

    Attributes:
        steps: how to undo each, newest last; to be appended to.
    """

    def __init__(self) -> None:
        self.steps: list[S] = []
        self._gone = 0

    @property
    def place(self) -> Place:
        """Where the log ends now."""
        return self._gone + len(self.steps)

    def trim(self) -> None:
        """Forget what is more than the log keeps; to be called after each write."""
        if len(self.steps) > MOST * 1.1:
            self._gone += len(self.steps) - MOST
            del self.steps[:-MOST]

    def cut(self) -> None:
        """Let nothing lead back beyond here."""
        self._gone += len(self.steps) + 1
        self.steps.clear()

    def back_to(self, place: Place) -> list[S]:
        """Return the steps to undo, newest first, to be at a place again.

        Raises:
            ControlFault: 409, what leads there is forgotten.
        """
        first = place - self._gone
        if not 0 <= first <= len(self.steps):
            raise ControlFault(409, "what was written since that moment is not kept any more")
        return self.steps[first:][::-1]
