"""The rows of the connection that writes: interfaces, and the whole of a cloud.

The house rule: what a batch assumes is checked by SQLite before the batch is committed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from vifsim.model import FIXED_NETWORKS
from vifsim.rows import Site
from vifsim.snapshots import settings_document
from vifsim_backends import sqlite_statements as sql
from vifsim_backends import sqlite_undo as undo
from vifsim_backends.sqlite_held import MOST
from vifsim_backends.sqlite_known import KnownRows
from vifsim_backends.sqlite_rows import stored_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from vifsim.model import (
        InterfaceId,
        NetworkId,
        ServerId,
        Settings,
        TenantId,
        VirtualInterface,
    )
    from vifsim.rows import Contents
    from vifsim_backends.sqlite_known import Known
    from vifsim_backends.way_back import Place


class WriterRows(KnownRows):
    """Rows that write a batch's new interfaces together."""

    # ── virtual interfaces ──

    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        known = self._know(server_id)
        return () if known is None else await self._attached(known)

    async def interface(
        self, server_id: ServerId, interface_id: InterfaceId
    ) -> VirtualInterface | None:
        for interface in await self.interfaces(server_id):
            if interface.id == interface_id:
                return interface
        return None

    async def _attached(self, known: Known) -> Sequence[VirtualInterface]:
        if known.interfaces is None:
            known.interfaces = tuple(await super().interfaces(known.server.id))
        return known.interfaces

    async def _networks_of(self, known: Known | None) -> Sequence[NetworkId]:
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
        self._take_in(interface, at)
        sequences, unwritten, before = self._sequences, self._unwritten, self._before
        for kind, number in numbers.items():
            if kind in unwritten:
                before.setdefault(kind, sequences[kind])
                sequences[kind] = number
            else:
                self._set_sequence(kind, number)

    async def put_interface(self, interface: VirtualInterface) -> None:
        self._take_in(interface, None)

    def _take_in(self, interface: VirtualInterface, at: float | None) -> None:
        """Put an interface that was attached at a time, None where that changed no server."""
        known = self._know(interface.server_id)
        if self._careful:
            self._put_interface(interface, at)
        else:
            self._hold(interface, None if known is None else known.server.number, at)
        if not self._filling:
            self._log_new(interface)
        network = interface.network_id
        if network in self._crowds:
            self._crowds[network] += 1
        if known is not None:
            if known.interfaces is not None:
                known.interfaces = (*known.interfaces, interface)
            if at is not None:
                known.touched = at

    def _hold(self, interface: VirtualInterface, server: int | None, at: float | None) -> None:
        held, number = self._held, interface.number
        if len(held.interfaces) >= MOST:
            self._write_held()
        place = self._place(interface.network_id)
        held.interfaces.append((number, interface.id, server, place, interface.mac_address, at))
        for order, address in enumerate(interface.addresses):
            held.addresses.append((number, order, place, address))

    def _log_new(self, interface: VirtualInterface) -> None:
        number = interface.number
        self._pending.append((undo.INTERFACES, (number,), None))
        for order in range(len(interface.addresses)):
            self._pending.append((undo.ADDRESSES, (number, order), None))

    async def drop_interface(self, interface: VirtualInterface) -> None:
        for place in range(len(interface.addresses)):
            self._log(undo.ADDRESSES, interface.number, place)
        self._log(undo.INTERFACES, interface.number)
        known = self._know(interface.server_id)
        if known is not None:
            if known.touched is not None and known.touched != known.kept:
                self._touch(known, known.touched)  # what its row said is to outlive the row
            if known.interfaces is not None:
                known.interfaces = tuple(o for o in known.interfaces if o.id != interface.id)
        if interface.network_id in self._crowds:
            self._crowds[interface.network_id] -= 1
        await super().drop_interface(interface)

    async def mac_in_use(self, mac_address: str) -> bool:
        return (self._careful or self._wary) and await super().mac_in_use(mac_address)

    async def in_use(self, network_id: NetworkId, address: str, mac_address: str) -> bool:
        if not (self._careful or self._wary):
            return False
        return await super().in_use(network_id, address, mac_address)

    # ── the whole ──

    def clear(self, settings: Settings, seed: int) -> None:
        """Forget everything, and behave by other settings from now on; nothing leads back."""
        self.log.cut()
        self._filling = True
        self._wary = False
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
