"""Who waits for whom: advisory locks of one cloud's tables.

Whoever reads or writes a part holds the lock of all shared and the locks of its parts; whoever
changes the whole holds the lock of all alone.

The house rule: the lock of all first, then the parts in the order of their numbers, so that no two
ever wait for one another.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from zlib import crc32

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection | PoolConnectionProxy

_ALL = 0


class Locks:
    """The locks of one cloud.

    Args:
        table: the object id of one of its tables: another schema's locks are others.
    """

    def __init__(self, table: int) -> None:
        self._class = _signed(table)

    @asynccontextmanager
    async def parts(
        self, connection: Connection, parts: Iterable[str], *, relaxed: bool = False
    ) -> AsyncGenerator[None]:
        """Run a transaction that holds the locks of these parts.

        Args:
            connection: that is in no transaction.
            parts: their names; two that share a number only wait once too often.
            relaxed: whether the last moments of it may be lost where the database crashes.
        """
        numbers = ",".join(str(number) for number in sorted({_number(part) for part in parts}))
        of_all = f"SELECT pg_advisory_xact_lock_shared({self._class}, {_ALL})"
        each = f"pg_advisory_xact_lock({self._class}, part)"
        of_parts = f"SELECT {each} FROM unnest('{{{numbers}}}'::integer[]) AS part"  # noqa: S608 -- numbers of our own
        async with self._transaction(connection, f"{of_all}; {of_parts}", relaxed=relaxed):
            yield

    @asynccontextmanager
    async def everything(self, connection: Connection) -> AsyncGenerator[None]:
        """Run a transaction that nobody else's overlaps."""
        async with self._transaction(
            connection, f"SELECT pg_advisory_xact_lock({self._class}, {_ALL})"
        ):
            yield

    @asynccontextmanager
    async def _transaction(
        self, connection: Connection, locks: str, *, relaxed: bool = False
    ) -> AsyncGenerator[None]:
        # One round trip; what follows sees what was committed before the locks were had.
        begin = "BEGIN; SET LOCAL synchronous_commit = off" if relaxed else "BEGIN"
        try:
            await connection.execute(f"{begin}; {locks}")
            yield
            await connection.execute("COMMIT")
        except BaseException:
            with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.execute("ROLLBACK")
            raise


def _number(part: str) -> int:
    """Return the number of a part's lock, never that of all."""
    return _signed(crc32(part.encode("utf-8", "surrogatepass"))) or 1


def _signed(number: int) -> int:
    return number - (1 << 32) if number >= 1 << 31 else number
