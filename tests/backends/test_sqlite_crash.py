"""What survives of a SQLite store when its process is killed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from vifsim.clock import SimClock
from vifsim.conformance import attach, attached, boot, world
from vifsim.draws import draw
from vifsim.model import ServerId
from vifsim_backends.sqlite import SqliteBackend

if TYPE_CHECKING:
    from pathlib import Path

SERVERS = 60
CHILD = """
import asyncio, sys
from vifsim.clock import SimClock
from vifsim.conformance import BLUE, a_call, detach
from vifsim.model import PUBLIC
from vifsim_backends.sqlite import SqliteBackend

async def use(backend, server_id):
    made = []
    for network_id in (BLUE, PUBLIC):
        made.append(await backend.create_virtual_interface(a_call(), server_id, network_id))
        print("attached", made[-1].id, server_id, flush=True)
    print("detaching", made[0].id, server_id, flush=True)
    await detach(backend, made[0], server_id)
    print("detached", made[0].id, server_id, flush=True)

async def main():
    backend = SqliteBackend(sys.argv[1], clock=SimClock())
    await backend.open(None)
    print("open", flush=True)
    await asyncio.gather(*(use(backend, server_id) for server_id in sys.argv[2:]))
    print("done", flush=True)

asyncio.run(main())
"""


async def check_that_a_kill_loses_nothing(folder: Path, seed: int) -> None:
    """Kill a process that attaches and detaches after some lines, and compare with the store."""
    url = f"sqlite:///{folder}/demo-{seed}.db"
    backend = SqliteBackend(url, clock=SimClock())
    await backend.open(world())
    servers = [await boot(backend, f"s{number}") for number in range(SERVERS)]
    await backend.close()

    told = run_until_killed(url, servers, lines=1 + int(draw(seed, "kill") * SERVERS * 4))

    again = SqliteBackend(url, clock=SimClock())
    await again.open(world())
    found = {server_id: await attached(again, server_id) for server_id in servers}
    for verb, interface_id, server_id in told:
        there = interface_id in {interface.id for interface in found[ServerId(server_id)]}
        if verb == "attached":
            may_be_gone = ("detaching", interface_id, server_id) in told
            assert there or may_be_gone, "an answered attach is lost"
        elif verb == "detached":
            assert not there, "an answered detach came back"
    await attach(again, servers[0] if not found[servers[0]] else await boot(again))
    await again.close()
    check_consistency(folder / f"demo-{seed}.db")


def run_until_killed(url: str, servers: list[ServerId], *, lines: int) -> list[tuple[str, ...]]:
    """Return what a child said before and while it was killed."""
    command = [sys.executable, "-c", CHILD, url, *servers]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        said = [child.stdout.readline() for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        said += child.stdout.readlines()
    assert said[0] == "open\n"
    whole = [line.split() for line in said if line.endswith("\n")]
    return [tuple(words) for words in whole if len(words) == 3]


def check_consistency(file: Path) -> None:
    """Check that no interface is half there and no address or MAC is used twice."""
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        interfaces = raw.execute(
            "SELECT number, server, label, mac_address FROM virtual_interfaces"
            " JOIN networks ON networks.place = network"
        ).fetchall()
        addresses = raw.execute("SELECT interface, network, address FROM addresses").fetchall()
    owned = Counter(number for number, _, _ in addresses)
    expected = {number: 2 if label == "public" else 1 for number, _, label, _ in interfaces}
    assert owned == expected
    assert len({mac for _, _, _, mac in interfaces}) == len(interfaces)
    assert len({(server, label) for _, server, label, _ in interfaces}) == len(interfaces)
    assert len({address[1:] for address in addresses}) == len(addresses)


@pytest.mark.parametrize("seed", range(3))
async def test_a_killed_process_loses_nothing_that_it_answered(tmp_path: Path, seed: int) -> None:
    await check_that_a_kill_loses_nothing(tmp_path, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 220))
async def test_120_killed_processes_lose_nothing_that_they_answered(
    tmp_path: Path, seed: int
) -> None:
    await check_that_a_kill_loses_nothing(tmp_path, seed)


def test_a_backend_that_nobody_closed_lets_its_process_end(tmp_path: Path) -> None:
    program = CHILD.replace("open(None)", "open(world())").replace("a_call,", "a_call, world,")
    command = [sys.executable, "-W", "ignore", "-c", program, f"sqlite:///{tmp_path}/demo.db"]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "open\ndone\n"
