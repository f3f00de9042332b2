"""A backend made of rows: what a store must say to become one.

A store gives `Rows` and the two ways to run an operation on them; everything else that a
`Backend` must do stands here. A backend for another engine is a subclass of `StoreBackend`.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from vifsim import amending, operations, seeding, snapshots
from vifsim.backend import Backend
from vifsim.draws import token_digest
from vifsim.model import Identity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from vifsim.backend import Change, Names, Snapshot
    from vifsim.exchange import Call
    from vifsim.model import (
        Access,
        CreatedServer,
        Credentials,
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
        Token,
        User,
        VirtualInterface,
        World,
    )
    from vifsim.rows import Contents, Rows

    P = ParamSpec("P")
    T = TypeVar("T")
    Operation = Callable[Concatenate[Rows, P], Awaitable[T]]
    Fill = Callable[[Rows], Awaitable[None]]


class TokenTable:
    """The tokens and users of a store, in memory, so that `identify` costs no hop."""

    def __init__(self) -> None:
        self.tokens: dict[str, Token] = {}
        self.users: dict[str, User] = {}
        self.by_user: dict[str, list[str]] = {}
        self._identities: dict[str, Identity] = {}

    def copied(self) -> TokenTable:
        """Return another table that holds the same; no write to one is felt by the other."""
        other = TokenTable()
        other.tokens.update(self.tokens)
        other.users.update(self.users)
        other.by_user.update({user: digests.copy() for user, digests in self.by_user.items()})
        return other

    def put_token(self, token: Token) -> None:
        """Store or replace a token."""
        if token.digest not in self.tokens:
            self.by_user.setdefault(token.user, []).append(token.digest)
        self.tokens[token.digest] = token
        self._identities.pop(token.digest, None)

    def drop_token(self, digest: str) -> None:
        """Forget a token."""
        token = self.tokens.pop(digest)
        self.by_user[token.user].remove(digest)
        self._identities.pop(digest, None)

    def put_user(self, user: User) -> None:
        """Store or replace a user."""
        self.users[user.name] = user
        self._identities.clear()

    def drop_user(self, name: str) -> None:
        """Forget a user."""
        del self.users[name]
        self._identities.clear()

    def tokens_of(self, user: str | None) -> list[Token]:
        """Return the tokens of a user, or all, oldest first."""
        if user is None:
            return list(self.tokens.values())
        return [self.tokens[digest] for digest in self.by_user.get(user, ())]

    def identify(self, text: str, now: float) -> Identity | None:
        """Return whom a token speaks for at `now`, seconds since the epoch."""
        digest = token_digest(text)
        token = self.tokens.get(digest)
        if token is None or token.revoked:
            return None
        if token.expires is not None and token.expires <= now:
            return None
        return self._identities.get(digest) or self._identity(token)

    def _identity(self, token: Token) -> Identity | None:
        user = self.users.get(token.user)
        if user is None or not user.enabled:
            return None
        identity = self._identities[token.digest] = Identity(
            user=user.name,
            user_id=user.id,
            tenant=token.tenant,
            role=user.role,
            token_id=token.digest,
        )
        return identity


class StoreBackend(Backend):
    """A backend over rows.

    A subclass says how operations run: `_read` and `_write` await `operation(rows, *args)` once,
    atomically for `_write`, and `_write` returns after the commit, with the noted effects in the
    call's outcome; and how all rows are replaced at once (`_replace`).
    """

    @abstractmethod
    async def _read(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation that only reads."""

    @abstractmethod
    async def _write(self, operation: Operation[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run an operation and commit what it wrote."""

    @abstractmethod
    async def _replace(self, settings: Settings, seed: int, fill: Fill) -> None:
        """Empty the rows, give them settings and a seed, and fill them: all of it, or nothing."""

    async def reset(self, world: World) -> None:
        await self._replace(world.settings, world.seed, partial(seeding.populate, world=world))

    async def restore(self, snapshot: Snapshot) -> None:
        contents, settings, seed = snapshots.contents_of(snapshot)
        await self._replace(settings, seed, partial(seeding.refill, contents=contents))

    async def amend(self, change: Change) -> None:
        await self._write(amending.amend, change)

    async def state_document(self) -> Mapping[str, Any]:
        contents = await self._read(_contents)
        return snapshots.state_document(contents, self.settings, self.clock.epoch())

    async def snapshot(self) -> Snapshot:
        contents = await self._read(_contents)
        return snapshots.snapshot_of(contents, self.settings, self.seed)

    async def names(self, call: Call) -> Names:
        return await self._read(operations.names, call)

    async def expire_token(self, token_id: str) -> None:
        await self._write(operations.expire_token, token_id)

    async def authenticate(self, call: Call, credentials: Credentials) -> Access:
        return await self._write(operations.authenticate, call, credentials)

    async def validate_token(self, call: Call, token: str, belongs_to: str | None) -> Access:
        return await self._read(operations.find_token, call, token, belongs_to)

    async def list_endpoints(self, call: Call, token: str) -> Access:
        return await self._read(operations.find_token, call, token)

    async def revoke_token(self, call: Call, token: str | None) -> None:
        await self._write(operations.revoke_token, call, token)

    async def list_tenants(self, call: Call) -> Sequence[Tenant]:
        return await self._read(operations.list_tenants, call)

    async def get_limits(self, call: Call) -> Limits:
        return await self._read(operations.get_limits, call)

    async def list_servers(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        return await self._read(operations.list_servers, call, query, detail=False)

    async def list_servers_detail(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        return await self._read(operations.list_servers, call, query, detail=True)

    async def create_server(self, call: Call, new: NewServer) -> CreatedServer:
        return await self._write(operations.create_server, call, new)

    async def get_server(self, call: Call, server_id: ServerId) -> ServerView:
        return await self._read(operations.get_server, call, server_id)

    async def delete_server(self, call: Call, server_id: ServerId) -> None:
        await self._write(operations.delete_server, call, server_id)

    async def list_addresses(self, call: Call, server_id: ServerId) -> Sequence[VirtualInterface]:
        return await self._read(operations.list_interfaces, call, server_id)

    async def list_networks(self, call: Call) -> Sequence[Network]:
        return await self._read(operations.list_networks, call)

    async def create_network(self, call: Call, label: str, cidr: str) -> Network:
        return await self._write(operations.create_network, call, label, cidr)

    async def get_network(self, call: Call, network_id: NetworkId) -> Network:
        return await self._read(operations.get_network, call, network_id)

    async def delete_network(self, call: Call, network_id: NetworkId) -> None:
        await self._write(operations.delete_network, call, network_id)

    async def list_virtual_interfaces(
        self, call: Call, server_id: ServerId
    ) -> Sequence[VirtualInterface]:
        return await self._read(operations.list_interfaces, call, server_id)

    async def create_virtual_interface(
        self, call: Call, server_id: ServerId, network_id: NetworkId
    ) -> VirtualInterface:
        return await self._write(operations.attach, call, server_id, network_id)

    async def delete_virtual_interface(
        self, call: Call, server_id: ServerId, interface_id: InterfaceId
    ) -> None:
        await self._write(operations.detach, call, server_id, interface_id)


async def _contents(rows: Rows) -> Contents:
    return await rows.contents()
