"""Has no time-out at all, and no retry."""

from __future__ import annotations

import sys

from wire import ATTACHED, WANTED, call, id_of

answer = call("POST", ATTACHED, WANTED, timeout=None)
if answer.status != 200:
    sys.exit(1)
call("GET", ATTACHED, timeout=None)
call("DELETE", f"{ATTACHED}/{id_of(answer)}", timeout=None)
