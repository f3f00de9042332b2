"""The same create load on mocking tools that people use, beside ours and a bare aiohttp handler.

Each peer is fetched once by its own package manager into a folder of its own: `VIFSIM_PEERS`, or
`vifsim-peers` among the temporary files. One that cannot be had is passed over, with its reason.

What they do for a create differs: WireMock and mountebank answer with a fixed interface, WireMock
after matching the body and with an id made from a template; pytest-httpserver runs a function that
reads the body; moto keeps state, for the nearest call that it has (EC2, CreateNetworkInterface).
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import venv
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.http_cost import Subject, serving
from benchmarks.measure import Figure, Rounds
from benchmarks.serving import NETWORK, server_id

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

ROUNDS = 7
CALLS = 400
CONNECTIONS = 32
_READY = 60
_WARM = 10_000
"""Calls after which Java has compiled what it runs."""
_WIREMOCK, _MOUNTEBANK = "3.13.2", "2.9.1"
_PYTHON_PEERS = ("moto[server] == 5.*", "pytest-httpserver == 1.*")
_BODY = json.dumps({"virtual_interface": {"network_id": NETWORK}}).encode()
_ID = "3c5e2d1a-0b7f-4a68-9d3c-5b1e7f2a9c40"
_MADE = {
    "virtual_interfaces": [
        {
            "mac_address": "BC:76:4E:00:00:01",
            "id": _ID,
            "ip_addresses": [
                {"address": "10.0.0.1", "network_id": NETWORK, "network_label": "added_network"}
            ],
        }
    ]
}
_ROUTE = "/servers/[^/]+/os-virtual-interfacesv2"


class Absent(Exception):
    """A peer is not to be had here, and why."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A server under load: its process, its port, its version, and what a create looks like."""

    pid: int
    port: int
    version: str
    request: Callable[[int], bytes]

    @property
    def cpu(self) -> float:
        """Processor time that the process has used, with that of threads that have ended."""
        return time.clock_gettime((~self.pid << 3) | 2)  # the clock of another process, on Linux

    async def run(self, numbers: Iterator[int]) -> None:
        """Send a create for each number, over so many connections at once."""
        await asyncio.gather(*(self._talk(numbers) for _ in range(CONNECTIONS)))

    async def _talk(self, numbers: Iterator[int]) -> None:
        pipe: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        for number in numbers:
            reader, writer = pipe or await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(self.request(number))
            pipe = (reader, writer) if await _answered(reader) else None
            if pipe is None:
                writer.close()
        if pipe is not None:
            pipe[1].close()


async def _answered(reader: asyncio.StreamReader) -> bool:
    """Read one answer, which must be a good one; return whether the connection goes on."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert b" 200 " in head[:16], head
    _, sized, size = head.partition(b"content-length: ")
    if sized:
        await reader.readexactly(int(size.split(b"\r", 1)[0]))
    elif b"transfer-encoding: chunked" in head:
        while await reader.readuntil(b"\r\n") != b"0\r\n":
            pass
        await reader.readexactly(2)
    return sized != b"" and head.startswith(b"http/1.1") and b"connection: close" not in head


def _create(path: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench/1\r\nAccept: */*\r\n"
        "X-Auth-Token: demo-token\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(_BODY)}\r\n\r\n"
    )
    return head.encode() + _BODY


def _attach(number: int) -> bytes:
    return _create(f"/servers/{server_id(number)}/os-virtual-interfacesv2")


# ── getting them ──


def _folder() -> Path:
    return Path(os.environ.get("VIFSIM_PEERS") or Path(tempfile.gettempdir()) / "vifsim-peers")


def _made(name: str, fetch: Callable[[Path], Sequence[Sequence[str]]]) -> Path:
    """Return the folder of a peer, which is fetched first where it is not there.

    Raises:
        Absent: it cannot be fetched.
    """
    place = _folder() / name
    if not (place / "whole").exists():
        place.mkdir(parents=True, exist_ok=True)
        for command in fetch(place):
            if shutil.which(command[0]) is None:
                raise Absent(f"there is no {command[0]} here")
            done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Absent(f"{command[0]} cannot fetch it")
        (place / "whole").touch()
    return place


def _by_npm(package: str) -> Path:
    return _made(
        package.partition("@")[0],
        lambda _: [["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", package]],
    )


def _python() -> Path:
    def fetch(place: Path) -> Sequence[Sequence[str]]:
        venv.create(place / "venv", with_pip=True)
        return [[str(place / "venv/bin/python"), "-m", "pip", "-q", "install", *_PYTHON_PEERS]]

    return _made("python", fetch) / "venv/bin/python"


def _version_in(python: Path, name: str) -> str:
    line = f"from importlib.metadata import version; print(version({name!r}))"
    done = subprocess.run([python, "-c", line], check=True, capture_output=True, text=True)
    return done.stdout.strip()


# ── starting them ──


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def _process(command: Sequence[str | Path], port: int) -> Generator[subprocess.Popen[bytes]]:
    """Run a server until the block ends; it starts once its port takes connections."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process,
    ):
        try:
            _await_port(port, process)
            yield process
        finally:
            process.terminate()


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _READY
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise Absent(f"it does not start: {process.args!r}")


