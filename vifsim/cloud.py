"""The rules of the cloud, once and pure: who may attach, which address and MAC, which state next.

The house rule: values in, values or an `ApiFault` out; no store, no clock, no HTTP. A store adds
atomicity, and holds the rule of one interface per server and network by a constraint of its own.

Source: API contract, sections 3 to 5 (docs/api.md).
"""

from __future__ import annotations

import re
from dataclasses import fields, replace
from functools import lru_cache
from hashlib import sha1
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TYPE_CHECKING

from vifsim.errors import ApiFault, BadRequest, Conflict, Forbidden, ItemNotFound, TooLarge
from vifsim.model import (
    FIXED_NETWORKS,
    PUBLIC,
    PUBLIC_POOLS,
    PUBLIC_V6_PREFIX,
    SERVICE,
    SERVICE_POOL,
    Network,
    Quotas,
    Server,
    ServerView,
    Settings,
    Tenant,
    VirtualInterface,
)
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vifsim.errors import RetryAfter
    from vifsim.model import NetworkId
    from vifsim.searching import Expression

_ATTACHABLE = frozenset({"ACTIVE", "PAUSED", "SHUTOFF"})
MAC_SPACE = 1 << 24
"""How many MACs there are."""
_V4_MIN_SIZE = 4
_PREFIX = re.compile(r"[0-9]{0,3}")
_FLAVOR_RAM = {"2": 512, "3": 1024, "4": 2048, "5": 4096, "6": 8192, "7": 15360, "8": 30720}
_VM_STATES = {
    "ACTIVE": "active",
    "BUILD": "building",
    "DELETED": "deleted",
    "ERROR": "error",
    "PAUSED": "paused",
    "SHUTOFF": "stopped",
    "SUSPENDED": "suspended",
    "RESCUE": "rescued",
    "VERIFY_RESIZE": "resized",
}
_BUILD_TASKS = ("scheduling", "networking", "spawning")

SERVER_NOT_FOUND = "Instance could not be found"
NETWORK_NOT_FOUND = "Network not found"
INTERFACE_NOT_FOUND = "Virtual interface not found"


# ── networks ─────────────────────────────────────────────────────────────────────────────────────


def canonical_cidr(text: str) -> str:
    """Return the canonical text of a network's CIDR.

    Raises:
        BadRequest: not a CIDR, host bits set, or fewer than four addresses.

    Source: API contract, sections 4.1 and 4.2 (docs/api.md); clients match on the messages.
    """
    if not text.strip():
        raise BadRequest("No CIDR was given")
    if not _PREFIX.fullmatch(text.strip().partition("/")[2]):
        raise BadRequest(f"CIDR is malformed: {text} names no prefix length")
    try:
        network = ip_network(text.strip())
    except ValueError as exc:
        raise BadRequest(f"CIDR is malformed: {text}") from exc
    if network.num_addresses < _V4_MIN_SIZE:
        raise BadRequest(f"CIDR {text} does not contain enough addresses: it needs at least 4")
    if network.prefixlen == 0:
        raise BadRequest(f"CIDR is malformed: {text} is the whole address space")
    return str(network)


def quotas_of(settings: Settings, tenant: Tenant) -> Quotas:
    """Return the quotas that hold for a tenant: its own where it has some."""
    if not tenant.quotas:
        return settings.quotas
    known = {field.name for field in fields(Quotas)}
    own = {key: value for key, value in tenant.quotas.items() if key in known}
    return replace(settings.quotas, **own)


def admit_network(owned: int, quotas: Quotas) -> None:
    """Refuse a network over the tenant's quota.

    Raises:
        BadRequest: the tenant has as many isolated networks as it may.
    """
    if quotas.networks is not None and owned >= quotas.networks:
        raise BadRequest(f"You have too many networks: {owned} of {quotas.networks} are in use")


