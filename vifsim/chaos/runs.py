"""One run: a fresh cloud, a scenario, a client, and what is known about it afterwards.

The house rule: each run has a world, a clock, a journal and a seed of its own; nothing of one
reaches the next.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vifsim.chaos.command import Ending, run_command
from vifsim.errors import UsageError
from vifsim.model import DEMO_DOCUMENT
from vifsim.scorecard.traffic import Traffic
from vifsim.simulator import Simulator
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vifsim.clock import Clock
    from vifsim.scorecard import Run

MATRIX = (
    "rate-limited",
    "told-to-wait",
    "flaky-create",
    "lost-create",
    "lost-delete",
    "token-expiry",
    "proxy-errors",
    "spoiled-answers",
    "stale-reads",
    "server-building",
    "paged",
    "slow-but-fine",
    "hung",
    "endless-outage",
    "maintenance",
    "thundering-herd",
)
"""The standard matrix: each rule of the scorecard can be exercised by one of these."""

HOLD = 0.02
"""Seconds that injected answers are held: an infinitely fast refusal hides concurrency.

Source: scorecard, "Chains" (docs/scorecard.md).
"""


@frozen
class Order:
    """What to run: a scenario by name or path, which repeat of it, and how."""

    scenario: str
    repeat: int
    command: Sequence[str]
    seed: int | None
    clients: int
    time_limit: float


@frozen
class Finished:
    """A run that is over: what is judged, and how its clients ended."""

    order: Order
    run: Run
    endings: Sequence[Ending]

    @property
    def reached(self) -> bool:
        """Whether any client ever called the cloud."""
        return bool(self.run.entries)

    def leaks(self) -> list[dict[str, Any]]:
        """Return the interfaces left behind, where they are more than the client means to keep."""
        traffic = Traffic(self.run)
        if len(traffic.left) <= self.run.scenario.client.keeps:
            return []
        return [
            {"id": interface, "server": x.server, "network": x.network, "entry": x.seq}
            for interface, x in traffic.left.items()
        ]


async def run_one(
    order: Order, clock: Clock, scenario: Mapping[str, Any] | None = None
) -> Finished:
    """Run the clients of one order to their end against a cloud of their own.

    Args:
        order: what to run.
        clock: real time.
        scenario: instead of the one that the order names, where it is in no file.

    Raises:
        UsageError: the scenario or the command is wrong.
    """
    simulator = Simulator(
        scenario=scenario or order.scenario, seed=order.seed, world=_world_for(order.clients)
    )
    if not simulator.scenario.hold:
        simulator.scenario = replace(simulator.scenario, hold=HOLD)
    if order.clients > 1 and "tenants" in simulator.scenario.world:
        raise UsageError(
            f"--clients {order.clients}: scenario {simulator.scenario.name} has users of its own"
        )
    async with simulator:
        endings = await asyncio.gather(
            *(
                run_command(order.command, env, clock, order.time_limit)
                for env in _environments(simulator, order.clients)
            )
        )
        await simulator.backend.state_document()  # what is queued is done before the count
        run = replace(simulator.run_so_far(), client=_client(simulator, order, endings))
    return Finished(order=order, run=run, endings=endings)


def _client(simulator: Simulator, order: Order, endings: Sequence[Ending]) -> dict[str, Any]:
    """Return what the export says of the command: of several clients, the one that fared worst."""
    worst = max(endings, key=lambda ending: (ending.ended != "by_itself", ending.exit_code or 0))
    return {
        "command": list(order.command),
        "exit_code": worst.exit_code,
        "ended": worst.ended,
        "at": simulator.clock.now(),
        "output_tail": worst.output_tail,
    }


def _world_for(clients: int) -> Mapping[str, Any] | None:
    """Return a world with a user and a token for each client, None for the usual one."""
    if clients == 1:
        return None
    tenants = copy.deepcopy(list(DEMO_DOCUMENT["tenants"]))
    first = tenants[0]["users"][0]
    tenants[0]["users"] += [
        {**first, "name": _name(number), "token": _token(number)}
        for number in range(1, clients + 1)
    ]
    return {"tenants": tenants}


def _environments(simulator: Simulator, clients: int) -> list[dict[str, str]]:
    env = simulator.env()
    if clients == 1:
        return [env]
    return [
        {
            **env,
            "OS_USERNAME": _name(number),
            "VIFSIM_TOKEN": _token(number),
            "VIFSIM_CLIENT": str(number),
        }
        for number in range(1, clients + 1)
    ]


def _name(number: int) -> str:
    return f"client-{number}"


def _token(number: int) -> str:
    return f"client-{number}-token"


def orders(
    scenarios: Sequence[str],
    command: Sequence[str],
    *,
    seed: int | None,
    repeat: int,
    clients: int,
    time_limit: float,
) -> list[Order]:
    """Return what is to be run, scenario by scenario, each as often as asked."""
    return [
        Order(
            scenario=scenario,
            repeat=number,
            command=command,
            seed=seed,
            clients=clients,
            time_limit=time_limit,
        )
        for scenario in scenarios
        for number in range(1, repeat + 1)
    ]
