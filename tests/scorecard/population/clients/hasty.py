"""Waits 0.3 s for an answer; three attempts at a list, 0.2 s apart; cleans up on every way out."""

from __future__ import annotations

import sys
import time

from wire import ATTACHED, FAILURES, WANTED, call, id_of

made = call("POST", ATTACHED, WANTED, timeout=0.3)
if made.status != 200:
    sys.exit(1)
code = 1
for attempt in range(3):
    if attempt:
        time.sleep(0.2)
    try:
        code = 0 if call("GET", ATTACHED, timeout=0.3).status == 200 else 1
        break
    except FAILURES:
        continue
call("DELETE", f"{ATTACHED}/{id_of(made)}", timeout=0.3)
sys.exit(code)
