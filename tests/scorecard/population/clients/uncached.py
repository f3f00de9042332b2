"""Logs in before every call."""

from __future__ import annotations

from wire import ATTACHED, WANTED, call, id_of, log_in

made = id_of(call("POST", ATTACHED, WANTED, token=log_in()))
for _ in range(3):
    call("GET", ATTACHED, token=log_in())
call("DELETE", f"{ATTACHED}/{made}", token=log_in())
