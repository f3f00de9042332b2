from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import Any

import pytest

from vifsim import cloud
from vifsim.errors import ApiFault, BadRequest, Conflict, Forbidden, TooLarge
from vifsim.model import (
    PUBLIC,
    PUBLIC_POOLS,
    SERVER_STATUSES,
    SERVICE,
    InterfaceId,
    Network,
    NetworkId,
    Policy,
    Quotas,
    Server,
    ServerId,
    Settings,
    Tenant,
    TenantId,
    VirtualInterface,
)

ALPHA = TenantId("alpha")
BLUE = NetworkId("blue")
BLUE_NETWORK = Network(id=BLUE, label="blue", cidr="192.168.0.0/24", tenant=ALPHA)
PUBLIC_NETWORK = Network(id=PUBLIC, label="public", cidr=None, tenant=None)


def a_server(**facts: Any) -> Server:
    known: dict[str, Any] = {"id": ServerId("s"), "number": 1, "tenant": ALPHA, "name": "s"}
    return Server(**known | facts)


def an_interface(number: int = 1, network_id: NetworkId = BLUE) -> VirtualInterface:
    addresses = ("2001:db8::1", "198.51.100.1") if network_id == PUBLIC else ("192.168.0.1",)
    return VirtualInterface(
        id=InterfaceId(f"i{number}"),
        number=number,
        server_id=ServerId("s"),
        network_id=network_id,
        network_label="any",
        mac_address="BC:76:4E:00:00:01",
        addresses=addresses,
    )


# ── CIDRs ──


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.168.0.0/24", "192.168.0.0/24"),
        (" 10.0.0.0/8\n", "10.0.0.0/8"),
        ("172.16.0.0/30", "172.16.0.0/30"),
        ("FD00:0:0::/64", "fd00::/64"),
        ("fd00::/126", "fd00::/126"),
    ],
)
def test_a_cidr_is_made_canonical(text: str, canonical: str) -> None:
    assert cloud.canonical_cidr(text) == canonical


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "No CIDR"),
        ("  ", "No CIDR"),
        ("red", "malformed"),
        ("192.168.0.1/24", "malformed"),
        ("192.168.0.0/33", "malformed"),
        ("10.0.0.0/255.0.0.0", "malformed"),
        ("192.168.0.0/24/24", "malformed"),
        ("0.0.0.0/0", "malformed"),
        ("::/0", "malformed"),
        ("192.168.0.0", "does not contain enough"),
        ("192.168.0.0/31", "does not contain enough"),
        ("fd00::/127", "does not contain enough"),
    ],
)
def test_a_cidr_that_is_none_is_a_bad_request_that_says_why(text: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        cloud.canonical_cidr(text)


# ── addresses ──


@pytest.mark.parametrize("cidr", ["10.1.0.0/30", "192.168.0.0/24", "172.16.0.0/20"])
def test_a_pool_hands_out_every_host_once_and_no_other(cidr: str) -> None:
    pool = cloud.pool_of(BLUE, cidr)
    assert pool is not None

    handed_out = [pool.address(slot) for slot in range(pool.size)]

    assert handed_out == [str(host) for host in IPv4Network(cidr).hosts()]
    with pytest.raises(IndexError):
        pool.address(pool.size)


def test_the_public_pool_goes_on_from_one_range_to_the_next() -> None:
    pool = cloud.pool_of(PUBLIC, None)
    assert pool is not None

    handed_out = [pool.address(slot) for slot in range(pool.size)]

    assert handed_out == [str(host) for cidr in PUBLIC_POOLS for host in IPv4Network(cidr).hosts()]


def test_the_service_pool_is_where_the_service_is() -> None:
    pool = cloud.pool_of(SERVICE, None)
    assert pool is not None

    assert IPv4Address(pool.address(0)) in IPv4Network("10.176.0.0/12")


def test_a_network_of_ipv6_has_no_pool_of_ipv4() -> None:
    assert cloud.pool_of(BLUE, "fd00::/64") is None
    assert cloud.v6_prefix_of(BLUE, "fd00::/64") == IPv6Network("fd00::/64")
    assert cloud.v6_prefix_of(BLUE, "192.168.0.0/24") is None
    assert cloud.v6_prefix_of(SERVICE, None) is None


def test_an_ipv6_address_follows_from_tenant_and_mac_in_full_groups() -> None:
    prefix = IPv6Network("2001:db8:7810:512::/64")

    address = cloud.v6_from_mac(prefix, "123456", "BC:76:4E:04:59:D7")

    assert address == IPv6Address(address).exploded
    assert IPv6Address(address) in prefix
    assert address.endswith("ff04:59d7")
    assert address != cloud.v6_from_mac(prefix, "654321", "BC:76:4E:04:59:D7")


def test_a_short_prefix_hands_out_its_hosts_from_the_lowest() -> None:
    found = list(cloud.v6_candidates(IPv6Network("fd00::/126")))

    assert found == [f"fd00:0000:0000:0000:0000:0000:0000:000{host}" for host in (1, 2, 3)]


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "BC:76:4E:00:00:00"),
        (1, "BC:76:4E:00:00:01"),
        (0xABCDEF, "BC:76:4E:AB:CD:EF"),
        (cloud.MAC_SPACE, "BC:76:4E:00:00:00"),
    ],
)
def test_macs_count_upwards_in_capitals_and_wrap(number: int, text: str) -> None:
    assert cloud.mac_text(number) == text


