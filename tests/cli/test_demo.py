"""`vifsim demo`, run as a newcomer runs it: a real process, its output read as plain lines."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

DEMO = [sys.executable, "-m", "vifsim", "demo"]


@dataclass(frozen=True, slots=True)
class Played:
    """What a demo printed, line by line and on a terminal, and how its kept cloud fared."""

    lines: list[str]
    health_status: int
    exit_code: int
    screen: bytes
    screen_exit_code: int


@pytest.fixture(scope="module")
def played() -> Played:
    """Two whole demos at once, as each takes its ten seconds: one kept, one on a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "110"}
    with (
        subprocess.Popen([*DEMO, "--keep"], stdout=subprocess.PIPE, text=True) as kept,
        subprocess.Popen(DEMO, stdout=theirs, stderr=theirs, env=environment) as shown,
    ):
        os.close(theirs)
        screen = _all_of(ours)
        lines, url = _until_kept(kept)
        health = httpx.get(f"{url}/_vifsim/health")
        kept.send_signal(signal.SIGTERM)
        return Played(
            lines, health.status_code, kept.wait(timeout=30), screen, shown.wait(timeout=30)
        )


def _all_of(terminal: int) -> bytes:
    with os.fdopen(terminal, "rb", buffering=0) as reading:
        screen = b""
        with suppress(OSError):  # the other side has ended
            while chunk := reading.read(65536):
                screen += chunk
        return screen


def _until_kept(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    """Return the lines up to the one that says where the cloud keeps running, and that place."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        found = re.search(r"keeps running at (\S+)", line)
        if found is not None:
            return lines, found[1]
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


def test_on_a_terminal_it_is_a_table(played: Played) -> None:
    assert played.screen_exit_code == 0
    assert b"what really happened" in played.screen
    assert b"exactly the one it wanted" in played.screen


def test_a_picture_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    run = subprocess.run(
        [*DEMO, "--svg", str(tmp_path / "nowhere" / "demo.svg")],
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 2
    assert re.fullmatch(r"vifsim: cannot write \S+: No such file or directory\n", run.stderr)


def test_the_picture_that_is_shown_asks_no_other_host() -> None:
    picture = (Path(__file__).parents[2] / "docs" / "images" / "demo.svg").read_text("utf-8")

    assert "exactly" in picture
    assert "url(http" not in picture
