"""What the operations do with their rows, where the interface of a backend cannot show it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from vifsim import cloud, operations, seeding
from vifsim.clock import SimClock
from vifsim.conformance import ALPHA, BLUE, ONE, THREE, TINY, TWO, a_call, world
from vifsim.errors import BadRequest
from vifsim.model import PUBLIC, NetworkId, SeedNetwork, Settings
from vifsim.rows import Numbers
from vifsim.store import TokenTable
from vifsim_backends.memory_rows import MemoryRows

if TYPE_CHECKING:
    from vifsim.rows import Rows

SLIM = NetworkId("0c000000-0000-4000-8000-000000000007")
"""A network of IPv6 with three hosts."""


@pytest.fixture
async def rows() -> Rows:
    rows = MemoryRows(Settings(), 7, SimClock(mode="manual"), TokenTable())
    small = world()
    slim = SeedNetwork(id=SLIM, label="slim", cidr="fd00:2::/126", tenant=ALPHA)
    await seeding.populate(rows, replace(small, networks=(*small.networks, slim)))
    return rows


async def test_a_number_that_is_not_kept_is_taken_again(rows: Rows) -> None:
    given_up, kept = Numbers(rows), Numbers(rows)

    first = await given_up.take("server")
    again = [await kept.take("server"), await kept.take("server")]
    await kept.keep()

    assert again == [first, first + 1]
    assert await rows.sequence("server") == first + 1


async def test_macs_wrap_and_skip_those_in_use(rows: Rows) -> None:
    first = await operations.attach(rows, a_call(), ONE, BLUE)
    await rows.set_sequence("mac", cloud.MAC_SPACE - 2)

    made = [await operations.attach(rows, a_call(), server, BLUE) for server in (TWO, THREE)]
    third = await operations.attach(rows, a_call(), TWO, TINY)

    assert first.mac_address == "BC:76:4E:00:00:01"
    assert [interface.mac_address for interface in made] == [
        "BC:76:4E:FF:FF:FF",
        "BC:76:4E:00:00:00",
    ]
    assert third.mac_address == "BC:76:4E:00:00:02"


async def test_addresses_skip_those_in_use_after_a_wrap(rows: Rows) -> None:
    await operations.attach(rows, a_call(), ONE, BLUE)
    await rows.set_sequence(f"address:{BLUE}", 254)

    made = await operations.attach(rows, a_call(), TWO, BLUE)

    assert made.addresses == ("192.168.0.2",)


async def test_a_narrow_network_of_ipv6_is_used_up(rows: Rows) -> None:
    made = [await operations.attach(rows, a_call(), server, SLIM) for server in (ONE, TWO, THREE)]
    new = await operations.create_network(rows, a_call(), "any", "10.9.0.0/24")

    assert [interface.addresses[0][-1] for interface in made] == ["1", "2", "3"]
    assert new.label == "any"
    await operations.detach(rows, a_call(), TWO, made[1].id)
    assert (await operations.attach(rows, a_call(), TWO, SLIM)).addresses == made[1].addresses


async def test_the_room_of_a_network_filled_by_hand_bounds_the_public_one_too(rows: Rows) -> None:
    await rows.set_sequence(f"room:{PUBLIC}", 2)
    await operations.attach(rows, a_call(), ONE, PUBLIC)

    with pytest.raises(BadRequest):
        await operations.attach(rows, a_call(), TWO, PUBLIC)


async def test_no_two_operations_of_one_moment_share_an_id(rows: Rows) -> None:
    networks = [
        await operations.create_network(rows, a_call(), f"n{number}", "10.9.0.0/24")
        for number in range(6)
    ]

    assert len({network.id for network in networks}) == 6


async def test_a_world_that_is_seeded_again_is_the_same_but_for_its_dates() -> None:
    given = replace(world(), settings=Settings(build_time=5.0))
    clock = SimClock(mode="manual")
    first, second = (MemoryRows(given.settings, 7, clock, TokenTable()) for _ in range(2))

    await seeding.populate(first, given)
    await clock.advance(3600)
    await seeding.populate(second, given)

    before, after = await first.contents(), await second.contents()
    assert [server.created + 3600 for server in before.servers] == [
        server.created for server in after.servers
    ]
    dateless = [
        replace(contents, servers=[replace(s, created=0, updated=0) for s in contents.servers])
        for contents in (before, after)
    ]
    assert dateless[0] == dateless[1]


async def test_the_names_of_a_world_are_those_that_it_is_seeded_with() -> None:
    unnamed = replace(
        world(),
        servers=tuple(replace(server, id=None) for server in world().servers),
        networks=tuple(replace(network, id=None) for network in world().networks),
        interfaces=(),
    )
    rows = MemoryRows(unnamed.settings, unnamed.seed, SimClock(mode="manual"), TokenTable())

    await seeding.populate(rows, unnamed)

    contents = await rows.contents()
    servers, networks = seeding.names_of(unnamed)
    assert servers == {server.name: server.id for server in contents.servers}
    assert networks == {network.label: network.id for network in contents.networks}
