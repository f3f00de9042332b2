"""The things of the cloud, the world they make up, and the demo world.

The house rule: values without behaviour that touches anything. Times are seconds since the epoch,
UTC; ids are lower-case.
"""

from __future__ import annotations

from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NewType

from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

ServerId = NewType("ServerId", str)
NetworkId = NewType("NetworkId", str)
InterfaceId = NewType("InterfaceId", str)
TenantId = NewType("TenantId", str)

PUBLIC = NetworkId("00000000-0000-0000-0000-000000000000")
SERVICE = NetworkId("11111111-1111-1111-1111-111111111111")
FIXED_NETWORKS: tuple[NetworkId, ...] = (PUBLIC, SERVICE)
"""PublicNet and ServiceNet, which every tenant has and nobody can delete."""

PUBLIC_POOLS: tuple[str, ...] = ("198.51.100.0/24", "203.0.113.0/24")
PUBLIC_V6_PREFIX = "2001:db8:7810:512::/64"
SERVICE_POOL = "10.176.0.0/12"

OPERATIONS: tuple[str, ...] = (
    "list_versions",
    "get_version",
    "list_extensions",
    "authenticate",
    "validate_token",
    "revoke_token",
    "list_endpoints",
    "list_tenants",
    "get_limits",
    "list_servers",
    "list_servers_detail",
    "create_server",
    "get_server",
    "delete_server",
    "list_addresses",
    "list_networks",
    "create_network",
    "get_network",
    "delete_network",
    "list_virtual_interfaces",
    "create_virtual_interface",
    "delete_virtual_interface",
    "unknown",
)
"""What can be asked of the cloud; "unknown": no route has that path and method."""

Role = Literal["observer", "creator", "admin"]
Profile = Literal["docs", "live"]

SERVER_STATUSES: tuple[str, ...] = (
    "ACTIVE",
    "BUILD",
    "DELETED",
    "ERROR",
    "HARD_REBOOT",
    "MIGRATING",
    "PASSWORD",
    "PAUSED",
    "REBOOT",
    "REBUILD",
    "RESCUE",
    "RESIZE",
    "REVERT_RESIZE",
    "SHUTOFF",
    "SUSPENDED",
    "UNKNOWN",
    "VERIFY_RESIZE",
)
"""Source: API contract, section 5.4 (docs/api.md)."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@frozen
class Quotas:
    """How much a tenant may have; None: no limit.

    `instances` servers, `ram` megabytes, `networks` isolated networks, `servers_per_network`
    servers on one isolated network, `vifs_per_server` interfaces on one server.

    Source: API contract, sections 4.1 and 5.2 (docs/api.md).
    """

    instances: int | None = 100
    ram: int | None = 131072
    networks: int | None = 10
    servers_per_network: int | None = 250
    vifs_per_server: int | None = None


@frozen
class Policy:
    """An account policy, as managed accounts have them.

    `required`: networks that every server must have; `banned`: networks that none may have;
    `max_isolated`, `exactly_isolated`: isolated networks on one server.
    """

    required: tuple[NetworkId, ...] = ()
    banned: tuple[NetworkId, ...] = ()
    max_isolated: int | None = None
    exactly_isolated: int | None = None


@frozen
class Settings:
    """How the cloud behaves when it is healthy.

    Durations are seconds. Where the published sources disagree, each setting chooses one of them.

    Source: API contract, section 11 (docs/api.md).
    """

    profile: Profile = "docs"
    duplicate_vif_status: Literal[409, 400] = 409
    state_checks: bool = True
    network_in_use_status: Literal[403, 409] = 403
    unknown_network_status: Literal[404, 400] = 404
    tenant_mismatch_status: Literal[401, 403, 404] = 401
    vif_delete_status: Literal[200, 204] = 200
    idempotent_vif_delete: bool = False
    bad_media_type_status: Literal[415, 400] = 415
    quota_status: Literal[403, 413] = 403
    reissue: Literal["last_hour", "always"] = "last_hour"
    rate_limits: Literal["none", "documented"] = "none"
    retry_after: Literal["seconds", "date"] = "seconds"
    max_limit: int = 1000
    vif_limit_scope: Literal["user", "server"] = "user"
    raw_framework_bodies: bool = False
    over_limit_dialect: Literal["docs"] = "docs"
    policy: Policy = field(default_factory=Policy)
    region: str = "DFW"
    server_header: str = "Jetty(9.2.z-SNAPSHOT)"
    via_header: str = "1.1 Repose (Repose/6.2.1.2)"
    build_time: float = 0.0
    delete_time: float = 0.0
    token_lifetime: float = 86400.0
    quotas: Quotas = field(default_factory=Quotas)


PROFILES: Mapping[Profile, Mapping[str, Any]] = MappingProxyType(
    {
        "docs": _NOTHING,
        "live": MappingProxyType(
            {
                "duplicate_vif_status": 400,
                "state_checks": False,
                "idempotent_vif_delete": True,
                "rate_limits": "documented",
                "retry_after": "date",
                "raw_framework_bodies": True,
            }
        ),
    }
)
"""What a profile changes; a setting of its own wins over it. Source: as `Settings`."""


@frozen
class User:
    """A user of a tenant.

    Secrets are digests (`draws.secret_digest`); so is `token`, where the user has one that works
    without a log-in and does not expire by itself.
    """

    id: str
    name: str
    tenant: TenantId
    role: Role = "admin"
    enabled: bool = True
    password: str | None = None
    api_key: str | None = None
    token: str | None = None


@frozen
class Tenant:
    """A tenant; a quota of its own wins over the settings' for the keys it names."""

    id: TenantId
    quotas: Mapping[str, int | None] = field(default_factory=dict[str, int | None])


