"""Memory and SQLite answer the same requests with the same bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from vifsim.clock import SimClock
from vifsim.draws import draw

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.conftest import Api, ApiOf, MakeCloud, Told

T = TypeVar("T")

SERVERS = [f"3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a0{number}" for number in (1, 2, 3)]
NETWORKS = [
    "1f7920d3-0e63-4fec-a1cb-f7916671e8eb",
    "00000000-0000-0000-0000-000000000000",
    "11111111-1111-1111-1111-111111111111",
    "99999999-9999-4999-8999-999999999999",
    "not-a-uuid",
]
CIDRS = ["10.1.0.0/24", "10.2.0.0/30", "fd00:7::/64", "10.1.0.1/24", "nonsense"]
VARYING = {"Date", "X-Compute-Request-Id", "Location", "Content-Length"}


class Sender:
    """Makes up requests; each is a function of the seed, its number and the ids seen so far."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._number = 0
        self._servers = list(SERVERS)
        self._networks = list(NETWORKS)
        self._interfaces = [NETWORKS[-2]]

    def _pick(self, what: str, among: Sequence[T]) -> T:
        return among[int(draw(self._seed, self._number, what) * len(among))]

    def next(self) -> tuple[str, str, Any]:
        """Return a method, a path and a body."""
        self._number += 1
        server = self._pick("server", self._servers)
        network = self._pick("network", self._networks)
        interface = self._pick("interface", self._interfaces)
        vifs = f"/servers/{server}/os-virtual-interfacesv2"
        wanted = {"virtual_interface": {"network_id": network}}
        label = f"n{self._number % 7}"
        new_network = {"network": {"label": label, "cidr": self._pick("cidr", CIDRS)}}
        new_server = {
            "server": {
                "name": f"s{self._number % 5}",
                "imageRef": "1",
                "flavorRef": self._pick("flavor", ["2", "3", "none"]),
                "networks": [{"uuid": network}],
            }
        }
        login = {"auth": {"passwordCredentials": {"username": "demo", "password": "demo-password"}}}
        requests: list[tuple[str, str, Any]] = [
            ("POST", vifs, wanted),
            ("POST", vifs, wanted),
            ("POST", f"/v2/123456{vifs}", wanted),
            ("POST", vifs, self._pick("malformed", [[], {}, {"virtual_interface": 1}])),
            ("GET", vifs, None),
            ("DELETE", f"{vifs}/{interface}", None),
            ("DELETE", f"{vifs}/{interface}", None),
            ("GET", "/os-networksv2", None),
            ("POST", "/os-networksv2", new_network),
            ("GET", f"/os-networksv2/{network}", None),
            ("DELETE", f"/os-networksv2/{network}", None),
            ("POST", "/servers", new_server),
            ("GET", "/servers/detail?limit=3", None),
            ("GET", f"/servers?marker={server}", None),
            ("GET", f"/servers/{server}", None),
            ("GET", f"/servers/{server}/ips/public", None),
            ("DELETE", f"/servers/{server}", None),
            ("GET", "/limits", None),
            ("POST", "/v2.0/tokens", login),
            ("PUT", f"/servers/{server}", {}),
            ("GET", "/nothing", None),
        ]
        return self._pick("request", requests)

    def learn(self, told: Told) -> None:
        """Keep the ids of what was made."""
        if told.status >= 300 or not told.body.startswith(b"{"):
            return
        for kind, pool in (("server", self._servers), ("network", self._networks)):
            match told.json().get(kind):
                case {"id": str(made)}:
                    pool.append(made)
                case _:
                    continue
        self._interfaces += [made["id"] for made in told.json().get("virtual_interfaces", [])]


def what_repeats(told: Told, url: str) -> Any:
    """Return what must be the same on both: all but request ids, ports, and lengths of links."""
    headers = {name: value for name, value in told.headers.items() if name not in VARYING}
    return told.status, json.dumps(headers).replace(url, ""), told.body.replace(url.encode(), b"")


async def same_answers(memory: Api, sqlite: Api, calls: int) -> None:
    """Ask both the same, and compare."""
    sender = Sender(seed=7)
    for number in range(calls):
        method, path, body = sender.next()
        answers = [await api.ask(method, path, body) for api in (memory, sqlite)]
        first, second = [
            what_repeats(told, api.url) for told, api in zip(answers, (memory, sqlite), strict=True)
        ]
        assert first == second, f"request {number}: {method} {path} {body}"
        sender.learn(answers[0])


@pytest.fixture
async def both(make_cloud: MakeCloud, api_of: ApiOf, tmp_path: Path) -> tuple[Api, Api]:
    """A client of each backend; both clouds live on one clock, which stands still."""
    clock = SimClock(mode="manual")
    settings: dict[str, Any] = {"seed": 7, "sim_clock": clock}
    memory = await make_cloud(**settings)
    sqlite = await make_cloud(**settings, backend=f"sqlite:///{tmp_path}/cloud.db")
    return api_of(memory), api_of(sqlite)


async def test_random_requests_are_answered_alike(both: tuple[Api, Api]) -> None:
    await same_answers(*both, calls=400)


@pytest.mark.long
async def test_10000_random_requests_are_answered_alike(both: tuple[Api, Api]) -> None:
    await same_answers(*both, calls=10_000)
