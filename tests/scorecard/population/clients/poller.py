"""Lists ten times, every half second, whatever the answers are."""

from __future__ import annotations

import time

from wire import ATTACHED, call

for _ in range(10):
    call("GET", ATTACHED)
    time.sleep(0.5)
