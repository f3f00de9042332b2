"""Does everything right: a time-out of 1.5 s, jitter, Retry-After, one log-in, a look first."""

from __future__ import annotations

import random
import sys
import time

from wire import ATTACHED, FAILURES, NETWORK, WANTED, Answer, call, id_of, log_in

DRAWS = random.Random(5)
ATTEMPTS = 6
TOKEN: list[str | None] = [None]


def pause(attempt: int, answer: Answer | None) -> None:
    backoff = 0.15 * 2**attempt * DRAWS.uniform(0.5, 1.0)
    told = 0.0 if answer is None or answer.retry_after is None else float(answer.retry_after)
    time.sleep(max(backoff, told))


def attempt_once(method: str, path: str, body: object = None) -> Answer | None:
    """Return the answer, None where none came; log in again after a 401."""
    try:
        answer = call(method, path, body, token=TOKEN[0], timeout=1.5)
        if answer.status == 401:
            TOKEN[0] = log_in()
            answer = call(method, path, body, token=TOKEN[0], timeout=1.5)
    except FAILURES:
        return None
    return answer


def idempotent(method: str, path: str) -> Answer:
    for attempt in range(ATTEMPTS):
        answer = attempt_once(method, path)
        if answer is not None and answer.status in {200, 404}:
            return answer
        if answer is not None and answer.status not in {413, 429, 500, 502, 503, 504}:
            break
        if attempt < ATTEMPTS - 1:
            pause(attempt, answer)
    sys.exit(1)


def attached() -> str | None:
    interfaces = idempotent("GET", ATTACHED).body["virtual_interfaces"]
    for interface in interfaces:
        if any(address["network_id"] == NETWORK for address in interface["ip_addresses"]):
            return str(interface["id"])
    return None


def attach() -> str:
    for attempt in range(ATTEMPTS):
        answer = attempt_once("POST", ATTACHED, WANTED)
        if answer is not None and answer.status == 200:
            return id_of(answer)
        if answer is not None and answer.status not in {413, 429, 500, 502, 503, 504}:
            break
        pause(attempt, answer)
        if answer is None or answer.status >= 500:
            found = attached()
            if found is not None:
                return found
    sys.exit(1)


made = attach()
attached()
idempotent("DELETE", f"{ATTACHED}/{made}")
