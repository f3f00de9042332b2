"""`vifsim replay FILE -- COMMAND`: a recorded run once more, with another build of its client."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vifsim.cli.output import write
from vifsim.errors import UsageError
from vifsim.recording import Recording, place_of
from vifsim.replay import parting, replaying

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from vifsim.replay import Parting
    from vifsim.simulator import Simulator

TAKES_COMMAND = True
_OK, _PARTED, _UNREACHED, _NOTHING = 0, 1, 3, 4
_GRACE = 2.0
"""Seconds that a client gets to end after SIGTERM."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="an exported journal")
    parser.add_argument("--without", metavar="RULE", help="leave a rule out: what if?")
    parser.add_argument(
        "--time-limit", default="5m", metavar="DURATION", help="for the command (default 5m)"
    )
    parser.add_argument(
        "--export", type=Path, metavar="FILE", help="write the journal of the new run"
    )


def run(options: argparse.Namespace) -> int:
    """Run the command against the recorded decisions, and say where the two runs part.

    Raises:
        UsageError: no command, no whole journal, no such rule; the command cannot be run.
    """
    if not options.client:
        raise UsageError("which client? vifsim replay FILE -- COMMAND")
    recording = Recording.read(options.file)
    if not recording.entries:
        sys.stdout.write("nothing to replay: the journal has no entry\n")
        return _NOTHING
    limit = _seconds(options.time_limit)
    simulator = replaying(recording, without=options.without)
    code, entries = asyncio.run(_play(simulator, options.client, limit, options.export))
    parted = parting(recording.entries, entries)
    imposed = recording.decisions(without=options.without)
    count = sum(
        bool(found and found.fired) for found in (imposed.get(place_of(e)) for e in entries)
    )
    sys.stdout.writelines(f"{line}\n" for line in _report(len(entries), count, parted, code))
    if not entries:
        return _UNREACHED
    return _OK if parted is None else _PARTED


def _seconds(text: str) -> float:
    from marshmallow import ValidationError  # noqa: PLC0415 -- slow to import

    from vifsim.scenario.durations import seconds_of  # noqa: PLC0415 -- likewise

    try:
        return seconds_of(text)
    except ValidationError as exc:
        raise UsageError(f"--time-limit {text} is not a duration such as 5m") from exc


async def _play(
    simulator: Simulator, command: Sequence[str], limit: float, export: Path | None
) -> tuple[int | None, list[dict[str, Any]]]:
    """Return the client's exit code, None where its time was up, and the entries of the run."""
    async with simulator:
        code = await _client(command, {**os.environ, **simulator.env()}, limit)
        if export is not None:
            lines = simulator.journal.lines(simulator.export_header())
            write(export, "".join(f"{line}\n" for line in lines))
        return code, simulator.journal.documents(simulator.journal)


async def _client(command: Sequence[str], env: Mapping[str, str], limit: float) -> int | None:
    try:
        process = await asyncio.create_subprocess_exec(*command, env=env, start_new_session=True)
    except OSError as exc:
        raise UsageError(f"cannot run {command[0]}: {exc.strerror}") from exc
    try:
        return await asyncio.wait_for(process.wait(), limit)
    except TimeoutError:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), _GRACE)
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return None


def _report(calls: int, imposed: int, parted: Parting | None, code: int | None) -> Iterator[str]:
    ended = "its time was up" if code is None else f"exit code {code}"
    if not calls:
        yield f"the client never reached the simulator ({ended}); VIFSIM_URL says where it is"
        return
    yield f"{calls} calls, {imposed} of them under a recorded fault or delay; {ended}"
    if parted is None:
        yield "the runs do not part"
        return
    yield "the runs part here:"
    yield f"  recorded: {_call(parted.recorded)}"
    yield f"  replayed: {_call(parted.replayed)}"


def _call(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return "no further call"
    told, decision = entry["told"], entry["decision"]
    answer = "no answer" if told is None else told["status"]
    about = " ".join(f"{key} {entry[key]}" for key in ("server", "network") if entry[key])
    by = f", by {decision['by']}" if decision and decision["by"] else ""
    what = f"{entry['operation']} {about}".strip()
    return f"entry {entry['seq']}: {what} (the {_ordinal(entry['n'])} such call) → {answer}{by}"


def _ordinal(number: int) -> str:
    if number % 100 not in {11, 12, 13} and number % 10 in {1, 2, 3}:
        return f"{number}{('st', 'nd', 'rd')[number % 10 - 1]}"
    return f"{number}th"