def admit_network_removal(network: Network, in_use: bool, settings: Settings) -> None:  # noqa: FBT001 -- a fact about the network, asked once
    """Refuse to delete a network that is fixed or in use.

    Raises:
        Forbidden, Conflict: by `settings.network_in_use_status`.
    """
    if not network.isolated:
        raise Forbidden(f"Network {network.label} belongs to the service and cannot be deleted")
    if in_use:
        text = f"Network has active ports: {network.id} is attached to servers"
        raise (Forbidden if settings.network_in_use_status == 403 else Conflict)(text)


# ── interfaces ───────────────────────────────────────────────────────────────────────────────────


def admit_state(server: Server, settings: Settings, verb: str) -> None:
    """Refuse to attach or detach where the server's state forbids it.

    Raises:
        Conflict: locked, or not in a state that allows it.
    """
    if not settings.state_checks:
        return
    if server.locked:
        raise Conflict(f"Cannot {verb} server {server.id}: it is locked")
    if server.status not in _ATTACHABLE or server.task_state is not None:
        state = server.task_state or vm_state(server)
        raise Conflict(f"Cannot {verb} server {server.id}: state is {state}")


def admit_attach(
    network: Network,
    attached: Sequence[NetworkId],
    settings: Settings,
    quotas: Quotas,
) -> None:
    """Refuse an attachment that the server's own networks or the account's policy forbid.

    Raises:
        Conflict, BadRequest: attached there already, by `settings.duplicate_vif_status`.
        BadRequest: the server has as many interfaces as it may.
        Forbidden: the policy bans the network, or another isolated one.
    """
    if network.id in attached:
        text = f"Instance is already attached to network {network.id}"
        raise (Conflict if settings.duplicate_vif_status == 409 else BadRequest)(text)
    if quotas.vifs_per_server is not None and len(attached) >= quotas.vifs_per_server:
        raise BadRequest(f"Too many interfaces: the server has {len(attached)} already")
    _admit_by_policy(network, attached, settings)


def admit_crowd(network: Network, on_network: int, quotas: Quotas) -> None:
    """Refuse one server too many on an isolated network.

    Raises:
        BadRequest: as many servers as the quota allows are on it.
    """
    limit = quotas.servers_per_network
    if network.isolated and limit is not None and on_network >= limit:
        raise BadRequest(f"Too many instances attached to network {network.id}: {on_network}")


def admit_detach(network_id: NetworkId, settings: Settings) -> None:
    """Refuse to detach a network that the account's policy requires.

    Raises:
        Forbidden: the network is required.
    """
    if network_id in settings.policy.required:
        raise Forbidden(f"Network {network_id} cannot be detached", policy=True)


def unknown_network(network_id: str, settings: Settings) -> ApiFault:
    """Return the fault of an attachment to a network that the tenant does not have."""
    if settings.unknown_network_status == 404:
        return ItemNotFound(NETWORK_NOT_FOUND)
    return BadRequest(f"Network {network_id} could not be found")


def _admit_by_policy(network: Network, attached: Sequence[NetworkId], settings: Settings) -> None:
    policy = settings.policy
    if network.id in policy.banned:
        raise Forbidden(f"Networks ({network.id}) not allowed", policy=True)
    most = policy.max_isolated if policy.exactly_isolated is None else policy.exactly_isolated
    if most is None or not network.isolated:
        return
    if sum(known not in FIXED_NETWORKS for known in attached) >= most:
        text = f"At most {most} isolated network(s) can be attached"
        raise Forbidden(text, policy=True)


# ── servers ──────────────────────────────────────────────────────────────────────────────────────


