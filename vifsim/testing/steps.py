"""Calls as values: what a random run does to a backend, and what it makes of the answers.

A step names things by their place in the pool of those that exist, so that steps can be left out
of a run and the rest still mean something.

The house rule: two backends that are given the same steps see the same calls at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, field
from typing import TYPE_CHECKING, Any

from vifsim.backend import Backend, Change
from vifsim.conformance import (
    ALPHA,
    API_KEY,
    BETA,
    BLUE,
    FAR,
    NOWHERE,
    ONE,
    RED,
    SIX,
    THREE,
    TINY,
    TWO,
    a_call,
    world,
)
from vifsim.errors import ApiFault, ControlFault
from vifsim.model import (
    PUBLIC,
    SERVICE,
    Credentials,
    InterfaceId,
    NetworkId,
    NewServer,
    ServerId,
    ServerQuery,
)
from vifsim.values import frozen, slotted

if TYPE_CHECKING:
    from vifsim.clock import SimClock

MakeBackend = Callable[["SimClock"], Backend]
"""Makes a new backend, not open yet, whose store is empty, on the run's clock."""

STATUSES = ("ACTIVE", "SUSPENDED", "ERROR", "REBUILD", "SHUTOFF")
CIDRS = ("192.168.5.0/24", "10.9.0.0/30", "fd00:9::/64", "10.0.0.0/24")


@frozen
class Step:
    """One call: `server`, `network` and `interface` are places in the pools, `text` its word."""

    operation: str
    server: int = 0
    network: int = 0
    interface: int = 0
    text: str = ""
    beta: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        whose = "beta: " if self.beta else ""
        places = {"server": self.server, "network": self.network, "interface": self.interface}
        shown = [f"{name} {place}" for name, place in places.items() if place]
        shown += [repr(self.text)] if self.text else []
        shown += [f"{self.seconds:g} s"] if self.seconds else []
        return f"{whose}{self.operation}({', '.join(shown)})"


@slotted
class Side:
    """A backend that steps are done on, and the pools of ids that it has shown."""

    name: str
    backend: Backend
    clock: SimClock
    servers: list[str] = field(default_factory=lambda: [ONE, TWO, THREE, FAR, NOWHERE])
    networks: list[str] = field(
        default_factory=lambda: [BLUE, TINY, SIX, RED, PUBLIC, SERVICE, NOWHERE]
    )
    interfaces: list[str] = field(default_factory=lambda: [NOWHERE])
    last: Any = None

    @classmethod
    async def opened(cls, name: str, make: MakeBackend, clock: SimClock) -> Side:
        """Return a side whose backend is open, with the conformance suite's world."""
        side = cls(name, make(clock), clock)
        await side.backend.open(world())
        return side

    async def do(self, step: Step) -> Any:
        """Do a step; return its answer as plain data, a fault as one too, and keep it as `last`."""
        self.last = await self._done(step)
        return self.last

    async def _done(self, step: Step) -> Any:
        try:
            answer = await _DOINGS[step.operation](self, step)
        except ApiFault as fault:
            return {"fault": type(fault).__name__, "status": fault.status, "says": fault.message}
        except ControlFault as fault:
            return {"fault": "ControlFault", "status": fault.status, "says": fault.detail}
        return plain(answer)

    def server(self, step: Step) -> ServerId:
        """Return the server that a step means."""
        return ServerId(self.servers[step.server % len(self.servers)])

    def network(self, step: Step) -> NetworkId:
        """Return the network that a step means."""
        return NetworkId(self.networks[step.network % len(self.networks)])

    def interface(self, step: Step) -> InterfaceId:
        """Return the interface that a step means."""
        return InterfaceId(self.interfaces[step.interface % len(self.interfaces)])


def plain(value: Any) -> Any:
    """Return an answer as plain data, to be compared and shown."""
    return json.loads(json.dumps(value, default=_as_json))


