"""What happens to networks.

The house rule: one test, one rule of the API contract (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vifsim.conformance.given import (
    ALPHA,
    BETA,
    BLUE,
    NOWHERE,
    RED,
    SIX,
    TINY,
    a_call,
    amend,
    attach,
    detach,
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
    NetworkId,
    Settings,
)

if TYPE_CHECKING:
    from vifsim.backend import Backend


class NetworkRules(Judged):
    """What happens to networks."""

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
