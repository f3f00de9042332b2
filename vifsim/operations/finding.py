"""What several operations look up: a server or network of the caller, and the quotas that hold.

The house rule: what is another tenant's is told as if it did not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vifsim import cloud
from vifsim.backend import Names
from vifsim.errors import ItemNotFound
from vifsim.model import InterfaceId, Network, NetworkId, Quotas, Server, ServerId, Tenant, TenantId
from vifsim.rows import FIXED, Rows

if TYPE_CHECKING:
    from vifsim.exchange import Call


async def live_server(rows: Rows, call: Call, server_id: str, now: float) -> Server:
    """Return a stored server of the caller that is not gone.

    Raises:
        ItemNotFound: unknown, another tenant's, or deleted.
    """
    return live(await rows.server(ServerId(server_id)), call, now)


def live(server: Server | None, call: Call, now: float) -> Server:
    """Return a server that was looked up, if it is the caller's and not gone; raises likewise."""
    if server is None or server.tenant != call.tenant:
        raise ItemNotFound(cloud.SERVER_NOT_FOUND)
    if server.gone_at is not None and server.gone_at <= now:
        raise ItemNotFound(cloud.SERVER_NOT_FOUND)
    if server.status == "DELETED":
        raise ItemNotFound(cloud.SERVER_NOT_FOUND)
    return server


async def own_network(rows: Rows, tenant: str | None, network_id: str) -> Network | None:
    """Return a network that the tenant may use, or None."""
    fixed = FIXED.get(NetworkId(network_id))
    if fixed is not None:
        return fixed
    return own(await rows.network(NetworkId(network_id)), tenant)


def own(network: Network | None, tenant: str | None) -> Network | None:
    """Return an isolated network that was looked up, if it is the tenant's."""
    return network if network is not None and network.tenant == tenant else None


async def quotas_of(rows: Rows, tenant: str | None) -> Quotas:
    """Return the quotas that hold for a tenant."""
    return quotas_in(rows, await rows.tenant(TenantId(tenant or "")))


def quotas_in(rows: Rows, tenant: Tenant | None) -> Quotas:
    """Return the quotas that hold for a tenant that was looked up."""
    return rows.settings.quotas if tenant is None else cloud.quotas_of(rows.settings, tenant)


async def names(rows: Rows, call: Call) -> Names:
    """See `Backend.names`."""
    server = None if call.server is None else await rows.server(ServerId(call.server))
    network_id = call.network
    if network_id is None and server is not None and call.interface is not None:
        interface = await rows.interface(server.id, InterfaceId(call.interface))
        network_id = None if interface is None else interface.network_id
    network = None if network_id is None else await own_network(rows, call.tenant, network_id)
    return Names(
        server=None if server is None else server.name,
        network=network_id,
        network_label=None if network is None else network.label,
    )
