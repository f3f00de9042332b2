"""`vifsim demo`, run as a newcomer runs it: a real process, its output read as plain lines."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from pathlib import Path

DEMO = [sys.executable, "-m", "vifsim", "demo"]


@dataclass(frozen=True, slots=True)
class Played:
    """What a demo with `--keep` printed, and how it fared afterwards."""

    lines: list[str]
    health_status: int
    exit_code: int


@pytest.fixture(scope="module")
def played() -> Played:
    """A whole demo, its cloud asked once after the end, and then stopped."""
    lines: list[str] = []
    with subprocess.Popen([*DEMO, "--keep"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            kept = re.search(r"keeps running at (\S+)", line)
            if kept is not None:
                health = httpx.get(f"{kept[1]}/_vifsim/health")
                process.send_signal(signal.SIGTERM)
                return Played(lines, health.status_code, process.wait(timeout=30))
    pytest.fail("\n".join(lines))


def test_each_call_is_a_line(played: Played) -> None:
    calls = [line for line in played.lines if re.match(r" *\d+  \w+", line)]

    assert len(calls) >= 8


def test_the_client_is_refused_limited_and_told_nothing(played: Played) -> None:
    text = "\n".join(played.lines)

    assert text.count("told 503") == 2
    assert text.count("told 413 Over Limit, Retry-After 2") == 1
    assert text.count("virtual interface created    told nothing") == 1


def test_it_ends_with_exactly_the_interface_that_was_wanted(played: Played) -> None:
    assert played.lines[-3].endswith("Scorecard: grade A.")
    assert played.lines[-2].startswith("web-1 has 1 interface on demo-net, 192.168.7.")


def test_a_kept_cloud_answers_until_it_is_told_to_stop(played: Played) -> None:
    assert played.health_status == 200
    assert played.exit_code == 0


def test_an_impatient_reader_may_stop_it_at_any_time() -> None:
    process = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(signal.SIGINT)

    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (1, "")


def test_on_a_terminal_it_is_a_table() -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        DEMO, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "110"}
    )
    os.close(theirs)

    screen = b""
    while chunk := _read(ours):
        screen += chunk
    os.close(ours)

    assert process.wait() == 0
    assert b"what really happened" in screen
    assert b"exactly the one it wanted" in screen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side has ended
        return b""


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    run = subprocess.run(
        [*DEMO, "--svg", str(tmp_path / "nowhere" / "demo.svg")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 2
    assert re.fullmatch(r"vifsim: cannot write \S+: No such file or directory\n", run.stderr)