def _tell(port: int, path: str, document: object) -> None:
    """Send a document to a peer that is configured over HTTP."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(document).encode(),
        {"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=_READY).close()  # noqa: S310 -- likewise


@contextmanager
def wiremock() -> Generator[Peer]:
    """WireMock: a stub that matches path and body, and makes an id by a template."""
    place = _by_npm(f"wiremock@{_WIREMOCK}")
    jar = next(place.glob("node_modules/wiremock/build/*.jar"), None)
    if jar is None or shutil.which("java") is None:
        raise Absent("it needs java and its jar")
    port = _free_port()
    made = json.dumps(_MADE).replace(_ID, "{{randomValue type='UUID'}}")
    stub = {
        "request": {
            "method": "POST",
            "urlPathPattern": _ROUTE,
            "bodyPatterns": [{"matchesJsonPath": "$.virtual_interface.network_id"}],
        },
        "response": {
            "status": 200,
            "body": made,
            "headers": {"Content-Type": "application/json"},
            "transformers": ["response-template"],
        },
    }
    flags = ("--port", str(port), "--no-request-journal", "--disable-banner")
    with _process(["java", "-jar", jar, *flags], port) as process:
        _tell(port, "/__admin/mappings", stub)
        peer = Peer(process.pid, port, _WIREMOCK, _attach)
        asyncio.run(peer.run(iter(range(_WARM))))
        yield peer


@contextmanager
def mountebank() -> Generator[Peer]:
    """mountebank: an imposter with a fixed answer."""
    place = _by_npm(f"mountebank@{_MOUNTEBANK}")
    if shutil.which("node") is None:
        raise Absent("it needs node")
    admin, port = _free_port(), _free_port()
    answer = {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": _MADE}
    imposter = {
        "protocol": "http",
        "port": port,
        "stubs": [
            {
                "predicates": [{"matches": {"method": "POST", "path": _ROUTE}}],
                "responses": [{"is": answer}],
            }
        ],
    }
    program = place / "node_modules/mountebank/bin/mb"
    command: list[str | Path] = ["node", program, "start", "--nologfile"]
    flags = ("--port", str(admin), "--loglevel", "error", "--localOnly")
    with _process([*command, *flags], admin) as process:
        _tell(admin, "/imposters", imposter)
        yield Peer(process.pid, port, _MOUNTEBANK, _attach)


_HTTPSERVER = f"""
import json, re, sys, time
from pytest_httpserver import HTTPServer
from werkzeug import Response

made = json.dumps({_MADE!r})

def handler(request):
    network = json.loads(request.data)["virtual_interface"]["network_id"]
    return Response(made if network else "{{}}", content_type="application/json")

server = HTTPServer(host="127.0.0.1", port=int(sys.argv[1]), threaded=True)
server.expect_request(re.compile({_ROUTE!r}), method="POST").respond_with_handler(handler)
server.start()
while True:
    time.sleep(1)
    server.clear_log()
