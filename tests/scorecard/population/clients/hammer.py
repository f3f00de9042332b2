"""Asks again at once, for ever, whatever went wrong."""

from __future__ import annotations

from wire import ATTACHED, FAILURES, WANTED, Answer, call, id_of


def until_it_works(method: str, path: str, body: object = None) -> Answer:
    while True:
        try:
            answer = call(method, path, body)
        except FAILURES:
            continue
        if answer.status == 200:
            return answer


interface = id_of(until_it_works("POST", ATTACHED, WANTED))
until_it_works("GET", ATTACHED)
until_it_works("DELETE", f"{ATTACHED}/{interface}")
