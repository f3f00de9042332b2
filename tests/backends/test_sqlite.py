from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from vifsim.clock import SimClock
from vifsim.conformance import (
    ADMIN_TOKEN,
    BLUE,
    ONE,
    THREE,
    TINY,
    TWO,
    BackendConformance,
    a_call,
    attach,
    attached,
    check_portable,
    contents,
    detach,
    log_in,
    world,
)
from vifsim.errors import Conflict, ControlFault, ServiceUnavailable, UsageError
from vifsim_backends.memory import MemoryBackend
from vifsim_backends.sqlite import SqliteBackend

if TYPE_CHECKING:
    from pathlib import Path

    from vifsim.backend import Backend
    from vifsim.clock import Clock


def in_folder(folder: Path, clock: Clock) -> SqliteBackend:
    return SqliteBackend(f"sqlite:///{folder}/demo.db", clock=clock)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestSqliteBackend(BackendConformance):
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        return in_folder(tmp_path, clock)


@pytest.fixture
def clock() -> SimClock:
    return SimClock(mode="manual")


async def test_memory_and_sqlite_restore_one_another(tmp_path: Path, clock: SimClock) -> None:
    memory, sqlite = MemoryBackend("memory:", clock=clock), in_folder(tmp_path, clock)
    await memory.open(world())
    await sqlite.open(world(seed=8, region="ORD"))
    await attach(memory)
    await log_in(memory)

    await check_portable(memory, sqlite)
    await attach(sqlite, TWO)
    await check_portable(sqlite, memory)

    await sqlite.close()


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("sqlite:", "write sqlite:///demo.db"),
        ("sqlite:demo.db", "write sqlite:///demo.db"),
        ("sqlite://demo.db", "write sqlite:///demo.db"),
        ("sqlite:///", "write sqlite:///demo.db"),
        ("sqlite:///de\0mo.db", "write sqlite:///demo.db"),
        ("sqlite:///:memory:", "write memory:"),
    ],
)
def test_a_url_without_a_file_is_refused_with_a_hint(url: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        SqliteBackend(url, clock=SimClock())


async def test_a_relative_url_is_a_file_of_the_working_folder(
    tmp_path: Path, clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    backend = SqliteBackend("sqlite:///demo.db", clock=clock)

    await backend.open(world())
    await backend.close()

    assert names_in(tmp_path) == ["demo.db"]


async def test_a_closed_backend_is_unavailable(tmp_path: Path, clock: SimClock) -> None:
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    await backend.close()

    for attempt in (attach(backend), attached(backend)):
        with pytest.raises(ServiceUnavailable):
            await attempt


async def test_nothing_is_left_behind_after_closing(tmp_path: Path, clock: SimClock) -> None:
    threads = threading.active_count()
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    await attach(backend)

    await backend.close()

    assert threading.active_count() == threads
    assert names_in(tmp_path) == ["demo.db"]


async def test_closing_finishes_what_waits(tmp_path: Path, clock: SimClock) -> None:
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    made = asyncio.ensure_future(attach(backend))

    # The task's first step comes before what is scheduled after it.
    await asyncio.ensure_future(backend.close())

    assert (await made).addresses == ("192.168.0.1",)


async def test_a_backend_is_opened_again_after_it_was_closed(
    tmp_path: Path, clock: SimClock
) -> None:
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    made = await attach(backend)
    await backend.close()

    await backend.open(world())

    assert await attached(backend) == [made]
    assert await backend.identify(ADMIN_TOKEN) is not None
    await backend.close()


async def test_a_store_that_another_program_locks_is_unavailable_until_it_lets_go(
    tmp_path: Path,
    clock: SimClock,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("vifsim_backends.sqlite_file.BUSY_TIMEOUT", 0.0)
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    with closing(sqlite3.connect(tmp_path / "demo.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                await attach(backend)
        other.execute("ROLLBACK")

    made = await attach(backend)

    assert made.addresses == ("192.168.0.1",)
    assert [record.levelname for record in caplog.records if "vifsim" in record.name] == ["ERROR"]
    await backend.close()


async def test_reads_go_on_while_another_program_locks_the_store(
    tmp_path: Path, clock: SimClock
) -> None:
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    made = await attach(backend)
    with closing(sqlite3.connect(tmp_path / "demo.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        found = await backend.list_virtual_interfaces(a_call(), ONE)

        other.execute("ROLLBACK")
    assert list(found) == [made]
    await backend.close()


async def test_the_store_itself_refuses_what_breaks_the_rules(
    tmp_path: Path, clock: SimClock
) -> None:
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    await attach(backend)
    await backend.close()
    insert = "INSERT INTO virtual_interfaces VALUES (99, 'x', ?, ?, ?, NULL)"
    one, two, blue, nothing = 1, 2, 3, 77
    forbidden: list[tuple[str, tuple[object, ...]]] = [
        (insert, (one, blue, "other")),
        (insert, (two, blue, "BC:76:4E:00:00:01")),
        (insert, (nothing, blue, "other")),
        (insert, (two, nothing, "other")),
        ("INSERT INTO addresses VALUES (?, '192.168.0.1', 1, 7)", (blue,)),
        ("INSERT INTO addresses VALUES (?, '192.168.0.9', 99, 0)", (blue,)),
        ("DELETE FROM servers WHERE id = ?", (ONE,)),
        ("DELETE FROM networks WHERE id = ?", (BLUE,)),
        ("INSERT INTO tokens VALUES (9, 'x', NULL, 'nobody', ?, NULL, 0, 'x')", ("alpha",)),
        ("INSERT INTO networks (id, label) VALUES ('x', ?)", ("x",)),
    ]

    with closing(sqlite3.connect(tmp_path / "demo.db", isolation_level=None)) as raw:
        raw.execute("PRAGMA foreign_keys = ON")
        for sql, values in forbidden:
            with pytest.raises(sqlite3.IntegrityError):
                raw.execute(sql, values)


async def test_nothing_leads_back_beyond_a_reset(tmp_path: Path, clock: SimClock) -> None:
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    await attach(backend)
    moment = backend.moment()
    await backend.reset(world())
    before = await contents(backend)

    with pytest.raises(ControlFault) as refused:
        await backend.go_back(moment)

    assert refused.value.status == 409
    assert await contents(backend) == before
    await backend.close()


async def test_when_a_server_changed_outlives_its_interfaces_and_a_restart(
    tmp_path: Path, clock: SimClock
) -> None:
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    kept: list[float | None] = []

    async def look() -> None:
        kept.append((await backend.snapshot())["touched"].get(ONE))

    await look()
    interface = await attach(backend)
    moment = backend.moment()
    await look()
    await clock.advance(10)
    await detach(backend, interface)
    await look()
    await backend.go_back(moment)
    await look()
    await backend.delete_server(a_call(), ONE)
    await clock.advance(3600)
    await attach(backend, TWO)  # what is due is done by the next call that writes
    await look()
    await backend.close()
    await backend.open(world())
    await look()
    await backend.close()

    at = kept[1]
    assert at is not None
    assert kept == [None, at, at + 10, at, at, at]


async def test_what_leads_back_is_bounded(
    tmp_path: Path, clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vifsim_backends.way_back.MOST", 12)
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    moments = [backend.moment()]
    for server_id in (ONE, TWO, THREE):
        await attach(backend, server_id)
        moments.append(backend.moment())

    with pytest.raises(ControlFault):
        await backend.go_back(moments[0])
    await backend.go_back(moments[2])

    assert [len(await attached(backend, one)) for one in (ONE, TWO, THREE)] == [1, 1, 0]
    await backend.close()


async def test_a_change_by_another_program_is_seen(tmp_path: Path, clock: SimClock) -> None:
    backend = in_folder(tmp_path, clock)
    await backend.open(world())
    await attach(backend)
    with closing(sqlite3.connect(tmp_path / "demo.db")) as other, other:
        other.execute("UPDATE servers SET status = 'ERROR' WHERE id = ?", (ONE,))

    with pytest.raises(Conflict, match="state is error"):
        await attach(backend, ONE, TINY)

    await backend.close()