"""


@contextmanager
def httpserver() -> Generator[Peer]:
    """pytest-httpserver: a handler that reads the body."""
    python, port = _python(), _free_port()
    with _process([python, "-c", _HTTPSERVER, str(port)], port) as process:
        yield Peer(process.pid, port, _version_in(python, "pytest-httpserver"), _attach)


_AWS = (
    "AWS4-HMAC-SHA256 Credential=testing/20260101/us-east-1/ec2/aws4_request, "
    "SignedHeaders=host, Signature=0"
)


@contextmanager
def moto() -> Generator[Peer]:
    """moto server: CreateNetworkInterface of EC2, in the subnet that it begins with."""
    python, port = _python(), _free_port()
    command: list[str | Path] = [python.parent / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    with _process(command, port) as process:
        told = urllib.request.urlopen(
            urllib.request.Request(
                f"http://127.0.0.1:{port}/",
                b"Action=DescribeSubnets&Version=2016-11-15",
                {"Authorization": _AWS},
            )
        ).read()
        subnet = told.partition(b"<subnetId>")[2].partition(b"<")[0].decode()
        body = f"Action=CreateNetworkInterface&Version=2016-11-15&SubnetId={subnet}"
        head = (
            f"POST / HTTP/1.1\r\nHost: localhost\r\nAuthorization: {_AWS}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        yield Peer(process.pid, port, _version_in(python, "moto"), lambda _: head.encode())


@contextmanager
def _ours(name: str) -> Generator[tuple[Peer, Subject]]:
    with serving(name) as subject:
        port = int(subject.address.rpartition(":")[2])
        said = version("aiohttp") if name == "bare" else version("vifsim")
        yield Peer(subject.pid, port, said, _attach), subject


PEERS = {
    "wiremock": wiremock,
    "pytest-httpserver": httpserver,
    "mountebank": mountebank,
    "moto": moto,
}


# ── measuring ──


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Return the CPU per create and the creates a second of each peer, by ours."""
    with ExitStack() as stack:
        bare, bare_subject = stack.enter_context(_ours("bare"))
        ours, our_subject = stack.enter_context(_ours("vifsim"))
        up = {"vifsim": ours, "bare aiohttp": bare}
        for name, start in PEERS.items():
            try:
                up[name] = stack.enter_context(start())
            except (Absent, OSError, urllib.error.URLError) as exc:
                print(f"  {name} is passed over: {exc}", file=sys.stderr)
        cpu, took = Rounds(), Rounds()
        for number in range(rounds + 2):
            names = list(up)[number % len(up) :] + list(up)[: number % len(up)]
            for name in names:
                costs = _round(up[name])
                if number >= 2:  # the first two warm up
                    cpu.add(name, costs[0])
                    took.add(name, costs[1])
            for subject in (bare_subject, our_subject):
                asyncio.run(_undo(subject))
    return [
        figure
        for name in up
        if name != "vifsim"
        for figure in _figures(name, up[name].version, cpu, took)
    ]


def _round(peer: Peer) -> tuple[float, float]:
    """Return what a create costs, in microseconds of processor time and of time."""
    cpu, began = peer.cpu, time.perf_counter()
    asyncio.run(peer.run(iter(range(CALLS))))
    return (peer.cpu - cpu) / CALLS * 1e6, (time.perf_counter() - began) / CALLS * 1e6


async def _undo(subject: Subject) -> None:
    """Delete what a round has made, so that the next can make it again."""
    numbers = range(CALLS)
    host, port = subject.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for number in numbers:
        writer.write(subject.request("list", number))
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0])
        (one,) = json.loads(await reader.readexactly(size))["virtual_interfaces"]
        subject.made[number] = one["id"]
    writer.close()
    await subject.run("delete", iter(numbers), CONNECTIONS)


def _figures(name: str, said: str, cpu: Rounds, took: Rounds) -> list[Figure]:
    return [
        Figure(
            name=f"CPU of a create, {name} {said} by vifsim",
            ratio=cpu.ratio(name, "vifsim"),
            detail=f"{cpu.median(name):.0f} us by {cpu.median('vifsim'):.0f} us",
        ),
        Figure(
            name=f"creates a second, vifsim by {name} {said}",
            ratio=took.ratio(name, "vifsim"),
            detail=f"{1e6 / took.median('vifsim'):.0f} by {1e6 / took.median(name):.0f}",
        ),
    ]
