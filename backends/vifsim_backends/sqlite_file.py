"""The file of a SQLite store: whose it is, which schema it has, and who holds it.

The house rule: a file that is refused is left as it was found.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import stat
from pathlib import Path

from vifsim.errors import BackendError, UsageError

APPLICATION_ID = 0x76696673
"""What marks a file as ours: "vifs", at byte 68. Source: sqlite.org/fileformat.html."""
BUSY_TIMEOUT = 1.0
"""Seconds for which a lock of another program is waited out."""
PAGE_BYTES = 1024
"""The size of a new file's pages; a file keeps the size that it was made with.

An attachment changes some nine bytes in a page that, in a large world, no other of its commit
writes: with SQLite's 4,096 each would sync four times as much.
"""
CHECKPOINT_PAGES = 10_000
"""Pages in the log after which it is written into the file, while a commit waits: 10 MB.

In a large world each commit writes pages that few others do; with SQLite's 1,000, every third
commit of 64 creates waited.
"""

_CHECKED_BYTES = 64 << 20
"""Up to which size a file is read through at the opening: some 0.3 s."""
_CACHE_KIB = 64 << 10
"""What the writer keeps of the file at most: the indexes of a large one."""
_MAGIC = b"SQLite format 3\0"
_HEAD_BYTES = 100
_PREFIX = "sqlite:///"
_SHAPE = "write sqlite:///demo.db, or sqlite:////srv/demo.db for an absolute path"

_SCHEMA_1 = """
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seed TEXT NOT NULL,
    settings TEXT NOT NULL,
    scenario TEXT
);
CREATE TABLE sequences (
    kind TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE tenants (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    quotas TEXT NOT NULL
);
CREATE TABLE users (
    place INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    id TEXT NOT NULL,
    tenant TEXT NOT NULL REFERENCES tenants (id),
    role TEXT NOT NULL CHECK (role IN ('observer', 'creator', 'admin')),
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    password TEXT,
    api_key TEXT,
    token TEXT
);
CREATE TABLE tokens (
    place INTEGER PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    number INTEGER UNIQUE,
    user TEXT NOT NULL REFERENCES users (name),
    tenant TEXT NOT NULL REFERENCES tenants (id),
    expires REAL,
    revoked INTEGER NOT NULL CHECK (revoked IN (0, 1)),
    by TEXT NOT NULL
);
CREATE INDEX tokens_by_user ON tokens (user);
CREATE TABLE networks (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    label TEXT NOT NULL,
    cidr TEXT,
    tenant TEXT REFERENCES tenants (id),
    CHECK ((tenant IS NULL) = (id IN (
        '00000000-0000-0000-0000-000000000000', '11111111-1111-1111-1111-111111111111'
    )))
);
CREATE INDEX networks_by_tenant ON networks (tenant);
INSERT INTO networks (id, label) VALUES
    ('00000000-0000-0000-0000-000000000000', 'public'),
    ('11111111-1111-1111-1111-111111111111', 'private');
CREATE TABLE servers (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant TEXT NOT NULL REFERENCES tenants (id),
    name TEXT NOT NULL,
    image_ref TEXT NOT NULL,
    flavor_ref TEXT NOT NULL,
    user_id TEXT NOT NULL,
    status TEXT NOT NULL,
    task_state TEXT,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    active_at REAL,
    gone_at REAL,
    access_ipv4 TEXT NOT NULL,
    access_ipv6 TEXT NOT NULL,
    disk_config TEXT NOT NULL,
    config_drive TEXT NOT NULL,
    key_name TEXT,
    locked INTEGER NOT NULL CHECK (locked IN (0, 1)),
    metadata TEXT NOT NULL,
    fault TEXT,
    touched REAL,
    released INTEGER NOT NULL DEFAULT 0 CHECK (released IN (0, 1))
);
CREATE INDEX servers_by_tenant ON servers (tenant, number);
CREATE INDEX servers_by_name ON servers (name);
CREATE INDEX servers_in_use ON servers (tenant, flavor_ref) WHERE gone_at IS NULL;
CREATE INDEX servers_leaving ON servers (gone_at) WHERE gone_at IS NOT NULL AND released = 0;
CREATE INDEX servers_gone ON servers (gone_at) WHERE released = 1;
CREATE TABLE virtual_interfaces (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    server INTEGER NOT NULL REFERENCES servers (number),
    network INTEGER NOT NULL REFERENCES networks (place),
    mac_address TEXT NOT NULL UNIQUE,
    UNIQUE (server, network)
);
CREATE INDEX virtual_interfaces_by_network ON virtual_interfaces (network);
CREATE TABLE addresses (
    network INTEGER NOT NULL,
    address TEXT NOT NULL,
    interface INTEGER NOT NULL REFERENCES virtual_interfaces (number) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    PRIMARY KEY (network, address),
    UNIQUE (interface, place)
) WITHOUT ROWID;
"""

_SCHEMA_2 = """
CREATE TABLE touches (
    server INTEGER PRIMARY KEY REFERENCES servers (number) ON DELETE CASCADE,
    at REAL NOT NULL
);
INSERT INTO touches SELECT number, touched FROM servers WHERE touched IS NOT NULL;
UPDATE servers SET touched = NULL WHERE touched IS NOT NULL;
"""
"""When a server's interfaces changed, apart from it: an attachment need not write all of its row.

The column stays, for SQLite before 3.35 cannot drop one.
"""

_SCHEMA_3 = """
CREATE TABLE interfaces_anew (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    server INTEGER NOT NULL REFERENCES servers (number),
    network INTEGER NOT NULL REFERENCES networks (place),
    mac_address TEXT NOT NULL UNIQUE,
    at REAL,
    UNIQUE (server, network)
);
INSERT INTO interfaces_anew (number, id, server, network, mac_address)
    SELECT number, id, server, network, mac_address FROM virtual_interfaces ORDER BY number;
DROP TABLE virtual_interfaces;
ALTER TABLE interfaces_anew RENAME TO virtual_interfaces;
CREATE INDEX virtual_interfaces_by_network ON virtual_interfaces (network);
CREATE TABLE addresses_anew (
    network INTEGER NOT NULL,
    address TEXT NOT NULL,
    interface INTEGER NOT NULL REFERENCES virtual_interfaces (number) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    PRIMARY KEY (network, address)
) WITHOUT ROWID;
INSERT INTO addresses_anew SELECT network, address, interface, place FROM addresses;
DROP TABLE addresses;
ALTER TABLE addresses_anew RENAME TO addresses;
CREATE UNIQUE INDEX addresses_by_interface ON addresses (interface, place);
"""
"""When an interface was attached, in its own row, and no index of all their ids.

In a large world each attachment wrote a page of that index and one of `touches` that no other of
its commit did. An interface is found by its server; its id follows from its number.

The index of addresses holds all that a list asks for. SQLite knows that of an index that was made
by its own statement, not of a constraint's, for which it read a page for each address.
"""

MIGRATIONS: tuple[str, ...] = (_SCHEMA_1, _SCHEMA_2, _SCHEMA_3)
"""What makes each schema from the one before; the first from an empty file."""


def path_of(url: str) -> Path:
    """Return the file that a URL names.

    Raises:
        UsageError: it names none.
    """
    text = url.removeprefix(_PREFIX)
    if text == url or not text or "\0" in text:
        raise UsageError(f"{url!r} names no file ({_SHAPE})")
    if text == ":memory:":
        raise UsageError(f"{url} would forget everything, as memory: does (write memory:)")
    return Path(text)


class Hold:
    """The right of one process to use a file: a lock on a file beside it.

    SQLite's own locks cannot tell a second simulator from our second connection.

    Raises:
        BackendError: another process has it, or there is no writing here.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(f"{path.name}-lock")
        self._file = -1
        while self._file < 0:
            self._file = self._take(path)

    def _take(self, path: Path) -> int:
        """Return the locked file, or -1 where its last holder removed it at this moment."""
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise _cannot_write(path, exc) from exc
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(file)
            raise BackendError(
                f"{path} is in use by another vifsim (stop that one, or use another file)"
            ) from exc
        if self._is_in_place(file):
            return file
        os.close(file)
        return -1

    def _is_in_place(self, file: int) -> bool:
        try:
            return os.path.samestat(self._path.stat(), os.fstat(file))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let the next one have the file; harmless when called twice."""
        if self._file >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


class Watch:
    """Sees whether the files that a connection writes still stand where they were opened.

    SQLite goes on writing a file that was removed or moved; what it commits there is lost.

    Args:
        path: the file; open, with its log beside it.
    """

    def __init__(self, path: Path) -> None:
        self._files = [(str(path), path.stat())]
        log = path.with_name(f"{path.name}-wal")
        if log.exists():
            self._files.append((str(log), log.stat()))

    def look(self) -> None:
        """Look at the files.

        Raises:
            sqlite3.OperationalError: one is not there, or another stands in its place.
        """
        for path, opened in self._files:
            try:
                found = os.stat(path)  # noqa: PTH116 -- looked at before each commit: a path costs
            except OSError as exc:
                raise sqlite3.OperationalError(f"{path} is gone: {exc.strerror}") from exc
            if not os.path.samestat(found, opened):
                raise sqlite3.OperationalError(f"{path} was replaced by another file")


def _cannot_write(path: Path, exc: OSError) -> BackendError:
    hint = "let this user read and write the file and its folder"
    if isinstance(exc, FileNotFoundError):
        hint = f"make the folder first: mkdir -p {path.parent}"
    return BackendError(f"{path} cannot be used: {exc.strerror} ({hint})")


def check_place(path: Path) -> None:
    """Refuse a place where no database can be.

    Raises:
        BackendError: the folder is missing, or something that is no file stands there.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        raise BackendError(
            f"there is no folder {path.parent} (make it first: mkdir -p {path.parent})"
        ) from None
    except OSError as exc:
        raise _cannot_write(path, exc) from exc
    if not stat.S_ISREG(found.st_mode):
        raise BackendError(f"{path} is no file (name a file, as in sqlite:///{path / 'demo.db'})")


def is_blank(path: Path) -> bool:
    """Return whether the file is still empty; make it where it is missing.

    Raises:
        BackendError: it is somebody else's, or cannot be read and written.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as exc:
        raise _cannot_write(path, exc) from exc
    with os.fdopen(file, "rb") as opened:
        head = opened.read(_HEAD_BYTES)
    if head and head[:16] != _MAGIC:
        raise BackendError(f"{path} is not a SQLite database (use another file, or remove it)")
    if head and int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise BackendError(f"{path} is the database of another program (use another file)")
    return not head


def connect(path: Path) -> sqlite3.Connection:
    """Return a new connection that leaves transactions to us."""
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, cached_statements=256)


def prepare_writer(connection: sqlite3.Connection, path: Path, *, blank: bool) -> None:
    """Check the database and bring it to this version's schema.

    Raises:
        BackendError: damaged, or written by a newer version.
        sqlite3.Error: see `refusal`.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise BackendError(
            f"{path} was written by a newer vifsim (schema {version}); upgrade vifsim"
        )
    _check(connection, path)
    if blank:
        # Before the switch to WAL, so that the mark is in the file itself and never only beside it.
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise BackendError(f"{path} is on a file system without shared memory (use a local disk)")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    if version < len(MIGRATIONS):
        # Some builds of SQLite hold them from the start: a dropped table would take others' rows.
        connection.execute("PRAGMA foreign_keys = OFF")
        _migrate(connection, version)
    connection.execute("PRAGMA foreign_keys = ON")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Read through a file of ordinary size; a huge one shows its damage where it is met."""
    if path.stat().st_size > _CHECKED_BYTES:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _damaged(path, verdict)


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the schema from a version to the last one, or leave it as it is."""
    steps = ";".join(MIGRATIONS[version:])
    try:
        connection.executescript(
            f"BEGIN IMMEDIATE; {steps}; PRAGMA user_version = {len(MIGRATIONS)}; COMMIT"
        )
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def prepare_reader(connection: sqlite3.Connection) -> None:
    """Make sure that a connection only reads."""
    connection.execute("PRAGMA query_only = ON")


def refusal(path: Path, exc: Exception) -> BackendError:
    """Return what a foreign error at the opening means to the user."""
    name = getattr(exc, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return BackendError(f"{path} is locked by another program (close that one first)")
    if name.startswith("SQLITE_READONLY"):
        return BackendError(f"{path} cannot be written (let this user write it and its folder)")
    if name.startswith("SQLITE_FULL"):
        return BackendError(f"{path} cannot grow: {exc} (make room on its disk)")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_IOERR")):
        return BackendError(f"{path} cannot be used: {exc} (check the disk and the folder)")
    return _damaged(path, str(exc))


def _damaged(path: Path, reason: str) -> BackendError:
    line = " ".join(reason.split())
    return BackendError(f"{path} is damaged: {line} (restore a copy, or remove the file)")
