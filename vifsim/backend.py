"""The one interface behind the app, and how an implementation of it is found by its URL.

The house rule: a backend knows values and faults; no HTTP, no JSON, no scenario. It raises
`ApiFault` and nothing else, and what it raised changed nothing.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import field
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn, cast

from vifsim.errors import ControlFault, UsageError
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.metadata import EntryPoint

    from vifsim.clock import Clock
    from vifsim.errors import ApiFault
    from vifsim.exchange import Call
    from vifsim.model import (
        Access,
        CreatedServer,
        Credentials,
        Identity,
        InterfaceId,
        Limits,
        Network,
        NetworkId,
        NewServer,
        ServerId,
        ServerQuery,
        ServerView,
        Settings,
        Tenant,
        VirtualInterface,
        World,
    )
    from vifsim.sharing import Sharing

STORES_GROUP = "vifsim.backends"
DECORATORS_GROUP = "vifsim.decorators"

Snapshot = dict[str, Any]
"""The whole of a store as JSON-able data, versioned and portable between backends.

Source: control API, section 3.5 (docs/control-api.md).
"""


@frozen
class Change:
    """What the control API's hand does to a cloud: a kind of change and its values."""

    kind: str
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])


@frozen
class Names:
    """The names behind the ids of a call; None where there is no such thing."""

    server: str | None = None
    network: str | None = None
    network_label: str | None = None


