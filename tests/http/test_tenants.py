"""Tenants never see each other: whatever one asks for, the other's cloud is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vifsim.model import OPERATIONS

if TYPE_CHECKING:
    from tests.conftest import Api, ApiOf, MakeCloud, Told

OURS, THEIRS = "123456", "654321"
SERVER, NETWORK = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000001"
SECRET = "not-for-you"  # noqa: S105 -- what the other tenant's things are called
WORLD: dict[str, Any] = {
    "tenants": [
        {"id": OURS, "users": [{"name": "demo", "password": "p", "token": "our-token"}]},
        {"id": THEIRS, "users": [{"name": SECRET, "password": "p", "token": "their-token"}]},
    ],
    "networks": [{"id": NETWORK, "label": SECRET, "cidr": "10.9.8.0/24", "tenant": THEIRS}],
    "servers": [{"id": SERVER, "name": SECRET, "tenant": THEIRS, "networks": [SECRET]}],
}
REQUESTS: dict[str, tuple[str, str, Any]] = {
    "list_versions": ("GET", "/", None),
    "get_version": ("GET", "/v2", None),
    "list_extensions": ("GET", "/extensions", None),
    "authenticate": (
        "POST",
        "/v2.0/tokens",
        {"auth": {"passwordCredentials": {"username": SECRET, "password": "wrong"}}},
    ),
    "validate_token": ("GET", f"/v2.0/tokens/their-token?belongsTo={OURS}", None),
    "revoke_token": ("DELETE", "/v2.0/tokens/no-token-at-all", None),
    "list_endpoints": ("GET", "/v2.0/tokens/no-token-at-all/endpoints", None),
    "list_tenants": ("GET", "/v2.0/tenants", None),
    "get_limits": ("GET", "/limits", None),
    "list_servers": ("GET", f"/servers?name={SECRET}", None),
    "list_servers_detail": ("GET", "/servers/detail", None),
    "create_server": (
        "POST",
        "/servers",
        {
            "server": {
                "name": "s",
                "imageRef": "1",
                "flavorRef": "2",
                "networks": [{"uuid": NETWORK}],
            }
        },
    ),
    "get_server": ("GET", f"/servers/{SERVER}", None),
    "delete_server": ("DELETE", f"/servers/{SERVER}", None),
    "list_addresses": ("GET", f"/servers/{SERVER}/ips", None),
    "list_networks": ("GET", "/os-networksv2", None),
    "create_network": (
        "POST",
        "/os-networksv2",
        {"network": {"label": "n", "cidr": "10.9.8.0/24"}},
    ),
    "get_network": ("GET", f"/os-networksv2/{NETWORK}", None),
    "delete_network": ("DELETE", f"/os-networksv2/{NETWORK}", None),
    "list_virtual_interfaces": ("GET", f"/servers/{SERVER}/os-virtual-interfacesv2", None),
    "create_virtual_interface": (
        "POST",
        f"/servers/{SERVER}/os-virtual-interfacesv2",
        {"virtual_interface": {"network_id": NETWORK}},
    ),
    "delete_virtual_interface": (
        "DELETE",
        f"/servers/{SERVER}/os-virtual-interfacesv2/{{interface}}",
        None,
    ),
    "unknown": ("GET", f"/servers/{SERVER}/nowhere", None),
}
"""For each operation the request that comes nearest to the other tenant's things."""


async def seen(api: Api) -> list[Any]:
    """Return all that a tenant sees of its own."""
    paths = ("/servers/detail", "/os-networksv2", f"/servers/{SERVER}/os-virtual-interfacesv2")
    limits = (await api.get("/limits")).json()["limits"]["absolute"]
    return [*[(await api.get(path)).json() for path in paths], limits]


def shows(told: Told) -> bool:
    """Return whether an answer says anything about the other tenant's things."""
    return any(text in told.body.decode() for text in (SECRET, THEIRS, "10.9.8.2"))


def test_every_operation_is_tried() -> None:
    assert list(REQUESTS) == list(OPERATIONS)


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    names=st.lists(st.sampled_from(sorted(REQUESTS)), min_size=5, max_size=30),
    prefix=st.sampled_from(["", f"/v2/{OURS}"]),
)
async def test_whatever_a_tenant_asks_it_neither_sees_nor_changes_anothers_things(
    make_cloud: MakeCloud, api_of: ApiOf, names: list[str], prefix: str
) -> None:
    cloud = await make_cloud(world=WORLD)
    ours, theirs = api_of(cloud).bearing("our-token"), api_of(cloud).bearing("their-token")
    (interface,) = await theirs.interfaces(SERVER)
    before = await seen(theirs)

    answers: list[tuple[str, Told]] = []
    for name in names:
        method, path, body = REQUESTS[name]
        compute = path.startswith(("/servers", "/os-networksv2", "/limits"))
        full = (prefix if compute else "") + path.format(interface=interface["id"])
        answers.append((name, await ours.ask(method, full, body)))

    assert [name for name, told in answers if shows(told)] == []
    assert await seen(theirs) == before


async def test_anothers_tenant_in_the_path_is_no_way_to_its_things(
    make_cloud: MakeCloud, api_of: ApiOf
) -> None:
    ours = api_of(await make_cloud(world=WORLD)).bearing("our-token")

    told = await ours.get(f"/v2/{THEIRS}/servers/detail")

    assert told.status == 401
    assert not shows(told)
