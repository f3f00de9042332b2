"""What the connection that writes knows in memory of what its operations read.

Nobody else writes, so what was read or written stays true until it is written again; where another
program did write all the same, SQLite tells, and everything is read anew.

The house rule: what is kept in memory is forgotten with the transaction; what is written is logged
as it was before.
"""

from __future__ import annotations

import math
import sqlite3
from itertools import islice
from typing import TYPE_CHECKING, Any

from vifsim.values import slotted
from vifsim_backends import sqlite_statements as sql
from vifsim_backends import sqlite_undo as undo
from vifsim_backends.row_values import TOMBSTONES, latest, server_of
from vifsim_backends.sqlite_held import HeldRows
from vifsim_backends.sqlite_rows import UNUSABLE, SqliteRows, WroteAndFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vifsim.clock import Clock
    from vifsim.model import (
        Network,
        NetworkId,
        Server,
        ServerId,
        Settings,
        Tenant,
        TenantId,
        Token,
        User,
        VirtualInterface,
    )
    from vifsim_backends.sqlite_rows import Result, Values, Work

_TRIM_EVERY = 1_000
_MOST_KNOWN = 4_096
"""Servers that are kept in memory: some four megabytes."""
_FEWER = 1_024
"""How many of them are forgotten at once."""


@slotted
class Known:
    """A server, when its interfaces last changed, and they themselves once they were read.

    Attributes:
        kept: what `touches` says of that; what was attached later says it in its own row.
    """

    server: Server
    touched: float | None
    kept: float | None
    interfaces: Sequence[VirtualInterface] | None


