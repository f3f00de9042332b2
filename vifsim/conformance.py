"""The suite that judges a backend, ours and anybody else's.

A backend passes when a subclass that gives `make_backend` passes:

```python
class TestMyBackend(BackendConformance):
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        return MyBackend(f"mine://{tmp_path}/cloud", clock=clock)
```

It needs pytest, and pytest-asyncio in its auto mode. Time is a manual clock, so nothing waits.

The house rule: only the interface is asked; what a test expects follows from the API contract and
holds for every backend.

Source: API contract, sections 1.5 and 3 to 6 (docs/api.md).
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.backend import Change
from vifsim.clock import SimClock
from vifsim.draws import secret_digest, token_digest
from vifsim.errors import (
    ApiFault,
    BadRequest,
    Conflict,
    ControlFault,
    Forbidden,
    ItemNotFound,
    TooLarge,
    Unauthorized,
    UserDisabled,
)
from vifsim.exchange import Call
from vifsim.model import (
    PUBLIC,
    SERVICE,
    Credentials,
    InterfaceId,
    NetworkId,
    NewServer,
    Policy,
    Quotas,
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
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from vifsim.backend import Backend
    from vifsim.clock import Clock
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


class BackendConformance(ABC):
    """What every backend must do; a subclass says how one is made."""

    @abstractmethod
    def make_backend(self, tmp_path: Path, clock: Clock) -> Backend:
        """Return a backend whose store belongs to `tmp_path`: the same path, the same store."""

    def wrap(self, backend: Backend) -> Backend:
        """Return the backend to judge; a decorator puts itself around it here."""
        return backend

    @pytest.fixture
    def clock(self) -> SimClock:
        """Return a clock that stands until a test moves it."""
        return SimClock(mode="manual")

    @pytest.fixture
    async def backend(self, tmp_path: Path, clock: SimClock) -> AsyncIterator[Backend]:
        """Return the backend, open, with the suite's world."""
        backend = await self.opened(tmp_path, clock, world())
        yield backend
        await backend.close()

    async def opened(self, tmp_path: Path, clock: Clock, filled_with: World) -> Backend:
        """Return a backend that is open."""
        backend = self.wrap(self.make_backend(tmp_path, clock))
        await backend.open(filled_with)
        return backend

    # ── attaching ──

    async def test_an_attached_interface_is_listed_as_it_was_answered(
        self, backend: Backend
    ) -> None:
        made = await attach(backend)

        assert await attached(backend) == [made]
        assert made.server_id == ONE
        assert made.network_id == BLUE
        assert made.network_label == "blue"
        assert made.addresses == ("192.168.0.1",)
        assert made.mac_address.startswith("BC:76:4E:")

    async def test_interfaces_are_listed_in_attach_order(self, backend: Backend) -> None:
        made = [await attach(backend, ONE, network) for network in (SERVICE, SIX, BLUE, PUBLIC)]

        assert await attached(backend) == made
        assert list(await backend.list_addresses(a_call(), ONE)) == made
        assert (await look_at(backend, ONE)).interfaces == tuple(made)

    async def test_the_public_network_gives_ipv6_and_ipv4_and_access_addresses(
        self, backend: Backend
    ) -> None:
        made = await attach(backend, ONE, PUBLIC)

        v6, v4 = made.addresses
        server = (await look_at(backend, ONE)).server
        assert (server.access_ipv4, server.access_ipv6) == (v4, v6)
        assert v4 == "198.51.100.1"
        assert v6.startswith("2001:0db8:7810:0512:")

    async def test_detaching_the_public_network_takes_the_access_addresses(
        self, backend: Backend
    ) -> None:
        made = await attach(backend, ONE, PUBLIC)

        await detach(backend, made)

        server = (await look_at(backend, ONE)).server
        assert (server.access_ipv4, server.access_ipv6) == ("", "")

    async def test_a_network_of_ipv6_gives_one_ipv6_address(self, backend: Backend) -> None:
        made = await attach(backend, ONE, SIX)

        assert len(made.addresses) == 1
        assert made.addresses[0].startswith("fd00:0001:0000:0000:")

    async def test_of_1000_concurrent_attaches_of_one_pair_exactly_one_wins(
        self, backend: Backend
    ) -> None:
        attempts = [attach(backend) for _ in range(1000)]

        outcomes = await asyncio.gather(*attempts, return_exceptions=True)

        assert sum(isinstance(outcome, VirtualInterface) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 999
        assert len(await attached(backend)) == 1
        assert (await attach(backend, TWO)).addresses == ("192.168.0.2",)

    async def test_concurrent_attaches_of_many_servers_get_different_addresses(
        self, backend: Backend
    ) -> None:
        servers = [await boot(backend, f"s{number}") for number in range(50)]

        made = await asyncio.gather(*(attach(backend, server) for server in servers))

        assert len({interface.addresses for interface in made}) == 50
        assert len({interface.mac_address for interface in made}) == 50
        assert len({interface.id for interface in made}) == 50

    @pytest.mark.parametrize("tenant", [ALPHA, BETA])
    async def test_an_unknown_server_is_not_found(self, backend: Backend, tenant: TenantId) -> None:
        server_id = FAR if tenant == ALPHA else ONE

        for attempt in _on_server(server_id, a_call(tenant)):
            with pytest.raises(ItemNotFound):
                await attempt(backend)

    @pytest.mark.parametrize("network_id", [RED, NOWHERE])
    async def test_a_network_of_nobody_or_another_tenant_cannot_be_attached(
        self, backend: Backend, network_id: NetworkId
    ) -> None:
        with pytest.raises(ItemNotFound):
            await attach(backend, ONE, network_id)

    async def test_an_unknown_network_is_a_bad_request_where_the_settings_say_so(
        self, backend: Backend
    ) -> None:
        await backend.configure(Settings(unknown_network_status=400))

        with pytest.raises(BadRequest):
            await attach(backend, ONE, NetworkId(NOWHERE))

    @pytest.mark.parametrize(("status", "fault"), [(409, Conflict), (400, BadRequest)])
    async def test_a_second_attachment_is_refused_as_the_settings_say(
        self, backend: Backend, status: Any, fault: type[ApiFault]
    ) -> None:
        await backend.configure(Settings(duplicate_vif_status=status))
        await attach(backend)

        with pytest.raises(fault):
            await attach(backend)

    @pytest.mark.parametrize("status", ["BUILD", "ERROR", "RESIZE", "SUSPENDED"])
    async def test_a_state_that_forbids_it_is_a_conflict(
        self, backend: Backend, status: str
    ) -> None:
        made = await attach(backend)
        await backend.configure(Settings(build_time=60.0))
        await amend(backend, "set_status", server="one", status=status)

        with pytest.raises(Conflict):
            await attach(backend, ONE, SIX)
        with pytest.raises(Conflict):
            await detach(backend, made)

    @pytest.mark.parametrize("status", ["ACTIVE", "PAUSED", "SHUTOFF"])
    async def test_a_state_that_allows_it_is_no_obstacle(
        self, backend: Backend, status: str
    ) -> None:
        await amend(backend, "set_status", server="one", status=status)

        await detach(backend, await attach(backend))

        assert await attached(backend) == []

    async def test_a_task_in_progress_is_a_conflict(self, backend: Backend) -> None:
        await amend(backend, "set_status", server="one", status="ACTIVE", task_state="rebooting")

        with pytest.raises(Conflict):
            await attach(backend)

    async def test_states_do_not_matter_where_the_settings_say_so(self, backend: Backend) -> None:
        await backend.configure(Settings(state_checks=False))
        await amend(backend, "set_status", server="one", status="ERROR")

        await attach(backend)

        assert len(await attached(backend)) == 1

    async def test_policies_forbid_attaching_and_detaching(self, backend: Backend) -> None:
        await attach(backend, ONE, SERVICE)
        policy = Policy(required=(SERVICE,), banned=(PUBLIC,), max_isolated=1)
        await backend.configure(Settings(policy=policy))
        (service,) = await attached(backend)
        await attach(backend, ONE, BLUE)

        for network in (PUBLIC, SIX):
            with pytest.raises(Forbidden):
                await attach(backend, ONE, network)
        with pytest.raises(Forbidden):
            await detach(backend, service)

    async def test_quotas_bound_a_server_and_a_network(self, backend: Backend) -> None:
        await amend(
            backend,
            "set_quotas",
            tenant=ALPHA,
            quotas={"vifs_per_server": 1, "servers_per_network": 1},
        )
        await attach(backend)

        with pytest.raises(BadRequest, match="interfaces"):
            await attach(backend, ONE, SIX)
        with pytest.raises(BadRequest, match="Too many instances"):
            await attach(backend, TWO, BLUE)

    # ── detaching ──

    async def test_a_detached_interface_is_gone(self, backend: Backend) -> None:
        made = await attach(backend)

        await detach(backend, made)

        assert await attached(backend) == []
        with pytest.raises(ItemNotFound):
            await detach(backend, made)

    async def test_an_interface_of_another_server_is_not_found(self, backend: Backend) -> None:
        made = await attach(backend)

        with pytest.raises(ItemNotFound):
            await detach(backend, made, TWO)
        assert await attached(backend) == [made]

    async def test_detaching_twice_succeeds_where_the_settings_say_so(
        self, backend: Backend
    ) -> None:
        await backend.configure(Settings(idempotent_vif_delete=True))
        call = a_call()

        await backend.delete_virtual_interface(call, ONE, InterfaceId(NOWHERE))

        assert call.outcome.effects == ()

    # ── addresses ──

    async def test_an_address_is_not_handed_out_again_before_the_others(
        self, backend: Backend
    ) -> None:
        first = await attach(backend)
        await detach(backend, first)

        second = await attach(backend)

        assert second.addresses == ("192.168.0.2",)
        assert second.id != first.id
        assert second.mac_address != first.mac_address

    async def test_a_slash_30_has_two_addresses_and_then_none(self, backend: Backend) -> None:
        made = [await attach(backend, server, TINY) for server in (ONE, TWO)]

        assert [interface.addresses for interface in made] == [("10.1.0.1",), ("10.1.0.2",)]
        with pytest.raises(BadRequest, match="No more addresses"):
            await attach(backend, THREE, TINY)

    async def test_addresses_wrap_to_the_one_that_was_released(self, backend: Backend) -> None:
        first = await attach(backend, ONE, TINY)
        await attach(backend, TWO, TINY)
        await detach(backend, first)

        third = await attach(backend, THREE, TINY)

        assert third.addresses == first.addresses

    async def test_tenants_have_addresses_of_their_own(self, backend: Backend) -> None:
        ours = await attach(backend)

        theirs = await backend.create_virtual_interface(a_call(BETA), FAR, RED)

        assert theirs.addresses == ours.addresses
        assert theirs.mac_address != ours.mac_address

    async def test_a_network_filled_by_hand_has_the_room_it_was_left(
        self, backend: Backend
    ) -> None:
        await amend(backend, "fill_network", network="blue", free=1)
        made = await attach(backend)

        with pytest.raises(BadRequest, match="No more addresses"):
            await attach(backend, TWO)
        await detach(backend, made)
        await attach(backend, TWO)

        assert len(await attached(backend, TWO)) == 1

    # ── atomicity ──

    @pytest.mark.parametrize("index", range(14))
    async def test_a_failed_request_changes_nothing(self, backend: Backend, index: int) -> None:
        await attach(backend, ONE, TINY)
        await attach(backend, TWO, TINY)
        await amend(backend, "set_quotas", tenant=ALPHA, quotas={"networks": 3, "instances": 3})
        call = a_call()
        before = await contents(backend)

        with pytest.raises(ApiFault):
            await _failing(call)[index](backend)

        assert await contents(backend) == before
        assert call.outcome.effects == ()

    async def test_a_boot_that_fails_at_its_last_network_leaves_no_server(
        self, backend: Backend
    ) -> None:
        await attach(backend, ONE, TINY)
        await attach(backend, TWO, TINY)
        before = await contents(backend)

        with pytest.raises(BadRequest):
            await boot(backend, networks=(PUBLIC, SERVICE, BLUE, TINY))

        assert await contents(backend) == before

    async def test_effects_are_noted_once_each(self, backend: Backend, clock: SimClock) -> None:
        await clock.advance(5.0)
        create, delete, login, network = (a_call() for _ in range(4))

        made = await backend.create_virtual_interface(create, ONE, BLUE)
        await backend.delete_virtual_interface(delete, ONE, made.id)
        await backend.authenticate(login, Credentials(username="beta-admin", api_key=API_KEY))
        net = await backend.create_network(network, "green", "10.9.0.0/24")

        noted = [
            (effect.kind, effect.object, effect.at)
            for call in (create, delete, login, network)
            for effect in call.outcome.effects
        ]
        assert noted == [
            ("created", "virtual_interface", 5.0),
            ("deleted", "virtual_interface", 5.0),
            ("created", "token", 5.0),
            ("created", "network", 5.0),
        ]
        assert create.outcome.effects[0].id == made.id
        assert network.outcome.effects[0].id == net.id

    async def test_reads_note_no_effects(self, backend: Backend) -> None:
        call = a_call()

        await backend.list_virtual_interfaces(call, ONE)
        await backend.list_networks(call)
        await backend.list_servers_detail(call, ServerQuery())
        await backend.get_limits(call)

        assert not call.outcome.committed

    async def test_a_cancelled_caller_does_not_undo_what_was_queued(
        self, backend: Backend, tmp_path: Path, clock: SimClock
    ) -> None:
        call = a_call()
        task = asyncio.ensure_future(backend.create_virtual_interface(call, ONE, BLUE))
        asyncio.get_running_loop().call_soon(task.cancel)

        with suppress(asyncio.CancelledError):
            await task
        await backend.close()

        assert [effect.kind for effect in call.outcome.effects] == ["created"]
        if backend.durable:
            again = await self.opened(tmp_path, clock, world())
            assert [found.id for found in await attached(again)] == [call.outcome.effects[0].id]
            await again.close()

    # ── networks ──

    async def test_a_tenants_networks_come_in_creation_order_before_the_fixed_ones(
        self, backend: Backend
    ) -> None:
        made = await backend.create_network(a_call(), "green", "10.9.0.0/24")

        found = await backend.list_networks(a_call())

        ids = [network.id for network in found]
        assert ids == [BLUE, TINY, SIX, made.id, PUBLIC, SERVICE]
        assert await backend.get_network(a_call(), made.id) == made
        assert (made.label, made.cidr, made.tenant) == ("green", "10.9.0.0/24", ALPHA)

    async def test_the_fixed_networks_are_everybodys(self, backend: Backend) -> None:
        for tenant in (ALPHA, BETA):
            public = await backend.get_network(a_call(tenant), PUBLIC)
            assert (public.label, public.cidr, public.isolated) == ("public", None, False)

    @pytest.mark.parametrize("network_id", [RED, NOWHERE])
    async def test_a_network_of_nobody_or_another_tenant_is_not_found(
        self, backend: Backend, network_id: NetworkId
    ) -> None:
        with pytest.raises(ItemNotFound):
            await backend.get_network(a_call(), network_id)
        with pytest.raises(ItemNotFound):
            await backend.delete_network(a_call(), network_id)

    async def test_one_network_too_many_is_a_bad_request(self, backend: Backend) -> None:
        await amend(backend, "set_quotas", tenant=ALPHA, quotas={"networks": 4})
        await backend.create_network(a_call(), "green", "10.9.0.0/24")

        with pytest.raises(BadRequest):
            await backend.create_network(a_call(), "more", "10.9.0.0/24")

    async def test_a_deleted_network_is_gone_and_makes_room(self, backend: Backend) -> None:
        await amend(backend, "set_quotas", tenant=ALPHA, quotas={"networks": 3})

        await backend.delete_network(a_call(), BLUE)
        await backend.create_network(a_call(), "green", "10.9.0.0/24")

        with pytest.raises(ItemNotFound):
            await backend.get_network(a_call(), BLUE)

    @pytest.mark.parametrize("network_id", [PUBLIC, SERVICE])
    async def test_a_fixed_network_cannot_be_deleted(
        self, backend: Backend, network_id: NetworkId
    ) -> None:
        with pytest.raises(Forbidden):
            await backend.delete_network(a_call(), network_id)

    @pytest.mark.parametrize(("status", "fault"), [(403, Forbidden), (409, Conflict)])
    async def test_a_network_in_use_is_kept_until_it_is_detached(
        self, backend: Backend, status: Any, fault: type[ApiFault]
    ) -> None:
        await backend.configure(Settings(network_in_use_status=status))
        made = await attach(backend)

        with pytest.raises(fault):
            await backend.delete_network(a_call(), BLUE)
        await detach(backend, made)
        await backend.delete_network(a_call(), BLUE)

        assert BLUE not in [network.id for network in await backend.list_networks(a_call())]

    # ── servers ──

    async def test_a_new_server_is_on_the_fixed_networks_unless_told_otherwise(
        self, backend: Backend
    ) -> None:
        call = a_call()
        new = NewServer(name="new", image_ref="9", flavor_ref="3", metadata={"a": "b"})

        created = await backend.create_server(call, new)

        view = await look_at(backend, created.server.id)
        assert [found.network_id for found in view.interfaces] == [PUBLIC, SERVICE]
        assert view.server.access_ipv4 == view.interfaces[0].addresses[1]
        assert dict(view.server.metadata) == {"a": "b"}
        assert (view.server.status, view.progress) == ("ACTIVE", 100)
        assert view.server.user_id == "id-of-alpha-admin"
        assert len(created.admin_pass) == 12
        assert ("created", "server") in {
            (effect.kind, effect.object) for effect in call.outcome.effects
        }

    async def test_a_boot_refuses_networks_that_cannot_be(self, backend: Backend) -> None:
        for networks in [(BLUE, BLUE), (RED,), (NetworkId(NOWHERE),)]:
            with pytest.raises(BadRequest):
                await boot(backend, networks=networks)

    async def test_a_boot_obeys_the_policy(self, backend: Backend) -> None:
        policy = Policy(required=(SERVICE,), banned=(PUBLIC,), exactly_isolated=1)
        await backend.configure(Settings(policy=policy))

        for networks in [(BLUE,), (SERVICE, PUBLIC, BLUE), (SERVICE,), (SERVICE, BLUE, SIX)]:
            with pytest.raises(Forbidden):
                await boot(backend, networks=networks)
        await boot(backend, networks=(SERVICE, BLUE))

    @pytest.mark.parametrize(("status", "fault"), [(403, Forbidden), (413, TooLarge)])
    @pytest.mark.parametrize("quotas", [{"instances": 3}, {"ram": 3 * 512}])
    async def test_a_server_over_a_quota_is_refused_until_another_is_gone(
        self, backend: Backend, status: Any, fault: type[ApiFault], quotas: dict[str, int]
    ) -> None:
        await backend.configure(Settings(quota_status=status))
        await amend(backend, "set_quotas", tenant=ALPHA, quotas=quotas)

        with pytest.raises(fault):
            await boot(backend)
        await backend.delete_server(a_call(), ONE)
        await boot(backend)

        assert await listed(backend) == ["new", "three", "two"]

    async def test_limits_tell_what_is_used(self, backend: Backend) -> None:
        await boot(backend)
        await amend(backend, "set_quotas", tenant=ALPHA, quotas={"ram": None})

        usage = (await backend.get_limits(a_call())).usage

        assert (usage.instances, usage.ram, usage.networks) == (4, 4 * 512, 3)
        assert usage.quotas == Quotas(ram=None)

    async def test_a_build_is_done_when_its_time_has_come(
        self, backend: Backend, clock: SimClock
    ) -> None:
        await backend.configure(Settings(build_time=60.0))
        server_id = await boot(backend)

        before = await look_at(backend, server_id)
        await clock.advance(30.0)
        halfway = await look_at(backend, server_id)
        await clock.advance(30.0)
        after = await look_at(backend, server_id)

        assert [view.server.status for view in (before, halfway, after)] == [
            "BUILD",
            "BUILD",
            "ACTIVE",
        ]
        assert [view.progress for view in (before, halfway, after)] == [0, 50, 100]
        assert after.updated == before.updated + 60.0

    async def test_a_building_server_cannot_be_attached_before_it_is_done(
        self, backend: Backend, clock: SimClock
    ) -> None:
        await backend.configure(Settings(build_time=60.0))
        server_id = await boot(backend)

        with pytest.raises(Conflict):
            await attach(backend, server_id)
        await clock.advance(60.0)
        await attach(backend, server_id)

        assert len(await attached(backend, server_id)) == 1

    async def test_a_failed_build_stays_in_error_and_says_why(
        self, backend: Backend, clock: SimClock
    ) -> None:
        await backend.configure(Settings(build_time=60.0))
        server_id = await boot(backend)

        await amend(backend, "fail_build", server="new", message="No room.")
        await clock.advance(120.0)

        server = (await look_at(backend, server_id)).server
        assert server.status == "ERROR"
        assert server.fault is not None
        assert (server.fault.code, server.fault.message) == (500, "No room.")

    async def test_a_deleted_server_and_its_interfaces_are_gone(self, backend: Backend) -> None:
        made = await attach(backend, ONE, TINY)
        await attach(backend, TWO, TINY)

        await backend.delete_server(a_call(), ONE)

        with pytest.raises(ItemNotFound):
            await look_at(backend, ONE)
        with pytest.raises(ItemNotFound):
            await attached(backend)
        assert (await attach(backend, THREE, TINY)).addresses == made.addresses

    async def test_a_deletion_takes_its_time(self, backend: Backend, clock: SimClock) -> None:
        await backend.configure(Settings(delete_time=10.0))
        await attach(backend, ONE, TINY)
        await attach(backend, TWO, TINY)
        await backend.delete_server(a_call(), ONE)

        leaving = await look_at(backend, ONE)
        with pytest.raises(Conflict):
            await attach(backend, ONE, BLUE)
        with pytest.raises(BadRequest):
            await attach(backend, THREE, TINY)
        await clock.advance(10.0)
        with pytest.raises(ItemNotFound):
            await look_at(backend, ONE)
        await attach(backend, THREE, TINY)

        assert leaving.server.task_state == "deleting"
        assert len(leaving.interfaces) == 1

    async def test_a_deletion_that_was_taken_back_does_not_happen(
        self, backend: Backend, clock: SimClock
    ) -> None:
        await backend.configure(Settings(delete_time=10.0))
        made = await attach(backend)
        await backend.delete_server(a_call(), ONE)

        await amend(backend, "set_status", server="one", status="ACTIVE")
        await clock.advance(20.0)
        await attach(backend, TWO)

        assert await attached(backend) == [made]
        assert (await backend.get_limits(a_call())).usage.instances == 3

    async def test_a_server_is_updated_by_what_is_attached_to_it(
        self, backend: Backend, clock: SimClock
    ) -> None:
        before = (await look_at(backend, ONE)).updated
        await clock.advance(30.0)

        await attach(backend)

        assert (await look_at(backend, ONE)).updated == before + 30.0
        assert (await look_at(backend, TWO)).updated == before

    async def test_servers_are_listed_newest_first_and_to_their_tenant(
        self, backend: Backend
    ) -> None:
        assert await listed(backend) == ["three", "two", "one"]
        theirs = await backend.list_servers(a_call(BETA), ServerQuery())
        assert [view.server.name for view in theirs] == ["far"]

    async def test_lists_are_cut_by_limit_offset_and_marker(self, backend: Backend) -> None:
        assert await listed(backend, limit=2) == ["three", "two"]
        assert await listed(backend, limit=2, offset=1) == ["two", "one"]
        assert await listed(backend, marker=THREE) == ["two", "one"]
        assert await listed(backend, marker=THREE, limit=1) == ["two"]
        assert await listed(backend, marker=ONE) == []
        assert await listed(backend, limit=0) == []

    @pytest.mark.parametrize("marker", [NOWHERE, FAR])
    async def test_an_unknown_marker_is_a_bad_request(self, backend: Backend, marker: str) -> None:
        with pytest.raises(BadRequest):
            await listed(backend, marker=marker)

    async def test_lists_are_no_longer_than_the_settings_allow(self, backend: Backend) -> None:
        await backend.configure(Settings(max_limit=2))

        assert await listed(backend) == ["three", "two"]
        assert await listed(backend, limit=50) == ["three", "two"]

    async def test_lists_are_filtered(self, backend: Backend) -> None:
        await amend(backend, "set_status", server="two", status="ERROR")
        new = NewServer(name="four", image_ref="77", flavor_ref="8", networks=())
        await backend.create_server(a_call(), new)

        assert await listed(backend, name="^t") == ["three", "two"]
        assert await listed(backend, status="ERROR") == ["two"]
        assert await listed(backend, image="77") == ["four"]
        assert await listed(backend, flavor="2", limit=1, offset=1) == ["two"]
        with pytest.raises(BadRequest):
            await listed(backend, name="(")

    async def test_changes_since_shows_deleted_servers_too(
        self, backend: Backend, clock: SimClock
    ) -> None:
        await clock.advance(10.0)
        await backend.delete_server(a_call(), TWO)

        since = clock.epoch() - 5.0

        views = await backend.list_servers_detail(a_call(), ServerQuery(changes_since=since))
        assert [(view.server.name, view.server.status) for view in views] == [("two", "DELETED")]
        assert await listed(backend) == ["three", "one"]

    async def test_details_have_the_interfaces_of_each_server(self, backend: Backend) -> None:
        made = await attach(backend, TWO)

        views = await backend.list_servers_detail(a_call(), ServerQuery())

        assert [view.interfaces for view in views] == [(), (made,), ()]

    # ── identity ──

    async def test_a_log_in_gives_a_token_that_speaks_for_the_user(self, backend: Backend) -> None:
        by_key = await log_in(backend, "alpha-observer")
        by_password = await log_in(backend, "beta-admin", password=PASSWORD)

        who = await backend.identify(by_key.text)
        assert who is not None
        assert (who.user, who.tenant, who.role) == ("alpha-observer", ALPHA, "observer")
        assert who.token_id == by_key.token.digest
        assert (by_key.token.by, by_password.token.by) == ("APIKEY", "PASSWORD")

    async def test_a_token_of_the_world_works_at_once_and_for_ever(
        self, backend: Backend, clock: SimClock
    ) -> None:
        await clock.advance(365 * DAY)

        who = await backend.identify(ADMIN_TOKEN)

        assert who is not None
        assert who.user == "alpha-admin"

    @pytest.mark.parametrize(
        "credentials",
        [
            Credentials(username="nobody", api_key=API_KEY),
            Credentials(username="alpha-admin", api_key="wrong"),
            Credentials(username="alpha-admin", password=API_KEY),
            Credentials(username="alpha-admin", api_key=API_KEY, tenant=BETA),
            Credentials(token=NOWHERE),
        ],
        ids=["user", "key", "password", "tenant", "token"],
    )
    async def test_wrong_credentials_are_unauthorized(
        self, backend: Backend, credentials: Credentials
    ) -> None:
        with pytest.raises(Unauthorized):
            await backend.authenticate(a_call(), credentials)

    async def test_a_token_logs_in_too(self, backend: Backend) -> None:
        first = await log_in(backend)

        second = await backend.authenticate(a_call(), Credentials(token=first.text, tenant=ALPHA))

        assert second.text == first.text

    async def test_a_living_token_is_given_again_until_its_last_hour(
        self, backend: Backend, clock: SimClock
    ) -> None:
        first = await log_in(backend)
        await clock.advance(DAY - HOUR - 1)
        again = await log_in(backend)
        await clock.advance(1)
        new = await log_in(backend)

        assert again.text == first.text
        assert new.text != first.text
        assert await backend.identify(first.text) is not None

    async def test_every_log_in_gives_a_new_token_where_the_settings_say_so(
        self, backend: Backend
    ) -> None:
        await backend.configure(Settings(reissue="always"))

        assert (await log_in(backend)).text != (await log_in(backend)).text

    async def test_a_token_expires_after_24_hours(self, backend: Backend, clock: SimClock) -> None:
        access = await log_in(backend)
        await clock.advance(DAY - 1)
        alive = await backend.identify(access.text)
        await clock.advance(1)

        assert alive is not None
        assert await backend.identify(access.text) is None
        with pytest.raises(ItemNotFound):
            await backend.validate_token(a_call(), access.text, None)
        with pytest.raises(Unauthorized):
            await backend.authenticate(a_call(), Credentials(token=access.text))

    async def test_a_token_is_validated_for_its_user_and_for_an_admin(
        self, backend: Backend
    ) -> None:
        access = await log_in(backend, "alpha-observer")
        own, admin, other = a_call(user="alpha-observer"), a_call(), a_call(BETA)

        assert (await backend.validate_token(own, access.text, None)).user.name == "alpha-observer"
        assert (await backend.validate_token(admin, access.text, ALPHA)).token == access.token
        assert (await backend.list_endpoints(admin, access.text)).token == access.token
        with pytest.raises(ItemNotFound):
            await backend.validate_token(admin, access.text, BETA)
        with pytest.raises(Forbidden):
            await backend.validate_token(other, access.text, None)
        with pytest.raises(ItemNotFound):
            await backend.list_endpoints(admin, "unknown")

    async def test_an_observer_may_not_look_at_the_tokens_of_others(self, backend: Backend) -> None:
        observer = a_call(user="alpha-observer")

        with pytest.raises(Forbidden):
            await backend.validate_token(observer, ADMIN_TOKEN, None)
        with pytest.raises(Forbidden):
            await backend.revoke_token(observer, ADMIN_TOKEN)

    async def test_a_revoked_token_is_no_token(self, backend: Backend) -> None:
        access = await log_in(backend)
        call = a_call()

        await backend.revoke_token(call, access.text)

        assert await backend.identify(access.text) is None
        assert [effect.kind for effect in call.outcome.effects] == ["deleted"]
        assert (await log_in(backend)).text != access.text
        with pytest.raises(ItemNotFound):
            await backend.revoke_token(a_call(), access.text)

    async def test_a_caller_revokes_its_own_token(self, backend: Backend) -> None:
        access = await log_in(backend)

        await backend.revoke_token(a_call(token_id=access.token.digest), None)

        assert await backend.identify(access.text) is None

    async def test_a_token_is_ended_by_its_digest(self, backend: Backend) -> None:
        access = await log_in(backend)

        await backend.expire_token(access.token.digest)
        await backend.expire_token("of nothing")

        assert await backend.identify(access.text) is None

    async def test_a_disabled_user_is_shut_out_until_enabled(self, backend: Backend) -> None:
        access = await log_in(backend)
        await amend(backend, "disable_user", user="alpha-admin")

        with pytest.raises(UserDisabled):
            await log_in(backend)
        shut_out = await backend.identify(access.text)
        await amend(backend, "enable_user", user="alpha-admin")

        assert shut_out is None
        assert await backend.identify(access.text) is not None

    async def test_tokens_are_revoked_by_hand_for_one_user_or_all(self, backend: Backend) -> None:
        ours, theirs = await log_in(backend), await log_in(backend, "beta-admin")

        await amend(backend, "revoke_all_tokens", user="alpha-admin")
        spared = await backend.identify(theirs.text)
        await amend(backend, "revoke_all_tokens")

        assert spared is not None
        for text in (ours.text, ADMIN_TOKEN, theirs.text):
            assert await backend.identify(text) is None

    async def test_a_caller_sees_its_own_tenant(self, backend: Backend) -> None:
        assert [tenant.id for tenant in await backend.list_tenants(a_call(BETA))] == [BETA]

    # ── what the app refuses, and documents ──

    async def test_a_refusal_of_the_app_is_raised_and_changes_nothing(
        self, backend: Backend
    ) -> None:
        before = await contents(backend)
        fault = BadRequest("not JSON")

        with pytest.raises(BadRequest) as caught:
            await backend.refuse(a_call(), fault)

        assert caught.value is fault
        assert await contents(backend) == before

    async def test_documents_are_nothing_to_a_backend(self, backend: Backend) -> None:
        before = await contents(backend)

        await backend.list_versions(a_call())
        await backend.get_version(a_call())
        await backend.list_extensions(a_call())

        assert await contents(backend) == before

    async def test_names_are_told_for_the_ids_of_a_call(self, backend: Backend) -> None:
        made = await attach(backend)

        by_network = await backend.names(a_call(server=ONE, network=BLUE))
        by_interface = await backend.names(a_call(server=NOWHERE, interface=made.id))
        by_nothing = await backend.names(a_call())

        assert (by_network.server, by_network.network_label) == ("one", "blue")
        assert (by_interface.server, by_interface.network) == (None, BLUE)
        assert (by_nothing.server, by_nothing.network) == (None, None)

    # ── by hand ──

    @pytest.mark.parametrize(
        ("kind", "values", "status"),
        [
            ("explode", {}, 400),
            ("set_status", {"server": "one"}, 400),
            ("set_status", {"server": "one", "status": "HAPPY"}, 400),
            ("set_status", {"server": "nine", "status": "ACTIVE"}, 404),
            ("set_status", {"server": "one", "status": "ACTIVE", "colour": "red"}, 400),
            ("fail_build", {"server": "nine"}, 404),
            ("set_quotas", {"tenant": "alpha", "quotas": {"cars": 1}}, 400),
            ("set_quotas", {"tenant": "alpha", "quotas": {"ram": -1}}, 400),
            ("set_quotas", {"tenant": "omega", "quotas": {}}, 404),
            ("revoke_all_tokens", {"user": "nobody"}, 404),
            ("disable_user", {"user": "nobody"}, 404),
            ("enable_user", {}, 400),
            ("fill_network", {"network": "blue", "free": -1}, 400),
            ("fill_network", {"network": "black", "free": 1}, 404),
        ],
    )
    async def test_a_wrong_change_is_refused_and_changes_nothing(
        self, backend: Backend, kind: str, values: dict[str, Any], status: int
    ) -> None:
        before = await contents(backend)

        with pytest.raises(ControlFault) as caught:
            await amend(backend, kind, **values)

        assert caught.value.status == status
        assert await contents(backend) == before

    async def test_a_server_is_gone_by_hand_too(self, backend: Backend) -> None:
        await attach(backend)

        await amend(backend, "set_status", server=ONE, status="DELETED")

        assert await listed(backend) == ["three", "two"]
        await backend.delete_network(a_call(), BLUE)

    # ── the whole ──

    async def test_the_state_shows_the_world_without_secrets(self, backend: Backend) -> None:
        made = await attach(backend)

        state = await backend.state_document()

        assert [network["label"] for network in state["networks"]] == ["blue", "tiny", "six", "red"]
        assert [server["name"] for server in state["servers"]] == ["one", "two", "three", "far"]
        assert state["servers"][0]["networks"] == ["blue"]
        assert [found["id"] for found in state["virtual_interfaces"]] == [made.id]
        text = json.dumps(state)
        for secret in (secret_digest(PASSWORD), secret_digest(API_KEY), token_digest(ADMIN_TOKEN)):
            assert secret not in text

    async def test_names_are_known_of_what_is_there(
        self, backend: Backend, clock: SimClock
    ) -> None:
        again = await boot(backend, "two")
        late = await boot(backend, "late")
        await backend.delete_server(a_call(), THREE)
        await clock.advance(HOUR)
        green = await backend.create_network(a_call(), "green", "10.9.0.0/24")

        servers, networks = await backend.known_names()

        assert again not in servers.values()
        assert list(servers.items()) == [("one", ONE), ("two", TWO), ("far", FAR), ("late", late)]
        labels = {"blue": BLUE, "tiny": TINY, "six": SIX, "red": RED, "green": green.id}
        assert networks == labels

    async def test_a_snapshot_restored_undoes_what_came_after_it(self, backend: Backend) -> None:
        access = await log_in(backend)
        await attach(backend)
        saved = json.loads(json.dumps(await backend.snapshot()))
        before = await contents(backend)
        await backend.delete_server(a_call(), ONE)
        await backend.configure(Settings(reissue="always", region="ORD"))
        late = await log_in(backend)
        await backend.create_network(a_call(), "green", "10.9.0.0/24")

        await backend.restore(saved)

        assert await contents(backend) == before
        assert backend.settings == Settings()
        assert await backend.identify(access.text) is not None
        assert await backend.identify(late.text) is None
        assert await backend.identify(ADMIN_TOKEN) is not None

    async def test_after_a_restore_everything_goes_on_as_it_did_the_first_time(
        self, backend: Backend
    ) -> None:
        saved = await backend.snapshot()
        first = await attach(backend)

        await backend.restore(saved)

        assert await attach(backend) == first

    @pytest.mark.parametrize("spoil", ["version", "lacks", "shape", "contradicts"])
    async def test_a_broken_snapshot_is_refused_and_changes_nothing(
        self, backend: Backend, spoil: str
    ) -> None:
        await attach(backend)
        await attach(backend, TWO)
        before = await contents(backend)
        broken = _spoiled(json.loads(before), spoil)

        with pytest.raises(ControlFault) as caught:
            await backend.restore(broken)

        assert caught.value.status == (409 if spoil == "version" else 400)
        assert await contents(backend) == before
        assert await backend.identify(ADMIN_TOKEN) is not None
        assert (await attach(backend, THREE)).addresses == ("192.168.0.3",)

    async def test_a_reset_forgets_everything(self, backend: Backend) -> None:
        fresh = await contents(backend)
        access = await log_in(backend)
        first = await attach(backend)

        await backend.reset(world())

        assert await contents(backend) == fresh
        assert await backend.identify(access.text) is None
        assert await attach(backend) == first

    async def test_a_reset_may_bring_another_world(self, backend: Backend) -> None:
        other = world(seed=8, region="ORD")

        await backend.reset(replace(other, servers=other.servers[:1]))

        assert await listed(backend) == ["one"]
        assert (backend.seed, backend.settings.region) == (8, "ORD")

    async def test_going_back_undoes_what_came_after_a_moment(
        self, backend: Backend, clock: SimClock
    ) -> None:
        _needs_moments(backend)
        access = await _lived_in(backend)
        await clock.advance(60)
        before, moment = await contents(backend), backend.moment()
        late = await _live_on(backend, clock)

        await backend.go_back(moment)

        assert await contents(backend) == before
        assert backend.settings == Settings()
        assert await backend.identify(access.text) is not None
        assert await backend.identify(late.text) is None
        assert await backend.identify(ADMIN_TOKEN) is not None

    async def test_after_going_back_everything_goes_on_as_it_did_the_first_time(
        self, backend: Backend
    ) -> None:
        _needs_moments(backend)
        await attach(backend, TWO)
        moment = backend.moment()
        first = [await boot(backend), await attach(backend), await attach(backend, TWO, PUBLIC)]

        await backend.go_back(moment)

        again = [await boot(backend), await attach(backend), await attach(backend, TWO, PUBLIC)]
        assert again == first

    async def test_one_goes_forward_again_to_a_later_moment(
        self, backend: Backend, clock: SimClock
    ) -> None:
        _needs_moments(backend)
        early = backend.moment()
        await _lived_in(backend)
        await _live_on(backend, clock)
        late, after = backend.moment(), await contents(backend)
        await backend.go_back(early)
        await backend.create_network(a_call(), "other", "10.8.0.0/24")

        await backend.go_back(late)

        assert await contents(backend) == after

    async def test_a_moment_is_looked_at_and_nothing_changes(
        self, backend: Backend, clock: SimClock
    ) -> None:
        _needs_moments(backend)
        await _lived_in(backend)
        moment, then = backend.moment(), await backend.state_document()
        await _live_on(backend, clock)
        before = await contents(backend)

        seen = await backend.state_at(moment)

        assert seen["virtual_interfaces"] == then["virtual_interfaces"]
        assert seen["networks"] == then["networks"]
        assert [server["id"] for server in seen["servers"]] == [
            server["id"] for server in then["servers"]
        ]
        assert await contents(backend) == before
        assert backend.settings.region == "ORD"
        assert (await attach(backend)).network_id == BLUE

    async def test_settings_hold_from_the_call_on_and_change_nothing_else(
        self, backend: Backend
    ) -> None:
        made = await attach(backend)

        await backend.configure(Settings(region="ORD"))

        assert backend.settings == Settings(region="ORD")
        assert await attached(backend) == [made]

    async def test_ids_repeat_with_one_seed_and_differ_with_another(
        self, tmp_path: Path, clock: SimClock
    ) -> None:
        made: list[tuple[str, str, str]] = []
        for number, seed in enumerate((7, 7, 8)):
            place = tmp_path / str(number)
            place.mkdir()
            backend = await self.opened(place, clock, world(seed=seed))
            made.append((await boot(backend), (await attach(backend)).id, await _login(backend)))
            await backend.close()

        assert made[0] == made[1]
        assert not set(made[0]) & set(made[2])

    async def test_closing_twice_is_harmless(self, backend: Backend) -> None:
        await backend.close()
        await backend.close()

    async def test_what_is_stored_is_there_again(
        self, backend: Backend, tmp_path: Path, clock: SimClock
    ) -> None:
        _needs_durable(backend)
        access = await log_in(backend)
        await attach(backend)
        await backend.configure(Settings(region="ORD"))
        before = await contents(backend)
        await backend.close()

        again = await self.opened(tmp_path, clock, world(seed=99, region="LON"))

        assert await contents(again) == before
        assert (again.seed, again.settings.region) == (7, "ORD")
        assert await again.identify(access.text) is not None
        await again.close()

    async def test_sequences_go_on_after_reopening(
        self, backend: Backend, tmp_path: Path, clock: SimClock
    ) -> None:
        _needs_durable(backend)
        first = await attach(backend)
        await detach(backend, first)
        await backend.close()

        again = await self.opened(tmp_path, clock, world())
        second = await attach(again)

        assert second.addresses == ("192.168.0.2",)
        assert second.id != first.id
        assert second.mac_address != first.mac_address
        await again.close()

    async def test_a_deletion_that_fell_due_while_closed_is_done(
        self, backend: Backend, tmp_path: Path, clock: SimClock
    ) -> None:
        _needs_durable(backend)
        await backend.configure(Settings(delete_time=10.0))
        await attach(backend)
        await backend.delete_server(a_call(), ONE)
        await backend.close()
        await clock.advance(10.0)

        again = await self.opened(tmp_path, clock, world())
        await again.delete_network(a_call(), BLUE)

        assert await listed(again) == ["three", "two"]
        await again.close()

    async def test_the_scenario_is_kept_with_the_store(
        self, backend: Backend, tmp_path: Path, clock: SimClock
    ) -> None:
        _needs_durable(backend)
        first = await backend.kept_scenario()
        await backend.keep_scenario({"text": "rules: []", "state": {"calls": 3}})
        await backend.close()

        again = await self.opened(tmp_path, clock, world())

        assert first is None
        assert await again.kept_scenario() == {"text": "rules: []", "state": {"calls": 3}}
        await again.close()


def _needs_durable(backend: Backend) -> None:
    if not backend.durable:
        pytest.skip("this backend keeps nothing")


def _needs_moments(backend: Backend) -> None:
    if backend.moment() is None:
        pytest.skip("this backend keeps no moments")


async def _lived_in(backend: Backend) -> Access:
    """Let a few things happen, and return the log-in among them."""
    access = await log_in(backend)
    for network_id in (BLUE, PUBLIC):
        await attach(backend, ONE, network_id)
    await attach(backend, TWO, SIX)
    return access


async def _live_on(backend: Backend, clock: SimClock) -> Access:
    """Let one of everything happen, and return the new log-in."""
    for interface in await attached(backend):
        await detach(backend, interface)
    green = await backend.create_network(a_call(), "green", "10.9.0.0/24")
    server_id = await boot(backend, networks=(PUBLIC, green.id))
    await backend.delete_server(a_call(), TWO)
    await clock.advance(HOUR)
    await attach(backend, THREE, BLUE)
    await backend.delete_network(a_call(), SIX)
    await amend(backend, "set_quotas", tenant="alpha", quotas={"instances": 50})
    await amend(backend, "disable_user", user="beta-admin")
    await backend.delete_server(a_call(), server_id)
    await backend.configure(Settings(reissue="always", region="ORD"))
    return await log_in(backend)


async def _login(backend: Backend) -> str:
    return (await log_in(backend)).text


def _on_server(server_id: ServerId, call: Call) -> list[Attempt]:
    """Return every operation that names a server."""
    return [
        lambda backend: backend.get_server(call, server_id),
        lambda backend: backend.delete_server(call, server_id),
        lambda backend: backend.list_addresses(call, server_id),
        lambda backend: backend.list_virtual_interfaces(call, server_id),
        lambda backend: backend.create_virtual_interface(call, server_id, PUBLIC),
        lambda backend: backend.delete_virtual_interface(call, server_id, InterfaceId(NOWHERE)),
    ]


def _failing(call: Call) -> list[Attempt]:
    """Return requests that a cloud with a full `tiny`, three servers and networks refuses."""
    new = NewServer(name="new", image_ref="1", flavor_ref="2", networks=(BLUE,))
    wrong = Credentials(username="alpha-admin", api_key="wrong")
    return [
        *_on_server(FAR, call),
        lambda backend: backend.create_virtual_interface(call, ONE, TINY),
        lambda backend: backend.create_virtual_interface(call, THREE, TINY),
        lambda backend: backend.create_virtual_interface(call, ONE, RED),
        lambda backend: backend.create_network(call, "more", "10.9.0.0/24"),
        lambda backend: backend.delete_network(call, TINY),
        lambda backend: backend.create_server(call, new),
        lambda backend: backend.authenticate(call, wrong),
        lambda backend: backend.revoke_token(call, "unknown"),
    ]


def _spoiled(snapshot: dict[str, Any], how: str) -> dict[str, Any]:
    """Return a snapshot that no backend may take."""
    interfaces = snapshot["world"]["virtual_interfaces"]
    if how == "version":
        snapshot["version"] = 99
    elif how == "lacks":
        del snapshot["world"]["servers"]
    elif how == "shape":
        snapshot["tokens"] = [{"digest": "of nothing"}]
    else:
        interfaces[0]["mac_address"] = interfaces[1]["mac_address"]
    return snapshot
