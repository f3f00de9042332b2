"""Logs in once; after a 401 it tries the same token twice more, 0.3 s apart, and gives up."""

from __future__ import annotations

import sys
import time

from wire import ATTACHED, WANTED, Answer, call, id_of, log_in

TOKEN = log_in()


def ask(method: str, path: str, body: object = None) -> Answer:
    for _ in range(3):
        answer = call(method, path, body, token=TOKEN)
        if answer.status == 200:
            return answer
        time.sleep(0.3)
    sys.exit(1)


made = id_of(ask("POST", ATTACHED, WANTED))
ask("GET", ATTACHED)
ask("DELETE", f"{ATTACHED}/{made}")
