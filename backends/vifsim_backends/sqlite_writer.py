"""The rows of the connection that writes, with what it knows in memory.

Nobody else writes, so what was read or written stays true until it is written again; where another
program did write all the same, SQLite tells, and everything is read anew.

The house rule: what is kept in memory is forgotten with the transaction; what is written is logged
as it was before.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from vifsim.model import FIXED_NETWORKS
from vifsim.operations import Site
from vifsim.seeding import settings_document
from vifsim_backends import sqlite_statements as sql
from vifsim_backends import sqlite_undo as undo
from vifsim_backends.row_values import TOMBSTONES, server_of
from vifsim_backends.sqlite_rows import SqliteRows, WroteAndFailed, stored_settings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

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
    from vifsim.operations import Contents
    from vifsim_backends.sqlite_rows import Result, Work
    from vifsim_backends.way_back import Place

_TRIM_EVERY = 1_000
_MOST_KNOWN = 4_096
"""Servers that are kept in memory: some four megabytes."""
_FEWER = 1_024
"""How many of them are forgotten at once."""


@dataclass(slots=True)
class _Known:
    """A server, when its interfaces last changed, and they themselves once they were read."""

    server: Server
    touched: float | None
    interfaces: Sequence[VirtualInterface] | None


class WriterRows(SqliteRows):
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
        self._data_version = -1
        self._sequences: dict[str, int] = {}
        self._unwritten: set[str] = set()
        self._before: dict[str, int] = {}
        self._tenants: dict[TenantId, Tenant | None] = {}
        self._networks: dict[NetworkId, Network] = {}
        self._places: dict[NetworkId, int | None] = {}
        self._servers: dict[ServerId, _Known] = {}
        self._filling = False
        self._careful = False
        self._next_due: float | None = None
        self._released = _TRIM_EVERY

    # ── running ──

    def run_batch(self, batch: Sequence[Work]) -> list[Result]:
        """Run operations as `SqliteRows` does, without a savepoint for each until one is needed.

        An operation checks before it writes, so that one which fails has written nothing; a
        savepoint would cost each of the others a fifth of its time. Where one did write, the batch
        is taken back and run again, each operation under a savepoint.
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
        if result.error is not None and (self._before or self._connection.total_changes > changes):
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

    def flush(self) -> None:
        if not self._unwritten:
            return
        changed = [(kind, self._sequences[kind]) for kind in self._unwritten]
        self._connection.executemany(sql.UPSERT_SEQUENCE, changed)
        self._unwritten.clear()

    def forget(self) -> None:
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
        self._servers.clear()
        self._next_due = None

    def _log(self, table: undo.Table, *key: Any) -> None:
        if not self._filling:
            self.log.remember(self._connection, table, key)

    # ── sequences, tenants, users, tokens ──

    async def sequence(self, kind: str) -> int:
        number = self._sequences.get(kind)
        if number is None:
            number = self._sequences[kind] = await super().sequence(kind)
        return number

    async def sequences(self, kinds: Sequence[str]) -> Sequence[int]:
        known = self._sequences
        return [known[k] if k in known else await self.sequence(k) for k in kinds]

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

    def _place(self, network_id: NetworkId) -> int | None:
        if network_id not in self._places:
            self._places[network_id] = super()._place(network_id)
        return self._places[network_id]

    # ── servers ──

    def _know(self, server_id: ServerId) -> _Known | None:
        """Return what is known of a server, None where there is no such."""
        known = self._servers.get(server_id)
        if known is None:
            row = self._one(sql.SELECT_TOUCHED_SERVER, server_id)
            if row is not None:
                known = self._learn(_Known(server_of(row), row[-1], None))
        return known

    def _learn(self, known: _Known) -> _Known:
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
            self._learn(_Known(server, None, ()))
        else:
            known.server = server
            self._learn(known)

    async def touch(self, server_id: ServerId, at: float) -> None:
        known = self._know(server_id)
        if known is not None:
            self._touch(known, at)

    def _touch(self, known: _Known, at: float) -> None:
        number = known.server.number
        before = None if known.touched is None else (number, known.touched)
        self._pending.append((undo.TOUCHES, (number,), before))
        self._execute(sql.TOUCH, (number, at))
        known.touched = at

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

    # ── virtual interfaces ──

    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        known = self._know(server_id)
        return () if known is None else await self._attached(known)

    async def _attached(self, known: _Known) -> Sequence[VirtualInterface]:
        if known.interfaces is None:
            known.interfaces = tuple(await super().interfaces(known.server.id))
        return known.interfaces

    async def _networks_of(self, known: _Known | None) -> Sequence[NetworkId]:
        if known is None:
            return ()
        found = known.interfaces or await self._attached(known)
        return [one.network_id for one in found]

    async def site(self, server_id: ServerId, network_id: NetworkId, tenant_id: TenantId) -> Site:
        known = self._know(server_id)
        networks, tenants = self._networks, self._tenants
        fixed = network_id in FIXED_NETWORKS
        return Site(
            None if known is None else known.server,
            None if fixed else networks.get(network_id) or await self.network(network_id),
            tenants[tenant_id] if tenant_id in tenants else await self.tenant(tenant_id),
            await self._networks_of(known),
        )

    async def place(
        self, interface: VirtualInterface, numbers: Mapping[str, int], at: float
    ) -> None:
        self._put_interface(interface)
        for kind, number in numbers.items():
            self._set_sequence(kind, number)
        await self.touch(interface.server_id, at)

    async def put_interface(self, interface: VirtualInterface) -> None:
        self._put_interface(interface)

    def _put_interface(self, interface: VirtualInterface) -> None:
        super()._put_interface(interface)
        number = interface.number
        self._pending.append((undo.INTERFACES, (number,), None))
        for place in range(len(interface.addresses)):
            self._pending.append((undo.ADDRESSES, (number, place), None))
        known = self._servers.get(interface.server_id)
        if known is not None and known.interfaces is not None:
            known.interfaces = (*known.interfaces, interface)

    async def drop_interface(self, interface: VirtualInterface) -> None:
        for place in range(len(interface.addresses)):
            self._log(undo.ADDRESSES, interface.number, place)
        self._log(undo.INTERFACES, interface.number)
        known = self._servers.get(interface.server_id)
        if known is not None and known.interfaces is not None:
            known.interfaces = tuple(o for o in known.interfaces if o.id != interface.id)
        await super().drop_interface(interface)

    # ── the whole ──

    def clear(self, settings: Settings, seed: int) -> None:
        """Forget everything, and behave by other settings from now on; nothing leads back."""
        self.log.cut()
        self._filling = True
        for statement in sql.CLEAR:
            self._execute(statement)
        self._before.clear()
        self._forget_what_is_known()
        self._changes.append(None)
        self._execute(sql.INSERT_META)
        self.configure(settings, seed)

    def configure(self, settings: Settings, seed: int) -> None:
        """Behave by other settings from now on."""
        self._log(undo.META, 1)
        self.settings, self.seed = settings, seed
        self._execute(sql.UPDATE_META, (json.dumps(settings_document(settings)), str(seed)))

    def keep_scenario(self, scenario: Mapping[str, Any]) -> None:
        """Keep a scenario with the store."""
        self._execute(sql.UPDATE_SCENARIO, (json.dumps(scenario),))

    async def go_back(self, place: Place) -> None:
        """Be as at a place of the log.

        Raises:
            ControlFault: 409, nothing leads there any more.
        """
        way = self.log.back_to(place)
        self._set_rows(way)
        self._changes += [None, *self.users(), *await self.tokens(None)]

    async def contents_at(self, place: Place) -> tuple[Contents, Settings]:
        """Return everything, and how the cloud behaved, as at a place of the log.

        Raises:
            ControlFault: 409, as `go_back`.
        """
        way = self.log.back_to(place)
        now, logged = (self.settings, self.seed), len(self._pending)
        self.flush()
        self._execute("SAVEPOINT look")
        self._set_rows(way)
        found = await self.contents(), self.settings
        self._execute("ROLLBACK TO look")
        self._execute("RELEASE look")
        self.log.take_back(logged)
        self._forget_what_is_known()
        self.settings, self.seed = now
        return found

    def _set_rows(self, way: Sequence[undo.Entry]) -> None:
        self.flush()
        undo.set_rows(self._connection, way, self.log)
        self._forget_what_is_known()
        kept = stored_settings(self._connection)
        if kept is not None:
            self.settings, self.seed = kept
