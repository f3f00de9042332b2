from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vifsim.errors import BadRequest
from vifsim.http.bodies import CreateInterfaceSchema, load
from vifsim.http.codec import digest_of, parse_json
from vifsim.http.networks import COMMON_BODY, interface_text, quick_interface
from vifsim.model import InterfaceId, NetworkId, ServerId, VirtualInterface

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud
    from vifsim.simulator import Simulator

WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
PUBLIC = "00000000-0000-0000-0000-000000000000"
PRIVATE = "11111111-1111-1111-1111-111111111111"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"
SCHEMA = CreateInterfaceSchema()

# ── the quick way of a create, held to the schema ──

UUIDS = st.uuids().map(str)
TEXTS = st.one_of(
    UUIDS,
    UUIDS.map(str.upper),
    UUIDS.map(lambda text: f"{text}\n"),
    UUIDS.map(lambda text: text.replace("-", "")),
    UUIDS.map(lambda text: f"{{{text}}}"),
    UUIDS.map(lambda text: text.translate({ord("1"): "\u0661", ord("2"): "\uff12"})),
    st.text(),
)
VALUES = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(),
    st.lists(TEXTS, max_size=2),
    st.dictionaries(st.text(max_size=3), TEXTS, max_size=2),
)
INNER = st.one_of(
    VALUES,
    st.fixed_dictionaries({"network_id": VALUES}),
    st.fixed_dictionaries({"network_id": VALUES, "more": VALUES}),
    st.fixed_dictionaries({"Network_id": VALUES}),
)
BODIES = st.one_of(
    VALUES,
    st.fixed_dictionaries({"virtual_interface": INNER}),
    st.fixed_dictionaries({"virtual_interface": INNER, "more": VALUES}),
    st.fixed_dictionaries({"virtual_interfaces": INNER}),
)


def by_schema(data: Any) -> str | None:
    try:
        return str(load(SCHEMA, data))
    except BadRequest:
        return None


def spaced(data: Any, indent: int | str | None) -> bytes:
    return json.dumps(data, indent=indent).encode()


RAW = st.one_of(
    st.builds(spaced, BODIES, st.sampled_from([None, 1, "\t"])),
    st.from_regex(COMMON_BODY, fullmatch=True),
)


@given(RAW)
def test_the_quick_way_accepts_nothing_that_the_schema_reads_differently(raw: bytes) -> None:
    quick = quick_interface(raw)

    if quick is not None:
        data = parse_json(raw)
        assert quick == (by_schema(data), digest_of(data))


@given(UUIDS)
def test_the_quick_way_takes_the_common_body(network_id: str) -> None:
    body = {"virtual_interface": {"network_id": network_id}}

    assert quick_interface(json.dumps(body).encode()) is not None


@given(UUIDS)
def test_the_schema_reads_an_id_in_lower_case(network_id: str) -> None:
    body = {"virtual_interface": {"network_id": network_id.upper(), "more": 1}, "further": 2}

    assert by_schema(body) == network_id


# ── virtual interfaces ──


async def test_a_key_that_nobody_knows_is_ignored(api: Api) -> None:
    body = {"virtual_interface": {"network_id": ADDED_NETWORK.upper(), "fixed_ip": "x"}, "a": 1}

    told = await api.post(VIFS, body)

    (interface,) = told.json()["virtual_interfaces"]
    assert interface["ip_addresses"][0]["network_id"] == ADDED_NETWORK


@given(
    label=st.text(max_size=20),
    mac_address=st.text(max_size=20),
    addresses=st.lists(st.text(max_size=20), max_size=3),
)
def test_an_interface_is_written_as_json_writes_it(
    label: str, mac_address: str, addresses: list[str]
) -> None:
    interface = VirtualInterface(
        id=InterfaceId("one"),
        number=1,
        server_id=ServerId("two"),
        network_id=NetworkId("three"),
        network_label=label,
        mac_address=mac_address,
        addresses=tuple(addresses),
    )

    text = interface_text(interface)

    assert text == json.dumps(
        {
            "mac_address": mac_address,
            "id": "one",
            "ip_addresses": [
                {"address": address, "network_id": "three", "network_label": label}
                for address in addresses
            ],
        }
    )


async def test_what_was_attached_is_listed_as_it_was_told(api: Api) -> None:
    attached = (await api.attach()).json()["virtual_interfaces"]

    assert (await api.interfaces())[-1:] == attached


