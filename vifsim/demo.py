"""A careless cloud and a careful client, to be watched.

`play` drives a cloud that refuses twice, limits once and loses one answer, with a client
that keeps its head; what happens is told call by call to whoever listens.

The house rule: the client knows only what goes over the wire; what really happened is read from
the journal, by the one who tells, never by the client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp

from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vifsim.simulator import Simulator

SCENARIO: Mapping[str, Any] = {
    "version": 1,
    "name": "demo",
    "description": "Slow, busy twice, limited once, and one answer is never heard of.",
    "client": {"keeps": 1},
    "rules": [
        {"name": "slow", "latency": {"uniform": ["300ms", "700ms"]}},
        {
            "name": "busy",
            "match": "list_virtual_interfaces",
            "first": 2,
            "status": 503,
            "retry_after": "1s",
        },
        {
            "name": "limited",
            "match": "create_virtual_interface",
            "first": 1,
            "status": 413,
            "retry_after": "2s",
        },
        {
            "name": "the-answer-is-lost",
            "match": "create_virtual_interface",
            "first": 1,
            "at": "after_commit",
            "reset": True,
        },
    ],
}
"""How the cloud of the demo misbehaves."""

LABEL = "demo-net"
_PAUSE = 1.0
"""Seconds that the client waits where nobody told it how long."""
_TRIES = 5
_WAIT_AND_TRY = frozenset({413, 429, 503})


@frozen
class Step:
    """One call of the demo.

    `happened` is what the call did to the cloud, `status` and `told` what its client learnt, and
    `wait` how many seconds the client waits before it goes on. `status` is None where no answer
    came.
    """

    number: int
    operation: str
    happened: str
    status: int | None
    told: str
    wait: float


@frozen
class Ending:
    """How the demo ended.

    `address` is that of the interface which the client wanted, `interfaces` how many of its server
    are on the network, which should be one; `grade` is the client's on the scorecard.
    """

    url: str
    address: str
    interfaces: int
    grade: str | None


class Lost(Exception):
    """No answer came; whether the call took effect is not known."""


class CarefulClient:
    """Attaches a server to a network exactly once, whatever the cloud does meanwhile."""

    def __init__(
        self, http: aiohttp.ClientSession, cloud: Simulator, tell: Callable[[Step], None]
    ) -> None:
        self._http = http
        self._cloud = cloud
        self._tell = tell
        self._number = 0

    async def attach_once(self) -> str:
        """Log in, make a network, attach the server to it, and return its address there.

        Raises:
            RuntimeError: the cloud refused in a way that this client does not know.
        """
        self._http.headers["X-Auth-Token"] = await self._log_in()
        network = {"network": {"label": LABEL, "cidr": "192.168.7.0/24"}}
        made = await self._ask("POST", "/os-networksv2", network)
        network_id = str(made["network"]["id"])
        path = f"/servers/{self._cloud.server_id}/os-virtual-interfacesv2"
        for _ in range(_TRIES):
            address = _address(await self._ask("GET", path), network_id)
            if address is not None:
                return address
            try:
                wanted = {"virtual_interface": {"network_id": network_id}}
                await self._ask("POST", path, wanted)
            except Lost:
                continue  # it may be there: look before asking for another one
        raise RuntimeError("the cloud answers, but attaches nothing")

    async def _log_in(self) -> str:
        credentials = {"username": "demo", "apiKey": "demo-key"}
        body = {"auth": {"RAX-KSKEY:apiKeyCredentials": credentials}}
        access = (await self._ask("POST", "/v2.0/tokens", body))["access"]
        return str(access["token"]["id"])

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask, and ask again when told to; return the document of the answer."""
        for _ in range(_TRIES):
            status, document, retry_after = await self._once(method, path, body)
            wait = _PAUSE if status is None else retry_after
            self._tell(self._step(status, wait))
            await self._cloud.clock.sleep_until(self._cloud.clock.now() + wait)
            if status is None:
                raise Lost
            if status not in _WAIT_AND_TRY:
                return document
        raise RuntimeError(f"{method} {path} was refused {_TRIES} times")

    async def _once(self, method: str, path: str, body: Any) -> tuple[int | None, Any, float]:
        try:
            async with self._http.request(method, self._cloud.url + path, json=body) as answer:
                wait = float(answer.headers.get("Retry-After", 0))
                return answer.status, await answer.json(content_type=None), wait
        except aiohttp.ClientConnectionError:
            return None, None, 0.0

    def _step(self, status: int | None, wait: float) -> Step:
        self._number += 1
        entry = self._cloud.journal.documents(self._cloud.journal)[-1]
        return Step(
            number=self._number,
            operation=entry["operation"],
            happened=_happened(entry),
            status=status,
            told=_told(entry, wait),
            wait=wait,
        )


def _address(listed: Any, network_id: str) -> str | None:
    """Return the address on a network among the interfaces that a server has, None: not there."""
    found = [
        address["address"]
        for interface in listed["virtual_interfaces"]
        for address in interface["ip_addresses"]
        if address["network_id"] == network_id
    ]
    return str(found[0]) if found else None


def _happened(entry: Mapping[str, Any]) -> str:
    """Return what a call did to the cloud."""
    made = [
        f"{effect['object'].replace('_', ' ')} {effect['kind']}"
        for effect in entry["effects"]
        if effect["object"] != "server"
    ]
    if made:
        return ", ".join(made)
    return "refused, nothing changed" if entry["decision"]["by"] else "read"


def _told(entry: Mapping[str, Any], wait: float) -> str:
    """Return what the client learnt."""
    told = entry["told"]
    if told is None:
        return "nothing: connection reset"
    texts = {
        200: "200 OK",
        413: f"413 Over Limit, Retry-After {wait:g}",
        503: f"503 Unavailable, Retry-After {wait:g}",
    }
    return texts.get(told["status"], str(told["status"]))


async def play(cloud: Simulator, tell: Callable[[Step], None]) -> Ending:
    """Drive a running cloud of `SCENARIO`, telling each call as it ends.

    Raises:
        RuntimeError: the client gave up.
    """
    async with aiohttp.ClientSession() as http:
        address = await CarefulClient(http, cloud, tell).attach_once()
    await cloud.learn_names()
    state = await cloud.state_document()
    ours = [
        interface
        for interface in state["virtual_interfaces"]
        if (interface["server"], interface["network"]) == ("web-1", LABEL)
    ]
    return Ending(
        url=cloud.url,
        address=address,
        interfaces=len(ours),
        grade=cloud.scorecard_document()["grade"],
    )