@pytest.mark.parametrize("last", [-1, 0, 2, 4])
def test_slots_come_once_each_beginning_after_the_last(last: int) -> None:
    slots = list(cloud.slots_after(last, 5))

    assert slots[0] == (last + 1) % 5
    assert sorted(slots) == [0, 1, 2, 3, 4]
    assert all((after - before) % 5 == 1 for before, after in pairwise(slots))


# ── admission ──


@pytest.mark.parametrize("status", SERVER_STATUSES)
def test_only_three_states_allow_attaching(status: str) -> None:
    server = a_server(status=status)
    allowed = status in {"ACTIVE", "PAUSED", "SHUTOFF"}

    if allowed:
        cloud.admit_state(server, Settings(), "attach to")
    else:
        with pytest.raises(Conflict):
            cloud.admit_state(server, Settings(), "attach to")
    cloud.admit_state(server, Settings(state_checks=False), "attach to")


@pytest.mark.parametrize("facts", [{"locked": True}, {"task_state": "rebooting"}])
def test_a_lock_or_a_task_forbids_attaching(facts: dict[str, Any]) -> None:
    with pytest.raises(Conflict, match=r"locked|rebooting"):
        cloud.admit_state(a_server(**facts), Settings(), "attach to")


def test_a_tenants_own_quota_wins_for_the_keys_it_names() -> None:
    settings = Settings(quotas=Quotas(ram=1000, instances=5))

    own = cloud.quotas_of(settings, Tenant(id=ALPHA, quotas={"instances": None, "unknown": 3}))

    assert own == Quotas(ram=1000, instances=None)
    assert cloud.quotas_of(settings, Tenant(id=ALPHA)) is settings.quotas


@pytest.mark.parametrize(("owned", "admitted"), [(9, True), (10, False), (11, False)])
def test_networks_are_admitted_up_to_the_quota(owned: int, admitted: bool) -> None:  # noqa: FBT001 -- a fact
    if admitted:
        cloud.admit_network(owned, Quotas())
        return
    with pytest.raises(BadRequest, match="too many networks"):
        cloud.admit_network(owned, Quotas())


def test_no_quota_is_no_bound() -> None:
    unbounded = Quotas(
        instances=None, ram=None, networks=None, servers_per_network=None, vifs_per_server=None
    )

    cloud.admit_network(10**6, unbounded)
    cloud.admit_crowd(BLUE_NETWORK, 10**6, unbounded)
    cloud.admit_server("8", 10**6, 10**9, unbounded, Settings())


def test_the_crowd_on_a_fixed_network_is_not_counted() -> None:
    cloud.admit_crowd(PUBLIC_NETWORK, 10**6, Quotas())


