"""No retry; the first thing that goes wrong ends it, and nothing is cleaned up."""

from __future__ import annotations

import sys

from wire import ATTACHED, WANTED, Answer, call, id_of


def once(method: str, path: str, body: object = None) -> Answer:
    answer = call(method, path, body)
    if answer.status != 200:
        sys.exit(1)
    return answer


interface = id_of(once("POST", ATTACHED, WANTED))
once("GET", ATTACHED)
once("DELETE", f"{ATTACHED}/{interface}")
