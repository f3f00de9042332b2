"""Server CPU per call with the console open, against the same calls with nobody looking.

The page is open in the system's Chromium; where there is none, a reader listens as the page does.
What the browser itself spends is not the simulator's, and not counted.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.request import urlopen

from benchmarks.http_cost import round_of, serving
from benchmarks.measure import Figure, Rounds

if TYPE_CHECKING:
    from collections.abc import Generator

ROUNDS = 25
MARK = 1.10
_READER = "import sys, urllib.request as u; [None for _ in u.urlopen(sys.argv[1])]"


@contextmanager
def watching(address: str) -> Generator[str]:
    """Open the console; yields what has it open."""
    url = f"http://{address}/_vifsim/"
    chromium = shutil.which("chromium")
    how = "a reader of its events" if chromium is None else "the page in Chromium"
    with TemporaryDirectory() as profile:
        command = [sys.executable, "-c", _READER, f"{url}events?pace=60ms&brief=true"]
        if chromium is not None:
            flags = ["--headless", "--no-sandbox", "--window-size=1280,800"]
            command = [chromium, *flags, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
            command.append(url)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            time.sleep(5)  # until it is drawn, or it would be measured while it starts
            try:
                yield how
            finally:
                process.terminate()
                process.wait()


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the ratio of all calls together, over many connections and over one."""
    return [_measure(rounds, connections) for connections in (32, 1)]


def _measure(rounds: int, connections: int) -> Figure:
    found = Rounds()
    with serving("vifsim") as alone, serving("vifsim") as watched:
        with watching(watched.address) as how:
            for number in range(rounds + 2):
                for name, subject in (("alone", alone), ("watched", watched)):
                    costs = round_of(subject, number, connections)
                    if number >= 2:  # the first two warm up
                        found.add(name, costs["mixed"])
        with urlopen(f"http://{watched.address}/_vifsim/health") as answer:
            assert answer.status == 200
    return Figure(
        name=f"server CPU, console open, {connections} connections",
        ratio=found.ratio("watched", "alone"),
        mark=MARK,
        detail=f"{found.median('watched'):.0f} us by {found.median('alone'):.0f} us, {how}",
    )