@frozen
class Network:
    """A network. `tenant` and `cidr` are None for PublicNet and ServiceNet only."""

    id: NetworkId
    label: str
    cidr: str | None
    tenant: TenantId | None

    @property
    def isolated(self) -> bool:
        """Whether it belongs to a tenant."""
        return self.tenant is not None


@frozen
class VirtualInterface:
    """An attachment of a server to a network.

    `addresses` are texts as the API shows them, IPv6 before IPv4, never empty. `number` is the
    place in the order of all attachments.
    """

    id: InterfaceId
    number: int
    server_id: ServerId
    network_id: NetworkId
    network_label: str
    mac_address: str
    addresses: tuple[str, ...]


@frozen
class BuildFault:
    """Why a server is in ERROR; `created` in seconds since the epoch."""

    code: int
    created: float
    message: str
    details: str


@frozen
class Server:
    """A server, as it is stored and as it is shown.

    What is shown follows from the stored times: `cloud.server_at` turns the one into the other.

    Attributes:
        number: place in the order of creation.
        status, task_state: documented texts; `task_state` None when nothing runs.
        active_at: when a BUILD is done; None where it will not be by itself.
        gone_at: when a deletion is done; None where the server stays.
    """

    id: ServerId
    number: int
    tenant: TenantId
    name: str
    image_ref: str = "1"
    flavor_ref: str = "2"
    user_id: str = ""
    status: str = "ACTIVE"
    task_state: str | None = None
    created: float = 0.0
    updated: float = 0.0
    active_at: float | None = None
    gone_at: float | None = None
    access_ipv4: str = ""
    access_ipv6: str = ""
    disk_config: Literal["AUTO", "MANUAL"] = "AUTO"
    config_drive: str = ""
    key_name: str | None = None
    locked: bool = False
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    fault: BuildFault | None = None


@frozen
class ServerView:
    """A server with its interfaces, as one read saw them.

    `progress` in percent; `updated`: when the server or one of its interfaces last changed.
    """

    server: Server
    interfaces: tuple[VirtualInterface, ...]
    progress: int
    updated: float


@frozen
class NewServer:
    """What a client asks for; `networks` None: PublicNet and ServiceNet."""

    name: str
    image_ref: str
    flavor_ref: str
    networks: tuple[NetworkId, ...] | None = None
    disk_config: Literal["AUTO", "MANUAL"] = "AUTO"
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    access_ipv4: str = ""
    access_ipv6: str = ""
    key_name: str | None = None
    config_drive: str = ""


@frozen
class CreatedServer:
    """A new server and its first password, which is never shown again."""

    server: Server
    admin_pass: str


@frozen
class ServerQuery:
    """Which servers to list, newest first.

    `limit` None: up to `max_limit`; `marker`: the last one seen; `changes_since`: seconds since
    the epoch, and deleted servers too; `name` a regular expression to search for.
    """

    limit: int | None = None
    offset: int = 0
    marker: str | None = None
    changes_since: float | None = None
    name: str | None = None
    status: str | None = None
    image: str | None = None
    flavor: str | None = None


