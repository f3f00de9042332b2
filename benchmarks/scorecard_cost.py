"""Scoring a long journal, against reading its file; and its memory, as the journal grows.

"Reading" is `read_export`: every line parsed and checked.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from pathlib import Path

from benchmarks.measure import Figure, Rounds
from vifsim.clock import SimClock
from vifsim.exchange import PASS, Answer, Call, Decision, Effect
from vifsim.journal import Journal, read_export
from vifsim.recording import Recording
from vifsim.scorecard import score
from vifsim.simulator import Simulator

ROUNDS = 3
ENTRIES = 100_000
_SMALL = 25_000
_SERVERS = 200
_FAILING_EVERY = 5


def _call(number: int) -> Call:
    """Return one call: a create, then lists; every fifth call is refused."""
    creates = number % 10 == 0
    call = Call(
        seq=number + 1,
        id=f"req-{number}",
        operation="create_virtual_interface" if creates else "list_virtual_interfaces",
        method="POST" if creates else "GET",
        path=f"/servers/{number % _SERVERS}/os-virtual-interfacesv2",
        headers={"User-Agent": "benchmark"},
        peer="127.0.0.1:50000",
        conn=1 + number % 20,
        arrived=number * 0.05,
        real_arrived=number * 0.05,
        user="demo",
        tenant="123456",
        token_id="t",  # noqa: S106 -- the digest of no token
        server=str(number % _SERVERS),
        network="n" if creates else None,
        body_digest=str(number % _SERVERS) if creates else None,
    )
    refused = number % _FAILING_EVERY == 0 and number % 20 != 0
    call.outcome.decision = Decision(fired=("r",), by="r") if refused else PASS
    call.outcome.answer = Answer(503 if refused else 200)
    if creates and not refused:
        call.outcome.note(
            Effect(kind="created", object="virtual_interface", id=f"i{number}", at=number * 0.05)
        )
    return call


def _written(path: Path, entries: int) -> None:
    with Simulator(seed=1) as cloud:
        header = cloud.simulator.export_header()
    journal = Journal(SimClock(), max_bytes=1 << 40)
    for number in range(entries):
        call = _call(number)
        journal.open(call)
        journal.close(call, call.outcome.answer, "completed")
        call.outcome.end = call.outcome.real_end = call.arrived + 0.003
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in journal.lines(header))


def _peak(path: Path) -> int:
    """Return the most bytes that scoring has taken, beside the entries themselves."""
    run = Recording.read(path).run
    tracemalloc.start()
    score(run)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


def measure() -> list[Figure]:
    """Return time by reading, and memory by what linear growth would be."""
    rounds = Rounds()
    with tempfile.TemporaryDirectory() as folder:
        long, short = Path(folder) / "long.ndjson", Path(folder) / "short.ndjson"
        _written(long, ENTRIES)
        _written(short, _SMALL)
        for _ in range(ROUNDS):
            began = time.perf_counter()
            read = read_export(long)
            rounds.add("reading", time.perf_counter() - began)
            run = Recording.of(*read).run
            began = time.perf_counter()
            score(run)
            rounds.add("scoring", time.perf_counter() - began)
        growth = _peak(long) / _peak(short) / (ENTRIES / _SMALL)
    reading, scoring = rounds.median("reading"), rounds.median("scoring")
    return [
        Figure(
            name=f"scoring {ENTRIES} entries / reading them",
            ratio=rounds.ratio("scoring", "reading"),
            mark=3.0,
            detail=f"{scoring:.2f} s / {reading:.2f} s",
        ),
        Figure(name="memory, by what linear growth takes", ratio=growth, mark=1.2),
    ]
