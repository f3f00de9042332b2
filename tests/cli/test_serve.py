"""`vifsim serve` as a process: what it prints, how it ends, and what it keeps."""

from __future__ import annotations

import asyncio
import io
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
from rich.console import Console

from vifsim.cli.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.conftest import ApiOf, MakeCloud

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
WANTED = {"virtual_interface": {"network_id": "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"}}
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"


@dataclass(frozen=True, slots=True)
class Served:
    """A running `vifsim serve`."""

    process: subprocess.Popen[str]
    client: httpx.Client

    def stop(self) -> tuple[int, str]:
        """Ask it to end; return its exit code and what it wrote to standard error."""
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@contextmanager
def serving(*options: str) -> Generator[Served, None, None]:
    """Run `vifsim serve` on a free port while the block runs."""
    command = [sys.executable, "-m", "vifsim", "serve", "--port", "0", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"vifsim ready at (http://127\.0\.0\.1:\d+)\n", line)
        assert found, line
        with httpx.Client(base_url=found[1], headers={"X-Auth-Token": "demo-token"}) as client:
            try:
                yield Served(process, client)
            finally:
                process.kill()


def test_a_cloud_in_a_file_comes_back_as_it_was(tmp_path: Path) -> None:
    backend = ["--backend", f"sqlite:///{tmp_path}/demo.db"]
    rule = {"match": "list_networks", "first": 3, "status": 503}
    credentials = {"username": "demo", "password": "demo-password"}
    with serving(*backend, "--scenario", "flaky-create") as first:
        told = [first.client.post(VIFS, json=WANTED).status_code for _ in range(3)]
        first.client.post("/_vifsim/rules", json=rule)
        first.client.get("/os-networksv2")
        login = first.client.post(
            "/v2.0/tokens", json={"auth": {"passwordCredentials": credentials}}
        )
        token = login.json()["access"]["token"]["id"]
        code, errors = first.stop()

    with serving(*backend) as second:
        listed = second.client.get(VIFS, headers={"X-Auth-Token": token})
        scenario = second.client.get("/_vifsim/scenario").json()
        again = [second.client.get("/os-networksv2").status_code for _ in range(3)]

    assert (told, code, errors) == ([503, 503, 200], 0, "")
    assert len(listed.json()["virtual_interfaces"]) == 3
    assert scenario["name"] == "flaky-create"
    assert [one["origin"] for one in scenario["rules"]] == ["added", "scenario"]
    assert again == [503, 503, 200]


def test_a_cloud_without_a_file_says_that_nothing_is_kept() -> None:
    with serving() as served:
        code, errors = served.stop()

    assert code == 0
    assert errors == "nothing is kept after the end: --backend sqlite:///demo.db keeps it\n"


def test_a_call_under_way_is_answered_before_the_end() -> None:
    with serving() as served:
        served.client.post("/_vifsim/rules", json={"match": "list_networks", "latency": "1s"})
        url = str(served.client.base_url) + "/os-networksv2"
        program = (
            "import sys, httpx\n"
            "headers = {'X-Auth-Token': 'demo-token'}\n"
            "print(httpx.get(sys.argv[1], headers=headers).status_code)"
        )
        asking = subprocess.Popen(
            [sys.executable, "-c", program, url], stdout=subprocess.PIPE, text=True
        )
        while not served.client.get("/_vifsim/journal").json()["entries"]:
            pass

        code, _ = served.stop()

        output, _ = asking.communicate(timeout=30)
    assert (output, code) == ("200\n", 0)


@contextmanager
def hanging_call(served: Served) -> Generator[socket.socket, None, None]:
    """Keep a call under way that is never answered."""
    served.client.post("/_vifsim/rules", json={"match": "list_networks", "hang": "forever"})
    url = served.client.base_url
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(
            b"GET /os-networksv2 HTTP/1.1\r\nHost: x\r\nX-Auth-Token: demo-token\r\n\r\n"
        )
        while not served.client.get("/_vifsim/journal").json()["entries"]:
            pass
        yield connection


def accepts(served: Served) -> bool:
    """Return whether new connections are still taken."""
    url = served.client.base_url
    try:
        socket.create_connection((url.host, url.port)).close()
    except ConnectionError:
        return False
    return True


def test_a_second_signal_ends_at_once() -> None:
    with serving() as served, hanging_call(served):
        served.process.send_signal(signal.SIGTERM)
        while accepts(served):
            pass

        served.process.send_signal(signal.SIGTERM)

        assert served.process.wait(timeout=30) == 1


def test_watched_without_a_terminal_each_call_is_a_line() -> None:
    with serving("--watch", "--scenario", "flaky-create") as served:
        served.client.post(VIFS, json=WANTED)
        served.client.get("/severs")
        _, errors = served.stop()

    assert "GET /severs  " in errors
    (line,) = [line for line in errors.splitlines() if "create_virtual_interface" in line]
    assert line.split()[0] == "1"
    assert "nothing changed" in line
    assert "told 503  rule " in line


async def test_watched_on_a_terminal_it_is_a_table(make_cloud: MakeCloud, api_of: ApiOf) -> None:
    cloud = await make_cloud()
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, height=30)

    with Watch(cloud, console) as watch:
        await api_of(cloud).attach()
        console.print(watch)

    shown = screen.getvalue()
    assert "create_virtual_interface" in shown
    assert "virtual interface created" in shown
    assert "calls 1  decided by rules 0  under way 0" in shown


async def test_watched_on_a_narrow_screen_what_was_told_is_still_there(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(scenario="flaky-create", clock="manual", self_stepping=True)
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=30)

    with Watch(cloud, console) as watch:
        await api_of(cloud).attach()
        with console.capture() as captured:
            console.print(watch)

    *_, row = (line for line in captured.get().splitlines() if "create_virtual_interface" in line)
    assert "nothing changed" in row
    assert "503" in row


async def test_watched_a_call_without_an_end_is_shown_as_such(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud()
    await cloud.add_rule({"match": "list_networks", "hang": "forever"})
    begun = asyncio.Event()
    cloud.journal.listeners.append(lambda _: begun.set())
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=30)

    with Watch(cloud, console) as watch:
        asking = asyncio.ensure_future(api_of(cloud).get("/os-networksv2"))
        await begun.wait()
        with console.capture() as captured:
            console.print(watch)
        asking.cancel()

    assert "under way" in captured.get().split("list_networks")[1]


async def test_watched_a_path_that_is_none_is_shown_as_it_was_asked(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud()
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=30)

    with Watch(cloud, console) as watch:
        await api_of(cloud).get("/nothing-here")
        with console.capture() as captured:
            console.print(watch)

    assert "GET /nothing-here" in captured.get()


_NOT_FOR_A_START = {
    "aiosqlite",
    "apispec",
    "difflib",
    "hypothesis",
    "importlib.metadata",
    "marshmallow",
    "prometheus_client",
    "rich",
    "sqlite3",
    "vifsim.cli.watch",
    "vifsim.documents",
    "vifsim.facade",
    "vifsim.http.bodies",
    "vifsim.http.control",
    "vifsim.http.openapi",
    "vifsim.http.pages",
    "vifsim.in_step",
    "vifsim.scenario.schema",
    "vifsim.scorecard",
    "yaml",
}


def test_a_start_imports_only_what_every_cloud_needs() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "vifsim", "serve", "--port", "0"]

    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
        _, told = process.communicate(timeout=30)
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}

    assert "aiohttp.web" in imported
    assert sorted(imported & _NOT_FOR_A_START) == []
