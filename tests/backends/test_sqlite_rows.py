from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from vifsim import operations, seeding
from vifsim.clock import SimClock
from vifsim.conformance import ALPHA, BLUE, ONE, TWO, a_call, world
from vifsim.errors import Conflict, ServiceUnavailable
from vifsim.model import Server, ServerId, Settings, VirtualInterface
from vifsim_backends import sqlite_file
from vifsim_backends.sqlite_rows import SqliteRows
from vifsim_backends.sqlite_writer import WriterRows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vifsim.rows import Rows
    from vifsim_backends.sqlite_rows import Work

GHOST = Server(id=ServerId("ghost"), number=500, tenant=ALPHA, name="ghost")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "demo.db"
    connection = sqlite_file.connect(path)
    sqlite_file.prepare_writer(connection, path, blank=True)
    yield connection
    connection.close()


@pytest.fixture
def rows(connection: sqlite3.Connection) -> WriterRows:
    rows = WriterRows(connection, Settings(), 7, SimClock(mode="manual"))

    async def fill(_: Rows) -> None:
        rows.clear(Settings(), 7)
        await seeding.populate(rows, world())

    (result,) = rows.run_batch([work(fill)])
    assert result.error is None
    return rows


def work(operation: Any, *args: Any) -> Work:
    return operation, args, {}


def attach_to_blue(server_id: ServerId) -> Work:
    return work(operations.attach, a_call(), server_id, BLUE)


async def write_and_fail(rows: Rows) -> None:
    await rows.put_server(GHOST)
    await rows.set_sequence("mac", 1000)
    await rows.set_sequence("new kind", 1)
    raise Conflict("too late")


async def ghost(rows: Rows) -> Server | None:
    return await rows.server(GHOST.id)


def test_an_operation_that_fails_late_leaves_nothing_and_its_neighbours_stand(
    rows: WriterRows,
) -> None:
    batch = [attach_to_blue(ONE), work(write_and_fail), attach_to_blue(TWO), work(ghost)]

    first, failed, second, looked = rows.run_batch(batch)

    assert isinstance(failed.error, Conflict)
    assert looked.value is None
    assert (first.value.addresses, second.value.addresses) == (("192.168.0.1",), ("192.168.0.2",))
    assert second.value.mac_address == "BC:76:4E:00:00:02"


def test_sequences_of_a_batch_are_in_the_tables_after_it(
    rows: WriterRows, connection: sqlite3.Connection
) -> None:
    rows.run_batch([attach_to_blue(ONE), work(write_and_fail), attach_to_blue(TWO)])

    stored = dict(connection.execute("SELECT kind, number FROM sequences WHERE number"))

    assert stored["mac"] == 2
    assert stored[f"address:{BLUE}"] == 2
    assert "new kind" not in stored


def test_a_commit_that_fails_fails_the_whole_batch_and_the_next_goes_on(
    rows: WriterRows, connection: sqlite3.Connection
) -> None:
    def no_commit(action: int, first: str | None, *_: str | None) -> int:
        commits = action == sqlite3.SQLITE_TRANSACTION and first == "COMMIT"
        return sqlite3.SQLITE_DENY if commits else sqlite3.SQLITE_OK

    connection.set_authorizer(no_commit)
    refused = rows.run_batch([attach_to_blue(ONE), attach_to_blue(ONE), attach_to_blue(TWO)])
    connection.set_authorizer(None)
    (again,) = rows.run_batch([attach_to_blue(ONE)])

    assert [type(result.error) for result in refused] == [ServiceUnavailable] * 3
    assert not any(result.notes for result in refused)
    assert again.value.addresses == ("192.168.0.1",)
    assert again.value.number == 1


def test_a_full_disk_makes_the_service_unavailable_and_loses_nothing(
    rows: WriterRows, connection: sqlite3.Connection
) -> None:
    (first,) = rows.run_batch([attach_to_blue(ONE)])
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")

    results = [rows.run_batch([work(_big_server, number)])[0] for number in range(100, 140)]
    connection.execute("PRAGMA max_page_count = 100000")
    (listed,) = rows.run_batch([work(operations.list_interfaces, a_call(), ONE)])

    assert ServiceUnavailable in [type(result.error) for result in results]
    assert list(listed.value) == [first.value]
    assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)


async def _big_server(rows: Rows, number: int) -> None:
    name = "x" * 3000
    await rows.put_server(Server(id=_server(number), number=number, tenant=ALPHA, name=name))


def test_settings_are_taken_back_with_the_batch(
    rows: WriterRows, connection: sqlite3.Connection
) -> None:
    async def configure_and_fail(_: Rows) -> None:
        rows.configure(Settings(region="ORD"), 8)
        raise Conflict("too late")

    rows.run_batch([attach_to_blue(ONE), work(configure_and_fail)])

    assert (rows.settings, rows.seed) == (Settings(), 7)