async def test_interfaces_are_listed_in_the_order_of_attachment(api: Api) -> None:
    server = await api.boot(networks=[PRIVATE, ADDED_NETWORK])
    await api.attach(server, PUBLIC)

    found = await api.interfaces(server)

    labels = [item["ip_addresses"][0]["network_label"] for item in found]
    assert labels == ["private", "added_network", "public"]


@pytest.mark.parametrize(
    ("query", "size"),
    [("", 2), ("?limit=1", 1), ("?limit=0", 0), ("?offset=1", 1), ("?limit=1&offset=2", 0)],
)
async def test_an_interface_list_can_be_paged(api: Api, query: str, size: int) -> None:
    told = await api.get(VIFS + query)

    assert len(told.json()["virtual_interfaces"]) == size


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "offset=1.5", "offset=-2"])
async def test_a_wrong_page_is_refused(api: Api, query: str) -> None:
    assert (await api.get(f"{VIFS}?{query}")).status == 400


async def test_a_marker_of_an_interface_list_is_ignored(api: Api) -> None:
    assert len((await api.get(f"{VIFS}?marker=x")).json()["virtual_interfaces"]) == 2


async def test_a_server_without_interfaces_has_an_empty_list(api: Api) -> None:
    server = await api.boot(networks=[])

    assert await api.interfaces(server) == []


async def test_the_last_interface_can_go(api: Api) -> None:
    for interface in await api.interfaces():
        told = await api.delete(f"{VIFS}/{interface['id']}")
        assert told.status == 200

    assert await api.interfaces() == []
    assert (await api.get(f"/servers/{WEB_1}")).json()["server"]["addresses"] == {}


async def test_public_access_addresses_go_and_come_with_the_public_interface(api: Api) -> None:
    public = (await api.interfaces())[0]
    await api.delete(f"{VIFS}/{public['id']}")
    without = (await api.get(f"/servers/{WEB_1}")).json()["server"]
    (again,) = (await api.attach(WEB_1, PUBLIC)).json()["virtual_interfaces"]
    with_it = (await api.get(f"/servers/{WEB_1}")).json()["server"]

    addresses = [item["address"] for item in again["ip_addresses"]]
    assert (without["accessIPv4"], without["accessIPv6"]) == ("", "")
    assert [with_it["accessIPv6"], with_it["accessIPv4"]] == addresses


async def test_an_interface_of_another_server_is_unknown_here(api: Api) -> None:
    other = await api.boot()
    interface = (await api.interfaces(other))[0]["id"]

    assert (await api.delete(f"{VIFS}/{interface}")).status == 404


async def test_an_attachment_moves_the_time_of_update_on(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual")
    api = api_of(cloud)
    before = (await api.get(f"/servers/{WEB_1}")).json()["server"]
    await cloud.advance_clock("10s")

    await api.attach()

    after = (await api.get(f"/servers/{WEB_1}")).json()["server"]
    assert after["updated"] > before["updated"]
    assert after["created"] == before["created"]


async def test_a_freed_address_is_not_handed_out_next(api: Api) -> None:
    (first,) = (await api.attach()).json()["virtual_interfaces"]
    await api.delete(f"{VIFS}/{first['id']}")
    (second,) = (await api.attach()).json()["virtual_interfaces"]

    assert first["ip_addresses"][0]["address"] == "192.168.0.1"
    assert second["ip_addresses"][0]["address"] == "192.168.0.2"
    assert first["mac_address"] != second["mac_address"]


async def test_a_v6_network_gives_one_address_in_full_groups(api: Api) -> None:
    network = await api.new_network(cidr="2001:db8:1::/64")

    (interface,) = (await api.attach(WEB_1, network)).json()["virtual_interfaces"]

    (address,) = interface["ip_addresses"]
    assert re.fullmatch(r"2001:0db8:0001:0000(:[0-9a-f]{4}){4}", address["address"])


async def test_a_failed_attachment_uses_nothing_up(api: Api, cloud: Simulator) -> None:
    await api.attach()
    before = await cloud.snapshot()

    await api.attach()

    after = await cloud.snapshot()
    assert (after["world"], after["sequences"]) == (before["world"], before["sequences"])


@pytest.mark.parametrize("status", [404, 400])
async def test_an_unknown_network_is_refused_as_the_setting_says(
    make_cloud: MakeCloud, api_of: ApiOf, status: int
) -> None:
    api = api_of(await make_cloud(world={"settings": {"unknown_network_status": status}}))

    assert (await api.attach(WEB_1, "99999999-9999-4999-8999-999999999999")).status == status


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        ({"banned": ["added_network"]}, f"Networks ({ADDED_NETWORK}) not allowed"),
        ({"max_isolated": 0}, "At most 0 isolated network(s) can be attached"),
    ],
)
async def test_an_account_policy_forbids_an_attachment(
    make_cloud: MakeCloud, api_of: ApiOf, policy: dict[str, Any], text: str
) -> None:
    api = api_of(await make_cloud(world={"settings": {"policy": policy}}))

    told = await api.attach()

    assert (told.status, told.fault, told.message) == (403, "forbidden", text)


