"""Six attempts, 0.4 s apart, for anything transient and any method; deaf to Retry-After."""

from __future__ import annotations

import sys
import time

from wire import ATTACHED, FAILURES, WANTED, Answer, call, id_of


def persistently(method: str, path: str, body: object = None) -> Answer:
    for attempt in range(6):
        if attempt:
            time.sleep(0.4)
        try:
            answer = call(method, path, body)
        except FAILURES:
            continue
        if answer.status == 200:
            return answer
        if answer.status not in {413, 429, 500, 502, 503, 504}:
            break
    sys.exit(1)


interface = id_of(persistently("POST", ATTACHED, WANTED))
persistently("GET", ATTACHED)
persistently("DELETE", f"{ATTACHED}/{interface}")
