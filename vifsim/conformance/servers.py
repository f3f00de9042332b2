"""What happens to servers.

The house rule: one test, one rule of the API contract (docs/api.md).
"""

from __future__ import annotations

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
    listed,
    look_at,
)
from vifsim.conformance.judged import Judged
from vifsim.errors import (
    ApiFault,
    BadRequest,
    Conflict,
    Forbidden,
    ItemNotFound,
    TooLarge,
)
from vifsim.model import (
    PUBLIC,
    SERVICE,
    NetworkId,
    NewServer,
    Policy,
    Quotas,
    ServerQuery,
    Settings,
)

if TYPE_CHECKING:
    from vifsim.backend import Backend
    from vifsim.clock import SimClock


class ServerRules(Judged):
    """What happens to servers."""

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
