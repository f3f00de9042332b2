"""Twenty threads that start together and draw their waits: 0.6 s doubling, equal jitter."""

from __future__ import annotations

import os
import random
import threading
import time

from wire import ATTACHED, WANTED, call

START = threading.Barrier(20)


def work(number: int) -> None:
    draws = random.Random(f"{os.environ.get('HERD_SEED', '')}{number}")
    START.wait()
    for attempt in range(4):
        if attempt:
            time.sleep(0.6 * 2 ** (attempt - 1) * draws.uniform(0.5, 1.0))
        if call("POST", ATTACHED, WANTED).status == 200:
            return


threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
