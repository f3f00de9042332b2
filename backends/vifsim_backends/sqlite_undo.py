"""What leads back in SQLite's tables: each row that was written, as it was before.

The house rule: a row is set as it was, never by the rules of the cloud; each step leaves the tables
as they once were, so that every constraint holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vifsim.errors import ControlFault
from vifsim_backends import sqlite_statements as sql
from vifsim_backends.row_values import NETWORK_COLUMNS, SERVER_COLUMNS, USER_COLUMNS
from vifsim_backends.way_back import WayBack

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from vifsim_backends.way_back import Place

Values = tuple[Any, ...]


class Table:
    """Columns of a table that are set together, the key first."""

    def __init__(self, name: str, columns: tuple[str, ...], key: int = 1) -> None:
        self.key = key
        where = " AND ".join(f"{column} = ?" for column in columns[:key])
        changed = ", ".join(f"{column} = ?" for column in columns[key:])
        self.select = f"{sql.select(name, columns)} WHERE {where}"
        self.insert = sql.insert(name, columns)
        self.update = f"UPDATE {name} SET {changed} WHERE {where}"  # noqa: S608 -- our own names
        self.delete = f"DELETE FROM {name} WHERE {where}"  # noqa: S608 -- likewise


Entry = tuple[Table, Values, Values | None]
"""A row as it was: where, its key, and its columns, or None where there was none."""

META = Table("meta", ("one", "seed", "settings"))
SEQUENCES = Table("sequences", ("kind", "number"))
TENANTS = Table("tenants", ("id", "quotas", "place"))
USERS = Table("users", ("name", *(c for c in USER_COLUMNS if c != "name"), "place"))
TOKENS = Table("tokens", (*sql.TOKEN_COLUMNS, "place"))
NETWORKS = Table("networks", (*NETWORK_COLUMNS, "place"))
SERVERS = Table("servers", (*SERVER_COLUMNS, "released"))
TOUCHES = Table("touches", ("server", "at"))
RELEASED = Table("servers", ("number", "released"))
INTERFACES = Table("virtual_interfaces", sql.INTERFACE_COLUMNS)
ADDRESSES = Table("addresses", sql.ADDRESS_COLUMNS, key=2)


class UndoLog:
    """The rows that were written, as they were; those of a transaction are apart until it ends."""

    def __init__(self) -> None:
        self._way: WayBack[Entry] = WayBack()
        self._pending: list[Entry] = []
        self._cut = False

    @property
    def place(self) -> Place:
        """Where the log ended at the last commit."""
        return self._way.place

    @property
    def pending(self) -> list[Entry]:
        """What the transaction has written so far; to be appended to."""
        return self._pending

    def remember(self, connection: sqlite3.Connection, table: Table, key: Values) -> None:
        """Keep a row as it is now, before it is written."""
        row = connection.execute(table.select, key).fetchone()
        self._pending.append((table, key, row))

    def cut(self) -> None:
        """Let nothing lead back beyond here: the transaction changes too much."""
        self._cut = True
        self._pending.clear()

    def take_back(self, to: int) -> None:
        """Forget what the transaction wrote since its log had this length."""
        del self._pending[to:]

    def give_up(self) -> None:
        """Forget the transaction."""
        self._pending.clear()
        self._cut = False

    def keep(self) -> None:
        """Keep what the transaction wrote: it is committed."""
        if self._cut:
            self._way.cut()
            self._cut = False
        self._way.steps.extend(self._pending)
        self._way.trim()
        self._pending.clear()

    def back_to(self, place: Place) -> list[Entry]:
        """Return the rows to be set, in their order, to be at a place again.

        Raises:
            ControlFault: 409, what leads there is forgotten.
        """
        if self._cut:
            raise ControlFault(409, "the same breath began the cloud anew")
        return [*reversed(self._pending), *self._way.back_to(place)]


def set_rows(connection: sqlite3.Connection, entries: Iterable[Entry], log: UndoLog) -> None:
    """Set rows as they were, and keep them as they are now."""
    for table, key, row in entries:
        now = connection.execute(table.select, key).fetchone()
        log.pending.append((table, key, now))
        if row is None:
            connection.execute(table.delete, key)
        elif now is None:
            connection.execute(table.insert, row)
        else:
            connection.execute(table.update, (*row[table.key :], *key))
