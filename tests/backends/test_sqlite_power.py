"""What survives of a SQLite store when the power fails: what was synced, and perhaps more.

A layer between SQLite and its files (a "VFS", here in Python, through ctypes) records what is
written, truncated and synced. A power failure is a place in that record: each file is then what it
was at its last sync, and of what was written since a part that nobody can foretell, none of it, any
of it, half of it.
"""

from __future__ import annotations

import asyncio
import ctypes
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from vifsim.clock import SimClock
from vifsim.conformance import BLUE, attach, attached, boot, detach, world
from vifsim.draws import draw
from vifsim.model import PUBLIC
from vifsim_backends import sqlite_file
from vifsim_backends.sqlite import SqliteBackend

if TYPE_CHECKING:
    from collections.abc import Generator

    from vifsim.model import ServerId, VirtualInterface

SERVERS = 40
FAILURES = 40
POINTER = ctypes.c_void_p
INT = ctypes.c_int
LONG_INT = ctypes.c_int64
OPEN = ctypes.CFUNCTYPE(INT, POINTER, POINTER, POINTER, INT, POINTER)
WRITE = ctypes.CFUNCTYPE(INT, POINTER, POINTER, INT, LONG_INT)
TRUNCATE = ctypes.CFUNCTYPE(INT, POINTER, LONG_INT)
SYNC = ctypes.CFUNCTYPE(INT, POINTER, INT)
DELETE = ctypes.CFUNCTYPE(INT, POINTER, POINTER, INT)


class Vfs(ctypes.Structure):
    """`sqlite3_vfs`. Source: sqlite.org/c3ref/vfs.html."""

    _fields_ = (
        ("version", INT),
        ("file_size", INT),
        ("longest_path", INT),
        ("next", POINTER),
        ("name", ctypes.c_char_p),
        ("data", POINTER),
        ("open", POINTER),
        ("delete", POINTER),
        ("others", POINTER * 14),
    )


class Methods(ctypes.Structure):
    """`sqlite3_io_methods`. Source: sqlite.org/c3ref/io_methods.html."""

    _fields_ = (
        ("version", INT),
        ("close", POINTER),
        ("read", POINTER),
        ("write", POINTER),
        ("truncate", POINTER),
        ("sync", POINTER),
        ("others", POINTER * 13),
    )


@dataclass(frozen=True, slots=True)
class Step:
    """What SQLite did to a file: wrote bytes at a place, cut it to a size, synced or removed it."""

    kind: Literal["write", "truncate", "sync", "delete"]
    file: str
    place: int = 0
    content: bytes = b""


@dataclass
class Recorder:
    """A layer that passes everything on and records it."""

    steps: list[Step] = field(default_factory=list[Step])
    names: dict[int, str] = field(default_factory=dict[int, str])
    kept: list[Any] = field(default_factory=list[Any])
    patched: dict[int, Methods] = field(default_factory=dict[int, Methods])

    def vfs_over(self, real: Vfs) -> Vfs:
        """Return a layer over that one."""
        vfs = Vfs.from_buffer_copy(real)
        vfs.name = b"recorder"
        address = ctypes.addressof(real)
        opening = OPEN(partial(self.on_open, OPEN(real.open), address))
        deleting = DELETE(partial(self.on_delete, DELETE(real.delete), address))
        vfs.open = ctypes.cast(opening, POINTER)
        vfs.delete = ctypes.cast(deleting, POINTER)
        self.kept += [vfs, opening, deleting]
        return vfs

    def on_open(self, real: Any, vfs: int, _: int, name: int | None, file: int, *rest: Any) -> int:
        code: int = real(vfs, name, file, *rest)
        if code == sqlite3.SQLITE_OK and name is not None:
            self.names[file] = Path(ctypes.string_at(name).decode()).name
            methods = POINTER.from_address(file)
            assert methods.value is not None
            methods.value = ctypes.addressof(self.methods_over(methods.value))
        return code

    def on_delete(self, real: Any, vfs: int, _: int, name: int, sync: int) -> int:
        code: int = real(vfs, name, sync)
        self.steps.append(Step("delete", Path(ctypes.string_at(name).decode()).name))
        return code

    def methods_over(self, address: int) -> Methods:
        if address not in self.patched:
            real = Methods.from_address(address)
            made = Methods.from_buffer_copy(real)
            hooks = {
                "write": WRITE(partial(self.on_write, WRITE(real.write))),
                "truncate": TRUNCATE(partial(self.on_truncate, TRUNCATE(real.truncate))),
                "sync": SYNC(partial(self.on_sync, SYNC(real.sync))),
            }
            for name, hook in hooks.items():
                setattr(made, name, ctypes.cast(hook, POINTER))
            self.kept.append(hooks)
            self.patched[address] = made
        return self.patched[address]

    def on_write(self, real: Any, file: int, content: int, size: int, place: int) -> int:
        step = Step("write", self.names[file], place, ctypes.string_at(content, size))
        self.steps.append(step)
        code: int = real(file, content, size, place)
        return code

    def on_truncate(self, real: Any, file: int, size: int) -> int:
        self.steps.append(Step("truncate", self.names[file], size))
        code: int = real(file, size)
        return code

    def on_sync(self, real: Any, file: int, flags: int) -> int:
        code: int = real(file, flags)
        self.steps.append(Step("sync", self.names[file]))
        return code


