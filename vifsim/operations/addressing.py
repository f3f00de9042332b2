"""Which MAC and addresses an interface gets, and when they are free again.

The house rule: the next number is tried first, and only what is in use is passed over, so that the
same calls get the same addresses.

Source: API contract, section 3.2 (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vifsim import cloud
from vifsim.draws import identifier
from vifsim.errors import BadRequest
from vifsim.model import InterfaceId, Network, NetworkId, Server, VirtualInterface

if TYPE_CHECKING:
    from ipaddress import IPv6Network

    from vifsim.rows import Numbers, Rows


def room_kind(network_id: NetworkId) -> str:
    """Return the sequence that bounds a network filled by hand: addresses left, plus one."""
    return f"room:{network_id}"


def _slot(network_id: NetworkId) -> str:
    """Return the sequence of the slots of a network's IPv4 pool."""
    return f"address:{network_id}"


async def _free_mac(rows: Rows, numbers: Numbers) -> str:
    last = numbers.last["mac"]
    for step in range(1, cloud.MAC_SPACE + 1):
        mac_address = cloud.mac_text(last + step)
        if not await rows.mac_in_use(mac_address):
            numbers.set("mac", (last + step) % cloud.MAC_SPACE)
            return mac_address
    raise BadRequest("No more MAC addresses are available")


async def _free_v4(rows: Rows, numbers: Numbers, network: Network, pool: cloud.Pool) -> str:
    kind = _slot(network.id)
    last = numbers.last[kind]
    for slot in cloud.slots_after(last - 1, pool.size):
        address = pool.address(slot)
        if not await rows.address_in_use(network.id, address):
            numbers.set(kind, slot + 1)
            return address
    raise BadRequest(f"No more addresses in network {network.id}")


async def _free_v6(
    rows: Rows, network: Network, prefix: IPv6Network, tenant: str, mac_address: str
) -> str:
    if prefix.prefixlen <= 64:
        return cloud.v6_from_mac(prefix, tenant, mac_address)
    for address in cloud.v6_candidates(prefix):
        if not await rows.address_in_use(network.id, address):
            return address
    raise BadRequest(f"No more addresses in network {network.id}")


async def _next_of_both(
    rows: Rows, numbers: Numbers, network: Network, pool: cloud.Pool
) -> tuple[str, str] | None:
    """Return the next MAC and IPv4 address, or None where one of them is in use."""
    kind = _slot(network.id)
    last = numbers.last
    mac_number = (last["mac"] + 1) % cloud.MAC_SPACE
    slot = last[kind] % pool.size
    mac_address, address = cloud.mac_text(mac_number), pool.address(slot)
    if await rows.in_use(network.id, address, mac_address):
        return None
    numbers.set("mac", mac_number)
    numbers.set(kind, slot + 1)
    return mac_address, address


async def _free_addresses(
    rows: Rows, numbers: Numbers, server: Server, network: Network
) -> tuple[str, tuple[str, ...]]:
    """Return a free MAC and the addresses that go with it, IPv6 first."""
    pool = cloud.pool_of(network.id, network.cidr)
    v6_prefix = cloud.v6_prefix_of(network.id, network.cidr)
    if pool is not None and v6_prefix is None:
        both = await _next_of_both(rows, numbers, network, pool)
        if both is not None:
            return both[0], both[1:]
    mac_address = await _free_mac(rows, numbers)
    addresses: list[str] = []
    if v6_prefix is not None:
        addresses.append(await _free_v6(rows, network, v6_prefix, server.tenant, mac_address))
    if pool is not None:
        addresses.append(await _free_v4(rows, numbers, network, pool))
    return mac_address, tuple(addresses)


async def allocate(
    rows: Rows, numbers: Numbers, server: Server, network: Network
) -> VirtualInterface:
    """Return a new interface with the next MAC and addresses; nothing is written.

    Raises:
        BadRequest: the network has no free address.
    """
    filled = room_kind(network.id)
    await numbers.learn(filled, "mac", _slot(network.id), "virtual_interface")
    room = numbers.last[filled]
    if room == 1:
        raise BadRequest(f"No more addresses in network {network.id}")
    mac_address, addresses = await _free_addresses(rows, numbers, server, network)
    if room:
        numbers.set(filled, room - 1)
    number = numbers.last["virtual_interface"] + 1
    numbers.set("virtual_interface", number)
    return VirtualInterface(
        id=InterfaceId(identifier(rows.seed, "virtual_interface", number)),
        number=number,
        server_id=server.id,
        network_id=network.id,
        network_label=network.label,
        mac_address=mac_address,
        addresses=addresses,
    )


async def settle(rows: Rows) -> float:
    """Release the interfaces of servers whose deletion is done by now, and return the date."""
    now = rows.clock.epoch()
    for server in await rows.due(now):
        await release(rows, server)
    return now


async def release(rows: Rows, server: Server) -> None:
    """Remove all interfaces of a server."""
    for interface in await rows.interfaces(server.id):
        await drop(rows, interface)


async def drop(rows: Rows, interface: VirtualInterface) -> None:
    """Remove an interface; where its network was filled by hand, that makes room for one."""
    await rows.drop_interface(interface)
    kind = room_kind(interface.network_id)
    room = await rows.sequence(kind)
    if room:
        await rows.set_sequence(kind, room + 1)
