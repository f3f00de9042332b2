"""Real clients of known behaviour, each in its own process, judged as anybody's would be.

What must come out was written down from each client's source, in `expected.yaml`, before it was
judged; the verdict of every rule is compared, also that of the rules which must stay silent.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from vifsim.scorecard import CATALOGUE, score
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from vifsim.facade import Cloud

HERE = Path(__file__).parent
EXPECTED: dict[str, Any] = yaml.safe_load((HERE / "expected.yaml").read_text("utf-8"))
CODES = {rule.name: rule.code for rule in CATALOGUE}

CELLS = [
    pytest.param(
        client,
        scenario,
        id=f"{client}-{scenario}",
        marks=[pytest.mark.long] if cell[1] == "long" else [],
    )
    for client, row in EXPECTED["cells"].items()
    for scenario, cell in row.items()
]


LONGEST = 60.0
"""Seconds after which a client is ended that makes fewer calls than it was to be given."""


def judged(client: str, scenario: str, limit: float | str) -> dict[str, Any]:
    """Run a client under a scenario, end it at its limit, and return its scorecard."""
    rules = {"version": 1, "name": scenario, **EXPECTED["scenarios"][scenario]}
    with Simulator(scenario=rules) as cloud:
        command = [sys.executable, str(HERE / "clients" / f"{client}.py")]
        environment = {**os.environ, **cloud.env(), "PYTHONDONTWRITEBYTECODE": "1"}
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            in_time = ended_in_time(process, cloud, limit)
        finally:
            process.kill()
            code = process.wait()
        record = {
            "command": command,
            "exit_code": code if in_time else None,
            "ended": "by_itself" if in_time else "time_limit",
            "at": cloud.clock.now(),
        }
        cloud.run(cloud.simulator.drain(2.0))
        return score(replace(cloud.simulator.run_so_far(), client=record))


def ended_in_time(process: subprocess.Popen[bytes], cloud: Cloud, limit: float | str) -> bool:
    """Wait for a client to end; say whether it did within so many seconds, or so many calls."""
    calls = int(limit.removesuffix(" calls")) if isinstance(limit, str) else sys.maxsize
    due = cloud.clock.now() + (LONGEST if isinstance(limit, str) else limit)
    while cloud.clock.now() < due and cloud.simulator.journal.last < calls:
        try:
            process.wait(timeout=0.02)
        except subprocess.TimeoutExpired:
            continue
        return True
    return False


@pytest.mark.parametrize(("client", "scenario"), CELLS)
def test_a_client_is_told_what_its_source_deserves(client: str, scenario: str) -> None:
    limit, _, passes, fails = EXPECTED["cells"][client][scenario]

    document = judged(client, scenario, limit)

    rules = document["rules"]
    told = {
        verdict: {CODES[name] for name, rule in rules.items() if rule["verdict"] == verdict}
        for verdict in ("pass", "fail")
    }
    reasons = "\n".join(f"{r['code']} {r['verdict']}: {r['reason']}" for r in rules.values())
    assert told == {"pass": set(passes), "fail": set(fails)}, reasons


def test_every_client_has_an_expectation() -> None:
    clients = {path.stem for path in (HERE / "clients").glob("*.py")} - {"wire"}

    assert clients == set(EXPECTED["cells"])
