"""What holds for the store as a whole: snapshots, resets, settings, moments.

The house rule: one test, one rule of the API contract (docs/api.md).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from vifsim.conformance.given import (
    ADMIN_TOKEN,
    API_KEY,
    BLUE,
    FAR,
    HOUR,
    ONE,
    PASSWORD,
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
    contents,
    detach,
    listed,
    log_in,
    world,
)
from vifsim.conformance.judged import Judged
from vifsim.draws import secret_digest, token_digest
from vifsim.errors import (
    ControlFault,
)
from vifsim.model import (
    PUBLIC,
    Settings,
)

if TYPE_CHECKING:
    from pathlib import Path

    from vifsim.backend import Backend
    from vifsim.clock import SimClock
    from vifsim.model import Access


class WholeRules(Judged):
    """What holds for the store as a whole: snapshots, resets, settings, moments."""

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
