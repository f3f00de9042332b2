"""Servers: list, show, create, delete.

The house rule: a server's status follows from its times; what is stored is what was asked for.

Source: API contract, section 5 (docs/api.md).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vifsim import cloud
from vifsim.draws import identifier, password
from vifsim.errors import BadRequest
from vifsim.model import (
    FIXED_NETWORKS,
    CreatedServer,
    Network,
    NetworkId,
    NewServer,
    Quotas,
    Server,
    ServerId,
    ServerQuery,
    ServerView,
    TenantId,
)
from vifsim.operations.addressing import allocate, settle
from vifsim.operations.finding import live_server, own_network, quotas_of
from vifsim.rows import Numbers, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vifsim.exchange import Call
    from vifsim.searching import Expression

_CHUNK = 1000


async def get_server(rows: Rows, call: Call, server_id: ServerId) -> ServerView:
    """See `Backend.get_server`."""
    now = rows.clock.epoch()
    server = await live_server(rows, call, server_id, now)
    return (await _views(rows, [server], now, detail=True))[0]


async def _views(
    rows: Rows, servers: Sequence[Server], now: float, *, detail: bool
) -> list[ServerView]:
    if not detail:
        return [cloud.view(server, (), 0.0, now) for server in servers]
    touched = await rows.touched([server.id for server in servers])
    return [
        cloud.view(
            server,
            () if _gone(server, now) else await rows.interfaces(server.id),
            touched.get(server.id, 0.0),
            now,
        )
        for server in servers
    ]


def _gone(server: Server, now: float) -> bool:
    return server.gone_at is not None and server.gone_at <= now


async def list_servers(
    rows: Rows, call: Call, query: ServerQuery, *, detail: bool
) -> Sequence[ServerView]:
    """See `Backend.list_servers` and `list_servers_detail`."""
    now = rows.clock.epoch()
    tenant = TenantId(call.tenant or "")
    before = await _marker_number(rows, tenant, query, now)
    wanted = rows.settings.max_limit
    if query.limit is not None:
        wanted = min(query.limit, wanted)
    name = None if query.name is None else cloud.compile_name_filter(query.name)
    found: list[Server] = []
    skip = query.offset
    while len(found) < wanted:
        chunk = await rows.servers(tenant, before, _CHUNK)
        if not chunk:
            break
        before = chunk[-1].number
        fitting = [server for server in chunk if _fits(server, query, name, now)]
        found += fitting[skip:]
        skip = max(0, skip - len(fitting))
    return await _views(rows, found[:wanted], now, detail=detail)


async def _marker_number(
    rows: Rows, tenant: TenantId, query: ServerQuery, now: float
) -> int | None:
    if query.marker is None:
        return None
    marker = await rows.server(ServerId(query.marker.lower()))
    if marker is None or marker.tenant != tenant:
        raise BadRequest(f"marker [{query.marker}] not found")
    if _gone(marker, now) and query.changes_since is None:
        raise BadRequest(f"marker [{query.marker}] not found")
    return marker.number


def _fits(server: Server, query: ServerQuery, name: Expression | None, now: float) -> bool:
    shown = cloud.server_at(server, now)
    if query.changes_since is None:
        if shown.status == "DELETED":
            return False
    elif max(shown.updated, shown.gone_at or 0.0) < query.changes_since:
        return False
    return (
        (name is None or name.found_in(shown.name))
        and query.status in {None, shown.status}
        and query.image in {None, shown.image_ref}
        and query.flavor in {None, shown.flavor_ref}
    )


async def create_server(rows: Rows, call: Call, new: NewServer) -> CreatedServer:
    """See `Backend.create_server`."""
    now = await settle(rows)
    wanted = new.networks if new.networks is not None else FIXED_NETWORKS
    cloud.admit_networks_of_boot(wanted, rows.settings)
    quotas = await quotas_of(rows, call.tenant)
    await _admit_quota(rows, call, new, quotas, now)
    networks = [await _network_of_boot(rows, call, network_id, quotas) for network_id in wanted]
    numbers = Numbers(rows)
    server = await _new_server(numbers, rows, call, new, now)
    interfaces = [await allocate(rows, numbers, server, network) for network in networks]
    for interface in interfaces:
        server = cloud.access_after_attach(server, interface)
    await rows.put_server(server)
    for interface in interfaces:
        await rows.put_interface(interface)
    await numbers.keep()
    rows.note(call, "created", server)
    return CreatedServer(server=server, admin_pass=password(rows.seed, server.number))


async def _admit_quota(rows: Rows, call: Call, new: NewServer, quotas: Quotas, now: float) -> None:
    if quotas.instances is None and quotas.ram is None:
        return
    instances, ram = await rows.usage(TenantId(call.tenant or ""), now)
    cloud.admit_server(new.flavor_ref, instances, ram, quotas, rows.settings)


async def _network_of_boot(
    rows: Rows, call: Call, network_id: NetworkId, quotas: Quotas
) -> Network:
    network = await own_network(rows, call.tenant, network_id)
    if network is None:
        raise BadRequest(f"Network {network_id} could not be found")
    if network.isolated and quotas.servers_per_network is not None:
        cloud.admit_crowd(network, await rows.on_network(network_id), quotas)
    return network


async def _new_server(
    numbers: Numbers, rows: Rows, call: Call, new: NewServer, now: float
) -> Server:
    number = await numbers.take("server")
    user = await rows.user(call.user or "")
    building = rows.settings.build_time > 0
    return Server(
        id=ServerId(identifier(rows.seed, "server", number)),
        number=number,
        tenant=TenantId(call.tenant or ""),
        name=new.name,
        image_ref=new.image_ref,
        flavor_ref=new.flavor_ref,
        user_id="" if user is None else user.id,
        status="BUILD" if building else "ACTIVE",
        created=now,
        updated=now,
        active_at=now + rows.settings.build_time if building else None,
        access_ipv4=new.access_ipv4,
        access_ipv6=new.access_ipv6,
        disk_config=new.disk_config,
        config_drive=new.config_drive,
        key_name=new.key_name,
        metadata=new.metadata,
    )


async def delete_server(rows: Rows, call: Call, server_id: ServerId) -> None:
    """See `Backend.delete_server`."""
    now = await settle(rows)
    server = await live_server(rows, call, server_id, now)
    if server.locked:
        cloud.admit_state(server, rows.settings, "delete")
    if server.gone_at is None:
        stored = cloud.server_at(server, now)
        await rows.put_server(replace(stored, updated=now, gone_at=now + rows.settings.delete_time))
        rows.note(call, "deleted", server)
    await settle(rows)
