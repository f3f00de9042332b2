"""What tests share: simulated clouds on real loopback sockets, and clients to ask them with."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp
import pytest
from hypothesis import settings
from yarl import URL

from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping

    from multidict import CIMultiDictProxy

    MakeCloud = Callable[..., Awaitable[Simulator]]
    ApiOf = Callable[[Simulator], "Api"]
    Connect = Callable[[Simulator], Awaitable["RawClient"]]
    RunPytest = Callable[..., "SuiteRun"]

# httpx does so at its first request; where that is in a suite run by a test, it is taken back.
for _name in ("httpcore", "httpcore._backends.anyio", "anyio._backends._asyncio"):
    import_module(_name)
# No test is about how busy the machine is.
settings.register_profile("suite", deadline=None, max_examples=40)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("suite")

TENANT = "123456"
WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
WEB_2 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
PUBLIC = "00000000-0000-0000-0000-000000000000"
PRIVATE = "11111111-1111-1111-1111-111111111111"
UNKNOWN = "99999999-9999-4999-8999-999999999999"


_LARGE = 1024 * 1024
"""Bytes that aiohttp's client wants to be given as a file."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a client was told: status, headers, and the bytes of the body."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    def json(self) -> Any:
        """Return what the body holds."""
        return json.loads(self.body)

    @property
    def fault(self) -> str:
        """The one top key of a fault, which must be a sound one."""
        document = self.json()
        ((name, content),) = document.items()
        assert content["code"] == self.status
        assert isinstance(content["message"], str)
        return str(name)

    @property
    def message(self) -> str:
        """The message of a fault."""
        ((_, content),) = self.json().items()
        return str(content["message"])


class Api:
    """Asks a cloud over a real socket; paths go out as they are written."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str | None) -> None:
        self._session = session
        self.url = url
        self.token = token

    def bearing(self, token: str | None) -> Api:
        """Return the same client with another token, or none."""
        return Api(self._session, self.url, token)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        data: bytes | BytesIO | AsyncIterator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Told:
        """Send one request; `body` goes as JSON, `data` as it is."""
        sent = {} if self.token is None else {"X-Auth-Token": self.token}
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        if isinstance(data, bytes) and len(data) > _LARGE:
            data = BytesIO(data)
        async with self._session.request(
            method,
            URL(self.url + path, encoded=True),
            data=data,
            headers={**sent, **(headers or {})},
            allow_redirects=False,
            skip_auto_headers=("Content-Type",),
        ) as response:
            return Told(response.status, response.headers, await response.read())

    async def get(self, path: str, **options: Any) -> Told:
        """GET."""
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Told:
        """POST."""
        return await self.ask("POST", path, body, **options)

    async def delete(self, path: str, **options: Any) -> Told:
        """DELETE."""
        return await self.ask("DELETE", path, **options)

    async def log_in(self, user: str, password: str = "demo-password") -> Api:  # noqa: S107 -- the demo world's
        """Return a client with a fresh token of a user."""
        credentials = {"username": user, "password": password}
        told = await self.post("/v2.0/tokens", {"auth": {"passwordCredentials": credentials}})
        assert told.status == 200, told.body
        return self.bearing(told.json()["access"]["token"]["id"])

    async def attach(self, server: str = WEB_1, network: str = ADDED_NETWORK) -> Told:
        """Attach a server to a network."""
        body = {"virtual_interface": {"network_id": network}}
        return await self.post(f"/servers/{server}/os-virtual-interfacesv2", body)

    async def interfaces(self, server: str = WEB_1) -> list[dict[str, Any]]:
        """Return the interfaces of a server."""
        told = await self.get(f"/servers/{server}/os-virtual-interfacesv2")
        assert told.status == 200, told.body
        found: list[dict[str, Any]] = told.json()["virtual_interfaces"]
        return found

    async def boot(self, name: str = "new", networks: list[str] | None = None) -> str:
        """Create a server and return its id."""
        server: dict[str, Any] = {"name": name, "imageRef": "1", "flavorRef": "2"}
        if networks is not None:
            server["networks"] = [{"uuid": network} for network in networks]
        told = await self.post("/servers", {"server": server})
        assert told.status == 202, told.body
        return str(told.json()["server"]["id"])

    async def new_network(self, label: str = "made", cidr: str = "10.0.0.0/24") -> str:
        """Create a network and return its id."""
        told = await self.post("/os-networksv2", {"network": {"label": label, "cidr": cidr}})
        assert told.status == 200, told.body
        return str(told.json()["network"]["id"])


class RawClient:
    """A connection on which bytes go out and come in as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, url: str) -> Self:
        """Connect."""
        parts = URL(url)
        return cls(*await asyncio.open_connection(parts.host, parts.port))

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        """Return the next status line and headers."""
        return await self._reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """Return everything until the other side ends."""
        return await self._reader.read()

    async def exactly(self, size_bytes: int) -> bytes:
        """Return so many bytes."""
        return await self._reader.readexactly(size_bytes)

    def close(self) -> None:
        """End the connection."""
        self.writer.close()


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """What came of a suite that a test has run."""

    exit_code: int
    errors: str
    output: str

    def number(self, outcome: str) -> int:
        """Return how many of its tests passed, failed, or had an error."""
        found = re.findall(rf"(\d+) {outcome}", self.output.rpartition("\n=====")[2])
        return int(found[-1]) if found else 0


