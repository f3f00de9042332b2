"""What a request leaves behind that fails, that is refused, or that is changed by hand.

The house rule: one test, one rule of the API contract (docs/api.md).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.conformance.given import (
    ALPHA,
    API_KEY,
    BLUE,
    FAR,
    ONE,
    RED,
    THREE,
    TINY,
    TWO,
    a_call,
    amend,
    attach,
    attached,
    boot,
    contents,
    listed,
    on_server,
    world,
)
from vifsim.conformance.judged import Judged
from vifsim.errors import (
    ApiFault,
    BadRequest,
    ControlFault,
)
from vifsim.model import (
    PUBLIC,
    SERVICE,
    Credentials,
    NewServer,
    ServerQuery,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from vifsim.backend import Backend
    from vifsim.clock import SimClock
    from vifsim.exchange import Call

    Attempt = Callable[[Backend], Awaitable[object]]


class RefusalRules(Judged):
    """What a request leaves behind that fails, that is refused, or that is changed by hand."""

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
        by_interface = await backend.names(a_call(server=ONE, interface=made.id))
        by_nothing = await backend.names(a_call())

        assert (by_network.server, by_network.network_label) == ("one", "blue")
        assert (by_interface.server, by_interface.network) == ("one", BLUE)
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


def _failing(call: Call) -> list[Attempt]:
    """Return requests that a cloud with a full `tiny`, three servers and networks refuses."""
    new = NewServer(name="new", image_ref="1", flavor_ref="2", networks=(BLUE,))
    wrong = Credentials(username="alpha-admin", api_key="wrong")
    return [
        *on_server(FAR, call),
        lambda backend: backend.create_virtual_interface(call, ONE, TINY),
        lambda backend: backend.create_virtual_interface(call, THREE, TINY),
        lambda backend: backend.create_virtual_interface(call, ONE, RED),
        lambda backend: backend.create_network(call, "more", "10.9.0.0/24"),
        lambda backend: backend.delete_network(call, TINY),
        lambda backend: backend.create_server(call, new),
        lambda backend: backend.authenticate(call, wrong),
        lambda backend: backend.revoke_token(call, "unknown"),
    ]