class KnownRows(SqliteRows):
    """Rows of the connection that writes; what every operation reads is kept in memory too.

    Attributes:
        log: leads back to what there was.
    """

    def __init__(
        self, connection: sqlite3.Connection, settings: Settings, seed: int, clock: Clock
    ) -> None:
        super().__init__(connection, settings, seed, clock)
        self.log = undo.UndoLog()
        self._pending = self.log.pending
        self._held = HeldRows()
        self._execute = self._say
        self._data_version = -1
        self._sequences: dict[str, int] = {}
        self._unwritten: set[str] = set()
        self._before: dict[str, int] = {}
        self._tenants: dict[TenantId, Tenant | None] = {}
        self._networks: dict[NetworkId, Network] = {}
        self._places: dict[NetworkId, int | None] = {}
        self._crowds: dict[NetworkId, int] = {}
        self._servers: dict[ServerId, Known] = {}
        self._filling = False
        self._careful = False
        self._wary = False
        self._next_due: float | None = None
        self._released = _TRIM_EVERY

    # ── running ──

    def run_batch(self, batch: Sequence[Work]) -> list[Result]:
        """Run operations as `SqliteRows` does, without a savepoint for each until one is needed.

        An operation checks before it writes, so that one which fails has written nothing; a
        savepoint would cost each of the others a fifth of its time. For the same reason the next
        address and MAC are assumed to be free, and new interfaces written together: SQLite
        refuses what is not so. Where one did write and fail, or was refused, the batch is taken
        back and run again: each operation looks, writes for itself, and under a savepoint.
        """
        self._careful = False
        try:
            results = super().run_batch(batch)
        except WroteAndFailed:
            self._careful = True
            results = super().run_batch(batch)
        self.log.keep()
        return results

    def _begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        (version,) = self._one("PRAGMA data_version")
        if version != self._data_version:
            self._data_version = version
            self._forget_what_is_known()

    def _run(self, work: Work) -> Result:
        before = self.settings, self.seed
        changes = self._connection.total_changes
        logged = len(self._pending)
        self._filling = False
        self._before.clear()
        if self._careful:
            self._execute("SAVEPOINT operation")
        result = super()._run(work)
        if result.error is not None and (
            self._before or len(self._pending) > logged or self._connection.total_changes > changes
        ):
            self._undo(before, logged)
        if self._careful:
            self._execute("RELEASE operation")
        return result

    def _undo(self, before: tuple[Settings, int], logged: int) -> None:
        """Take back what an operation wrote before it failed."""
        if not self._careful:
            raise WroteAndFailed
        self._execute("ROLLBACK TO operation")
        self.settings, self.seed = before
        self.log.take_back(logged)
        self._sequences.update(self._before)
        self._unwritten.update(self._sequences)
        self.flush()
        self._forget_rows()

    def _say(self, statement: str, values: Values = ()) -> sqlite3.Cursor:
        if self._held:
            self._write_held()
        return self._connection.execute(statement, values)

    def _write_held(self) -> None:
        try:
            self._held.write(self._connection)
        except UNUSABLE as exc:
            # What was assumed here once is looked at from now on.
            self._wary = self._wary or isinstance(exc, sqlite3.IntegrityError)
            raise WroteAndFailed from exc

    def flush(self) -> None:
        if self._held:
            self._write_held()
        if not self._unwritten:
            return
        changed = [(kind, self._sequences[kind]) for kind in self._unwritten]
        self._connection.executemany(sql.UPSERT_SEQUENCE, changed)
        self._unwritten.clear()

    def forget(self) -> None:
        self._held.drop()
        super().forget()
        self.log.give_up()
        self._forget_what_is_known()

    def _forget_what_is_known(self) -> None:
        self._sequences.clear()
        self._unwritten.clear()
        self._forget_rows()

    def _forget_rows(self) -> None:
        self._tenants.clear()
        self._networks.clear()
        self._places.clear()
        self._crowds.clear()
        self._servers.clear()
        self._next_due = None

    def _log(self, table: undo.Table, *key: Any) -> None:
        if not self._filling:
            if self._held:
                self._write_held()
            self.log.remember(self._connection, table, key)

    # ── sequences, tenants, users, tokens ──

    async def sequence(self, kind: str) -> int:
        number = self._sequences.get(kind)
        if number is None:
            number = self._sequences[kind] = await super().sequence(kind)
        return number

    async def sequences(self, kinds: Sequence[str]) -> Sequence[int]:
        known = self._sequences
        try:
            return [known[kind] for kind in kinds]
        except KeyError:
            return [await self.sequence(kind) for kind in kinds]

    async def set_sequence(self, kind: str, number: int) -> None:
        if kind not in self._sequences:
            await self.sequence(kind)
        self._set_sequence(kind, number)

    def _set_sequence(self, kind: str, number: int) -> None:
        """Set a sequence that is known."""
        before = self._sequences[kind]
        if kind not in self._before:
            self._before[kind] = before
        if kind not in self._unwritten:
            self._unwritten.add(kind)
            self._pending.append((undo.SEQUENCES, (kind,), (kind, before)))
        self._sequences[kind] = number

    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        if tenant_id not in self._tenants:
            self._tenants[tenant_id] = await super().tenant(tenant_id)
        return self._tenants[tenant_id]

    async def put_tenant(self, tenant: Tenant) -> None:
        self._log(undo.TENANTS, tenant.id)
        self._tenants.clear()
        await super().put_tenant(tenant)

    async def put_user(self, user: User) -> None:
        self._log(undo.USERS, user.name)
        await super().put_user(user)

    async def put_token(self, token: Token) -> None:
        self._log(undo.TOKENS, token.digest)
        await super().put_token(token)

    # ── networks ──

    async def network(self, network_id: NetworkId) -> Network | None:
        found = self._networks.get(network_id) or await super().network(network_id)
        if found is not None:
            self._networks[network_id] = found
        return found

    async def put_network(self, network: Network) -> None:
        self._log(undo.NETWORKS, network.id)
        self._places.pop(network.id, None)
        await super().put_network(network)

    async def drop_network(self, network_id: NetworkId) -> None:
        self._log(undo.NETWORKS, network_id)
        self._networks.pop(network_id, None)
        self._places.pop(network_id, None)
        await super().drop_network(network_id)

    async def on_network(self, network_id: NetworkId) -> int:
        number = self._crowds.get(network_id)
        if number is None:
            number = self._crowds[network_id] = await super().on_network(network_id)
        return number

    def _place(self, network_id: NetworkId) -> int | None:
        if network_id not in self._places:
            self._places[network_id] = super()._place(network_id)
        return self._places[network_id]

    # ── servers ──

    def _know(self, server_id: ServerId) -> Known | None:
        """Return what is known of a server, None where there is no such."""
        known = self._servers.get(server_id)
        if known is None:
            row = self._one(sql.SELECT_TOUCHED_SERVER, server_id)
            if row is not None:
                *_, kept, attached = row
                known = self._learn(
                    Known(server_of(row), latest(kept, attached), kept, interfaces=None)
                )
        return known

    def _learn(self, known: Known) -> Known:
        if len(self._servers) >= _MOST_KNOWN:
            for oldest in tuple(islice(self._servers, _FEWER)):
                del self._servers[oldest]
        self._servers[known.server.id] = known
        return known

    def _number(self, server_id: ServerId) -> int | None:
        known = self._know(server_id)
        return None if known is None else known.server.number

    async def server(self, server_id: ServerId) -> Server | None:
        known = self._know(server_id)
        return None if known is None else known.server

    async def put_server(self, server: Server) -> None:
        known = self._know(server.id)
        self._log(undo.SERVERS, server.number)
        self._servers.pop(server.id, None)
        await super().put_server(server)
        if server.gone_at is not None:
            self._next_due = None
        if known is None:
            self._learn(Known(server, None, None, interfaces=()))
        else:
            known.server = server
            self._learn(known)

    async def touch(self, server_id: ServerId, at: float) -> None:
        known = self._know(server_id)
        if known is not None:
            self._touch(known, at)

    def _touch(self, known: Known, at: float) -> None:
        number = known.server.number
        before = None if known.kept is None else (number, known.kept)
        self._pending.append((undo.TOUCHES, (number,), before))
        if self._careful:
            self._execute(sql.TOUCH, (number, at))
        else:
            self._held.touches[number] = at
        known.touched = known.kept = at

    async def due(self, now: float) -> Sequence[Server]:
        if self._next_due is None:
            (first,) = self._one(sql.FIRST_DUE)
            self._next_due = math.inf if first is None else float(first)
        if self._next_due > now:
            return ()
        leaving = [server_of(row) for row in self._execute(sql.SELECT_LEAVING, (now,))]
        self._pending.extend(
            (undo.RELEASED, (server.number,), (server.number, 0)) for server in leaving
        )
        self._execute(sql.RELEASE, (now,))
        self._next_due = None
        self._trim(len(leaving))
        return leaving

    def _trim(self, released: int) -> None:
        """Forget the oldest deleted servers; now and then is enough."""
        self._released += released
        if self._released >= _TRIM_EVERY:
            self._released = 0
            if self._execute(sql.FORGET_THE_OLDEST, (TOMBSTONES,)).rowcount:
                self._servers.clear()
                self.log.cut()
