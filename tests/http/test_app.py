from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vifsim.backend import Backend
from vifsim.http.app import ROUTES, Router
from vifsim.model import OPERATIONS

if TYPE_CHECKING:
    from tests.conftest import Api, RawClient
    from vifsim.simulator import Simulator

TENANT = "123456"
ID = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
OTHER = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
VIFS = f"/servers/{ID}/os-virtual-interfacesv2"

COMPUTE = [
    ("GET", "/servers", "list_servers"),
    ("POST", "/servers", "create_server"),
    ("GET", "/servers/detail", "list_servers_detail"),
    ("GET", f"/servers/{ID}", "get_server"),
    ("DELETE", f"/servers/{ID}", "delete_server"),
    ("GET", f"/servers/{ID}/ips", "list_addresses"),
    ("GET", f"/servers/{ID}/ips/public", "list_addresses"),
    ("GET", VIFS, "list_virtual_interfaces"),
    ("POST", VIFS, "create_virtual_interface"),
    ("DELETE", f"{VIFS}/{OTHER}", "delete_virtual_interface"),
    ("GET", "/os-networksv2", "list_networks"),
    ("POST", "/os-networksv2", "create_network"),
    ("GET", f"/os-networksv2/{OTHER}", "get_network"),
    ("DELETE", f"/os-networksv2/{OTHER}", "delete_network"),
    ("GET", "/limits", "get_limits"),
    ("GET", "/extensions", "list_extensions"),
    ("GET", "/extensions/os-networksv2", "list_extensions"),
]
ELSEWHERE = [
    ("GET", "/", "list_versions"),
    ("GET", "/v2", "get_version"),
    ("GET", "/v2.0", "get_version"),
    ("GET", "/v1.0/servers", "get_version"),
    ("GET", "/v1.1", "get_version"),
    ("GET", "/v2.1/123456/servers", "get_version"),
    ("GET", "/v3/auth/tokens", "get_version"),
    ("POST", "/v2.0/tokens", "authenticate"),
    ("DELETE", "/v2.0/tokens", "revoke_token"),
    ("GET", "/v2.0/tokens/abc", "validate_token"),
    ("DELETE", "/v2.0/tokens/abc", "revoke_token"),
    ("GET", "/v2.0/tokens/abc/endpoints", "list_endpoints"),
    ("GET", "/v2.0/tenants", "list_tenants"),
    ("GET", "/v2.0/extensions", "list_extensions"),
    ("GET", "/v2.0/extensions/x", "list_extensions"),
]


def operation_at(method: str, path: str) -> str | None:
    route = Router().find(method, path).route
    return None if route is None else route.operation


# ── routes ──


@pytest.mark.parametrize("prefix", ["", f"/v2/{TENANT}", "/v2/a_B-9"])
@pytest.mark.parametrize(("method", "path", "operation"), COMPUTE)
def test_a_compute_operation_is_on_both_prefixes(
    prefix: str, method: str, path: str, operation: str
) -> None:
    found = Router().find(method, prefix + path)

    assert found.route is not None
    assert found.route.operation == operation
    assert found.tenant == (prefix[4:] or None)
    assert found.path == path


@pytest.mark.parametrize(("method", "path", "operation"), ELSEWHERE)
def test_versions_and_identity_have_one_place(method: str, path: str, operation: str) -> None:
    assert operation_at(method, path) == operation
    if not path.startswith("/v"):
        return
    assert Router().find(method, f"/v2/{TENANT}{path}").route is None


@pytest.mark.parametrize("suffix", ["/", ".json"])
@pytest.mark.parametrize(
    ("method", "path", "operation"), [item for item in COMPUTE + ELSEWHERE if item[1] != "/"]
)
def test_a_final_slash_and_a_json_suffix_are_ignored(
    method: str, path: str, operation: str, suffix: str
) -> None:
    assert operation_at(method, path + suffix) == operation


@pytest.mark.parametrize("path", [VIFS, "/servers", "/v1.1/servers"])
def test_an_xml_suffix_asks_for_xml(path: str) -> None:
    found = Router().find("GET", f"{path}.xml")

    assert found.wants_xml
    assert found.route is not None


@pytest.mark.parametrize(
    ("method", "path", "operation"), [item for item in COMPUTE + ELSEWHERE if item[0] == "GET"]
)
def test_head_is_allowed_wherever_get_is(method: str, path: str, operation: str) -> None:
    assert operation_at("HEAD", path) == operation


def test_ids_are_matched_whatever_their_case() -> None:
    found = Router().find(
        "DELETE", f"/servers/{ID.upper()}/os-virtual-interfacesv2/{OTHER.upper()}"
    )

    assert found.params == {"server_id": ID, "interface_id": OTHER}


def test_a_label_and_a_token_keep_their_case() -> None:
    label = Router().find("GET", f"/servers/{ID}/ips/My%20Net").params["label"]
    token = Router().find("GET", "/v2.0/tokens/AbC").params["token"]

    assert (label, token) == ("My Net", "AbC")


def test_every_operation_has_a_route_and_a_method_of_the_backend() -> None:
    named = {route.operation for route in ROUTES}

    assert named == set(OPERATIONS) - {"unknown"}
    assert all(callable(getattr(Backend, operation)) for operation in named)


# ── 405 ──

