from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from vifsim.cli import main
from vifsim.http.access import PREFIX, Access
from vifsim.http.app import ROUTES
from vifsim.http.control import Control
from vifsim.http.openapi import document
from vifsim.model import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Api, Told
    from vifsim.simulator import Simulator

TENANT = "123456"
WEB_1 = "3ffd4f3e-8ed2-4d6c-9f0b-5d1a6a6f0a01"
ADDED_NETWORK = "1f7920d3-0e63-4fec-a1cb-f7916671e8eb"
VIFS = f"/servers/{WEB_1}/os-virtual-interfacesv2"
METHODS = {"get", "post", "put", "delete"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield method, path, operation


OPERATION = {operation["operationId"]: operation for _, _, operation in operations()}


def hold(told: Told, identifier: str) -> None:
    """Hold an answer to what the document says of its operation."""
    found = OPERATION[identifier]["responses"]
    response = found.get(str(told.status), found["default"])
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    kind = told.headers["Content-Type"].partition(";")[0]
    if not told.body:
        return
    schema = response["content"][kind]["schema"]
    whole = {**schema, "components": document()["components"]}
    value = told.json() if kind.endswith("json") else told.body.decode()
    OAS31Validator(whole).validate(value)


# ── the document ──


def test_the_document_is_sound() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_every_operation_has_an_id_of_its_own() -> None:
    found = [operation["operationId"] for _, _, operation in operations()]

    assert len(found) == len(set(found))
    assert set(found) >= set(OPERATIONS) - {"unknown"}
    assert {"create_virtual_interface.in_tenant", "revoke_token.own"} <= set(found)


def test_every_route_is_there_on_each_of_its_paths() -> None:
    found = {(method.upper(), path) for method, path, _ in operations()}

    for route in ROUTES:
        assert (route.method, route.template) in found
        in_tenant = (route.method, f"/v2/{{tenant_id}}{route.template}")
        assert (in_tenant in found) == (route.service == "compute")


def test_every_control_call_is_there(cloud: Simulator) -> None:
    served = {
        (method, PREFIX + path)
        for path, methods in Control(cloud, cloud.documents, Access()).routes.items()
        for method in methods
    }

    assert served == {
        (method.upper(), path) for method, path, _ in operations() if path.startswith("/_vifsim/")
    }


def test_every_answer_names_its_headers() -> None:
    created = OPERATION["create_server"]["responses"]["202"]["headers"]
    refused = document()["components"]["responses"]

    assert {"Location", "X-Compute-Request-Id"} <= created.keys()
    assert "WWW-Authenticate" in refused["Fault401"]["headers"]
    assert "Retry-After" in refused["Fault413"]["headers"]
    assert "X-Vifsim-Fault" in refused["Injected"]["headers"]


# ── how to get it ──


async def test_the_document_is_served(api: Api) -> None:
    told = await api.get("/_vifsim/openapi.json")

    assert (told.status, told.json()) == (200, json.loads(json.dumps(document())))


def test_the_document_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["openapi"])

    assert code == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(document()))


async def test_without_apispec_the_cure_is_named(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document.cache_clear()
    monkeypatch.setitem(sys.modules, "apispec", None)

    told = await api.get("/_vifsim/openapi.json")
    code = main(["openapi"])

    assert told.status == 501
    assert "pip install 'vifsim[openapi]'" in told.json()["detail"]
    assert code == 2
    assert "pip install 'vifsim[openapi]'" in capsys.readouterr().err


# ── what is answered is what is said ──

READS = [
    ("/", "list_versions"),
    ("/v2", "get_version"),
    ("/v2.0", "get_version.identity"),
    ("/v1.1", "get_version.v1_1"),
    ("/servers", "list_servers"),
    ("/servers?limit=1", "list_servers"),
    ("/servers/detail?limit=1", "list_servers_detail"),
    (f"/servers/{WEB_1}", "get_server"),
    (f"/servers/{WEB_1}/ips", "list_addresses"),
    (f"/servers/{WEB_1}/ips/public", "list_addresses.by_label"),
    (VIFS, "list_virtual_interfaces"),
    (f"/v2/{TENANT}{VIFS}", "list_virtual_interfaces.in_tenant"),
    ("/os-networksv2", "list_networks"),
    (f"/os-networksv2/{ADDED_NETWORK}", "get_network"),
    ("/limits", "get_limits"),
    ("/extensions", "list_extensions"),
    ("/extensions/os-networksv2", "list_extensions.by_alias"),
    ("/v2.0/extensions", "list_extensions.identity"),
    ("/v2.0/tenants", "list_tenants"),
    ("/v2.0/tokens/demo-token", "validate_token"),
    ("/v2.0/tokens/demo-token/endpoints", "list_endpoints"),
    ("/_vifsim/health", "control.get_health"),
    ("/_vifsim/state", "control.get_state"),
    ("/_vifsim/snapshot", "control.get_snapshot"),
    ("/_vifsim/scenario", "control.get_scenario"),
    ("/_vifsim/clock", "control.get_clock"),
    ("/_vifsim/journal", "control.get_journal"),
    ("/_vifsim/explain", "control.get_explain"),
    ("/_vifsim/explain/1", "control.get_explain_seq"),
]


@pytest.mark.parametrize(("path", "identifier"), READS)
async def test_an_answer_has_the_shape_that_the_document_tells(
    api: Api, cloud: Simulator, path: str, identifier: str
) -> None:
    await cloud.add_rule({"match": "get_limits", "first": 1, "latency": "1ms"})
    await api.get("/limits")
    await cloud.amend("fail_build", server="db-1")

    told = await api.get(path)

    assert told.status in {200, 300}
    hold(told, identifier)


async def test_a_created_thing_has_the_shape_that_the_document_tells(api: Api) -> None:
    server = {"server": {"name": "new", "imageRef": "1", "flavorRef": "2"}}
    auth = {"passwordCredentials": {"username": "demo", "password": "demo-password"}}

    hold(await api.attach(), "create_virtual_interface")
    hold(await api.post("/servers", server), "create_server")
    network = {"network": {"label": "a", "cidr": "10.0.0.0/24"}}
    hold(await api.post("/os-networksv2", network), "create_network")
    hold(await api.post("/v2.0/tokens", {"auth": auth}), "authenticate")
    hold(await api.post("/_vifsim/rules", {"status": 503}), "control.post_rules")


async def test_a_refusal_has_the_shape_that_the_document_tells(api: Api) -> None:
    hold(await api.post(VIFS, {}), "create_virtual_interface")
    hold(await api.bearing(None).get("/servers"), "list_servers")
    hold(await api.get("/_vifsim/explain/99"), "control.get_explain_seq")
    hold(await api.post("/_vifsim/rules", {"status": 1}), "control.post_rules")
    hold(await api.delete(f"/os-networksv2/{ADDED_NETWORK}"), "delete_network")