class Backend(ABC):
    """A cloud. Every operation takes the `Call` first and raises `ApiFault` or nothing.

    An operation is atomic: if it raised, nothing changed; when it returned, its effects are
    durable as far as the store goes, noted in `call.outcome.effects`, and seen by every later
    call. A cancelled caller never undoes what was committed.

    Args:
        url: as the user wrote it, the scheme included.
        clock: where every time comes from.
    """

    shares: bool = False
    """Whether several processes may open the same URL and be one cloud."""

    durable: bool = False
    """Whether what is stored is there again when the URL is opened once more."""

    at_once: bool = False
    """Whether operations end without waiting for anything, mostly, and otherwise for a future.

    A call to such a backend is answered without a task of its own: what needs one, as
    `asyncio.timeout` does, may not be used.
    """

    def __init__(self, url: str, *, clock: Clock) -> None:
        self.url = url
        self.clock = clock

    # ── life ──

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """How the cloud behaves now."""

    @property
    @abstractmethod
    def seed(self) -> int:
        """The seed that ids and draws follow from: the store's own once it is used."""

    @abstractmethod
    async def open(self, world: World) -> None:
        """Make ready; seed an empty store with `world` and leave a used one alone.

        Raises:
            BackendError: the store cannot be used; the message says what to do.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish what is queued and let the store go; harmless when called twice."""

    @abstractmethod
    async def reset(self, world: World) -> None:
        """Forget everything, sequences included, and seed with `world`."""

    @abstractmethod
    async def configure(self, settings: Settings) -> None:
        """Let other settings hold from now on; what exists stays."""

    @abstractmethod
    async def snapshot(self) -> Snapshot:
        """Return the store as portable data."""

    @abstractmethod
    async def restore(self, snapshot: Snapshot) -> None:
        """Become what a snapshot of any backend says.

        Raises:
            ControlFault: 400 or 409, the snapshot is not one, or of another version.
        """

    @abstractmethod
    async def amend(self, change: Change) -> None:
        """Change the cloud by hand.

        Raises:
            ControlFault: 400 or 404, the change or what it names does not exist.
        """

    def moment(self) -> object | None:
        """Return the store as it is now, for `go_back` alone; None where that is not possible.

        Never suspends: a call must not come in between.
        """
        return None

    async def go_back(self, moment: object) -> None:
        """Be as at a moment that `moment` returned.

        Raises:
            ControlFault: 409, this backend keeps none.
        """
        raise ControlFault(409, f"{self.url.partition(':')[0]}: keeps no moments to go back to")

    async def state_at(self, moment: object) -> Mapping[str, Any]:
        """Return the world at a moment, as `state_document`; raises as `go_back`."""
        raise ControlFault(409, f"{self.url.partition(':')[0]}: keeps no moments to look at")

    @abstractmethod
    async def state_document(self) -> Mapping[str, Any]:
        """Return the world now, in the shape of a scenario's `world`, without secrets."""

    async def known_names(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the ids of servers by name, the oldest of each, and of networks by label."""
        state = await self.state_document()
        servers: dict[str, str] = {}
        for item in state["servers"]:
            servers.setdefault(item["name"], item["id"])
        return servers, {item["label"]: item["id"] for item in state["networks"]}

    @abstractmethod
    async def identify(self, token: str) -> Identity | None:
        """Return whom a token speaks for, or None where it is unknown, expired or revoked."""

    async def names(self, call: Call) -> Names:
        """Return the names behind the ids that a call has; never counted, never faulted."""
        return Names()

    async def expire_token(self, token_id: str) -> None:
        """End the token with this digest at once; nothing happens where there is none."""

    async def keep_scenario(self, scenario: Mapping[str, Any]) -> None:
        """Keep the scenario, its state and the clock's offset with the store, where it lasts."""

    async def kept_scenario(self) -> Mapping[str, Any] | None:
        """Return what `keep_scenario` was given last, or None."""
        return None

    @property
    def sharing(self) -> Sharing | None:
        """What processes on this store have in common beside the cloud; None: it has only one."""
        return None

    async def refuse(self, call: Call, fault: ApiFault) -> NoReturn:
        """Raise `fault`: a request that the app itself must refuse passes the faults like any."""
        raise fault

    # ── documents ──

    async def list_versions(self, call: Call) -> None:
        """Do nothing: the version list is the app's, but an outage covers it too."""

    async def get_version(self, call: Call) -> None:
        """Do nothing, as `list_versions`."""

    async def list_extensions(self, call: Call) -> None:
        """Do nothing, as `list_versions`."""

    # ── identity ──

    @abstractmethod
    async def authenticate(self, call: Call, credentials: Credentials) -> Access:
        """Log in and return a token: the living one, or a new one in its last hour.

        Raises:
            Unauthorized: wrong user, secret or tenant.
            UserDisabled: the user is disabled.

        Source: API contract, section 6.1 (docs/api.md).
        """

    @abstractmethod
    async def validate_token(self, call: Call, token: str, belongs_to: str | None) -> Access:
        """Return the facts of a token.

        Raises:
            ItemNotFound: unknown, expired, revoked, or of another tenant than `belongs_to`.
            Forbidden: another user's, and the caller is no admin.
        """

    @abstractmethod
    async def list_endpoints(self, call: Call, token: str) -> Access:
        """Return the facts of a token for its endpoints; raises as `validate_token`."""

    @abstractmethod
    async def revoke_token(self, call: Call, token: str | None) -> None:
        """Revoke a token, or the caller's own where `token` is None.

        Raises:
            ItemNotFound: no such token.
            Forbidden: another user's, and the caller is no admin.
        """

    @abstractmethod
    async def list_tenants(self, call: Call) -> Sequence[Tenant]:
        """Return the tenants of the caller."""

    @abstractmethod
    async def get_limits(self, call: Call) -> Limits:
        """Return the tenant's quotas and what is used of them; rates come from the engine."""

    # ── servers ──

    @abstractmethod
    async def list_servers(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        """Return the tenant's servers, newest first; their interfaces may be left out.

        Raises:
            BadRequest: the marker is unknown, or a filter is malformed.
        """

    @abstractmethod
    async def list_servers_detail(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        """Return the tenant's servers with their interfaces, newest first; raises as above."""

    @abstractmethod
    async def create_server(self, call: Call, new: NewServer) -> CreatedServer:
        """Create a server and attach it to its networks, or do neither.

        Raises:
            BadRequest: a network is unknown, given twice, full or exhausted.
            Forbidden, TooLarge: over a quota, or against the account's policy.
        """

    @abstractmethod
    async def get_server(self, call: Call, server_id: ServerId) -> ServerView:
        """Return a server with its interfaces.

        Raises:
            ItemNotFound: the tenant has no such server.
        """

    @abstractmethod
    async def delete_server(self, call: Call, server_id: ServerId) -> None:
        """Delete a server; its interfaces go when the deletion is done.

        Raises:
            ItemNotFound: the tenant has no such server.
            Conflict: it is locked.
        """

    @abstractmethod
    async def list_addresses(self, call: Call, server_id: ServerId) -> Sequence[VirtualInterface]:
        """Return a server's interfaces in attach order; raises as `get_server`."""

    # ── networks ──

    @abstractmethod
    async def list_networks(self, call: Call) -> Sequence[Network]:
        """Return the tenant's networks in creation order, then PublicNet and ServiceNet."""

    @abstractmethod
    async def create_network(self, call: Call, label: str, cidr: str) -> Network:
        """Create an isolated network; `cidr` is canonical.

        Raises:
            BadRequest: over the tenant's quota.
        """

    @abstractmethod
    async def get_network(self, call: Call, network_id: NetworkId) -> Network:
        """Return a network.

        Raises:
            ItemNotFound: the tenant has no such network.
        """

    @abstractmethod
    async def delete_network(self, call: Call, network_id: NetworkId) -> None:
        """Delete a network.

        Raises:
            ItemNotFound: the tenant has no such network.
            Forbidden, Conflict: it is fixed, or attached to a server.
        """

    # ── virtual interfaces ──

    @abstractmethod
    async def list_virtual_interfaces(
        self, call: Call, server_id: ServerId
    ) -> Sequence[VirtualInterface]:
        """Return a server's interfaces in attach order.

        Raises:
            ItemNotFound: the tenant has no such server.
        """

    @abstractmethod
    async def create_virtual_interface(
        self, call: Call, server_id: ServerId, network_id: NetworkId
    ) -> VirtualInterface:
        """Attach a server to a network.

        Of any number of concurrent calls for one server and network exactly one succeeds. When
        this returns, the interface is durable and every later `list_virtual_interfaces` shows it.

        Returns:
            The new interface with its addresses, in the order of the contract, never empty.

        Raises:
            ItemNotFound: `call.tenant` has no such server or network.
            Conflict: the server is attached there already, or its state forbids it.
            BadRequest: the network is full or has no free address.
            Forbidden: the account's policy.

        Source: API contract, section 3.3 (docs/api.md).
        """

    @abstractmethod
    async def delete_virtual_interface(
        self, call: Call, server_id: ServerId, interface_id: InterfaceId
    ) -> None:
        """Detach an interface; its address returns to the pool.

        Raises:
            ItemNotFound: the tenant has no such server, or the server no such interface.
            Conflict: the server's state forbids it.
            Forbidden: the account's policy requires the network.
        """


def installed() -> dict[str, EntryPoint]:
    """Return the installed backends by their URL scheme, in alphabetical order."""
    return points(STORES_GROUP)


def points(group: str) -> dict[str, EntryPoint]:
    """Return the entry points of a group by name, in alphabetical order."""
    return dict(_points(group, tuple(sys.path)))


@cache
def _points(group: str, _: tuple[str, ...]) -> dict[str, EntryPoint]:
    # Reading what is installed takes longer than starting a cloud: once for each search path.
    from importlib.metadata import entry_points  # noqa: PLC0415 -- slow to import, and ours are known

    return {point.name: point for point in sorted(entry_points(group=group))}


@frozen(kw_only=False)
class OwnPoint:
    """An entry point that comes with vifsim: as one of `importlib.metadata`, but known by heart."""

    name: str
    value: str

    def load(self) -> Any:
        """Import what it names."""
        module, _, name = self.value.partition(":")
        return getattr(import_module(module), name)


OWN_STORES: Mapping[str, OwnPoint] = {
    point.name: point
    for point in (
        OwnPoint("memory", "vifsim_backends.memory:MemoryBackend"),
        OwnPoint("postgresql", "vifsim_backends.postgres:PostgresBackend"),
        OwnPoint("sqlite", "vifsim_backends.sqlite:SqliteBackend"),
    )
}
"""Our backends by their URL scheme. To look them up as others' are would be a tenth of a start;
`test_our_own_backends_are_the_entry_points_that_are_installed` holds them against those."""

OWN_DECORATOR = OwnPoint("faults", "vifsim_backends.faults:FaultBackend")
"""What faults any of them; likewise."""


def decorator() -> Any:
    """Return the class of the fault decorator."""
    return loaded(OWN_DECORATOR)


def find(url: str) -> type[Backend]:
    """Return the backend class that a URL such as `sqlite:///demo.db` names.

    Raises:
        UsageError: there is no such backend, or it cannot be imported.
    """
    scheme, colon, _ = url.partition(":")
    if colon and scheme in OWN_STORES:
        return load(OWN_STORES[scheme])
    known = installed()
    if not colon or scheme not in known:
        from difflib import get_close_matches  # noqa: PLC0415 -- for a mistake only

        near = get_close_matches(scheme, known, n=1)
        hint = f"did you mean {near[0]}:?" if near else f"known: {', '.join(known)}"
        raise UsageError(f"no backend for {url!r} ({hint})")
    return load(known[scheme])


_EXTRAS = {"postgresql": "postgres"}
"""The extra that a backend needs, where it is not called as the scheme of its URL."""


def load(point: EntryPoint | OwnPoint) -> type[Backend]:
    """Return what an entry point names.

    Raises:
        UsageError: its module needs a package that is not installed.
    """
    try:
        return cast("type[Backend]", loaded(point))
    except ImportError as exc:
        extra = _EXTRAS.get(point.name, point.name)
        cure = f"pip install 'vifsim[{extra}]'" if exc.name else "is it installed whole?"
        raise UsageError(f"backend {point.name} cannot be loaded: {exc} ({cure})") from exc


@cache
def loaded(point: EntryPoint | OwnPoint) -> Any:
    """Return what an entry point names; asking again costs nothing.

    Raises:
        ImportError: it cannot be imported.
    """
    return point.load()
