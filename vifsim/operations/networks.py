"""Networks: list, show, create, delete.

The house rule: the two networks of the provider are shown to everybody, and last in a list.

Source: API contract, section 4 (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vifsim import cloud
from vifsim.draws import identifier
from vifsim.errors import ItemNotFound
from vifsim.model import Network, NetworkId, TenantId
from vifsim.operations.addressing import settle
from vifsim.operations.finding import own_network, quotas_of
from vifsim.rows import PUBLIC_NETWORK, SERVICE_NETWORK, Numbers, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vifsim.exchange import Call


async def list_networks(rows: Rows, call: Call) -> Sequence[Network]:
    """See `Backend.list_networks`."""
    own = await rows.networks(TenantId(call.tenant or ""))
    return [*own, PUBLIC_NETWORK, SERVICE_NETWORK]


async def get_network(rows: Rows, call: Call, network_id: NetworkId) -> Network:
    """See `Backend.get_network`."""
    network = await own_network(rows, call.tenant, network_id)
    if network is None:
        raise ItemNotFound(cloud.NETWORK_NOT_FOUND)
    return network


async def create_network(rows: Rows, call: Call, label: str, cidr: str) -> Network:
    """See `Backend.create_network`."""
    tenant = TenantId(call.tenant or "")
    quotas = await quotas_of(rows, tenant)
    if quotas.networks is not None:
        cloud.admit_network(len(await rows.networks(tenant)), quotas)
    numbers = Numbers(rows)
    number = await numbers.take("network")
    network_id = NetworkId(identifier(rows.seed, "network", number))
    network = Network(id=network_id, label=label, cidr=cidr, tenant=tenant)
    await rows.put_network(network)
    await numbers.keep()
    rows.note(call, "created", network)
    return network


async def delete_network(rows: Rows, call: Call, network_id: NetworkId) -> None:
    """See `Backend.delete_network`."""
    await settle(rows)
    network = await get_network(rows, call, network_id)
    in_use = network.isolated and await rows.on_network(network_id) > 0
    cloud.admit_network_removal(network, in_use, rows.settings)
    await rows.drop_network(network_id)
    rows.note(call, "deleted", network)
