"""What a store must be able to do for operations: rows in, rows out.

The house rule: rows know no rule of the cloud, but hold the constraints that no two calls may
break, whatever else goes wrong.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from typing import TYPE_CHECKING, Literal

from vifsim.exchange import Call, Effect
from vifsim.model import (
    PUBLIC,
    SERVICE,
    InterfaceId,
    Network,
    NetworkId,
    Server,
    ServerId,
    Settings,
    Tenant,
    TenantId,
    Token,
    User,
    VirtualInterface,
)
from vifsim.values import slotted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vifsim.clock import Clock

PUBLIC_NETWORK = Network(id=PUBLIC, label="public", cidr=None, tenant=None)
SERVICE_NETWORK = Network(id=SERVICE, label="private", cidr=None, tenant=None)
FIXED = {PUBLIC: PUBLIC_NETWORK, SERVICE: SERVICE_NETWORK}

Thing = Server | Network | VirtualInterface | Token
"""What an effect can be about."""

_OBJECTS: dict[
    type[Thing], tuple[Literal["virtual_interface", "network", "server", "token"], str, str]
] = {
    VirtualInterface: ("virtual_interface", "id", "network_label"),
    Network: ("network", "id", "label"),
    Server: ("server", "id", "name"),
    Token: ("token", "digest", "user"),
}
"""What effects call a thing, and which of its fields they keep as its id and its name."""


def effect_on(kind: Literal["created", "deleted", "changed"], thing: Thing, at: float) -> Effect:
    """Return the effect to note: what was done to which thing, and when on the clock."""
    what, key, name = _OBJECTS[type(thing)]
    return Effect(kind, what, getattr(thing, key), at, getattr(thing, name))


class Rows(ABC):
    """What a store must be able to do: rows in, rows out, no rule of its own.

    Rows hold the constraints all the same: `put_interface` raises where a server would get two
    interfaces on one network, or two interfaces one address or MAC.

    Attributes:
        settings: of the cloud.
        seed: that ids follow from.
        clock: where times come from.
    """

    settings: Settings
    seed: int
    clock: Clock

    @abstractmethod
    def note(
        self, call: Call, kind: Literal["created", "deleted", "changed"], thing: Thing
    ) -> None:
        """Note an effect, to be written into the call's outcome at the commit."""

    @abstractmethod
    async def sequence(self, kind: str) -> int:
        """Return the last number of a sequence, 0 before the first."""

    @abstractmethod
    async def set_sequence(self, kind: str, number: int) -> None:
        """Set the last number of a sequence."""

    async def sequences(self, kinds: Sequence[str]) -> Sequence[int]:
        """Return the last numbers of several; a store that can reads them in one go."""
        return [await self.sequence(kind) for kind in kinds]

    @abstractmethod
    async def tenant(self, tenant_id: TenantId) -> Tenant | None:
        """Return a tenant."""

    @abstractmethod
    async def put_tenant(self, tenant: Tenant) -> None:
        """Store or replace a tenant."""

    @abstractmethod
    async def user(self, name: str) -> User | None:
        """Return a user by name."""

    @abstractmethod
    async def put_user(self, user: User) -> None:
        """Store or replace a user."""

    @abstractmethod
    async def token(self, digest: str) -> Token | None:
        """Return a token by its digest."""

    @abstractmethod
    async def tokens(self, user: str | None) -> Sequence[Token]:
        """Return the tokens of a user, or all, oldest first."""

    @abstractmethod
    async def put_token(self, token: Token) -> None:
        """Store or replace a token."""

    @abstractmethod
    async def network(self, network_id: NetworkId) -> Network | None:
        """Return an isolated network."""

    @abstractmethod
    async def networks(self, tenant: TenantId) -> Sequence[Network]:
        """Return a tenant's isolated networks in creation order."""

    @abstractmethod
    async def put_network(self, network: Network) -> None:
        """Store a new network."""

    @abstractmethod
    async def drop_network(self, network_id: NetworkId) -> None:
        """Remove a network and its sequences."""

    @abstractmethod
    async def server(self, server_id: ServerId) -> Server | None:
        """Return a server as stored, deleted ones too."""

    @abstractmethod
    async def put_server(self, server: Server) -> None:
        """Store or replace a server."""

    @abstractmethod
    async def servers(self, tenant: TenantId, before: int | None, size: int) -> Sequence[Server]:
        """Return up to `size` servers with numbers below `before`, highest first."""

    @abstractmethod
    async def servers_named(self, name: str) -> Sequence[Server]:
        """Return the servers of that name, oldest first."""

    @abstractmethod
    async def usage(self, tenant: TenantId, now: float) -> tuple[int, int]:
        """Return how many servers that are not gone a tenant has, and their megabytes."""

    @abstractmethod
    async def due(self, now: float) -> Sequence[Server]:
        """Return deleted servers whose time has come and that still have interfaces."""

    @abstractmethod
    async def touch(self, server_id: ServerId, at: float) -> None:
        """Remember when a server's interfaces last changed."""

    @abstractmethod
    async def touched(self, server_ids: Sequence[ServerId]) -> Mapping[ServerId, float]:
        """Return when the interfaces of these servers last changed, where they did."""

    @abstractmethod
    async def interface(
        self, server_id: ServerId, interface_id: InterfaceId
    ) -> VirtualInterface | None:
        """Return an interface of a server; whoever asks for one knows whose it is."""

    @abstractmethod
    async def interfaces(self, server_id: ServerId) -> Sequence[VirtualInterface]:
        """Return a server's interfaces in attach order."""

    @abstractmethod
    async def put_interface(self, interface: VirtualInterface) -> None:
        """Store a new interface.

        Raises:
            Conflict: it would break one of the three constraints.
        """

    @abstractmethod
    async def drop_interface(self, interface: VirtualInterface) -> None:
        """Remove an interface and free its addresses."""

    @abstractmethod
    async def on_network(self, network_id: NetworkId) -> int:
        """Return how many interfaces a network has."""

    @abstractmethod
    async def address_in_use(self, network_id: NetworkId, address: str) -> bool:
        """Return whether an interface has this address there."""

    @abstractmethod
    async def mac_in_use(self, mac_address: str) -> bool:
        """Return whether an interface has this MAC."""

    async def in_use(self, network_id: NetworkId, address: str, mac_address: str) -> bool:
        """Return whether an interface has this address there, or one has this MAC."""
        return await self.mac_in_use(mac_address) or await self.address_in_use(network_id, address)

    async def site(self, server_id: ServerId, network_id: NetworkId, tenant_id: TenantId) -> Site:
        """Return what an attachment is decided by; a store that can reads it in one go."""
        return Site(
            server=await self.server(server_id),
            network=None if network_id in FIXED else await self.network(network_id),
            tenant=await self.tenant(tenant_id),
            attached=[one.network_id for one in await self.interfaces(server_id)],
        )

    async def place(
        self, interface: VirtualInterface, numbers: Mapping[str, int], at: float
    ) -> None:
        """Store a new interface, the sequences that it was made of, and when its server changed.

        Raises:
            Conflict: see `put_interface`.
        """
        await self.put_interface(interface)
        for kind, number in numbers.items():
            await self.set_sequence(kind, number)
        await self.touch(interface.server_id, at)

    @abstractmethod
    async def contents(self) -> Contents:
        """Return everything."""


