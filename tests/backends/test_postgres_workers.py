"""`vifsim serve --workers`: several processes behind one port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.backends.conftest import Cluster

pytestmark = pytest.mark.postgres
RULE = {"match": "list_networks", "first": 2, "status": 503}


@contextmanager
def serving(url: str, *options: str) -> Generator[tuple[subprocess.Popen[str], str], None, None]:
    """Run `vifsim serve --workers 2` while the block runs; give the process and its URL."""
    command = [sys.executable, "-m", "vifsim", "serve", "--port", "0", "--workers", "2"]
    with subprocess.Popen(
        [*command, "--backend", url, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("vifsim ready at http://127.0.0.1:"), line
            yield process, line.split()[-1]
        finally:
            process.terminate()


def answering(url: str, enough: Callable[[set[str]], bool]) -> set[str]:
    """Return the processes that answer at an address, asked until they are enough."""
    found: set[str] = set()
    while not enough(found):
        found.add(httpx.get(f"{url}/_vifsim/health").json()["process"])
    return found


def pid_of(process: str) -> int:
    """Return the pid that a process's name tells."""
    return int(process.split("/")[1])


@pytest.fixture
async def url(postgres: Cluster) -> str:
    """A store of which nothing exists yet."""
    url = postgres.url("workers")
    connection = await asyncpg.connect(url)
    await connection.execute("DROP SCHEMA IF EXISTS workers CASCADE")
    await connection.close()
    return url


def test_workers_are_one_cloud_and_a_dead_one_is_replaced(url: str, tmp_path: Path) -> None:
    env = tmp_path / "cloud.env"

    with serving(url, "--env-file", str(env)) as (process, address):
        workers = answering(address, lambda found: len(found) == 2)
        httpx.post(f"{address}/_vifsim/rules", json=RULE).raise_for_status()
        token = {"X-Auth-Token": "demo-token"}
        told = [httpx.get(f"{address}/os-networksv2", headers=token).status_code for _ in range(8)]
        killed = min(workers)
        os.kill(pid_of(killed), signal.SIGKILL)
        after = answering(address, lambda found: len(found - {killed}) == 2)
        process.terminate()
        _, errors = process.communicate(timeout=30)

    assert f"VIFSIM_URL={address}" in env.read_text("utf-8")
    assert sorted(told) == [200] * 6 + [503] * 2
    assert len(after & workers) == 1
    said = f"(pid {pid_of(killed)}) ended by signal 9: a new one takes its place\n"
    assert errors in {f"worker 1 {said}", f"worker 2 {said}"}
    assert process.returncode == 0


def test_workers_end_with_whoever_started_them(url: str) -> None:
    with serving(url) as (process, address):
        pids = [pid_of(worker) for worker in answering(address, lambda found: len(found) == 2)]

        process.kill()
        process.wait()

        while any(map(_lives, pids)):  # its end takes a moment; the suite's own limit is the bound
            pass


def _lives(pid: int) -> bool:
    """Return whether a process runs, or at least has not ended."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text("utf-8").rpartition(")")[2].split()[0] != "Z"
