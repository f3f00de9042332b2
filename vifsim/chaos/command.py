"""Running a command: watched, ended in time, and nothing of it left behind.

The command gets a session and process group of its own. What it starts is found again by its group
and, on Linux, by a mark in its environment, wherever it has gone.

The house rule: nothing here judges; what happened is written down, and no process outlives the run.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vifsim.errors import UsageError
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping, Sequence

    from vifsim.clock import Clock

MARK = "VIFSIM_RUN"
"""The variable that a command and all that it starts have in their environment."""

TAIL_BYTES = 8192
"""How much of a command's output is kept: the end of it."""

_GRACE = 2.0
"""Seconds that a command has to end after SIGTERM, before SIGKILL."""
_LAST_WORDS = 0.2

Ended = Literal["by_itself", "time_limit", "signal"]


@frozen
class Ending:
    """How a command ended.

    Attributes:
        exit_code: None where a signal ended it, ours or another's.
        ended: by itself, at the time limit, or by a signal that was not ours.
        output_tail: the end of what it wrote, both streams together.
        output_bytes: how much it wrote in all.
        left_behind: how many processes it had left, which were ended.
        was_killed: whether it ignored SIGTERM at the time limit.
    """

    exit_code: int | None
    ended: Ended
    output_tail: str
    output_bytes: int
    left_behind: int
    was_killed: bool = False


def check_command(command: Sequence[str], asked_by: str = "chaos") -> None:
    """Check that a command can be started.

    Args:
        command: program and arguments.
        asked_by: whose command it is, for the hint.

    Raises:
        UsageError: there is none, or no such program.
    """
    if not command:
        raise UsageError(f"which command? vifsim {asked_by} -- COMMAND")
    program = command[0]
    if shutil.which(program) is not None:
        return
    if Path(program).exists():
        raise UsageError(f"cannot start {program}: it is not executable (chmod +x {program})")
    raise UsageError(f"cannot start {program}: there is no such program")


class _Output(asyncio.Protocol):
    """The end of what comes through a pipe, which may be endless.

    The pipe is ours and not the process's own: asyncio counts a process as ended only when its
    pipes are closed, and a child that it left behind may hold them open for ever.
    """

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._kept = 0
        self.size_bytes = 0
        self.whole = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        """Keep the end."""
        self.size_bytes += len(data)
        self._chunks.append(data)
        self._kept += len(data)
        while self._kept - len(self._chunks[0]) >= TAIL_BYTES:
            self._kept -= len(self._chunks.popleft())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- asyncio's interface
        """Note that nothing more will come, for whatever reason."""
        self.whole.set()

    @property
    def tail(self) -> str:
        """The last bytes as text."""
        return b"".join(self._chunks)[-TAIL_BYTES:].decode("utf-8", "replace")


async def run_command(
    command: Sequence[str], env: Mapping[str, str], clock: Clock, time_limit: float
) -> Ending:
    """Run a command to its end, or to the time limit.

    Args:
        command: program and arguments.
        env: further variables of its environment.
        clock: real time.
        time_limit: seconds that it may take.

    Raises:
        UsageError: it cannot be started.
    """
    mark = secrets.token_hex(8)
    ours, theirs = os.pipe()
    output = _Output()
    pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: output, os.fdopen(ours, "rb", 0)
    )
    try:
        process = await _started(command, {**env, MARK: mark}, theirs)
        in_time, killed, left = await _watched(process, mark, clock, time_limit)
        await _wait_for(output.whole.wait(), clock, _LAST_WORDS)
    finally:
        pipe.close()
    return Ending(
        exit_code=process.returncode if in_time and (process.returncode or 0) >= 0 else None,
        ended=_how(in_time=in_time, returncode=process.returncode or 0),
        output_tail=output.tail,
        output_bytes=output.size_bytes,
        left_behind=left,
        was_killed=killed,
    )


async def _started(
    command: Sequence[str], env: Mapping[str, str], output: int
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **env},
            start_new_session=True,
        )
    except OSError as exc:
        raise UsageError(f"cannot start {command[0]}: {exc.strerror or exc}") from exc
    finally:
        os.close(output)


async def _watched(
    process: asyncio.subprocess.Process, mark: str, clock: Clock, time_limit: float
) -> tuple[bool, bool, int]:
    """Return whether a command ended in time, whether it ignored SIGTERM, and what it left."""
    left, killed = 0, False
    try:
        in_time = await _wait_for(process.wait(), clock, time_limit)
        if not in_time:
            _signal_group(process.pid, signal.SIGTERM)
            killed = not await _wait_for(process.wait(), clock, _GRACE)
    finally:
        left = _sweep(process.pid, mark)
        await process.wait()
    return in_time, killed, left


async def _wait_for(what: Coroutine[Any, Any, object], clock: Clock, seconds: float) -> bool:
    """Wait for something, for so long at most; say whether it came."""
    coming = asyncio.ensure_future(what)
    timer = asyncio.ensure_future(clock.sleep_until(clock.now() + seconds))
    try:
        await asyncio.wait({coming, timer}, return_when=asyncio.FIRST_COMPLETED)
        return coming.done()
    finally:
        coming.cancel()
        timer.cancel()


def _how(*, in_time: bool, returncode: int) -> Ended:
    if not in_time:
        return "time_limit"
    return "signal" if returncode < 0 else "by_itself"


def _signal_group(pid: int, number: int) -> bool:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _sweep(pid: int, mark: str) -> int:
    """End what the command has left behind; return how many processes that were."""
    found = _family(pid, mark)
    for child in found:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(child, signal.SIGKILL)
    _signal_group(pid, signal.SIGKILL)
    return len(found)


def _family(pid: int, mark: str) -> list[int]:
    """Return the other processes of the command's group or with its mark in their environment.

    Only Linux shows them; elsewhere the group is ended all the same, uncounted.
    """
    marked = f"{MARK}={mark}".encode()
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        other = int(folder.name)
        if other in {pid, os.getpid()}:
            continue
        with suppress(OSError):
            state, _, group = _stat(folder)
            ours = group == pid or marked in (folder / "environ").read_bytes().split(b"\0")
            if ours and state != "Z":
                found.append(other)
    return found


def _stat(folder: Path) -> tuple[str, int, int]:
    """Return a process's state, parent and group (proc(5): fields 3 to 5)."""
    state, parent, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
    return state, int(parent), int(group)
