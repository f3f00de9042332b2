"""Virtual interfaces: list, attach, detach.

The house rule: interface, sequences and the server's addresses change together or not at all.

Source: API contract, section 3 (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vifsim import cloud
from vifsim.errors import ItemNotFound
from vifsim.model import PUBLIC, InterfaceId, NetworkId, ServerId, TenantId, VirtualInterface
from vifsim.operations.addressing import allocate, drop, settle
from vifsim.operations.finding import live, live_server, own, quotas_in
from vifsim.rows import FIXED, Numbers, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vifsim.exchange import Call


async def list_interfaces(
    rows: Rows, call: Call, server_id: ServerId
) -> Sequence[VirtualInterface]:
    """See `Backend.list_virtual_interfaces`."""
    await live_server(rows, call, server_id, rows.clock.epoch())
    return await rows.interfaces(server_id)


async def attach(
    rows: Rows, call: Call, server_id: ServerId, network_id: NetworkId
) -> VirtualInterface:
    """See `Backend.create_virtual_interface`."""
    now = await settle(rows)
    site = await rows.site(server_id, network_id, TenantId(call.tenant or ""))
    server = live(site.server, call, now)
    cloud.admit_state(cloud.server_at(server, now), rows.settings, "attach an interface to")
    network = FIXED.get(network_id) or own(site.network, call.tenant)
    if network is None:
        raise cloud.unknown_network(network_id, rows.settings)
    quotas = quotas_in(rows, site.tenant)
    cloud.admit_attach(network, site.attached, rows.settings, quotas)
    if network.isolated and quotas.servers_per_network is not None:
        cloud.admit_crowd(network, await rows.on_network(network_id), quotas)
    numbers = Numbers(rows)
    interface = await allocate(rows, numbers, server, network)
    await rows.place(interface, numbers.taken, now)
    if network_id == PUBLIC:
        await rows.put_server(cloud.access_after_attach(server, interface))
    rows.note(call, "created", interface)
    return interface


async def detach(rows: Rows, call: Call, server_id: ServerId, interface_id: InterfaceId) -> None:
    """See `Backend.delete_virtual_interface`."""
    now = await settle(rows)
    server = await live_server(rows, call, server_id, now)
    cloud.admit_state(cloud.server_at(server, now), rows.settings, "detach an interface from")
    interface = await rows.interface(server_id, interface_id)
    if interface is None:
        if rows.settings.idempotent_vif_delete:
            return
        raise ItemNotFound(cloud.INTERFACE_NOT_FOUND)
    cloud.admit_detach(interface.network_id, rows.settings)
    await drop(rows, interface)
    await rows.touch(server_id, now)
    if interface.network_id == PUBLIC:
        await rows.put_server(cloud.access_after_detach(server, interface))
    rows.note(call, "deleted", interface)
