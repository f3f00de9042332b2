"""Clouds that have ended leave nothing behind."""

from __future__ import annotations

import gc
import sys
import threading
from pathlib import Path

import httpx
import pytest

from vifsim import Simulator


def held() -> tuple[int, int, int]:
    """Return how many threads, open files and simulators this process has."""
    gc.collect()
    files = len(list(Path("/proc/self/fd").iterdir()))
    simulators = sum(1 for thing in gc.get_objects() if isinstance(thing, Simulator))
    return threading.active_count(), files, simulators


def use_clouds(number: int) -> None:
    """Start a cloud, ask it something, and end it, so many times."""
    for _ in range(number):
        with Simulator(self_stepping=True) as vifsim:
            vifsim.rule(match="delete_*", status=503)
            assert httpx.get(vifsim.url).status_code == 200


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists a process's open files")
@pytest.mark.parametrize("number", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_clouds_leave_no_thread_file_or_object(number: int) -> None:
    use_clouds(2)
    before = held()

    use_clouds(number)

    assert held() == before