@pytest.mark.parametrize(("status", "fault"), [(403, Forbidden), (413, TooLarge)])
def test_a_server_over_quota_says_how_much_is_used(status: Any, fault: type[ApiFault]) -> None:
    settings = Settings(quota_status=status)

    with pytest.raises(fault, match=re.escape("Requested 512, but already used 900 of 1000 ram")):
        cloud.admit_server("2", 1, 900, Quotas(ram=1000), settings)


def test_a_duplicate_goes_before_the_policy() -> None:
    settings = Settings(policy=Policy(banned=(BLUE,)))

    with pytest.raises(Conflict):
        cloud.admit_attach(BLUE_NETWORK, [BLUE], settings, Quotas())
    with pytest.raises(Forbidden):
        cloud.admit_attach(BLUE_NETWORK, [], settings, Quotas())


def test_fixed_networks_do_not_count_as_isolated() -> None:
    settings = Settings(policy=Policy(max_isolated=1))

    cloud.admit_attach(BLUE_NETWORK, [PUBLIC, SERVICE], settings, Quotas())


# ── states ──


def test_a_build_goes_through_its_tasks() -> None:
    server = a_server(status="BUILD", created=0.0, active_at=90.0)

    shown = [cloud.server_at(server, now) for now in (0.0, 40.0, 70.0, 89.9, 90.0)]

    assert [(one.status, one.task_state) for one in shown] == [
        ("BUILD", "scheduling"),
        ("BUILD", "networking"),
        ("BUILD", "spawning"),
        ("BUILD", "spawning"),
        ("ACTIVE", None),
    ]
    assert shown[-1].updated == 90.0


def test_progress_ends_at_100_when_the_build_is_done() -> None:
    server = a_server(status="BUILD", created=0.0, active_at=60.0)

    progress = [cloud.view(server, (), 0.0, now).progress for now in (0.0, 30.0, 59.9, 60.0, 99.0)]

    assert progress == [0, 50, 99, 100, 100]


@pytest.mark.parametrize(("status", "progress"), [("ACTIVE", 100), ("ERROR", 0), ("BUILD", 0)])
def test_progress_without_a_build_follows_from_the_status(status: str, progress: int) -> None:
    assert cloud.build_progress(a_server(status=status), 5.0) == progress


def test_a_deletion_shows_its_task_and_then_the_end() -> None:
    server = a_server(gone_at=10.0)

    assert cloud.server_at(server, 9.9).task_state == "deleting"
    assert cloud.server_at(server, 10.0).status == "DELETED"
    assert cloud.server_at(server, 10.0).task_state is None


@pytest.mark.parametrize(
    ("status", "vm_state", "power_state"),
    [
        ("ACTIVE", "active", 1),
        ("BUILD", "building", 0),
        ("SHUTOFF", "stopped", 4),
        ("ERROR", "error", 0),
        ("REBOOT", "active", 1),
    ],
)
def test_extended_states_follow_from_the_status(
    status: str, vm_state: str, power_state: int
) -> None:
    server = a_server(status=status)

    assert (cloud.vm_state(server), cloud.power_state(server)) == (vm_state, power_state)


def test_access_addresses_are_set_once_and_cleared_by_the_public_network_only() -> None:
    bare, given = a_server(), a_server(access_ipv4="9.9.9.9")
    public, blue = an_interface(1, PUBLIC), an_interface(2)

    assert cloud.access_after_attach(bare, blue) == bare
    assert cloud.access_after_attach(bare, public).access_ipv6 == "2001:db8::1"
    assert cloud.access_after_attach(given, public).access_ipv4 == "9.9.9.9"
    assert cloud.access_after_detach(given, blue) == given
    assert cloud.access_after_detach(given, public).access_ipv4 == ""


def test_a_view_is_updated_by_the_later_of_server_and_interfaces() -> None:
    server = a_server(updated=5.0)

    assert cloud.view(server, (), 3.0, 9.0).updated == 5.0
    assert cloud.view(server, (an_interface(),), 7.0, 9.0).updated == 7.0


@pytest.mark.parametrize("text", ["(", "[a", "a{2,1}", "*"])
def test_a_name_filter_that_is_no_expression_is_a_bad_request(text: str) -> None:
    with pytest.raises(BadRequest):
        cloud.compile_name_filter(text)
