"""Posts again, 0.3 s after an answer was lost, and takes a 409 for success."""

from __future__ import annotations

import sys
import time

from wire import ATTACHED, FAILURES, WANTED, call, id_of

for _ in range(3):
    try:
        answer = call("POST", ATTACHED, WANTED)
    except FAILURES:
        time.sleep(0.3)
        continue
    if answer.status == 200:
        call("DELETE", f"{ATTACHED}/{id_of(answer)}")
        sys.exit(0)
    if answer.status == 409:
        sys.exit(0)
    if answer.status < 500:
        break
    time.sleep(0.3)
sys.exit(1)
