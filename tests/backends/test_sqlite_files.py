"""What a SQLite backend does with files that it cannot use: one clear line, nothing changed."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vifsim.clock import SimClock
from vifsim.conformance import ALPHA, BLUE, ONE, attach, attached, contents, world
from vifsim.draws import draw
from vifsim.errors import ApiFault, BackendError, UsageError
from vifsim.model import NetworkId, Settings
from vifsim.snapshots import settings_document
from vifsim_backends import sqlite_file
from vifsim_backends.sqlite import SqliteBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def clock() -> SimClock:
    return SimClock(mode="manual")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "demo.db"


def at(file: Path, clock: SimClock) -> SqliteBackend:
    return SqliteBackend(f"sqlite:///{file}", clock=clock)


async def refused(file: Path, clock: SimClock) -> str:
    with pytest.raises(BackendError) as caught:
        await at(file, clock).open(world())
    text = str(caught.value)
    assert "\n" not in text
    assert "(" in text or ";" in text, "there is a hint"
    return text


async def filled(file: Path, clock: SimClock) -> None:
    backend = at(file, clock)
    await backend.open(world())
    await attach(backend)
    await backend.close()


def a_text(file: Path) -> None:
    file.write_text("this is no database\n" * 50)


def a_short_text(file: Path) -> None:
    file.write_text("x")


def a_foreign_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.executescript("CREATE TABLE songs (title TEXT); INSERT INTO songs VALUES ('la')")


def a_marked_foreign_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.executescript("PRAGMA application_id = 7; CREATE TABLE songs (title TEXT)")


def a_foreign_database_in_wal(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.executescript("PRAGMA journal_mode = WAL; CREATE TABLE songs (title TEXT)")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (a_text, "is not a SQLite database"),
        (a_short_text, "is not a SQLite database"),
        (a_foreign_database, "database of another program"),
        (a_marked_foreign_database, "database of another program"),
        (a_foreign_database_in_wal, "database of another program"),
    ],
)
async def test_a_file_of_another_program_is_refused_and_left_alone(
    file: Path, clock: SimClock, make: Callable[[Path], None], says: str
) -> None:
    make(file)
    before = snapshot_of(file.parent)

    assert says in await refused(file, clock)
    assert snapshot_of(file.parent) == before


def snapshot_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


async def test_a_file_of_a_newer_version_is_refused_and_left_alone(
    file: Path, clock: SimClock
) -> None:
    await filled(file, clock)
    with closing(sqlite3.connect(file)) as other:
        other.execute("PRAGMA user_version = 99")
    before = snapshot_of(file.parent)

    text = await refused(file, clock)

    assert text.endswith("was written by a newer vifsim (schema 99); upgrade vifsim")
    assert snapshot_of(file.parent) == before


async def test_a_folder_is_refused(tmp_path: Path, clock: SimClock) -> None:
    assert "is no file" in await refused(tmp_path, clock)


async def test_a_missing_folder_is_refused_with_the_command_that_makes_it(
    tmp_path: Path, clock: SimClock
) -> None:
    text = await refused(tmp_path / "none" / "demo.db", clock)

    assert f"mkdir -p {tmp_path / 'none'}" in text
    assert snapshot_of(tmp_path) == {}


async def test_a_file_below_a_file_is_refused(tmp_path: Path, clock: SimClock) -> None:
    (tmp_path / "plain").write_text("")

    assert "Not a directory" in await refused(tmp_path / "plain" / "demo.db", clock)


def allow(path: Path, mode: int) -> None:
    path.chmod(mode)


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
async def test_a_file_that_may_not_be_written_is_refused(file: Path, clock: SimClock) -> None:
    await filled(file, clock)
    allow(file, 0o444)

    assert "Permission denied" in await refused(file, clock)


@pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")
async def test_a_folder_that_may_not_be_written_is_refused(file: Path, clock: SimClock) -> None:
    allow(file.parent, 0o555)

    assert "Permission denied" in await refused(file, clock)
    allow(file.parent, 0o755)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc here")
async def test_a_place_where_no_file_can_be_made_is_refused(clock: SimClock) -> None:
    assert "cannot be used" in await refused(Path("/proc/demo.db"), clock)


async def test_a_file_that_another_program_locks_is_refused(
    file: Path, clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.0)
    await filled(file, clock)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")

        assert "is locked by another program" in await refused(file, clock)


async def test_a_file_is_refused_while_another_backend_has_it(file: Path, clock: SimClock) -> None:
    first = at(file, clock)
    await first.open(world())

    text = await refused(file, clock)
    await attach(first)
    await first.close()
    second = at(file, clock)
    await second.open(world())

    assert "is in use by another vifsim" in text
    assert len(await attached(second)) == 1
    await second.close()


async def test_a_link_to_a_file_in_use_is_the_same_file(file: Path, clock: SimClock) -> None:
    link = file.with_name("link.db")
    link.symlink_to(file)
    first = at(file, clock)
    await first.open(world())

    assert "is in use by another vifsim" in await refused(link, clock)
    await first.close()


HOLDER = """
import sys
from pathlib import Path
from vifsim_backends.sqlite_file import Hold
hold = Hold(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(file: Path) -> Generator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield
        child.communicate()


async def test_a_file_is_refused_while_another_process_has_it(file: Path, clock: SimClock) -> None:
    with held_by_another_process(file):
        text = await refused(file, clock)
    await filled(file, clock)

    assert "is in use by another vifsim" in text
    assert snapshot_of(file.parent).keys() == {"demo.db"}


async def test_a_lock_left_by_a_process_that_died_is_no_obstacle(
    file: Path, clock: SimClock
) -> None:
    file.with_name("demo.db-lock").write_bytes(b"")

    await filled(file, clock)

    assert snapshot_of(file.parent).keys() == {"demo.db"}


async def test_an_empty_file_is_taken(file: Path, clock: SimClock) -> None:
    write(file, b"")

    await filled(file, clock)

    assert sqlite_file.is_blank(file) is False


async def test_a_world_that_contradicts_itself_leaves_no_file(file: Path, clock: SimClock) -> None:
    twice = world()
    twice = replace(twice, networks=(*twice.networks, twice.networks[0]))

    with pytest.raises(UsageError, match="this world cannot be made"):
        await at(file, clock).open(twice)

    assert snapshot_of(file.parent) == {}


async def test_a_start_that_was_cut_short_is_taken_up_again(file: Path, clock: SimClock) -> None:
    with closing(sqlite_file.connect(file)) as connection:
        sqlite_file.prepare_writer(connection, file, blank=True)

    await filled(file, clock)

    assert sqlite_file.is_blank(file) is False


async def test_every_schema_since_the_first_is_brought_up_to_date(
    file: Path, clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(file, clock)
    added = (*sqlite_file.MIGRATIONS, "ALTER TABLE meta ADD COLUMN motto TEXT")
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", added)

    backend = at(file, clock)
    await backend.open(world())

    assert len(await attached(backend)) == 1
    await backend.close()
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("PRAGMA user_version").fetchone() == (len(added),)
        assert raw.execute("SELECT motto FROM meta").fetchall() == [(None,)]


@pytest.mark.parametrize("version", [1, 2])
async def test_a_file_of_an_older_version_loses_nothing(
    file: Path, clock: SimClock, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    every = sqlite_file.MIGRATIONS
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", every[:version])
    with closing(sqlite_file.connect(file)) as old:
        sqlite_file.prepare_writer(old, file, blank=True)
        old.executescript(_OLD_ROWS + _OLD_TOUCHES[version])
        old.execute("UPDATE meta SET settings = ?", (json.dumps(settings_document(Settings())),))
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", every)

    backend = at(file, clock)
    await backend.open(world())
    kept = await backend.snapshot()
    (interface,) = await attached(backend)
    await attach(backend, network_id=NetworkId("ten"))
    await backend.close()

    assert kept["touched"] == {ONE: 1234.5}
    assert (interface.network_id, interface.addresses) == (BLUE, ("192.168.0.9",))
    with closing(sqlite3.connect(file)) as raw:
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_addresses_stay_where_sqlite_holds_foreign_keys_from_the_start(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = sqlite_file.MIGRATIONS
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", every[:2])
    with closing(sqlite_file.connect(file)) as old:
        sqlite_file.prepare_writer(old, file, blank=True)
        old.executescript(_OLD_ROWS)
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", every)

    with closing(sqlite_file.connect(file)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        sqlite_file.prepare_writer(connection, file, blank=False)

        (addresses,) = connection.execute("SELECT count(*) FROM addresses").fetchone()

    assert addresses == 1


_OLD_ROWS = f"""
INSERT INTO meta VALUES (1, '7', '{{}}', NULL);
INSERT INTO tenants VALUES (1, '{ALPHA}', '{{}}');
INSERT INTO users VALUES (1, 'anna', 'u1', '{ALPHA}', 'admin', 1, NULL, NULL, NULL);
INSERT INTO networks VALUES
    (3, '{BLUE}', 'blue', '192.168.0.0/24', '{ALPHA}'),
    (4, 'ten', 'ten', '10.0.0.0/24', '{ALPHA}');
INSERT INTO servers VALUES
    (1, '{ONE}', '{ALPHA}', 'one', 'i', '2', 'u1', 'ACTIVE', NULL, 5, 5, 5, NULL, '', '',
    'AUTO', '', NULL, 0, '{{}}', NULL, NULL, 0);
INSERT INTO virtual_interfaces VALUES (1, 'vif-1', 1, 3, 'BC:76:4E:00:00:09');
INSERT INTO addresses VALUES (3, '192.168.0.9', 1, 0);
INSERT INTO sequences VALUES ('virtual_interface', 1);
"""  # noqa: S608 -- the suite's own ids
_OLD_TOUCHES = {
    1: "UPDATE servers SET touched = 1234.5;",
    2: "INSERT INTO touches VALUES (1, 1234.5);",
}


async def test_a_migration_that_fails_leaves_the_schema_as_it_was(
    file: Path, clock: SimClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(file, clock)
    broken = "ALTER TABLE meta ADD COLUMN motto TEXT; ALTER TABLE nothing ADD COLUMN x TEXT"
    monkeypatch.setattr(sqlite_file, "MIGRATIONS", (*sqlite_file.MIGRATIONS, broken))

    await refused(file, clock)

    with closing(sqlite3.connect(file)) as raw:
        (version,) = raw.execute("PRAGMA user_version").fetchone()
        assert version == len(sqlite_file.MIGRATIONS) - 1
        assert "motto" not in [row[1] for row in raw.execute("PRAGMA table_info(meta)")]


async def test_damage_that_cannot_even_be_named_is_damage(file: Path, clock: SimClock) -> None:
    await filled(file, clock)
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute("UPDATE sqlite_master SET name = CAST(x'ff' AS TEXT), sql = ''")

    assert "is damaged" in await refused(file, clock)


async def test_settings_that_cannot_be_read_are_damage(file: Path, clock: SimClock) -> None:
    await filled(file, clock)
    with closing(sqlite3.connect(file, isolation_level=None)) as raw:
        raw.execute("UPDATE meta SET settings = ?", (json.dumps({"profile": "docs"}),))

    assert "is damaged" in await refused(file, clock)


def write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


async def test_a_file_that_was_cut_is_damaged(file: Path, clock: SimClock) -> None:
    await filled(file, clock)
    whole = snapshot_of(file.parent)["demo.db"]
    half = whole[: len(whole) // 2]
    write(file, half)

    assert "is damaged" in await refused(file, clock)
    assert snapshot_of(file.parent) == {"demo.db": half}


def with_damage(whole: bytes, place: int) -> bytes:
    damaged = bytearray(whole)
    start = int(draw(place, "damage") * (len(damaged) - 512))
    damaged[start : start + 512] = bytes(255 - byte for byte in damaged[start : start + 512])
    return bytes(damaged)


async def opens(backend: SqliteBackend) -> str | None:
    """Return None where the backend opens, else what it says."""
    try:
        await backend.open(world())
    except BackendError as exc:
        return str(exc)
    return None


@pytest.mark.parametrize("place", range(12))
async def test_a_file_with_damage_anywhere_is_refused_or_serves_without_a_defect(
    file: Path, clock: SimClock, place: int
) -> None:
    await filled(file, clock)
    damaged = with_damage(snapshot_of(file.parent)["demo.db"], place)
    write(file, damaged)
    backend = at(file, clock)

    refusal = await opens(backend)

    if refusal is not None:
        assert "\n" not in refusal
        assert snapshot_of(file.parent) == {"demo.db": damaged}
        return
    for use in (attach, attached, contents):
        with suppress(ApiFault):
            await use(backend)
    await backend.close()
