"""Values of the cloud as rows of a table and back, for any store that speaks SQL.

A row is read by position, so that the rows of every driver do: the columns of its statement are in
the order of the names here.

The house rule: no SQL beyond the names of columns, no connection.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from vifsim.model import BuildFault, Network, Server, Tenant, Token, User, VirtualInterface

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vifsim.exchange import Call
    from vifsim.rows import Thing

Note = tuple["Call", Literal["created", "deleted", "changed"], "Thing"]
"""An effect of an operation, to be told at the commit."""

TOMBSTONES = 10_000
"""Deleted servers that `changes-since` still finds; older ones are forgotten."""
LAST_NUMBER = (1 << 63) - 1

TENANT_COLUMNS = ("id", "quotas")
NETWORK_COLUMNS = ("id", "label", "cidr", "tenant")
USER_COLUMNS = ("id", "name", "tenant", "role", "enabled", "password", "api_key", "token")
SERVER_COLUMNS = (
    "number",
    "id",
    "tenant",
    "name",
    "image_ref",
    "flavor_ref",
    "user_id",
    "status",
    "task_state",
    "created",
    "updated",
    "active_at",
    "gone_at",
    "access_ipv4",
    "access_ipv6",
    "disk_config",
    "config_drive",
    "key_name",
    "locked",
    "metadata",
    "fault",
)


class UnreadableRow(ValueError):
    """A stored document is none: the store is damaged."""


def document(text: str) -> Any:
    """Return what a stored document says.

    Raises:
        UnreadableRow: it says nothing.
    """
    try:
        return json.loads(text)
    except (TypeError, ValueError) as exc:
        raise UnreadableRow(f"a stored document cannot be read: {exc}") from exc


def latest(*times: Any) -> float | None:
    """Return the latest of stored times, None where there is none.

    Raises:
        UnreadableRow: one is no time: the store is damaged.
    """
    try:
        return max((float(time) for time in times if time is not None), default=None)
    except (TypeError, ValueError) as exc:
        raise UnreadableRow(f"a stored time cannot be read: {exc}") from exc


def tenant_of(row: Any) -> Tenant:
    """Return a tenant from its `TENANT_COLUMNS`."""
    return Tenant(id=row[0], quotas=document(row[1]))


def tenant_values(tenant: Tenant) -> tuple[Any, ...]:
    """Return the `TENANT_COLUMNS` of a tenant."""
    return tenant.id, json.dumps(dict(tenant.quotas))


def network_of(row: Any) -> Network:
    """Return a network from its `NETWORK_COLUMNS`."""
    return Network(id=row[0], label=row[1], cidr=row[2], tenant=row[3])


def network_values(network: Network) -> tuple[Any, ...]:
    """Return the `NETWORK_COLUMNS` of a network."""
    return network.id, network.label, network.cidr, network.tenant


def user_of(row: Any) -> User:
    """Return a user from its `USER_COLUMNS`."""
    return User(
        id=row[0],
        name=row[1],
        tenant=row[2],
        role=row[3],
        enabled=bool(row[4]),
        password=row[5],
        api_key=row[6],
        token=row[7],
    )


def user_values(user: User) -> tuple[Any, ...]:
    """Return the `USER_COLUMNS` of a user."""
    return tuple(getattr(user, name) for name in USER_COLUMNS)


def token_of(row: Any) -> Token:
    """Return a token from its digest, number, user, tenant, expiry, revocation and means."""
    return Token(
        digest=row[0],
        number=row[1],
        user=row[2],
        tenant=row[3],
        expires=row[4],
        revoked=bool(row[5]),
        by=row[6],
    )


def token_values(token: Token) -> tuple[Any, ...]:
    """Return what `token_of` reads."""
    return (
        token.digest,
        token.number,
        token.user,
        token.tenant,
        token.expires,
        token.revoked,
        token.by,
    )


def server_of(row: Any) -> Server:
    """Return a server from its `SERVER_COLUMNS`."""
    return Server(
        number=row[0],
        id=row[1],
        tenant=row[2],
        name=row[3],
        image_ref=row[4],
        flavor_ref=row[5],
        user_id=row[6],
        status=row[7],
        task_state=row[8],
        created=row[9],
        updated=row[10],
        active_at=row[11],
        gone_at=row[12],
        access_ipv4=row[13],
        access_ipv6=row[14],
        disk_config=row[15],
        config_drive=row[16],
        key_name=row[17],
        locked=bool(row[18]),
        metadata=document(row[19]) if row[19] != "{}" else {},
        fault=None if row[20] is None else BuildFault(**document(row[20])),
    )


def server_values(server: Server) -> tuple[Any, ...]:
    """Return the `SERVER_COLUMNS` of a server."""
    return (
        server.number,
        server.id,
        server.tenant,
        server.name,
        server.image_ref,
        server.flavor_ref,
        server.user_id,
        server.status,
        server.task_state,
        server.created,
        server.updated,
        server.active_at,
        server.gone_at,
        server.access_ipv4,
        server.access_ipv6,
        server.disk_config,
        server.config_drive,
        server.key_name,
        server.locked,
        json.dumps(dict(server.metadata)) if server.metadata else "{}",
        None if server.fault is None else json.dumps(asdict(server.fault)),
    )


INTERFACE_ROWS = """
SELECT vif.number, vif.id, servers.id, networks.id, networks.label, vif.mac_address,
    addresses.address
FROM virtual_interfaces AS vif
JOIN servers ON servers.number = vif.server
JOIN networks ON networks.place = vif.network
JOIN addresses ON addresses.interface = vif.number"""
"""What `interfaces_of` reads, for a condition on one or more of these tables to follow."""
INTERFACE_ORDER = "ORDER BY vif.number, addresses.place"


def interface_of(row: Any, addresses: tuple[str, ...]) -> VirtualInterface:
    """Return an interface from the columns of `INTERFACE_ROWS`, with all its addresses."""
    return VirtualInterface(
        number=row[0],
        id=row[1],
        server_id=row[2],
        network_id=row[3],
        network_label=row[4],
        mac_address=row[5],
        addresses=addresses,
    )


def interfaces_of(rows: Iterable[Any]) -> list[VirtualInterface]:
    """Return interfaces from `INTERFACE_ROWS`, those of one interface together."""
    addresses: dict[int, tuple[str, ...]] = {}
    kept: list[Any] = []
    for row in rows:
        if row[0] in addresses:
            addresses[row[0]] += (row[6],)
        else:
            addresses[row[0]] = (row[6],)
            kept.append(row)
    return [interface_of(row, addresses[row[0]]) for row in kept]
