"""Three attempts, 0.3 s apart, whatever the answer was, a 400 like any other."""

from __future__ import annotations

import sys
import time

from wire import ATTACHED, FAILURES, WANTED, Answer, call, id_of


def three_times(method: str, path: str, body: object = None) -> Answer:
    for attempt in range(3):
        if attempt:
            time.sleep(0.3)
        try:
            answer = call(method, path, body)
        except FAILURES:
            continue
        if answer.status == 200:
            return answer
    sys.exit(1)


interface = id_of(three_times("POST", ATTACHED, WANTED))
three_times("GET", ATTACHED)
three_times("DELETE", f"{ATTACHED}/{interface}")
