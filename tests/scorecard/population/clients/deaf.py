"""Six attempts with waits that double from 0.15 s, without jitter and deaf to Retry-After."""

from __future__ import annotations

import sys
import time

from wire import ATTACHED, WANTED, Answer, call, id_of


def doubling(method: str, path: str, body: object = None) -> Answer:
    for attempt in range(6):
        if attempt:
            time.sleep(0.15 * 2 ** (attempt - 1))
        answer = call(method, path, body)
        if answer.status == 200:
            return answer
        if answer.status not in {413, 429, 503}:
            break
    sys.exit(1)


interface = id_of(doubling("POST", ATTACHED, WANTED))
doubling("GET", ATTACHED)
doubling("DELETE", f"{ATTACHED}/{interface}")
