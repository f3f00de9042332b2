"""What a SQLite backend in use does when its disk or its file fails it."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from vifsim.clock import SimClock
from vifsim.conformance import BLUE, ONE, THREE, TWO, attach, attached, boot, contents, world
from vifsim.draws import draw
from vifsim.errors import ApiFault, BackendError, ServiceUnavailable
from vifsim_backends.sqlite import SqliteBackend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vifsim.model import ServerId


@pytest.fixture
def clock() -> SimClock:
    return SimClock(mode="manual")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", str(place)], check=True)


def mount(*arguments: str) -> None:
    made = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("nothing may be mounted here")


def at(folder: Path, clock: SimClock) -> SqliteBackend:
    return SqliteBackend(f"sqlite:///{folder}/demo.db", clock=clock)


def fill(file: Path) -> None:
    """Fill the disk of a file with it."""
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


async def boot_until_refused(backend: SqliteBackend) -> list[ServerId]:
    """Make servers until there is no more room, and return those that were answered."""
    made: list[ServerId] = []
    with suppress(ServiceUnavailable):
        while len(made) < 2000:
            made.append(await boot(backend, "x" * 200))
    return made


async def test_a_full_disk_is_a_503_until_there_is_room_again(
    small_disk: Path, clock: SimClock
) -> None:
    backend = at(small_disk, clock)
    await backend.open(world())
    first = await attach(backend)
    fill(small_disk / "filler")

    made = await boot_until_refused(backend)
    with pytest.raises(ServiceUnavailable):
        await boot(backend, "x" * 200)
    listed = await attached(backend)
    remove(small_disk / "filler")
    later = await attach(backend, TWO)
    await backend.close()

    again = at(small_disk, clock)
    await again.open(world())
    assert listed == await attached(again) == [first]
    assert await attached(again, TWO) == [later]
    for server_id in made:
        assert await attached(again, server_id) == []
    await again.close()


def remove(file: Path) -> None:
    file.unlink()


async def test_a_disk_that_is_full_at_the_start_is_refused(
    small_disk: Path, clock: SimClock
) -> None:
    fill(small_disk / "filler")

    with pytest.raises(BackendError) as refused:
        await at(small_disk, clock).open(world())

    assert "\n" not in str(refused.value)
    assert "(" in str(refused.value)
    assert names_in(small_disk) == ["filler"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_disk_that_is_read_only_is_refused_and_left_alone(
    small_disk: Path, clock: SimClock
) -> None:
    backend = at(small_disk, clock)
    await backend.open(world())
    await backend.close()
    mount("-o", "remount,ro", str(small_disk))

    with pytest.raises(BackendError, match="Read-only file system"):
        await at(small_disk, clock).open(world())

    assert names_in(small_disk) == ["demo.db"]


@pytest.mark.parametrize("lost", ["demo.db", "demo.db-wal"])
async def test_a_file_that_vanished_is_a_503_until_it_is_back(
    tmp_path: Path, clock: SimClock, caplog: pytest.LogCaptureFixture, lost: str
) -> None:
    backend = at(tmp_path, clock)
    await backend.open(world())
    first = await attach(backend)
    move(tmp_path / lost, tmp_path / "elsewhere")

    for _ in range(2):
        with pytest.raises(ServiceUnavailable):
            await attach(backend, TWO)
    move(tmp_path / "elsewhere", tmp_path / lost)
    second = await attach(backend, TWO)
    await backend.close()

    again = at(tmp_path, clock)
    await again.open(world())
    assert await attached(again) == [first]
    assert await attached(again, TWO) == [second]
    await again.close()
    assert [f"{lost} is gone" in record.getMessage() for record in caplog.records] == [True]


def move(file: Path, to: Path) -> None:
    file.rename(to)


async def test_a_file_that_another_took_the_place_of_is_a_503(
    tmp_path: Path, clock: SimClock
) -> None:
    backend = at(tmp_path, clock)
    await backend.open(world())
    move(tmp_path / "demo.db", tmp_path / "elsewhere")
    (tmp_path / "demo.db").touch()

    with pytest.raises(ServiceUnavailable):
        await attach(backend)

    await backend.close()


async def check_damage_in_use(folder: Path, seed: int) -> None:
    """Damage the file and its log at random places while a backend has them open."""
    backend = at(folder, SimClock(mode="manual"))
    await backend.open(world())
    await attach(backend)
    for name in ("demo.db", "demo.db-wal"):
        damage(folder / name, seed)

    for server_id in (ONE, TWO, THREE):
        with suppress(ApiFault):
            await attach(backend, server_id, BLUE)
        with suppress(ApiFault):
            await attached(backend, server_id)
    with suppress(ApiFault):
        await contents(backend)
    await backend.close()
    again = at(folder, SimClock(mode="manual"))
    with suppress(BackendError):
        await again.open(world())
        with suppress(ApiFault):
            await contents(again)
    await again.close()


def new(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def damage(file: Path, seed: int) -> None:
    """Write what nobody meant over a piece of a file."""
    size = file.stat().st_size
    length = 1 + int(draw(seed, file.name, "length") * 2000)
    place = int(draw(seed, file.name, "place") * max(1, size - length))
    junk = bytes(int(draw(seed, str(number)) * 256) for number in range(length))
    with file.open("r+b") as opened:
        opened.seek(place)
        opened.write(junk)
        opened.flush()
        os.fsync(opened.fileno())


async def test_damage_to_a_file_in_use_is_no_defect(tmp_path: Path) -> None:
    for seed in range(8):
        await check_damage_in_use(new(tmp_path, str(seed)), seed)


@pytest.mark.long
@pytest.mark.parametrize("part", range(10))
async def test_damage_at_500_places_of_a_file_in_use_is_no_defect(
    tmp_path: Path, part: int
) -> None:
    for seed in range(100 + 50 * part, 150 + 50 * part):
        await check_damage_in_use(new(tmp_path, str(seed)), seed)
