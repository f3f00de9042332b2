"""`vifsim` with a loop that knows how long its turns are: `python -m benchmarks.watched serve …`.

For each line on standard input it prints what a call that comes at any moment waits for there
until the loop is free, at the 99th percentile, since the line before; and how long the longest
turn was. Both are the loop's own processor time: what else runs on the machine does not count.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter

from vifsim.cli import main

_STEP = 1e-5
_SHARE = 0.01


class WatchedLoop(asyncio.SelectorEventLoop):
    """A loop that counts its turns by their length, in steps of 10 us."""

    def __init__(self) -> None:
        super().__init__()
        self._turns: Counter[int] = Counter()
        self._since = time.perf_counter()
        self.add_reader(sys.stdin.fileno(), self._tell)

    def _run_once(self) -> None:
        began = time.thread_time()
        super()._run_once()  # type: ignore[misc]  # what `run_forever` calls for each turn
        self._turns[int((time.thread_time() - began) / _STEP)] += 1

    def _tell(self) -> None:
        if not sys.stdin.readline():
            self.remove_reader(sys.stdin.fileno())
            return
        now = time.perf_counter()
        waited = waited_for(self._turns, (now - self._since) / _STEP)
        longest = max(self._turns, default=0)
        print(f"turns {waited * _STEP} {longest * _STEP}", flush=True)
        self._turns.clear()
        self._since = time.perf_counter()


def waited_for(turns: Counter[int], lasted: float) -> int:
    """Return the wait that one call in a hundred exceeds, of such as come at any moment."""
    longer, over = 0, 0
    for wait in range(max(turns, default=0), 0, -1):
        longer += turns[wait]
        over += longer
        if over > _SHARE * lasted:
            return wait
    return 0


class _Policy(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return WatchedLoop()


if __name__ == "__main__":
    asyncio.set_event_loop_policy(_Policy())  # pyright: ignore[reportDeprecated]  # not below 3.14
    sys.exit(main(sys.argv[1:]))