@slotted
class Site:
    """Where an interface is to be attached: the things behind the call's ids, None where unknown.

    `network` is an isolated one, whoever's it is; `attached` are the networks of the server.
    """

    server: Server | None
    network: Network | None
    tenant: Tenant | None
    attached: Sequence[NetworkId]


@slotted(kw_only=True)
class Contents:
    """Everything that a store holds. Sequences are last numbers by kind."""

    tenants: list[Tenant] = field(default_factory=list[Tenant])
    users: list[User] = field(default_factory=list[User])
    tokens: list[Token] = field(default_factory=list[Token])
    networks: list[Network] = field(default_factory=list[Network])
    servers: list[Server] = field(default_factory=list[Server])
    touched: dict[ServerId, float] = field(default_factory=dict[ServerId, float])
    interfaces: list[VirtualInterface] = field(default_factory=list[VirtualInterface])
    sequences: dict[str, int] = field(default_factory=dict[str, int])


class Numbers:
    """The sequences that an operation draws from, kept only when it is sure to succeed.

    Attributes:
        last: numbers by kind, as this operation sees them, of the sequences that it has read.
        taken: those of the sequences that it has drawn from.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.last: dict[str, int] = {}
        self.taken: dict[str, int] = {}

    async def learn(self, *kinds: str) -> None:
        """Read the sequences that were not read yet."""
        new = kinds if not self.last else [kind for kind in kinds if kind not in self.last]
        if new:
            self.last.update(zip(new, await self._rows.sequences(new), strict=True))

    async def take(self, kind: str) -> int:
        """Return the next number of a sequence that may not be known yet."""
        await self.learn(kind)
        number = self.last[kind] + 1
        self.set(kind, number)
        return number

    def set(self, kind: str, number: int) -> None:
        """Set the last number of a sequence."""
        self.last[kind] = self.taken[kind] = number

    async def keep(self) -> Mapping[str, int]:
        """Write what was taken, and return it: last numbers by kind."""
        for kind, number in self.taken.items():
            await self._rows.set_sequence(kind, number)
        return self.taken
