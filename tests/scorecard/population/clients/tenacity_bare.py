"""tenacity without arguments: for ever, and without a wait."""

from __future__ import annotations

from tenacity import retry
from wire import ATTACHED, WANTED, call, id_of


@retry
def attach() -> str:
    answer = call("POST", ATTACHED, WANTED)
    if answer.status != 200:
        raise RuntimeError(answer.status)
    return id_of(answer)


call("DELETE", f"{ATTACHED}/{attach()}")
