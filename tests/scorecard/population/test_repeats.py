"""Twenty threads in lock step are a stampede and twenty with jitter are none, time after time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from vifsim.chaos.runs import Order, run_one
from vifsim.clock import SimClock
from vifsim.scorecard import score
from vifsim.scorecard.herds import BUSY

HERE = Path(__file__).parent
OUTAGE: dict[str, Any] = yaml.safe_load((HERE / "expected.yaml").read_text())["scenarios"]["herd"]

pytestmark = pytest.mark.long


@pytest.mark.parametrize("repeat", range(20))
@pytest.mark.parametrize(("client", "verdict"), [("lockstep", "fail"), ("herd", "pass")])
async def test_a_herd_is_judged_by_its_spread(
    client: str, verdict: str, repeat: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERD_SEED", str(repeat))
    command = [sys.executable, str(HERE / "clients" / f"{client}.py")]
    order = Order(
        scenario="herd", repeat=1, command=command, seed=repeat, clients=1, time_limit=60.0
    )

    finished = await run_one(order, SimClock(), {"version": 1, "name": "herd", **OUTAGE})

    rule = score(finished.run)["rules"]["no_stampede"]
    if rule["reason"].startswith(BUSY):
        pytest.skip("the machine was too busy to tell, and the scorecard said so")
    assert rule["verdict"] == verdict, rule["reason"]
