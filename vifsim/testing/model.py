"""A model of the cloud that fits on a page: which attachments there are, and nothing else.

It knows no addresses, ids or times. For each step it says whether the real thing must succeed or
with which status it must refuse, or None where it cannot know; after each, which networks a server
is on.

The house rule: it shares no rule with the code that it is held against.
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from vifsim.conformance import ALPHA, BETA, BLUE, FAR, ONE, RED, SIX, THREE, TINY, TWO
from vifsim.model import PUBLIC, SERVICE
from vifsim.values import slotted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.testing.steps import Side, Step

_ROOM: Mapping[str, int] = {TINY: 2}


@slotted
class AttachmentModel:
    """Servers by tenant, networks by tenant, and which server is on which network."""

    servers: dict[str, str] = field(
        default_factory=lambda: {ONE: ALPHA, TWO: ALPHA, THREE: ALPHA, FAR: BETA}
    )
    networks: dict[str, str | None] = field(
        default_factory=lambda: {
            BLUE: ALPHA,
            TINY: ALPHA,
            SIX: ALPHA,
            RED: BETA,
            PUBLIC: None,
            SERVICE: None,
        }
    )
    attached: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def expected_status(self, side: Side, step: Step) -> int | None:
        """Return the status of an attach, detach or list as it must be, 200 for success."""
        tenant = BETA if step.beta else ALPHA
        server = side.server(step)
        if self.servers.get(server) != tenant:
            return 404
        if step.operation == "create_virtual_interface":
            return self._attach_status(server, side.network(step), tenant)
        if step.operation == "delete_virtual_interface":
            there = (server, side.interface(step)) in self._interfaces()
            return 200 if there else 404
        return 200

    def _attach_status(self, server: str, network: str, tenant: str) -> int:
        if network not in self.networks or self.networks[network] not in {None, tenant}:
            return 404
        if (server, network) in self.attached:
            return 409
        used = sum(1 for _, other in self.attached if other == network)
        return 400 if used >= _ROOM.get(network, 200) else 200

    def _interfaces(self) -> set[tuple[str, str]]:
        return {(server, interface) for (server, _), interface in self.attached.items()}

    def learn(self, side: Side, step: Step, answer: Any) -> None:
        """Follow what has happened."""
        if step.operation == "create_virtual_interface":
            self.attached[side.server(step), side.network(step)] = answer["id"]
        elif step.operation == "delete_virtual_interface":
            gone = side.interface(step)
            self.attached = {pair: one for pair, one in self.attached.items() if one != gone}

    def networks_of(self, server: str) -> list[str]:
        """Return the networks that a server is on, in the order in which it was attached."""
        return [network for owner, network in self.attached if owner == server]


def status_of(answer: Any) -> int:
    """Return the status that a step's answer amounts to."""
    match answer:
        case {"fault": str(), "status": int(status)}:
            return status
        case _:
            return 200
