"""Server CPU per call with the console open, against the same calls with nobody looking.

Twice: with the page in the system's Chromium, where there is one, and with curl listening as the
page does. A browser competes for the machine, which slows the simulator down on few cores; curl
does not, so the second figure is what the simulator itself spends more.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.http_cost import round_of, serving
from benchmarks.measure import Figure, Rounds

if TYPE_CHECKING:
    from collections.abc import Generator

ROUNDS = 25
MARK = 1.10


def _command(name: str, url: str, folder: str) -> list[str]:
    if name == "curl":
        return ["curl", "-sN", "-o", f"{folder}/events", f"{url}events?pace=60ms&brief=true"]
    flags = ["--headless", "--no-sandbox", "--window-size=1280,800", "--remote-debugging-port=0"]
    return [name, *flags, f"--user-data-dir={folder}", url]


@contextmanager
def watching(name: str, address: str) -> Generator[None]:
    """Have the console open."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = _command(name, f"http://{address}/_vifsim/", folder)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            time.sleep(1 if name == "curl" else 5)  # drawn, or it is measured while it starts
            try:
                yield
            finally:
                process.terminate()
                process.wait()


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the ratios of all calls together, over many connections and over one."""
    return [
        _measure(name, rounds, connections)
        for name in ("chromium", "curl")
        if shutil.which(name) is not None
        for connections in (32, 1)
    ]


def _measure(name: str, rounds: int, connections: int) -> Figure:
    found = Rounds()
    with (
        serving("vifsim") as alone,
        serving("vifsim") as watched,
        watching(name, watched.address),
    ):
        for number in range(rounds + 2):
            for which, subject in (("alone", alone), ("watched", watched)):
                costs = round_of(subject, number, connections)
                if number >= 2:  # the first two warm up
                    found.add(which, costs["mixed"])
    return Figure(
        name=f"server CPU, {name}, {connections} connections",
        ratio=found.ratio("watched", "alone"),
        mark=MARK,
        detail=f"{found.median('watched'):.0f} us by {found.median('alone'):.0f} us, "
        f"least by least {found.least_ratio('watched', 'alone'):.2f}",
    )
