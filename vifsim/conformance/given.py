"""The world that backends are judged in, and what its tests say again and again.

The house rule: only the interface is asked.
"""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from vifsim.backend import Change
from vifsim.draws import secret_digest, token_digest
from vifsim.exchange import Call
from vifsim.model import (
    PUBLIC,
    Credentials,
    InterfaceId,
    NetworkId,
    NewServer,
    SeedNetwork,
    SeedServer,
    ServerId,
    ServerQuery,
    Settings,
    Tenant,
    TenantId,
    User,
    VirtualInterface,
    World,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vifsim.backend import Backend
    from vifsim.model import Access, ServerView

    Attempt = Callable[[Backend], Awaitable[object]]

ALPHA = TenantId("alpha")
BETA = TenantId("beta")
ONE = ServerId("0a000000-0000-4000-8000-000000000001")
TWO = ServerId("0a000000-0000-4000-8000-000000000002")
THREE = ServerId("0a000000-0000-4000-8000-000000000003")
FAR = ServerId("0b000000-0000-4000-8000-000000000001")
"""Three servers of alpha, attached to nothing, and one of beta."""
BLUE = NetworkId("0c000000-0000-4000-8000-000000000001")
TINY = NetworkId("0c000000-0000-4000-8000-000000000002")
SIX = NetworkId("0c000000-0000-4000-8000-000000000003")
RED = NetworkId("0d000000-0000-4000-8000-000000000001")
"""Networks of alpha, a /24, a /30 and one of IPv6, and one of beta."""
NOWHERE = "0e000000-0000-4000-8000-000000000009"
PASSWORD = "a-password"  # noqa: S105 -- of the suite's own world
API_KEY = "an-api-key"
ADMIN_TOKEN = "alpha-admin-token"  # noqa: S105 -- of the suite's own world
HOUR = 3600.0
DAY = 86400.0


def world(*, seed: int = 7, **settings: Any) -> World:
    """Return the suite's own small world, with the settings that a test needs."""
    return World(
        seed=seed,
        settings=Settings(**settings),
        tenants=(Tenant(id=ALPHA), Tenant(id=BETA)),
        users=(
            _user("alpha-admin", ALPHA, token=token_digest(ADMIN_TOKEN)),
            _user("alpha-observer", ALPHA, role="observer"),
            _user("beta-admin", BETA),
        ),
        networks=(
            SeedNetwork(id=BLUE, label="blue", cidr="192.168.0.0/24", tenant=ALPHA),
            SeedNetwork(id=TINY, label="tiny", cidr="10.1.0.0/30", tenant=ALPHA),
            SeedNetwork(id=SIX, label="six", cidr="fd00:1::/64", tenant=ALPHA),
            SeedNetwork(id=RED, label="red", cidr="192.168.0.0/24", tenant=BETA),
        ),
        servers=(
            SeedServer(id=ONE, name="one", tenant=ALPHA, networks=()),
            SeedServer(id=TWO, name="two", tenant=ALPHA, networks=()),
            SeedServer(id=THREE, name="three", tenant=ALPHA, networks=()),
            SeedServer(id=FAR, name="far", tenant=BETA, networks=()),
        ),
    )


def _user(name: str, tenant: TenantId, **more: Any) -> User:
    return User(
        id=f"id-of-{name}",
        name=name,
        tenant=tenant,
        password=secret_digest(PASSWORD),
        api_key=secret_digest(API_KEY),
        **more,
    )


_numbers = count(1)


def a_call(tenant: TenantId = ALPHA, user: str | None = None, **facts: Any) -> Call:
    """Return the facts of a request of a tenant's admin, or of another user."""
    number = next(_numbers)
    return Call(
        seq=number,
        id=f"req-{number}",
        operation=None,
        method="GET",
        path="/",
        headers={},
        peer="127.0.0.1:1",
        conn=1,
        arrived=0.0,
        real_arrived=0.0,
        user=user or f"{tenant}-admin",
        tenant=tenant,
        **facts,
    )


async def attach(
    backend: Backend, server_id: ServerId = ONE, network_id: NetworkId = BLUE
) -> VirtualInterface:
    """Attach a server of alpha to a network."""
    return await backend.create_virtual_interface(a_call(), server_id, network_id)


async def attached(backend: Backend, server_id: ServerId = ONE) -> list[VirtualInterface]:
    """Return the interfaces of a server of alpha."""
    return list(await backend.list_virtual_interfaces(a_call(), server_id))


async def detach(
    backend: Backend, interface: VirtualInterface | str, server_id: ServerId = ONE
) -> None:
    """Detach an interface from a server of alpha."""
    interface_id = interface.id if isinstance(interface, VirtualInterface) else interface
    await backend.delete_virtual_interface(a_call(), server_id, InterfaceId(interface_id))


async def boot(backend: Backend, name: str = "new", **wanted: Any) -> ServerId:
    """Create a server of alpha, attached to nothing unless told otherwise."""
    facts: dict[str, Any] = {"networks": (), **wanted}
    new = NewServer(name=name, image_ref="1", flavor_ref="2", **facts)
    return (await backend.create_server(a_call(), new)).server.id


async def look_at(backend: Backend, server_id: ServerId) -> ServerView:
    """Return a server of alpha."""
    return await backend.get_server(a_call(), server_id)


async def log_in(backend: Backend, user: str = "alpha-admin", **secret: Any) -> Access:
    """Log a user in, by the API key unless told otherwise."""
    credentials = Credentials(username=user, **(secret or {"api_key": API_KEY}))
    return await backend.authenticate(a_call(), credentials)


async def amend(backend: Backend, kind: str, **values: Any) -> None:
    """Change the cloud by hand."""
    await backend.amend(Change(kind=kind, values=values))


async def listed(backend: Backend, **query: Any) -> list[str]:
    """Return the names of alpha's servers, as a list shows them."""
    views = await backend.list_servers(a_call(), ServerQuery(**query))
    return [view.server.name for view in views]


async def contents(backend: Backend) -> str:
    """Return everything that a backend holds, as a text to compare."""
    return json.dumps(await backend.snapshot(), sort_keys=True, indent=1)


async def check_portable(source: Backend, target: Backend) -> None:
    """Check that what one backend saved another becomes, and that both go on alike."""
    saved: dict[str, Any] = json.loads(json.dumps(await source.snapshot()))

    await target.restore(saved)

    assert await contents(target) == await contents(source)
    assert target.settings == source.settings
    assert target.seed == source.seed
    booted = await boot(source)
    assert await boot(target) == booted
    assert await attach(target, booted) == await attach(source, booted)


def on_server(server_id: ServerId, call: Call) -> list[Attempt]:
    """Return every operation that names a server."""
    return [
        lambda backend: backend.get_server(call, server_id),
        lambda backend: backend.delete_server(call, server_id),
        lambda backend: backend.list_addresses(call, server_id),
        lambda backend: backend.list_virtual_interfaces(call, server_id),
        lambda backend: backend.create_virtual_interface(call, server_id, PUBLIC),
        lambda backend: backend.delete_virtual_interface(call, server_id, InterfaceId(NOWHERE)),
    ]