@frozen
class Identity:
    """Who a token speaks for. `token_id` is the token's digest."""

    user: str
    user_id: str
    tenant: TenantId
    role: Role
    token_id: str


@frozen
class Token:
    """A token as it is stored: its digest, never its text.

    `number` is None for a token that the world gives a user; `expires` None: never by itself.
    `by` are the means of the log-in, "APIKEY" or "PASSWORD".
    """

    digest: str
    number: int | None
    user: str
    tenant: TenantId
    expires: float | None
    revoked: bool = False
    by: str = "APIKEY"


@frozen
class Access:
    """A log-in's answer, or a token's facts; `text` is empty where only the digest is known."""

    text: str
    token: Token
    user: User


@frozen
class Credentials:
    """What a client logs in with; exactly one of the three secrets is given."""

    username: str | None = None
    api_key: str | None = None
    password: str | None = None
    token: str | None = None
    tenant: str | None = None


@frozen
class Usage:
    """What a tenant has, beside its quotas."""

    quotas: Quotas
    instances: int
    ram: int
    networks: int


@frozen
class Rate:
    """One rate limit and what is left of it.

    `next_available`: seconds until the budget is back, 0 where some is left.
    """

    verb: str
    uri: str
    regex: str
    value: int
    remaining: int
    unit: Literal["SECOND", "MINUTE", "HOUR", "DAY"]
    next_available: float


@frozen
class Limits:
    """The answer of `get_limits`: the absolute part, and the rates in their order."""

    usage: Usage
    rates: tuple[Rate, ...] = ()


@frozen
class SeedServer:
    """A server of a world, before it has an id; `networks` by label or id."""

    name: str
    tenant: TenantId
    id: ServerId | None = None
    status: str = "ACTIVE"
    task_state: str | None = None
    networks: tuple[str, ...] = ("public", "private")


@frozen
class SeedInterface:
    """An attachment of a world, or the fixed values of one that a server's `networks` make."""

    server: str
    network: str
    id: InterfaceId | None = None
    mac_address: str | None = None
    addresses: tuple[str, ...] = ()


@frozen
class SeedNetwork:
    """A network of a world, before it has an id."""

    label: str
    cidr: str
    tenant: TenantId
    id: NetworkId | None = None


@frozen
class World:
    """What exists at the start, and how the cloud behaves."""

    seed: int = 0
    settings: Settings = field(default_factory=Settings)
    tenants: tuple[Tenant, ...] = ()
    users: tuple[User, ...] = ()
    networks: tuple[SeedNetwork, ...] = ()
    servers: tuple[SeedServer, ...] = ()
    interfaces: tuple[SeedInterface, ...] = ()


DEMO_TENANT = TenantId("123456")
DEMO_TOKEN = "demo-token"  # noqa: S105 -- a constant of the demo world
ADDED_NETWORK = NetworkId("1f7920d3-0e63-4fec-a1cb-f7916671e8eb")
WEB_1 = ServerId("3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01")
WEB_2 = ServerId("3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a02")
DB_1 = ServerId("3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a03")

DEMO_DOCUMENT: Mapping[str, Any] = MappingProxyType(
    {
        "tenants": [
            {
                "id": DEMO_TENANT,
                "users": [
                    {
                        "name": name,
                        "role": role,
                        "password": "demo-password",
                        "api_key": "demo-key",
                        **token,
                    }
                    for name, role, token in (
                        ("demo", "admin", {"token": DEMO_TOKEN}),
                        ("observer", "observer", {}),
                        ("creator", "creator", {}),
                    )
                ],
            }
        ],
        "networks": [
            {
                "id": ADDED_NETWORK,
                "tenant": DEMO_TENANT,
                "label": "added_network",
                "cidr": "192.168.0.0/24",
            }
        ],
        "servers": [
            {"id": WEB_1, "tenant": DEMO_TENANT, "name": "web-1"},
            {"id": WEB_2, "tenant": DEMO_TENANT, "name": "web-2"},
            {"id": DB_1, "tenant": DEMO_TENANT, "name": "db-1"},
        ],
        "virtual_interfaces": [],
    }
)
"""The world of every simulator that is not told otherwise, in the shape of a scenario's `world`."""