# ── networks ──


async def test_networks_are_listed_in_creation_order_with_the_services_own_last(api: Api) -> None:
    first, second = await api.new_network("one"), await api.new_network("two")

    found = (await api.get("/os-networksv2")).json()["networks"]

    assert [item["id"] for item in found] == [ADDED_NETWORK, first, second, PUBLIC, PRIVATE]
    assert [item.keys() for item in found[-2:]] == [{"id", "label"}] * 2
    assert found[0].keys() == {"cidr", "id", "label"}


@pytest.mark.parametrize(("network", "label"), [(PUBLIC, "public"), (PRIVATE, "private")])
async def test_the_services_own_networks_are_shown_and_stay(
    api: Api, network: str, label: str
) -> None:
    shown = await api.get(f"/os-networksv2/{network}")
    deleted = await api.delete(f"/os-networksv2/{network}")

    assert shown.json() == {"network": {"id": network, "label": label}}
    assert (deleted.status, deleted.fault) == (403, "forbidden")


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("192.168.0.0/24", "192.168.0.0/24"),
        (" 10.0.0.0/30 ", "10.0.0.0/30"),
        ("128.0.0.0/1", "128.0.0.0/1"),
        ("2001:0DB8::/64", "2001:db8::/64"),
        ("2001:db8::/126", "2001:db8::/126"),
        ("127.0.0.0/8", "127.0.0.0/8"),
    ],
)
async def test_a_cidr_is_told_in_canonical_text(api: Api, given: str, shown: str) -> None:
    told = await api.post("/os-networksv2", {"network": {"label": "a", "cidr": given}})

    assert told.json()["network"]["cidr"] == shown


async def test_networks_may_overlap_and_share_a_label(api: Api) -> None:
    one, two = await api.new_network("a", "10.0.0.0/24"), await api.new_network("a", "10.0.0.0/24")

    assert one != two
    server = await api.boot(networks=[one, two])
    addresses = (await api.get(f"/servers/{server}/ips")).json()["addresses"]
    assert addresses == {"a": [{"addr": "10.0.0.1", "version": 4}] * 2}


@pytest.mark.parametrize("label", ["a", "x" * 255, "  trimmed  ", "né 💩"])
async def test_a_label_is_kept_without_blanks_around_it(api: Api, label: str) -> None:
    body = {"network": {"label": label, "cidr": "10.0.0.0/24"}}

    told = await api.post("/os-networksv2", body)

    assert told.json()["network"]["label"] == label.strip()


@pytest.mark.parametrize(
    "network",
    [
        {"cidr": "10.0.0.0/24"},
        {"label": "", "cidr": "10.0.0.0/24"},
        {"label": "   ", "cidr": "10.0.0.0/24"},
        {"label": "x" * 256, "cidr": "10.0.0.0/24"},
        {"label": 1, "cidr": "10.0.0.0/24"},
        {"label": None, "cidr": "10.0.0.0/24"},
        {"label": "a", "cidr": 24},
        {"label": "a", "cidr": ["10.0.0.0/24"]},
        [],
        None,
    ],
    ids=str,
)
async def test_a_wrong_network_is_refused(api: Api, network: Any) -> None:
    told = await api.post("/os-networksv2", {"network": network})

    assert (told.status, told.fault) == (400, "badRequest")


async def test_a_body_is_spaced_as_the_service_spaces_it(api: Api) -> None:
    told = await api.get(f"/os-networksv2/{PUBLIC}")

    assert told.body == json.dumps({"network": {"id": PUBLIC, "label": "public"}}).encode()


async def test_a_network_stays_in_use_until_its_servers_are_gone(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    cloud = await make_cloud(clock="manual", world={"settings": {"delete_time": "30s"}})
    api = api_of(cloud)
    server = await api.boot(networks=[ADDED_NETWORK])
    await api.delete(f"/servers/{server}")

    during = await api.delete(f"/os-networksv2/{ADDED_NETWORK}")
    await cloud.advance_clock("30s")
    after = await api.delete(f"/os-networksv2/{ADDED_NETWORK}")

    assert (during.status, after.status) == (403, 202)