class SuiteRunner:
    """Runs suites that tests have written, each in a process of its own (tests/warm.py)."""

    _WITHOUT = ("cacheprovider", "schemathesis", "hypothesispytest", "anyio")
    """Plugins that take longer to load than a suite here takes to run."""

    def __init__(self, told: Path) -> None:
        self._told = told
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, *arguments: str, **variables: str) -> SuiteRun:
        """Run pytest in a folder as `python -m pytest` would."""
        left_out = [part for name in self._WITHOUT for part in ("-p", f"no:{name}")]
        kept = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
        order = {
            "folder": str(folder),
            "arguments": [*left_out, "-W", "ignore::pytest.PytestAssertRewriteWarning", *arguments],
            "environment": {**kept, **variables},
            "output": str(self._told / "output"),
            "errors": str(self._told / "errors"),
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return SuiteRun(code, *((self._told / name).read_text() for name in ("errors", "output")))

    def close(self) -> None:
        """End the process that suites begin in."""
        self._process.communicate()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a long run say how long."""
    parser.addoption(
        "--soak-minutes", type=float, default=20.0, help="how long tests/test_soak.py goes on"
    )


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """Work a little more than there are cores: a fifth of the time a test waits for a process."""
    cores = yield
    return cores if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else cores + 1


@pytest.fixture(scope="session", autouse=True)
def compiled_once(request: pytest.FixtureRequest) -> None:
    """Let what tests start compile modules once, also where Python is told to write nothing.

    It is written to pytest's cache, so that nothing is left beside the sources.
    """
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    if cache is not None and os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(cache.mkdir("compiled")))


@pytest.fixture
def soak_minutes(request: pytest.FixtureRequest) -> float:
    """How long the soak goes on, minutes."""
    minutes: Any = request.config.getoption("--soak-minutes")
    return float(minutes)


@pytest.fixture(scope="session")
def suite_runner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SuiteRunner]:
    """What runs the suites of all tests of this process."""
    runner = SuiteRunner(tmp_path_factory.mktemp("suites"))
    yield runner
    runner.close()


@pytest.fixture
def run_pytest(suite_runner: SuiteRunner, tmp_path: Path) -> RunPytest:
    """Run pytest in the folder of the test."""
    return partial(suite_runner.run, tmp_path)


@pytest.fixture
def backend_url() -> str:
    """The backend of `cloud`; a test module overrides it to try several."""
    return "memory:"


@pytest.fixture
async def make_cloud(backend_url: str) -> AsyncIterator[MakeCloud]:
    """Start simulators on the running loop, each on a loopback port of its own."""
    started: list[Simulator] = []

    async def make(**settings: Any) -> Simulator:
        given: dict[str, Any] = {"backend": backend_url, **settings}
        simulator = await Simulator(**given).start()
        started.append(simulator)
        return simulator

    yield make
    for simulator in started:
        await simulator.stop()
    for simulator in started:
        assert simulator.edge.last_defect is None


@pytest.fixture
async def cloud(make_cloud: MakeCloud) -> Simulator:
    """A simulator with the demo world."""
    return await make_cloud()


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A bare client: any number of connections, no cookies, answers decompressed."""
    async with aiohttp.ClientSession(
        auto_decompress=True,
        cookie_jar=aiohttp.DummyCookieJar(),
        connector=aiohttp.TCPConnector(limit=0),
    ) as session:
        yield session


@pytest.fixture
def api_of(http: aiohttp.ClientSession) -> ApiOf:
    """Return a client of a simulator, with the first user's token."""
    return lambda simulator: Api(http, simulator.url, simulator.token)


@pytest.fixture
async def api(cloud: Simulator, api_of: ApiOf) -> Api:
    """A client of `cloud`, with the demo token."""
    return api_of(cloud)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Open raw connections to a simulator."""
    opened: list[RawClient] = []

    async def to(simulator: Simulator) -> RawClient:
        opened.append(await RawClient.to(simulator.url))
        return opened[-1]

    yield to
    for client in opened:
        client.close()


@pytest.fixture
async def raw(cloud: Simulator, connect: Connect) -> RawClient:
    """A raw connection to `cloud`."""
    return await connect(cloud)


@pytest.fixture(params=["memory", "sqlite"])
def each_backend_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of each backend that needs nothing but this machine, in turn."""
    if request.param == "memory":
        return "memory:"
    return f"sqlite:////{str(tmp_path).lstrip('/')}/cloud.db"
