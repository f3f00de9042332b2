"""What a test with the fixture and one call costs, against one with a bare threaded server.

One run of pytest in which the tests take turns; each test's processor time counts, from the start
of its set-up to the end of its tear-down.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Figure, Rounds

ROUNDS = 100
_PLUGINS = ("cacheprovider", "randomly", "xdist", "schemathesis", "hypothesispytest")
_ROOT = Path(__file__).resolve().parent.parent

_CONFTEST = """
import json
import time
import pytest
from benchmarks.start_cost import bare_in_thread

COSTS = []

@pytest.fixture
def bare():
    with bare_in_thread() as url:
        yield url

@pytest.fixture
def ours(vifsim):
    return vifsim.url

@pytest.fixture
def shared(vifsim_session):
    return vifsim_session.url

@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    began = time.process_time()
    result = yield
    COSTS.append((item.originalname, time.process_time() - began))
    return result

def pytest_sessionfinish():
    with open("costs.json", "w") as file:
        json.dump(COSTS, file)
"""
_IMPORTS = "from benchmarks.start_cost import fetch\n"
_TURN = """
def test_{name}_{turn}({name}):
    fetch({name})
"""


def _costs(rounds: int) -> Rounds:
    found = Rounds()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "conftest.py").write_text(_CONFTEST)
        names = ("bare", "ours", "shared")
        tests = [_TURN.format(name=name, turn=n) for n in range(rounds + 1) for name in names]
        (place / "test_suite.py").write_text(_IMPORTS + "".join(tests))
        options = [
            "-q",
            "-o",
            "asyncio_default_fixture_loop_scope=function",
            *(word for name in _PLUGINS for word in ("-p", f"no:{name}")),
        ]
        subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        costs = json.loads((place / "costs.json").read_text())
    for test, cost in costs[len(names) : -1]:  # the first ones import, the last one ends it all
        found.add(test.split("_")[1], cost)
    for name in names:
        del found.costs[name][rounds - 1 :]
    return found


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the ratios of a test's costs."""
    found = _costs(rounds)
    return [
        Figure(
            name=title,
            ratio=found.ratio(name, "bare"),
            mark=2.0,
            detail=f"{found.median(name) * 1e3:.2f} ms by {found.median('bare') * 1e3:.2f} ms",
        )
        for name, title in (
            ("ours", "a test with vifsim and one call"),
            ("shared", "a test with vifsim_session and one call"),
        )
    ]
