"""Stock clients, each in an environment of its own, and how a test talks with them.

An environment is installed from the lists in `environments/` on first use, is shared by all
workers, and is kept in pytest's cache until its list changes (`pytest --cache-clear` removes it).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import select
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from vifsim.facade import Cloud

    StartClient = Callable[[str], "Client"]
    RunNova = Callable[..., subprocess.CompletedProcess[str]]

HERE = Path(__file__).parent
DRIVERS = HERE / "drivers"
LISTS = HERE / "environments"

DRIVER_OF = {
    "novaclient": ("period", "nova_library.py"),
    "rackspacesdk": ("period", "rackspace_sdk.py"),
    "pyrax": ("pyrax", "pyrax_library.py"),
    "libcloud": ("modern", "libcloud_library.py"),
    "openstacksdk": ("modern", "openstack_sdk.py"),
    "pkgcloud": ("pkgcloud", "pkgcloud_library.js"),
}
"""Each client: the environment that it lives in, and what drives it there."""

PKGCLOUD = "pkgcloud@2.2.0"

_NO_NETWORK = re.compile(
    r"after connection broken by|npm (error|ERR!) network|E(AI_AGAIN|NOTFOUND)"
)
_LONGEST_S = 60
"""A client that has not answered by then hangs, and so would the suite."""


# ── environments ─────────────────────────────────────────────────────────────────────────────────


@dataclass
class Environments:
    """Installs environments below a directory, each at most once."""

    root: Path
    offline: bool = False

    def get(self, name: str) -> Path:
        """Return where an environment is; skips the test where it cannot be had."""
        place = self.root / f"{name}-{_made_of(name)}"
        with _lock(self.root / f"{name}.lock"):
            if not (place / "ready").exists():
                self._make(name, place)
        return place

    def _make(self, name: str, place: Path) -> None:
        for old in self.root.glob(f"{name}-*"):
            shutil.rmtree(old)
        place.mkdir()
        if name == "pkgcloud":
            self._run(_npm_command(place))
            shutil.rmtree(place / "npm", ignore_errors=True)
        else:
            self._make_for_python(name, place)
        (place / "ready").touch()

    def _make_for_python(self, name: str, place: Path) -> None:
        self._run(_venv_command(place))
        if name != "shared":
            _let_see(place, self.get("shared"))
        for command in _pip_commands(name, place):
            self._run(command)

    def _run(self, command: list[str]) -> None:
        if not self.offline:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.offline = done.returncode != 0 and bool(_NO_NETWORK.search(done.stderr))
            assert self.offline or done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if self.offline:
            pytest.skip("stock clients cannot be fetched without a network")


def _made_of(name: str) -> str:
    lists = [LISTS / "build.txt", LISTS / "shared.txt", *LISTS.glob(f"{name}.txt")]
    text = "".join(path.read_text("utf-8") for path in lists) + PKGCLOUD
    return blake2b(f"{text}{sys.version}{sys.prefix}".encode(), digest_size=6).hexdigest()


def _venv_command(place: Path) -> list[str]:
    """Return what makes a virtual environment; with a pip of its own only where there is none.

    To give each environment its own would take longer than all the rest.
    """
    make = [sys.executable, "-m", "venv", str(place)]
    return [*make, "--without-pip"] if find_spec("pip") is not None else make


def _let_see(place: Path, other: Path) -> None:
    """Let an environment see what another one has installed."""
    (own,), (seen,) = (path.glob("lib/python*/site-packages") for path in (place, other))
    (own / "shared.pth").write_text(f"import site; site.addsitedir({str(seen)!r})\n", "utf-8")


def _pip_commands(name: str, place: Path) -> list[list[str]]:
    """Return what installs the lists of an environment: first what the rest is built with.

    The running interpreter's pip installs where it has one. What no client imports is not compiled.
    """
    python = str(place / "bin" / "python")
    pip = [python, "-m", "pip"]
    if find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip", "--python", python]
    install = [*pip, "install", "--quiet", "--retries=1", "--disable-pip-version-check"]
    install += ["--no-compile", "--no-deps", "--no-build-isolation", "-r"]
    lists = ("build", "shared") if name == "shared" else (name,)
    return [[*install, str(LISTS / f"{one}.txt")] for one in lists]


def _npm_command(place: Path) -> list[str]:
    """Return what installs a Node library; skips the test where there is no Node."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("pkgcloud needs node and npm")
    install = [npm, "install", "--prefix", str(place), "--cache", str(place / "npm")]
    install += ["--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=0"]
    return [*install, PKGCLOUD]


@contextmanager
def _lock(path: Path) -> Generator[None]:
    """Keep other workers out while the block runs."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def environments(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Environments:
    """The environments of this working copy."""
    cache: pytest.Cache | None = getattr(request.config, "cache", None)
    if cache is None:
        return Environments(tmp_path_factory.mktemp("clients"))
    return Environments(cache.mkdir("vifsim-clients"))


# ── clients ──────────────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class Refused(Exception):
    """What a client raised, in its own words.

    `retry_after` is what the client gives its caller of the header, as it gives it.
    """

    kind: str
    message: str
    status: int | None = None
    retry_after: str | int | None = None


class Client:
    """A stock client in a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    def ask(self, do: str, *args: str) -> Any:
        """Let the client do something.

        Raises:
            Refused: the client raised an error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, "args": args}).encode() + b"\n")
        self._process.stdin.flush()
        ready, _, _ = select.select([self._process.stdout], [], [], _LONGEST_S)
        line = self._process.stdout.readline() if ready else b""
        assert line, f"no answer to {do}:\n{self._log.read_text('utf-8')}"
        reply = json.loads(line)
        if "refusal" in reply:
            raise Refused(**reply["refusal"])
        return reply["value"]

    def refused(self, do: str, *args: str) -> Refused:
        """Return the error that the client raises when it is to do something."""
        with pytest.raises(Refused) as caught:
            self.ask(do, *args)
        return caught.value

    def patiently(self, do: str, *args: str) -> tuple[Any, list[Refused]]:
        """Let the client do something again while it is told 413 or 503; also what it was told.

        It does not wait, so that no test takes the time.
        """
        refusals: list[Refused] = []
        while True:
            try:
                return self.ask(do, *args), refusals
            except Refused as refused:
                if refused.status not in {413, 503} or len(refusals) == 5:
                    raise
                refusals.append(refused)


@pytest.fixture
def client_env(vifsim: Cloud, environments: Environments, tmp_path: Path) -> dict[str, str]:
    """The whole environment of a client: no settings of this machine's user reach it."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPYCACHEPREFIX": str(environments.root / "compiled"),
        **vifsim.env(),
    }


@pytest.fixture
def start_client(
    environments: Environments, client_env: dict[str, str], tmp_path: Path
) -> Iterator[StartClient]:
    """Start stock clients by name, against `vifsim`."""
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str) -> Client:
        environment, driver = DRIVER_OF[name]
        place = environments.get(environment)
        interpreter = "node" if driver.endswith(".js") else str(place / "bin" / "python")
        log = tmp_path / f"{name}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [interpreter, str(DRIVERS / driver)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**client_env, "VIFSIM_MODULES": str(place)},
            )
        started.append(process)
        return Client(process, log)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def run_nova(environments: Environments, client_env: dict[str, str]) -> RunNova:
    """Run the `nova` command, with both extensions, against `vifsim`."""
    nova = environments.get("modern") / "bin" / "nova"

    def run(*args: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(nova), *args],
            env={**client_env, **changed},
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )

    return run