def test_rows_refuse_an_interface_that_breaks_a_rule(rows: WriterRows) -> None:
    (made,) = rows.run_batch([attach_to_blue(ONE)])
    interface: VirtualInterface = made.value

    async def put(rows: Rows, **changed: Any) -> None:
        values = {"number": 9, "id": "other", "server_id": TWO, "mac_address": "other"}
        values |= {"addresses": ("192.168.0.9",), **changed}
        await rows.put_interface(_changed(interface, values))

    broken: list[dict[str, Any]] = [
        {"server_id": ONE},
        {"mac_address": interface.mac_address},
        {"addresses": interface.addresses},
        {"server_id": ServerId("nowhere")},
    ]
    for changed in broken:
        (result,) = rows.run_batch([(put, (), changed)])
        assert isinstance(result.error, Conflict), changed


def test_an_address_or_mac_that_is_taken_is_passed_over_also_next_to_others(
    rows: WriterRows,
) -> None:
    (made,) = rows.run_batch([attach_to_blue(ONE)])
    by_hand: list[dict[str, Any]] = [
        {"mac_address": "BC:76:4E:00:00:02", "addresses": ("192.168.0.9",)},
        {"mac_address": "other", "addresses": ("192.168.0.3",)},
    ]
    rows.run_batch(
        [
            work(_a_server, 50, made.value, {"id": "a", **by_hand[0]}),
            work(_a_server, 51, made.value, {"id": "b", **by_hand[1]}),
        ]
    )

    (attached,) = rows.run_batch([attach_to_blue(TWO)])
    (detached, again) = rows.run_batch(
        [work(operations.detach, a_call(), TWO, attached.value.id), attach_to_blue(TWO)]
    )

    assert attached.value.mac_address == "BC:76:4E:00:00:03"
    assert attached.value.addresses == ("192.168.0.2",)
    assert detached.error is None
    assert again.value.addresses == ("192.168.0.4",)


async def _a_server(
    rows: Rows, number: int, like: VirtualInterface, values: dict[str, Any]
) -> None:
    await rows.put_server(Server(id=_server(number), number=number, tenant=ALPHA, name="n"))
    await rows.put_interface(
        _changed(like, {"number": number, "server_id": _server(number), **values})
    )


def _server(number: int) -> ServerId:
    return ServerId(f"server-{number}")


def test_an_operation_reads_what_an_earlier_one_of_its_batch_wrote(rows: WriterRows) -> None:
    async def look(rows: Rows) -> tuple[VirtualInterface | None, int, bool]:
        (one,) = await rows.interfaces(ONE)
        in_use = await rows.address_in_use(BLUE, one.addresses[0])
        return await rows.interface(ONE, one.id), await rows.on_network(BLUE), in_use

    attached, looked, _ = rows.run_batch([attach_to_blue(ONE), work(look), attach_to_blue(TWO)])

    assert looked.value == (attached.value, 1, True)


def test_a_disk_that_is_full_at_the_end_of_a_batch_keeps_what_was_answered_and_no_more(
    rows: WriterRows, connection: sqlite3.Connection
) -> None:
    async def servers(rows: Rows) -> None:
        for number in range(100, 1100):
            await rows.put_server(Server(id=_server(number), number=number, tenant=ALPHA, name="n"))

    rows.run_batch([work(servers)])
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    results = rows.run_batch([attach_to_blue(_server(number)) for number in range(100, 1100)])
    connection.execute("PRAGMA max_page_count = 100000")

    answered = sorted(result.value.id for result in results if result.error is None)
    stored = [row[0] for row in connection.execute("SELECT id FROM virtual_interfaces ORDER BY id")]
    assert {type(result.error) for result in results} >= {ServiceUnavailable}
    assert stored == answered


def _changed(interface: VirtualInterface, values: dict[str, Any]) -> VirtualInterface:
    kept: dict[str, Any] = {key: getattr(interface, key) for key in ("network_id", "network_label")}
    return VirtualInterface(**kept | values)


def test_a_document_in_the_tables_that_is_none_makes_the_service_unavailable(
    rows: WriterRows, connection: sqlite3.Connection
) -> None:
    connection.execute("UPDATE servers SET metadata = '{'")
    reader = SqliteRows(connection, rows.settings, 7, rows.clock)

    (result,) = reader.run_batch([work(operations.list_interfaces, a_call(), ONE)])

    assert isinstance(result.error, ServiceUnavailable)


def test_a_time_in_the_tables_that_is_none_makes_the_service_unavailable(
    rows: WriterRows, connection: sqlite3.Connection
) -> None:
    rows.run_batch([attach_to_blue(ONE)])
    connection.execute("UPDATE virtual_interfaces SET at = 'noon'")
    again = WriterRows(connection, rows.settings, 7, rows.clock)

    (result,) = again.run_batch([attach_to_blue(ONE)])

    assert isinstance(result.error, ServiceUnavailable)


def test_an_operation_that_would_suspend_is_a_defect_that_is_told(
    connection: sqlite3.Connection,
) -> None:
    reader = SqliteRows(connection, Settings(), 7, SimClock(mode="manual"))

    async def suspends(rows: Rows) -> None:
        await rows.clock.sleep_until(rows.clock.now() + 1)

    (result,) = reader.run_batch([work(suspends)])

    assert isinstance(result.error, RuntimeError)
