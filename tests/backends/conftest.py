"""A PostgreSQL server of the tests' own, from the binaries that are installed."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cluster:
    """A throw-away database cluster on a Unix socket."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self.folder = folder
        # A server refuses to run as root.
        self._who: dict[str, Any] = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}

    def url(self, schema: str) -> str:
        """Return the URL of a schema of its own."""
        return f"postgresql://vifsim@/postgres?host={self.folder}&search_path={schema}"

    def make(self) -> None:
        """Make the files."""
        self._run("initdb", "-D", "data", "-U", "vifsim", "-A", "trust", "--no-sync")

    def start(self) -> None:
        """Start the server and wait for it."""
        options = f"-k {self.folder} -c listen_addresses= -c max_connections=60"
        fast = "-c fsync=off -c full_page_writes=off"  # only the machine's own crash would tell
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "-o", f"{options} {fast}", "start")

    def stop(self) -> None:
        """Stop the server; whoever is connected is cut off."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", "fast", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self.folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            **self._who,
        )


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if on_path is not None:
        found.append(Path(on_path))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A running server, empty at the start of the session."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed (initdb is not found)")
    # Short: a socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="vifsim-pg-"))
    cluster = Cluster(binaries, folder)
    try:
        cluster.make()
        cluster.start()
        yield cluster
        cluster.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