def admit_networks_of_boot(networks: Sequence[NetworkId], settings: Settings) -> None:
    """Refuse a boot whose networks are given twice or that the account's policy forbids.

    Raises:
        BadRequest: the same network twice.
        Forbidden: by the policy.
    """
    if len(set(networks)) != len(networks):
        twice = sorted({network for network in networks if networks.count(network) > 1})
        raise BadRequest(f"Duplicate networks ({', '.join(twice)}) are not allowed")
    policy = settings.policy
    missing = [network for network in policy.required if network not in networks]
    if missing:
        raise Forbidden(f"Networks ({', '.join(missing)}) required but missing", policy=True)
    banned = [network for network in networks if network in policy.banned]
    if banned:
        raise Forbidden(f"Networks ({', '.join(banned)}) not allowed", policy=True)
    isolated = sum(network not in FIXED_NETWORKS for network in networks)
    if policy.exactly_isolated is not None and isolated != policy.exactly_isolated:
        text = f"Exactly {policy.exactly_isolated} isolated network(s) must be attached"
        raise Forbidden(text, policy=True)
    if policy.max_isolated is not None and isolated > policy.max_isolated:
        text = f"At most {policy.max_isolated} isolated network(s) can be attached"
        raise Forbidden(text, policy=True)


def flavor_ram(flavor_ref: str) -> int:
    """Return the megabytes that a flavor counts for."""
    return _FLAVOR_RAM.get(flavor_ref, 512)


def admit_server(
    flavor_ref: str, instances: int | None, ram: int | None, quotas: Quotas, settings: Settings
) -> None:
    """Refuse a server over the tenant's quota.

    Args:
        flavor_ref: of the new server.
        instances: servers in use; None where the quota has no bound.
        ram: megabytes in use; None where the quota has no bound.
        quotas: the tenant's.
        settings: of the cloud.

    Raises:
        Forbidden, TooLarge: by `settings.quota_status`.
    """
    asked = {"instances": (1, instances), "ram": (flavor_ram(flavor_ref), ram)}
    for key, (amount, used) in asked.items():
        limit: int | None = getattr(quotas, key)
        if limit is not None and used is not None and used + amount > limit:
            text = (
                f"Quota exceeded for {key}: Requested {amount}, "
                f"but already used {used} of {limit} {key}"
            )
            fault = Forbidden if settings.quota_status == 403 else TooLarge
            raise fault(text, retry_after=_no_wait())


def server_at(server: Server, now: float) -> Server:
    """Return the server as it is at `now`: built, or gone, by its stored times."""
    if server.gone_at is not None:
        if server.gone_at <= now:
            return replace(server, status="DELETED", task_state=None, active_at=None)
        return replace(server, task_state="deleting")
    if server.active_at is None:
        return server
    if server.active_at <= now:
        return replace(
            server, status="ACTIVE", task_state=None, active_at=None, updated=server.active_at
        )
    share = build_progress(server, now) / 100
    task = _BUILD_TASKS[min(int(share * len(_BUILD_TASKS)), len(_BUILD_TASKS) - 1)]
    return replace(server, task_state=task)


def build_progress(server: Server, now: float) -> int:
    """Return how far a build is, in percent."""
    if server.active_at is None or server.active_at <= now:
        return 0 if server.status in {"BUILD", "ERROR"} else 100
    span = server.active_at - server.created
    return max(0, min(99, int(100 * (now - server.created) / span)))


def view(
    server: Server, interfaces: Sequence[VirtualInterface], touched: float, now: float
) -> ServerView:
    """Return what a read at `now` shows; `touched` is when the interfaces last changed."""
    shown = server_at(server, now)
    return ServerView(
        server=shown,
        interfaces=tuple(interfaces),
        progress=build_progress(shown, now),
        updated=max(shown.updated, touched),
    )


def vm_state(server: Server) -> str:
    """Return the `OS-EXT-STS:vm_state` that belongs to a server's status."""
    return _VM_STATES.get(server.status, "active")


def power_state(server: Server) -> int:
    """Return 1 (running), 4 (shut down) or 0 (none yet)."""
    return {"BUILD": 0, "ERROR": 0, "DELETED": 0, "SHUTOFF": 4, "SUSPENDED": 4}.get(
        server.status, 1
    )


def access_after_attach(server: Server, interface: VirtualInterface) -> Server:
    """Return the server with the addresses of a PublicNet interface, where it had none."""
    if interface.network_id != PUBLIC:
        return server
    v6, v4 = interface.addresses
    return replace(
        server,
        access_ipv4=server.access_ipv4 or v4,
        access_ipv6=server.access_ipv6 or v6,
    )


