"""Networks and virtual interfaces: handlers, rendering.

The house rule: a handler makes one backend call.

Source: API contract, sections 3 and 4 (docs/api.md).
"""

from __future__ import annotations

import re
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import TYPE_CHECKING, Any

from vifsim.http.codec import TEXT_TYPE, Reply, digest_of, reply, whole_number
from vifsim.model import InterfaceId, NetworkId, ServerId

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vifsim.http.codec import Asked
    from vifsim.model import Network, VirtualInterface

COMMON_BODY = re.compile(
    rb'\s*{\s*"virtual_interface"\s*:\s*{\s*"network_id"\s*:\s*'
    rb'"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"\s*}\s*}\s*'.replace(
        rb"\s", rb"[ \t\r\n]"
    )
)
"""The body of a create as nearly all clients write it."""
_MOST = 1000
DELETED_BODY = b"202 Accepted\n\nThe request is accepted for processing.\n\n   "
"""The 58 documented bytes that a deleted network answers with."""


def quick_interface(raw: bytes) -> tuple[NetworkId, str] | None:
    """Return the network id and digest of the one common body, or None: the schema decides then.

    Everything that this accepts the schema reads alike; `tests/http/test_networks.py` holds the two
    together.
    """
    found = COMMON_BODY.fullmatch(raw)
    if found is None:
        return None
    network_id = found[1].decode()
    return NetworkId(network_id), _digest_of_common(network_id)


@lru_cache(maxsize=4096)
def _digest_of_common(network_id: str) -> str:
    return digest_of({"virtual_interface": {"network_id": network_id}})


# ── virtual interfaces ───────────────────────────────────────────────────────────────────────────


async def create_virtual_interface(asked: Asked) -> Reply:
    """Answer `create_virtual_interface`."""
    interface = await asked.backend.create_virtual_interface(
        asked.call, ServerId(asked.params["server_id"]), asked.body
    )
    return _interfaces_reply([interface])


async def list_virtual_interfaces(asked: Asked) -> Reply:
    """Answer `list_virtual_interfaces`."""
    found = await asked.backend.list_virtual_interfaces(
        asked.call, ServerId(asked.params["server_id"])
    )
    limit, offset = asked.page
    return _interfaces_reply(found[offset : offset + limit])


def read_interface_page(query: Mapping[str, str]) -> tuple[int, int]:
    """Return limit and offset of an interface list.

    Raises:
        BadRequest: one of them is not a whole number.
    """
    if not query:
        return _MOST, 0
    limit = whole_number(query, "limit")
    return min(_MOST, _MOST if limit is None else limit), whole_number(query, "offset") or 0


async def delete_virtual_interface(asked: Asked) -> Reply:
    """Answer `delete_virtual_interface`."""
    await asked.backend.delete_virtual_interface(
        asked.call, ServerId(asked.params["server_id"]), InterfaceId(asked.params["interface_id"])
    )
    return Reply(asked.backend.settings.vif_delete_status)


def _interfaces_reply(interfaces: Iterable[VirtualInterface]) -> Reply:
    return Reply(
        200, f'{{"virtual_interfaces": [{", ".join(map(interface_text, interfaces))}]}}'.encode()
    )


def interface_text(interface: VirtualInterface) -> str:
    """Return an interface as the API shows it.

    Written as `json.dumps` would, in half of the time: interfaces are most of what is answered.
    """
    label = quoted(interface.network_label)
    network = f'"network_id": {quoted(interface.network_id)}, "network_label": {label}'
    addresses = ", ".join(
        [f'{{"address": {quoted(address)}, {network}}}' for address in interface.addresses]
    )
    return (
        f'{{"mac_address": {quoted(interface.mac_address)}, "id": {quoted(interface.id)}, '
        f'"ip_addresses": [{addresses}]}}'
    )


# ── networks ─────────────────────────────────────────────────────────────────────────────────────


async def list_networks(asked: Asked) -> Reply:
    """Answer `list_networks`."""
    found = await asked.backend.list_networks(asked.call)
    return reply({"networks": [network_view(network) for network in found]})


async def create_network(asked: Asked) -> Reply:
    """Answer `create_network`."""
    label, cidr = asked.body
    network = await asked.backend.create_network(asked.call, label, cidr)
    return reply({"network": network_view(network)})


async def get_network(asked: Asked) -> Reply:
    """Answer `get_network`."""
    network_id = NetworkId(asked.params["network_id"])
    network = await asked.backend.get_network(asked.call, network_id)
    return reply({"network": network_view(network)})


async def delete_network(asked: Asked) -> Reply:
    """Answer `delete_network`."""
    await asked.backend.delete_network(asked.call, NetworkId(asked.params["network_id"]))
    return Reply(202, DELETED_BODY, TEXT_TYPE)


def network_view(network: Network) -> dict[str, Any]:
    """Return a network as the API shows it: without `cidr` where it is the service's own."""
    cidr = {} if network.cidr is None else {"cidr": network.cidr}
    return {**cidr, "id": network.id, "label": network.label}
