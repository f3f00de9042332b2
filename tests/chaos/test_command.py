"""Commands of every kind: each ends in time, is named for what it is, and leaves nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vifsim.chaos.command import TAIL_BYTES, check_command, run_command
from vifsim.clock import SimClock
from vifsim.errors import UsageError

if TYPE_CHECKING:
    from vifsim.chaos.command import Ending

ENV = {"VIFSIM_URL": f"http://127.0.0.1:1/of-this-test-{os.getpid()}"}


async def python(program: str, limit: float = 30.0) -> Ending:
    return await run_command([sys.executable, "-c", program], ENV, SimClock(), limit)


def alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_command_that_ends_at_once_is_told_with_its_code_and_output() -> None:
    ending = await python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")

    assert (ending.exit_code, ending.ended) == (3, "by_itself")
    assert sorted(ending.output_tail.split()) == ["err", "out"]


async def test_a_command_gets_the_clouds_environment() -> None:
    ending = await python("import os; print(os.environ['VIFSIM_URL'])")

    assert ending.output_tail.strip() == ENV["VIFSIM_URL"]


async def test_a_command_that_floods_its_output_keeps_the_end_of_it() -> None:
    ending = await python("import sys; sys.stdout.write('x' * 5_000_000 + 'the end')")

    assert ending.output_bytes == 5_000_007
    assert len(ending.output_tail) == TAIL_BYTES
    assert ending.output_tail.endswith("the end")


async def test_a_command_is_ended_at_the_time_limit() -> None:
    ending = await python("import threading; threading.Event().wait()", limit=0.5)

    assert (ending.exit_code, ending.ended) == (None, "time_limit")
    assert not ending.was_killed


async def test_a_command_that_ends_by_a_signal_is_told() -> None:
    ending = await python("import os; os.kill(os.getpid(), 9)")

    assert (ending.exit_code, ending.ended) == (None, "signal")


async def test_a_command_that_ignores_sigterm_is_ended_all_the_same() -> None:
    ending = await python(
        "import signal, threading\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "threading.Event().wait()",
        limit=0.5,
    )

    assert ending.ended == "time_limit"
    assert ending.was_killed


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows a process's environment")
@pytest.mark.parametrize("session", [False, True], ids=["in its group", "in a session of its own"])
async def test_children_that_are_left_behind_are_counted_and_ended(*, session: bool) -> None:
    ending = await python(
        "import subprocess, sys\n"
        "waiting = [sys.executable, '-c', 'import threading; threading.Event().wait()']\n"
        f"child = subprocess.Popen(waiting, start_new_session={session})\n"
        "print(child.pid)"
    )

    assert ending.left_behind == 1
    while alive(int(ending.output_tail)):  # it is told to end; that takes the system a moment
        await SimClock().pause()


def test_no_command_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="which command"):
        check_command([])


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"cannot start no-such-thing: there is no such program"):
        check_command(["no-such-thing", "x"])


def test_a_file_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    program = tmp_path / "client.py"
    program.write_text("print()")

    with pytest.raises(UsageError, match=r"is not executable \(chmod \+x"):
        check_command([str(program)])