def sqlite_library() -> ctypes.CDLL:
    """Return the very library that Python's module uses."""
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    for line in lines:
        if "libsqlite3" in line:
            return ctypes.CDLL(line.split()[-1])
    pytest.skip("SQLite is no shared library here")


@contextmanager
def recording() -> Generator[list[Step]]:
    """Let SQLite work through the layer, and yield what it does."""
    library = sqlite_library()
    library.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
    real = library.sqlite3_vfs_find(None).contents
    recorder = Recorder()
    vfs = recorder.vfs_over(real)
    assert library.sqlite3_vfs_register(ctypes.byref(vfs), 1) == sqlite3.SQLITE_OK
    yield recorder.steps
    library.sqlite3_vfs_unregister(ctypes.byref(vfs))
    library.sqlite3_vfs_register(ctypes.byref(real), 1)


@dataclass(frozen=True, slots=True)
class Told:
    """What a client did or was told, and how many steps SQLite had done by then."""

    steps: int
    verb: Literal["attached", "detaching", "detached"]
    interface: VirtualInterface


async def use(
    backend: SqliteBackend, server_id: ServerId, steps: list[Step], told: list[Told]
) -> None:
    """Attach a server twice and detach it once, and note what was answered."""
    made: list[VirtualInterface] = []
    for network_id in (BLUE, PUBLIC):
        made.append(await attach(backend, server_id, network_id))
        told.append(Told(len(steps), "attached", made[-1]))
    told.append(Told(len(steps), "detaching", made[0]))
    await detach(backend, made[0], server_id)
    told.append(Told(len(steps), "detached", made[0]))


def after_power_failure(steps: list[Step], seed: int) -> dict[str, bytearray]:
    """Return the files as they may be found: all that was synced, and a part of the rest."""
    files: dict[str, bytearray] = {}
    unsynced: dict[str, list[Step]] = {}
    for step in steps:
        waiting = unsynced.setdefault(step.file, [])
        if step.kind == "sync":
            for one in waiting:
                do(one, files.setdefault(step.file, bytearray()))
            waiting.clear()
        elif step.kind == "delete":
            waiting.clear()
            files.pop(step.file, None)
        else:
            waiting.append(step)
    share = draw(seed, "share") if seed % 2 else 0.0
    for waiting in unsynced.values():
        for number, one in enumerate(waiting):
            luck = draw(seed, "luck", str(number))
            if luck < share:
                torn = luck > share * 0.9
                do(one, files.setdefault(one.file, bytearray()), torn=torn)
    return files


def do(step: Step, file: bytearray, *, torn: bool = False) -> None:
    """Do to the content of a file what SQLite did to the file, or only half of it."""
    if step.kind == "truncate":
        del file[step.place :]
        return
    content = step.content[: len(step.content) // 2] if torn else step.content
    file.extend(bytes(max(0, step.place - len(file))))
    file[step.place : step.place + len(content)] = content


def lay_down(folder: Path, files: dict[str, bytearray]) -> None:
    """Make a folder with these files."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


async def check_what_was_answered(
    folder: Path, steps: list[Step], told: list[Told], seed: int
) -> None:
    """Open the files as a power failure left them, and compare with what was answered."""
    lay_down(folder, after_power_failure(steps, seed))
    backend = SqliteBackend(f"sqlite:///{folder}/demo.db", clock=SimClock(mode="manual"))
    await backend.open(world())
    answered = [one for one in told if one.steps <= len(steps)]
    detaching = {one.interface.id for one in answered if one.verb == "detaching"}
    there = {
        found.id
        for server_id in {one.interface.server_id for one in answered}
        for found in await attached(backend, server_id)
    }
    for one in answered:
        if one.verb == "attached":
            assert one.interface.id in there | detaching, "an answered attach is lost"
        elif one.verb == "detached":
            assert one.interface.id not in there, "an answered detach came back"
    await attach(backend, await boot(backend))
    await backend.close()
    with closing(sqlite3.connect(folder / "demo.db")) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


async def record(folder: Path) -> tuple[int, list[Step], list[Told]]:
    """Let clients use a store, and return the steps before and in all, and what they were told."""
    told: list[Told] = []
    with recording() as steps:
        backend = SqliteBackend(f"sqlite:///{folder}/demo.db", clock=SimClock(mode="manual"))
        await backend.open(world())
        servers = [await boot(backend, f"s{number}") for number in range(SERVERS)]
        opened = len(steps)
        for first in range(0, SERVERS, 4):
            some = servers[first : first + 4]
            await asyncio.gather(*(use(backend, server_id, steps, told) for server_id in some))
        in_use = list(steps)
        await backend.close()
    return opened, in_use, told


async def check_power_failures(folder: Path, seeds: range) -> None:
    opened, steps, told = await record(folder)
    assert any(step.kind == "sync" and step.file == "demo.db" for step in steps[opened:])

    for seed in seeds:
        end = opened + int(draw(seed, "failure") * (len(steps) - opened))
        await check_what_was_answered(folder / f"after-{seed}", steps[:end], told, seed)


@pytest.fixture(autouse=True)
def checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log be written into the file often, so that failures meet that too."""
    monkeypatch.setattr(sqlite_file, "CHECKPOINT_PAGES", 60)


async def test_a_power_failure_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    await check_power_failures(tmp_path, range(FAILURES))


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
async def test_1500_power_failures_lose_nothing_that_was_answered(
    tmp_path: Path, part: int
) -> None:
    await check_power_failures(tmp_path, range(150 * part, 150 * part + 150))