ALLOW = [
    ("/servers", "GET, POST"),
    ("/servers/detail", "GET"),
    (f"/servers/{ID}", "DELETE, GET"),
    (VIFS, "GET, POST"),
    (f"{VIFS}/{OTHER}", "DELETE"),
    (f"/servers/{ID}/ips", "GET"),
    (f"/servers/{ID}/ips/public", "GET"),
    ("/os-networksv2", "GET, POST"),
    (f"/os-networksv2/{OTHER}", "DELETE, GET"),
    ("/limits", "GET"),
    ("/extensions", "GET"),
    ("/extensions/os-networksv2", "GET"),
    ("/", "GET"),
    ("/v2", "GET"),
    ("/v2.0", "GET"),
    ("/v1.1/servers", "GET"),
    ("/v2.0/extensions", "GET"),
    ("/v2.0/extensions/x", "GET"),
    ("/v2.0/tokens", "DELETE, POST"),
    ("/v2.0/tokens/demo-token", "DELETE, GET"),
    ("/v2.0/tokens/demo-token/endpoints", "GET"),
    ("/v2.0/tenants", "GET"),
]


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "TRACE", "GET", "POST", "DELETE"])
@pytest.mark.parametrize(("path", "allowed"), ALLOW)
async def test_a_method_that_a_path_does_not_have_is_told_those_it_has(
    api: Api, path: str, allowed: str, method: str
) -> None:
    if method in allowed or (method == "PUT" and path == f"/servers/{ID}"):
        return

    told = await api.ask(method, path)

    assert (told.status, told.fault) == (405, "badMethod")
    assert told.headers["Allow"] == allowed


async def test_a_version_tells_its_methods_without_a_token(api: Api) -> None:
    told = await api.bearing(None).post("/")

    assert (told.status, told.headers["Allow"]) == (405, "GET")


# ── 404, 501, 300 ──


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "//",
        "//servers",
        "/servers//",
        f"/servers//{ID}",
        "/v2//servers",
        f"/v2/{TENANT}",
        f"/v2/{TENANT}/",
        f"/v2/{TENANT}/v2.0/tokens",
        f"/v2/{TENANT}/v2",
        f"/v2/{'x' * 65}/servers",
        f"/v2/{TENANT}%2Fservers",
        f"/{TENANT}/servers/{ID}",
        f"/servers/{ID}/nowhere",
        f"{VIFS}/{OTHER}/more",
        "/servers/detail/ips",
        "/v2.0/nowhere",
        "/v4/servers",
        "/SERVERS",
        "/servers;v=1",
        "/.json",
        "/%2e%2e/servers",
        "/servers%2Fdetail",
        "/%00",
        "/%",
    ],
)
async def test_a_path_that_leads_nowhere_is_a_404(api: Api, path: str) -> None:
    told = await api.get(path)

    assert (told.status, told.fault) == (404, "itemNotFound")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"/servers/{ID}"),
        ("POST", f"/servers/{ID}/action"),
        ("GET", f"/servers/{ID}/metadata"),
        ("PUT", f"/servers/{ID}/metadata/key"),
        ("GET", f"/v2/{TENANT}/images"),
        ("GET", "/images/detail"),
        ("GET", "/flavors/2"),
        ("POST", "/os-keypairs"),
        ("GET", "/os-volumes"),
        ("GET", f"/os-quota-sets/{TENANT}"),
        ("GET", "/v2.0/users"),
        ("GET", "/v2.0/users/1/roles"),
        ("GET", "/v2.0/RAX-AUTH/domains"),
    ],
)
async def test_what_the_service_has_and_we_do_not_is_a_501_that_names_us(
    api: Api, method: str, path: str
) -> None:
    told = await api.ask(method, path)

    assert (told.status, told.fault) == (501, "notImplemented")
    assert "vifsim" in told.message


@pytest.mark.parametrize("token", [None, "wrong", "demo-token"])
@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/v1.0", ""),
        ("/v1.1/servers", "servers"),
        ("/v2.1/123456/servers/detail", "123456/servers/detail"),
        ("/v3/", ""),
        ("/v3.4/auth/to%20kens", "auth/to%20kens"),
    ],
)
async def test_another_version_answers_which_one_there_is(
    api: Api, path: str, rest: str, token: str | None
) -> None:
    told = await api.bearing(token).get(path)

    assert told.status == 300
    (choice,) = told.json()["choices"]
    assert choice["links"] == [{"rel": "self", "href": f"{api.url}/v2/{rest}"}]


# ── request lines that few clients send ──


async def test_the_absolute_form_is_understood(raw: RawClient, cloud: Simulator) -> None:
    host = cloud.url.removeprefix("http://")
    line = f"GET {cloud.url}/servers?limit=1 HTTP/1.1\r\nHost: {host}\r\n"
    await raw.send(f"{line}X-Auth-Token: demo-token\r\nConnection: close\r\n\r\n".encode())

    answer = await raw.rest()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert f'"{cloud.url}/v2/{TENANT}/servers?limit=1&marker='.encode() in answer


async def test_an_asterisk_is_no_path_of_the_api(raw: RawClient) -> None:
    await raw.send(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nX-Auth-Token: demo-token\r\n\r\n")

    head = await raw.head()

    assert head.startswith(b"HTTP/1.1 404 ")
    assert b"Content-Type: application/json" in head


async def test_a_request_without_a_host_gets_links_all_the_same(
    raw: RawClient, cloud: Simulator
) -> None:
    await raw.send(b"GET / HTTP/1.0\r\n\r\n")

    answer = await raw.rest()

    assert b" 200 OK\r\n" in answer
    assert f'"href": "{cloud.url}/v2/"'.encode() in answer
