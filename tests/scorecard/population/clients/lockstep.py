"""Twenty threads that start together; four attempts each, waits of 0.4, 0.8 and 1.6 s."""

from __future__ import annotations

import threading
import time

from wire import ATTACHED, WANTED, call

START = threading.Barrier(20)


def work() -> None:
    START.wait()
    for attempt in range(4):
        if attempt:
            time.sleep(0.4 * 2 ** (attempt - 1))
        if call("POST", ATTACHED, WANTED).status == 200:
            return


threads = [threading.Thread(target=work) for _ in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
