"""A user's mistake is one line on standard error with a hint, and exit code 2."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from vifsim.cli import COMMANDS, main

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
        ("serve --backend redis://x", "no backend for 'redis://x' (known: memory, sqlite"),
        ("serve --backend sqlit:///x.db", "did you mean sqlite:?"),
        ("serve --backend memory:x", "write memory:, not memory:x"),
        ("serve --backend sqlite:////none/x.db", "mkdir -p /none"),
        ("serve --host 0.0.0.0", "give --control-token TOKEN or VIFSIM_CONTROL_TOKEN"),
        ("serve --speed 0", "speed 0.0 is not above 0"),
        ("serve --speed 60 --clock manual", "leave --clock manual out"),
        ("serve --seed -1", "seed -1 is not a whole number, 0 or more"),
        ("serve --port 0 --env-file /none/x", "cannot write /none/x: No such file or directory"),
        ("serve -- ls", "serve takes no command after --"),
        ("scenarios check", "vifsim scenarios check NAME|FILE"),
        ("scenarios show nope", "there is no scenario nope (see: vifsim scenarios list)"),
        ("scorecard /none", "cannot read /none: No such file or directory"),
        ("amend set_status", "give --url http://HOST:PORT or set VIFSIM_URL"),
        ("amend set_status --url http://127.0.0.1:1", "is `vifsim serve` running?"),
        ("snapshot save x --url http://127.0.0.1:1", "is `vifsim serve` running?"),
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


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])

    assert ended.value.code == 0
    assert f"usage: vifsim {command}" in capsys.readouterr().out
