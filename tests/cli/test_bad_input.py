"""A user's mistake is one line on standard error with a hint, and exit code 2."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from vifsim.cli import COMMANDS, main
from vifsim.simulator import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Told = Callable[..., str]

BROKEN = """\
version: 1
rules:
  - match: create_*
    frist: 2
    status: 599
"""


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """Run the command line; return what it says to a mistake."""
    for name in ("VIFSIM_URL", "VIFSIM_CONTROL_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> str:
        assert main(arguments) == 2
        output, errors = capsys.readouterr()
        assert output == ""
        assert "Traceback" not in errors
        return errors

    return run


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ("srve", "there is no command srve (did you mean serve?)"),
        ("serve --prot 1", "unrecognized arguments: --prot 1: did you mean --port?"),
        ("serve --port 99999", "port 99999 is not 0 to 65535"),
        ("serve --port abc", "argument --port: invalid int value: 'abc'"),
        ("serve --scenario brownoot", "there is no scenario brownoot (did you mean brownout?)"),
        ("serve --scenario ./none.yaml", "cannot read ./none.yaml: No such file or directory"),
        ("serve --backend redis://x", "no backend for 'redis://x' (known: memory, postgres"),
        ("serve --backend sqlit:///x.db", "did you mean sqlite:?"),
        ("serve --backend memory:x", "write memory:, not memory:x"),
        ("serve --backend sqlite:////none/x.db", "mkdir -p /none"),
        ("serve --host 0.0.0.0", "give --control-token TOKEN or VIFSIM_CONTROL_TOKEN"),
        ("serve --speed 0", "speed 0.0 is not above 0"),
        ("serve --speed 60 --clock manual", "leave --clock manual out"),
        ("serve --workers 0", "--workers 0 is not 1 or more"),
        ("serve --workers 2", "a cloud in memory: belongs to one process"),
        ("serve --workers 2 --backend sqlite:///x.db", "a cloud in sqlite: belongs to one"),
        ("serve --seed -1", "seed -1 is not a whole number, 0 or more"),
        ("serve --port 0 --env-file /none/x", "cannot write /none/x: No such file or directory"),
        ("serve -- ls", "serve takes no command after --"),
        ("scenarios check", "vifsim scenarios check NAME|FILE"),
        ("scenarios show nope", "there is no scenario nope (see: vifsim scenarios list)"),
        ("scorecard /none", "cannot read /none: No such file or directory"),
        ("amend set_status", "give --url http://HOST:PORT or set VIFSIM_URL"),
        ("amend set_status --url http://127.0.0.1:1", "is `vifsim serve` running?"),
        ("snapshot save x --url http://127.0.0.1:1", "is `vifsim serve` running?"),
        ("snapshot save x --url http://[bad", "http://[bad is no URL of a simulator: give --url"),
        ("amend set_status --url localhost:8774", "localhost:8774 is no URL of a simulator: give"),
        ("snapshot load /none", "cannot load /none: No such file or directory"),
        ("serve --host no.such.invalid --control-token x", "there is no such host (--host takes"),
        ("serve --host 192.0.2.1 --control-token x", "(--host takes an address of this machine)"),
        ("serve --backend sqlite:///.", "name a file, as in sqlite:///demo.db)"),
        ("explain 3 --journal /none", "cannot read /none: No such file or directory"),
        ("explain first", "argument ENTRY: invalid int value: 'first'"),
        ("replay /none -- ls", "cannot read /none: No such file or directory"),
        ("chaos -- no-such-program", "cannot start no-such-program: there is no such program"),
        ("hunt", "which command? vifsim hunt -- COMMAND"),
        ("backends more", "unrecognized arguments: more"),
        ("demo --keeps=1", "vifsim demo --help"),
        ("openapi more", "unrecognized arguments: more"),
    ],
)
def test_a_mistake_is_told_in_one_line(told: Told, arguments: str, line: str) -> None:
    errors = told(*arguments.split())

    assert line in errors
    assert errors.startswith("vifsim: ")
    assert errors.count("\n") == 1


def test_a_broken_scenario_is_told_with_all_its_errors_and_their_places(
    told: Told, tmp_path: Path
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(BROKEN)

    errors = told("serve", "--scenario", str(path)).splitlines()

    assert errors[0] == f"{path}:4:5: unknown key frist (did you mean first?)"
    assert errors[1].startswith(f"{path}:5:13: status must be one of 400, 401")
    assert len(errors) == 2


def test_a_port_in_use_is_told(told: Told) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]

        errors = told("serve", "--port", str(port))

    wanted = (
        f"cannot listen on 127.0.0.1:{port}: Address already in use (--port 0 takes a free one)"
    )
    assert errors == f"vifsim: {wanted}\n"


def test_a_file_that_is_no_database_is_told_and_left_alone(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "note.db"
    path.write_text("hello")

    errors = told("serve", "--backend", f"sqlite:///{path}")

    assert errors == f"vifsim: {path} is not a SQLite database (use another file, or remove it)\n"
    assert path.read_text() == "hello"


def test_the_database_of_another_program_is_told_and_left_alone(told: Told, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (a)")

    errors = told("serve", "--backend", f"sqlite:///{path}")

    assert errors == f"vifsim: {path} is the database of another program (use another file)\n"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


@pytest.mark.parametrize("damage", ["newer", "damaged", "locked"])
def test_a_database_that_cannot_be_used_is_told_with_its_cure(
    told: Told, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "demo.db"
    asyncio.run(_fill(path))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        match damage:
            case "newer":
                other.execute("PRAGMA user_version = 99")
            case "locked":
                other.execute("PRAGMA locking_mode = EXCLUSIVE")
                other.execute("BEGIN EXCLUSIVE")
            case _:
                path.write_bytes(path.read_bytes()[: 4096 * 3])

        errors = told("serve", "--port", "0", "--backend", f"sqlite:///{path}")

    cures = {
        "newer": "was written by a newer vifsim (schema 99); upgrade vifsim",
        "damaged": "(restore a copy, or remove the file)",
        "locked": "is locked by another program",
    }
    assert errors.startswith(f"vifsim: {path} ")
    assert cures[damage] in errors
    assert errors.count("\n") == 1


async def _fill(path: Path) -> None:
    async with Simulator(backend=f"sqlite:///{path}"):
        pass


def test_a_snapshot_that_is_none_is_told_before_anybody_is_asked(
    told: Told, tmp_path: Path
) -> None:
    path = tmp_path / "stage.json"
    path.write_bytes(b"\xff\xfe")

    errors = told("snapshot", "load", str(path), "--url", "http://127.0.0.1:1")

    hint = f"(vifsim snapshot save {path} writes one)"
    assert errors == f"vifsim: {path} is no snapshot: it is not JSON {hint}\n"


@pytest.mark.parametrize("answer", [b"SSH-2.0\r\n", b"HTTP/1.0 200 OK\r\n\r\n<html>"])
def test_whoever_answers_and_is_no_simulator_is_told(told: Told, answer: bytes) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        other = Thread(target=_answer_once, args=(listening, answer))
        other.start()

        errors = told("explain", "1", "--url", f"http://127.0.0.1:{port}")

        other.join()
    assert (
        errors == f"vifsim: what answers at http://127.0.0.1:{port} is no simulator (see --url)\n"
    )


def _answer_once(listening: socket.socket, answer: bytes) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(answer)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert f"usage: vifsim {command}" in capsys.readouterr().out