def access_after_detach(server: Server, interface: VirtualInterface) -> Server:
    """Return the server without access addresses, if PublicNet was detached."""
    if interface.network_id != PUBLIC:
        return server
    return replace(server, access_ipv4="", access_ipv6="")


def compile_name_filter(text: str) -> Expression:
    """Return the compiled `name` filter of a server list.

    Raises:
        BadRequest: not a regular expression, or one that might never come to an end.
    """
    from vifsim.searching import Expression  # noqa: PLC0415 -- few lists are filtered by name

    try:
        return Expression(text)
    except ValueError as exc:
        raise BadRequest(f"name is not a regular expression: {exc}") from exc


def _no_wait() -> RetryAfter:
    from vifsim.errors import RetryAfter  # noqa: PLC0415 -- a value for one rare fault

    return RetryAfter(0.0)


# ── addresses ────────────────────────────────────────────────────────────────────────────────────


@frozen(kw_only=False)
class Pool:
    """The IPv4 addresses that a network hands out: hosts of one or more ranges, by their slot."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return sum(self.sizes)

    def address(self, slot: int) -> str:
        """Return the text of the address at a slot, counted from 0."""
        for start, size in zip(self.starts, self.sizes, strict=True):
            if slot < size:
                value = start + slot
                return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"
            slot -= size
        raise IndexError(slot)


@lru_cache(maxsize=4096)
def pool_of(network_id: NetworkId, cidr: str | None) -> Pool | None:
    """Return a network's IPv4 pool, or None where it hands out IPv6 only."""
    if network_id == PUBLIC:
        ranges = [IPv4Network(pool) for pool in PUBLIC_POOLS]
    elif network_id == SERVICE or cidr is None:
        ranges = [IPv4Network(SERVICE_POOL)]
    else:
        network = ip_network(cidr)
        if isinstance(network, IPv6Network):
            return None
        ranges = [network]
    return Pool(
        starts=tuple(int(network.network_address) + 1 for network in ranges),
        sizes=tuple(network.num_addresses - 2 for network in ranges),
    )


@lru_cache(maxsize=4096)
def v6_prefix_of(network_id: NetworkId, cidr: str | None) -> IPv6Network | None:
    """Return the prefix from which a network hands out IPv6, or None."""
    if network_id == PUBLIC:
        return IPv6Network(PUBLIC_V6_PREFIX)
    if cidr is None or ":" not in cidr:
        return None
    return IPv6Network(cidr)


def v6_from_mac(prefix: IPv6Network, tenant: str, mac_address: str) -> str:
    """Return the address that the tenant and the MAC give: full groups, lower case.

    Source: API contract, section 3.2 (docs/api.md), checked there against captures.
    """
    tail = "ff" + mac_address.replace(":", "")[-6:]
    host = int(_tenant_part(tenant) + tail, 16)
    return IPv6Address(int(prefix.network_address) | host).exploded


@lru_cache(maxsize=4096)
def _tenant_part(tenant: str) -> str:
    return sha1(tenant.encode(), usedforsecurity=False).hexdigest()[:8]


def v6_candidates(prefix: IPv6Network) -> Iterator[str]:
    """Yield the addresses of a prefix longer than /64, lowest first, without the all-zero host."""
    base = int(prefix.network_address)
    for host in range(1, prefix.num_addresses):
        yield IPv6Address(base | host).exploded


def mac_text(number: int) -> str:
    """Return the MAC of a place in the space: BC:76:4E and three octets, upper case."""
    octets = f"{number % MAC_SPACE:06X}"
    return f"BC:76:4E:{octets[:2]}:{octets[2:4]}:{octets[4:]}"


def slots_after(last: int, size: int) -> Iterator[int]:
    """Yield every slot once, beginning with the next after `last` and wrapping."""
    for step in range(1, size + 1):
        yield (last + step) % size


def attach_order(interfaces: Sequence[VirtualInterface]) -> list[VirtualInterface]:
    """Return interfaces in the order in which they were attached."""
    return sorted(interfaces, key=lambda interface: interface.number)
