"""Logs in, and again at every 401, then repeats the call."""

from __future__ import annotations

import sys

from wire import ATTACHED, WANTED, Answer, call, id_of, log_in

TOKEN = [log_in()]


def ask(method: str, path: str, body: object = None) -> Answer:
    answer = call(method, path, body, token=TOKEN[0])
    if answer.status == 401:
        TOKEN[0] = log_in()
        answer = call(method, path, body, token=TOKEN[0])
    if answer.status != 200:
        sys.exit(1)
    return answer


made = id_of(ask("POST", ATTACHED, WANTED))
for _ in range(3):
    ask("GET", ATTACHED)
ask("DELETE", f"{ATTACHED}/{made}")