def _as_json(value: Any) -> Any:
    try:
        return asdict(value)
    except TypeError:  # no dataclass: a mapping of another kind
        return {**value}


# ── what each step does ──────────────────────────────────────────────────────────────────────────


def _call(step: Step) -> Any:
    return a_call(BETA if step.beta else ALPHA)


async def _attach(side: Side, step: Step) -> Any:
    made = await side.backend.create_virtual_interface(
        _call(step), side.server(step), side.network(step)
    )
    side.interfaces.append(made.id)
    return made


async def _detach(side: Side, step: Step) -> Any:
    await side.backend.delete_virtual_interface(
        _call(step), side.server(step), side.interface(step)
    )


async def _list_interfaces(side: Side, step: Step) -> Any:
    return await side.backend.list_virtual_interfaces(_call(step), side.server(step))


async def _addresses(side: Side, step: Step) -> Any:
    return await side.backend.list_addresses(_call(step), side.server(step))


async def _create_network(side: Side, step: Step) -> Any:
    made = await side.backend.create_network(_call(step), f"n{step.network}", step.text)
    side.networks.append(made.id)
    return made


async def _delete_network(side: Side, step: Step) -> Any:
    await side.backend.delete_network(_call(step), side.network(step))


async def _get_network(side: Side, step: Step) -> Any:
    return await side.backend.get_network(_call(step), side.network(step))


async def _list_networks(side: Side, step: Step) -> Any:
    return await side.backend.list_networks(_call(step))


async def _create_server(side: Side, step: Step) -> Any:
    new = NewServer(
        name=f"s{step.server}", image_ref="1", flavor_ref="2", networks=(side.network(step),)
    )
    made = await side.backend.create_server(_call(step), new)
    side.servers.append(made.server.id)
    return made


async def _delete_server(side: Side, step: Step) -> Any:
    await side.backend.delete_server(_call(step), side.server(step))


async def _get_server(side: Side, step: Step) -> Any:
    return await side.backend.get_server(_call(step), side.server(step))


async def _list_servers(side: Side, step: Step) -> Any:
    query = ServerQuery(limit=step.server % 4 or None)
    return await side.backend.list_servers_detail(_call(step), query)


async def _limits(side: Side, step: Step) -> Any:
    return await side.backend.get_limits(_call(step))


async def _log_in(side: Side, step: Step) -> Any:
    name = "beta-admin" if step.beta else "alpha-admin"
    credentials = Credentials(username=name, api_key=API_KEY)
    return await side.backend.authenticate(_call(step), credentials)


async def _set_status(side: Side, step: Step) -> Any:
    values = {"server": side.server(step), "status": step.text, "task_state": None}
    await side.backend.amend(Change(kind="set_status", values=values))


async def _fill_network(side: Side, step: Step) -> Any:
    values = {"network": side.network(step), "free": step.interface % 3}
    await side.backend.amend(Change(kind="fill_network", values=values))


async def _restore(side: Side, _: Step) -> Any:
    saved = await side.backend.snapshot()
    await side.backend.restore(saved)
    return saved


async def _nothing(*_: object) -> None:
    """Let time pass: the run's clock has moved before each side is asked."""


_DOINGS: Mapping[str, Callable[[Side, Step], Awaitable[Any]]] = {
    "create_virtual_interface": _attach,
    "delete_virtual_interface": _detach,
    "list_virtual_interfaces": _list_interfaces,
    "list_addresses": _addresses,
    "create_network": _create_network,
    "delete_network": _delete_network,
    "get_network": _get_network,
    "list_networks": _list_networks,
    "create_server": _create_server,
    "delete_server": _delete_server,
    "get_server": _get_server,
    "list_servers_detail": _list_servers,
    "get_limits": _limits,
    "authenticate": _log_in,
    "set_status": _set_status,
    "fill_network": _fill_network,
    "restore": _restore,
    "wait": _nothing,
}

OPERATIONS = tuple(_DOINGS)
"""What a step can do: operations of a backend, changes by hand, a restart, and waiting."""
