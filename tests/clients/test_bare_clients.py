"""HTTP libraries used bare, in the test's own process: what they are told, and what happened."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import httpx
import pytest
import requests
import urllib3

if TYPE_CHECKING:
    from vifsim.facade import Cloud

UNKNOWN = "99999999-9999-4999-8999-999999999999"
API_KEY = {"RAX-KSKEY:apiKeyCredentials": {"username": "demo", "apiKey": "demo-key"}}
PASSWORD = {"passwordCredentials": {"username": "demo", "password": "demo-password"}}
WRONG_KEY = {"RAX-KSKEY:apiKeyCredentials": {"username": "demo", "apiKey": "wrong"}}
TIMEOUT_S = 10

Sent = tuple[int, Mapping[str, str], bytes]
Send = Callable[[str, str, dict[str, str], bytes | None], Sent]


# ── the libraries ────────────────────────────────────────────────────────────────────────────────


@contextmanager
def with_requests() -> Generator[Send]:
    with requests.Session() as session:

        def send(method: str, url: str, headers: dict[str, str], body: bytes | None) -> Sent:
            told = session.request(method, url, headers=headers, data=body, timeout=TIMEOUT_S)
            return told.status_code, told.headers, told.content

        yield send


@contextmanager
def with_httpx() -> Generator[Send]:
    with httpx.Client(timeout=TIMEOUT_S) as client:

        def send(method: str, url: str, headers: dict[str, str], body: bytes | None) -> Sent:
            told = client.request(method, url, headers=headers, content=body)
            return told.status_code, told.headers, told.content

        yield send


@contextmanager
def with_async_httpx() -> Generator[Send]:
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(timeout=TIMEOUT_S)

        def send(method: str, url: str, headers: dict[str, str], body: bytes | None) -> Sent:
            told = runner.run(client.request(method, url, headers=headers, content=body))
            return told.status_code, told.headers, told.content

        yield send
        runner.run(client.aclose())


@contextmanager
def with_aiohttp() -> Generator[Send]:
    async def opened() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    with asyncio.Runner() as runner:
        session = runner.run(opened())

        async def ask(method: str, url: str, headers: dict[str, str], body: bytes | None) -> Sent:
            async with session.request(method, url, headers=headers, data=body) as told:
                return told.status, told.headers, await told.read()

        yield lambda method, url, headers, body: runner.run(ask(method, url, headers, body))
        runner.run(session.close())


@contextmanager
def with_urllib3() -> Generator[Send]:
    with urllib3.PoolManager(retries=False, timeout=TIMEOUT_S) as pool:

        def send(method: str, url: str, headers: dict[str, str], body: bytes | None) -> Sent:
            told = pool.request(method, url, headers=headers, body=body)
            return told.status, told.headers, told.data

        yield send


@contextmanager
def with_http_client() -> Generator[Send]:
    connections: dict[str, http.client.HTTPConnection] = {}

    def send(method: str, url: str, headers: dict[str, str], body: bytes | None) -> Sent:
        parts = urlsplit(url)
        connection = connections.setdefault(
            parts.netloc, http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
        )
        connection.request(method, parts.path, body, headers)
        told = connection.getresponse()
        return told.status, dict(told.headers), told.read()

    yield send
    for connection in connections.values():
        connection.close()


LIBRARIES: dict[str, Callable[[], AbstractContextManager[Send]]] = {
    "requests": with_requests,
    "httpx": with_httpx,
    "httpx-async": with_async_httpx,
    "aiohttp": with_aiohttp,
    "urllib3": with_urllib3,
    "http.client": with_http_client,
}


# ── a client as people write them ────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Told:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def fault(self) -> str:
        (name,) = self.json()
        return str(name)


class Bare:
    """Logs in, takes the compute URL from the catalog, and asks there."""

    def __init__(self, send: Send, auth_url: str) -> None:
        self._send = send
        self._auth_url = auth_url
        self._base = ""
        self._token = ""

    def log_in(self, credentials: Mapping[str, Any]) -> Told:
        told = self._ask("POST", f"{self._auth_url}/tokens", {"auth": credentials})
        if told.status == 200:
            access = told.json()["access"]
            self._base = access["serviceCatalog"][0]["endpoints"][0]["publicURL"]
            self._token = access["token"]["id"]
        return told

    def ask(self, method: str, path: str, body: Any = None) -> Told:
        return self._ask(method, f"{self._base}{path}", body)

    def patiently(self, method: str, path: str, body: Any = None) -> list[Told]:
        """Ask again while told 413 or 503, six times at most; does not wait."""
        answers: list[Told] = []
        while len(answers) < 6:
            answers.append(self.ask(method, path, body))
            if answers[-1].status not in {413, 503}:
                break
        return answers

    def attach(self, server: str, network: str) -> list[Told]:
        body = {"virtual_interface": {"network_id": network}}
        return self.patiently("POST", f"/servers/{server}/os-virtual-interfacesv2", body)

    def _ask(self, method: str, url: str, body: Any) -> Told:
        headers = {"Accept": "application/json", "X-Auth-Token": self._token}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        return Told(*self._send(method, url, headers, data))


@pytest.fixture(params=LIBRARIES)
def bare(request: pytest.FixtureRequest, vifsim: Cloud) -> Iterator[Bare]:
    with LIBRARIES[request.param]() as send:
        yield Bare(send, vifsim.env()["OS_AUTH_URL"])


# ── what they see ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("credentials", [API_KEY, PASSWORD], ids=["api-key", "password"])
def test_a_bare_client_logs_in_and_lists_servers(
    credentials: Mapping[str, Any], vifsim: Cloud, bare: Bare
) -> None:
    logged_in = bare.log_in(credentials)
    told = bare.ask("GET", "/servers")

    assert (logged_in.status, told.status) == (200, 200)
    servers = {server["name"]: server["id"] for server in told.json()["servers"]}
    assert servers == dict(vifsim.servers)
    assert [entry.user for entry in vifsim.journal.calls("list_servers")] == ["demo"]


def test_a_bare_client_makes_and_unmakes_an_interface_on_one_connection(
    vifsim: Cloud, bare: Bare
) -> None:
    bare.log_in(PASSWORD)
    path = f"/servers/{vifsim.server_id}/os-virtual-interfacesv2"

    made = bare.ask("POST", "/os-networksv2", {"network": {"label": "made", "cidr": "10.9.0.0/24"}})
    network = made.json()["network"]["id"]
    attached = bare.attach(vifsim.server_id, network)[-1].json()["virtual_interfaces"]
    listed = bare.ask("GET", path).json()["virtual_interfaces"]
    detached = bare.ask("DELETE", f"{path}/{attached[0]['id']}")
    deleted = bare.ask("DELETE", f"/os-networksv2/{network}")

    assert listed[2:] == attached
    assert (detached.status, detached.body) == (200, b"")
    assert (deleted.status, len(deleted.body)) == (202, 58)
    assert len({entry.conn for entry in vifsim.journal}) == 1
    vifsim.effects.exactly_once("create_virtual_interface", server="web-1")
    vifsim.effects.exactly_once("delete_network")
    vifsim.invariants.no_leaks().no_duplicates().told_is_true()


def test_a_bare_client_in_a_retry_loop_gets_through(vifsim: Cloud, bare: Bare) -> None:
    bare.log_in(API_KEY)
    vifsim.rule(match="create_virtual_interface", first=2, status=503)
    vifsim.rule(match="create_virtual_interface", first=1, status=413, retry_after=7)

    answers = bare.attach(vifsim.server_id, vifsim.network_id)

    assert [told.status for told in answers] == [503, 503, 413, 200]
    assert [told.fault for told in answers[:3]] == ["serviceUnavailable"] * 2 + ["overLimit"]
    assert answers[2].headers["Retry-After"] == "7"
    vifsim.journal.calls("create_virtual_interface").told([503, 503, 413, 200])
    vifsim.effects.exactly_once("create_virtual_interface", server="web-1")


def test_a_bare_client_is_refused_in_so_many_words(vifsim: Cloud, bare: Bare) -> None:
    bare.log_in(API_KEY)
    bare.attach(vifsim.server_id, vifsim.network_id)

    (duplicate,) = bare.attach(vifsim.server_id, vifsim.network_id)
    (unknown,) = bare.attach(vifsim.server_id, UNKNOWN)
    in_use = bare.ask("DELETE", f"/os-networksv2/{vifsim.network_id}")

    assert (duplicate.status, duplicate.fault) == (409, "conflictingRequest")
    assert (unknown.status, unknown.fault) == (404, "itemNotFound")
    assert (in_use.status, in_use.fault) == (403, "forbidden")
    vifsim.effects.exactly_once("create_virtual_interface")
    vifsim.effects.none("delete_network")


def test_a_bare_client_with_a_wrong_key_is_shown_where_to_log_in(vifsim: Cloud, bare: Bare) -> None:
    refused = bare.log_in(WRONG_KEY)
    told = bare.ask("GET", f"{vifsim.url}/servers")

    assert (refused.status, refused.fault) == (401, "unauthorized")
    assert told.status == 401
    assert told.headers["WWW-Authenticate"].startswith("Keystone uri=")
    vifsim.journal.calls("authenticate").told([401])
    assert not vifsim.effects
