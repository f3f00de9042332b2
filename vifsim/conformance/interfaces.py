"""What happens to virtual interfaces: attaching, detaching, addresses.

The house rule: one test, one rule of the API contract (docs/api.md).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.conformance.given import (
    ALPHA,
    BETA,
    BLUE,
    FAR,
    NOWHERE,
    ONE,
    RED,
    SIX,
    THREE,
    TINY,
    TWO,
    a_call,
    amend,
    attach,
    attached,
    boot,
    detach,
    look_at,
    on_server,
)
from vifsim.conformance.judged import Judged
from vifsim.errors import (
    ApiFault,
    BadRequest,
    Conflict,
    Forbidden,
    ItemNotFound,
)
from vifsim.model import (
    PUBLIC,
    SERVICE,
    InterfaceId,
    NetworkId,
    Policy,
    Settings,
    TenantId,
    VirtualInterface,
)

if TYPE_CHECKING:
    from vifsim.backend import Backend


class InterfaceRules(Judged):
    """What happens to virtual interfaces: attaching, detaching, addresses."""

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

        for attempt in on_server(server_id, a_call(tenant)):
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
