"""A backend that passes everything on to another: what decorators are made of.

The house rule: nothing happens here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vifsim.backend import Backend

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from vifsim.backend import Change, Names, Snapshot
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


class PassingBackend(Backend):
    """A backend that passes everything on.

    Args:
        inner: the backend that is decorated.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner.url, clock=inner.clock)
        self.inner = inner
        self.shares = inner.shares
        self.durable = inner.durable

    # ── life ──

    @property
    def settings(self) -> Settings:
        return self.inner.settings

    @property
    def seed(self) -> int:
        return self.inner.seed

    async def open(self, world: World) -> None:
        await self.inner.open(world)

    async def close(self) -> None:
        await self.inner.close()

    async def reset(self, world: World) -> None:
        await self.inner.reset(world)

    async def configure(self, settings: Settings) -> None:
        await self.inner.configure(settings)

    async def snapshot(self) -> Snapshot:
        return await self.inner.snapshot()

    async def restore(self, snapshot: Snapshot) -> None:
        await self.inner.restore(snapshot)

    async def amend(self, change: Change) -> None:
        await self.inner.amend(change)

    def moment(self) -> object | None:
        return self.inner.moment()

    async def go_back(self, moment: object) -> None:
        await self.inner.go_back(moment)

    async def state_at(self, moment: object) -> Mapping[str, Any]:
        return await self.inner.state_at(moment)

    async def state_document(self) -> Mapping[str, Any]:
        return await self.inner.state_document()

    async def identify(self, token: str) -> Identity | None:
        return await self.inner.identify(token)

    async def known_names(self) -> tuple[dict[str, str], dict[str, str]]:
        return await self.inner.known_names()

    async def names(self, call: Call) -> Names:
        return await self.inner.names(call)

    async def expire_token(self, token_id: str) -> None:
        await self.inner.expire_token(token_id)

    async def keep_scenario(self, scenario: Mapping[str, Any]) -> None:
        await self.inner.keep_scenario(scenario)

    async def kept_scenario(self) -> Mapping[str, Any] | None:
        return await self.inner.kept_scenario()

    @property
    def sharing(self) -> Sharing | None:
        return self.inner.sharing

    # ── operations ──

    async def refuse(self, call: Call, fault: ApiFault) -> NoReturn:
        await self.inner.refuse(call, fault)

    async def list_versions(self, call: Call) -> None:
        await self.inner.list_versions(call)

    async def get_version(self, call: Call) -> None:
        await self.inner.get_version(call)

    async def list_extensions(self, call: Call) -> None:
        await self.inner.list_extensions(call)

    async def authenticate(self, call: Call, credentials: Credentials) -> Access:
        return await self.inner.authenticate(call, credentials)

    async def validate_token(self, call: Call, token: str, belongs_to: str | None) -> Access:
        return await self.inner.validate_token(call, token, belongs_to)

    async def revoke_token(self, call: Call, token: str | None) -> None:
        await self.inner.revoke_token(call, token)

    async def list_endpoints(self, call: Call, token: str) -> Access:
        return await self.inner.list_endpoints(call, token)

    async def list_tenants(self, call: Call) -> Sequence[Tenant]:
        return await self.inner.list_tenants(call)

    async def get_limits(self, call: Call) -> Limits:
        return await self.inner.get_limits(call)

    async def list_servers(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        return await self.inner.list_servers(call, query)

    async def list_servers_detail(self, call: Call, query: ServerQuery) -> Sequence[ServerView]:
        return await self.inner.list_servers_detail(call, query)

    async def create_server(self, call: Call, new: NewServer) -> CreatedServer:
        return await self.inner.create_server(call, new)

    async def get_server(self, call: Call, server_id: ServerId) -> ServerView:
        return await self.inner.get_server(call, server_id)

    async def delete_server(self, call: Call, server_id: ServerId) -> None:
        await self.inner.delete_server(call, server_id)

    async def list_addresses(self, call: Call, server_id: ServerId) -> Sequence[VirtualInterface]:
        return await self.inner.list_addresses(call, server_id)

    async def list_networks(self, call: Call) -> Sequence[Network]:
        return await self.inner.list_networks(call)

    async def create_network(self, call: Call, label: str, cidr: str) -> Network:
        return await self.inner.create_network(call, label, cidr)

    async def get_network(self, call: Call, network_id: NetworkId) -> Network:
        return await self.inner.get_network(call, network_id)

    async def delete_network(self, call: Call, network_id: NetworkId) -> None:
        await self.inner.delete_network(call, network_id)

    async def list_virtual_interfaces(
        self, call: Call, server_id: ServerId
    ) -> Sequence[VirtualInterface]:
        return await self.inner.list_virtual_interfaces(call, server_id)

    async def create_virtual_interface(
        self, call: Call, server_id: ServerId, network_id: NetworkId
    ) -> VirtualInterface:
        return await self.inner.create_virtual_interface(call, server_id, network_id)

    async def delete_virtual_interface(
        self, call: Call, server_id: ServerId, interface_id: InterfaceId
    ) -> None:
        await self.inner.delete_virtual_interface(call, server_id, interface_id)
