"""New rows that wait to be written together: one statement for many costs a third of one for each.

The house rule: what is held is written before anything else is said to SQLite, and before the
commit; that the tables take it is an assumption until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vifsim_backends import sqlite_statements as sql

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

Values = tuple[Any, ...]

MOST = 1_000
"""Interfaces that are held before they are written."""


class HeldRows:
    """Interfaces, their addresses and when their servers were touched, not in the tables yet.

    Attributes:
        interfaces: parameters of `INSERT_INTERFACE`; to be appended to.
        addresses: of `INSERT_ADDRESS`, likewise.
        touches: of `TOUCH`, by the server's number.
    """

    __slots__ = ("addresses", "interfaces", "touches")

    def __init__(self) -> None:
        self.interfaces: list[Values] = []
        self.addresses: list[Values] = []
        self.touches: dict[int, float] = {}

    def __bool__(self) -> bool:
        return bool(self.interfaces or self.touches)

    def statements(self) -> Iterator[tuple[str, list[Values]]]:
        """Yield what is to be said, in an order that the tables take."""
        yield sql.INSERT_INTERFACE, self.interfaces
        yield sql.INSERT_ADDRESS, self.addresses
        yield sql.TOUCH, list(self.touches.items())

    def write(self, connection: sqlite3.Connection) -> None:
        """Write all of it.

        Raises:
            sqlite3.Error: some may be written; the transaction is to be given up.
        """
        for statement, rows in self.statements():
            connection.executemany(statement, rows)
        self.drop()

    def drop(self) -> None:
        """Forget all of it."""
        self.interfaces.clear()
        self.addresses.clear()
        self.touches.clear()
