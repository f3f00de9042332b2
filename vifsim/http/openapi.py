"""The OpenAPI document: a reading of the route table, of the schemas and of the shapes of answers.

The house rule: nothing is said here that is said elsewhere already; apispec is imported only when
somebody asks for the document.

Source: API contract (docs/api.md); control API (docs/control-api.md).
"""

from __future__ import annotations

import re
from functools import cache
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, Any

from vifsim.errors import UsageError
from vifsim.http import shapes
from vifsim.http.access import PREFIX
from vifsim.http.app import CHOICES, ROUTES
from vifsim.http.bodies import SCHEMAS
from vifsim.http.codec import MAX_BODY_BYTES
from vifsim.scenario.schema import RuleSchema, ScenarioSchema, WorldSchema
from vifsim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vifsim.http.app import Route
    from vifsim.http.shapes import Shape

IN_TENANT = "/v2/{tenant_id}"
NOT_SERVED: tuple[str, ...] = ("v1.0", "v1.1", "v2.1", "v3")
_OPEN: list[dict[str, list[str]]] = [{}]
_BODY_FAULTS = (400, 415)

_FAULTS: dict[str, tuple[int, ...]] = {
    "list_virtual_interfaces": (400, 404),
    "create_virtual_interface": (404, 409),
    "delete_virtual_interface": (404, 409),
    "get_network": (404,),
    "delete_network": (404, 409),
    "list_servers": (400,),
    "list_servers_detail": (400,),
    "get_server": (404,),
    "delete_server": (404, 409),
    "list_addresses": (404,),
    "list_extensions": (404,),
    "authenticate": (401, 403),
    "revoke_token": (403, 404),
    "validate_token": (403, 404),
    "list_endpoints": (403, 404),
}
"""What an operation may refuse beside what all refuse."""

_ANYWHERE = frozenset({500, 502, 503, 504})
"""What a service in trouble, or a gateway in front of it, answers to anything."""

_FAULT_HEADERS: dict[int, tuple[str, ...]] = {
    401: ("WWW-Authenticate",),
    403: ("Retry-After", "X-Compute-Request-Id"),
    405: ("Allow", "X-Compute-Request-Id"),
    413: ("Retry-After", "X-Compute-Request-Id"),
    503: ("Retry-After", "X-Compute-Request-Id"),
}

_HEADERS: dict[str, tuple[str, Shape]] = {
    "X-Compute-Request-Id": ("`req-` and a UUID, new for each request.", shapes.TEXT),
    "WWW-Authenticate": ("`Keystone uri=` and where to log in.", shapes.TEXT),
    "Allow": ("The methods that the path has.", shapes.TEXT),
    "Retry-After": ("Seconds, or a date, until the call may be repeated.", shapes.TEXT),
    "Location": ("Where the new thing is.", shapes.TEXT),
    "Server": ("What the service calls itself.", shapes.TEXT),
    "Via": ("The proxy in front.", shapes.TEXT),
    "X-Vifsim-Fault": ("The rule that made this answer, where one did.", shapes.TEXT),
}

_LISTS = {"limit": shapes.WHOLE, "offset": shapes.WHOLE}
_SERVER_LIST: dict[str, Shape] = {
    **_LISTS,
    "marker": shapes.UUID,
    "changes-since": shapes.TIME,
    **dict.fromkeys(("name", "status", "image", "flavor"), shapes.TEXT),
}
_QUERIES: dict[str, dict[str, Shape]] = {
    "list_virtual_interfaces": _LISTS,
    "list_servers": _SERVER_LIST,
    "list_servers_detail": _SERVER_LIST,
    "validate_token": {"belongsTo": shapes.TEXT},
}

_PARAMETERS: dict[str, Shape] = {
    "tenant_id": {"type": "string", "pattern": "^[0-9A-Za-z_-]{1,64}$"},
    "server_id": shapes.UUID,
    "network_id": shapes.UUID,
    "interface_id": shapes.UUID,
    "seq": shapes.WHOLE,
    "before": shapes.WHOLE,
}

_FAULTED = (400, 401, 403, 404, 406, 409, 413, 415, 500)
_PROBLEM = {
    "description": "A refusal",
    "content": {"application/problem+json": {"schema": shapes.ref("Problem")}},
}

_STREAMS = {
    "/journal/export": "application/x-ndjson",
    "/events": "text/event-stream",
    "/metrics": "text/plain",
}
"""Control calls that do not answer with one JSON document."""

_CONTENT_TYPES: dict[str, str] = {"delete_network": "text/plain"}


@cache
def document() -> dict[str, Any]:
    """Return the document, OpenAPI 3.1.

    Raises:
        UsageError: apispec is not installed.
    """
    spec = _new_spec()
    for name, shape in (shapes.API | shapes.CONTROL_SHAPES).items():
        spec.components.schema(name, shape)
    for name, (text, shape) in _HEADERS.items():
        spec.components.header(name, {"description": text, "schema": shape})
    for status in (*_FAULTED, 0):
        spec.components.response(_fault_name(status), _fault(status))
    spec.components.response("Problem", _PROBLEM)
    for route in ROUTES:
        _add_route(spec, route)
    for version in NOT_SERVED:
        identifier = f"get_version.{version.replace('.', '_')}"
        _add(spec, f"/{version}", CHOICES, identifier, shapes.ANSWERS["get_version.not_served"])
    for (method, path), call in shapes.CONTROL.items():
        spec.path(path=PREFIX + path, operations={method.lower(): _control(method, path, call)})
    made: dict[str, Any] = spec.to_dict()
    return made


def _new_spec() -> Any:
    try:
        apispec = import_module("apispec")
        marshmallow = import_module("apispec.ext.marshmallow")
    except ImportError as exc:
        raise UsageError(
            "the OpenAPI document needs apispec (pip install 'vifsim[openapi]')"
        ) from exc
    spec = apispec.APISpec(
        title="vifsim",
        version=__version__,
        openapi_version="3.1.0",
        plugins=[marshmallow.MarshmallowPlugin(schema_name_resolver=_component_name)],
        info={
            "description": "A simulated cloud: virtual interfaces and the calls around them.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        servers=[{"url": "/"}],
        security=[{"token": []}],
    )
    token = {"type": "apiKey", "in": "header", "name": "X-Auth-Token"}
    spec.components.security_scheme("token", token)
    spec.components.security_scheme("control", {"type": "http", "scheme": "bearer"})
    return spec


def _component_name(schema: Any) -> str:
    """Return the name of a marshmallow schema among the components."""
    kind = schema if isinstance(schema, type) else type(schema)
    name = kind.__name__.removesuffix("Schema")
    if kind.__module__.startswith("vifsim.scenario") and name != "Scenario":
        return f"Scenario{name}"
    return name if name == "Scenario" else f"{name}Body"


def _add_route(spec: Any, route: Route) -> None:
    """Add one line of the route table, on each of its paths."""
    identifier = ".".join(filter(None, (route.operation, route.form)))
    answer = shapes.ANSWERS[identifier]
    _add(spec, route.template, route, identifier, answer)
    if route.service == "compute":
        _add(spec, IN_TENANT + route.template, route, f"{identifier}.in_tenant", answer)


def _add(
    spec: Any, path: str, route: Route, identifier: str, answer: tuple[int, Shape | None]
) -> None:
    operation: dict[str, Any] = {
        "operationId": identifier,
        "summary": route.operation.replace("_", " ").capitalize(),
        "tags": [route.service],
        "parameters": _parameters(path, _QUERIES.get(route.operation, {})),
        "responses": _responses(route, *answer),
    }
    if not route.needs_token:
        operation["security"] = _OPEN
    if route.takes_body:
        content = {"application/json": {"schema": SCHEMAS[route.operation]}}
        operation["requestBody"] = {"required": True, "content": content}
    spec.path(path=path, operations={route.method.lower(): operation})


def _parameters(path: str, query: dict[str, Shape]) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": _PARAMETERS.get(name, shapes.TEXT)}
        for name in re.findall(r"{(\w+)}", path)
    ]
    return in_path + [
        {"name": name, "in": "query", "required": False, "schema": shape}
        for name, shape in query.items()
    ]


def _responses(route: Route, status: int, shape: Shape | None) -> dict[str, Any]:
    headers = ["Server", "Via"]
    if route.service != "identity":
        headers.append("X-Compute-Request-Id")
    if route.operation == "create_server":
        headers.append("Location")
    success: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": _refs(headers)}
    if shape is not None:
        success["content"] = {"application/json": {"schema": shape}}
    elif route.operation in _CONTENT_TYPES:
        success["content"] = {_CONTENT_TYPES[route.operation]: {"schema": shapes.TEXT}}
    found = {str(status): success}
    if route.operation == "delete_virtual_interface":
        found["204"] = success
    found |= {str(fault): _response_ref(_fault_name(fault)) for fault in sorted(_faults(route))}
    return {**found, "default": _response_ref(_fault_name(0))}


def documented_statuses() -> dict[str, frozenset[int]]:
    """Return the statuses that each operation may refuse with, those of gateways among them.

    Source: API contract, section 2.1 (docs/api.md).
    """
    found: dict[str, frozenset[int]] = {"unknown": frozenset({401, 404, 405, 501, *_ANYWHERE})}
    for route in ROUTES:
        before = found.get(route.operation, frozenset())
        found[route.operation] = before | _faults(route) | _ANYWHERE
    return found


def _faults(route: Route) -> set[int]:
    """Return the statuses that an operation may refuse with while no rule interferes."""
    found = {406, 413, 500, *_FAULTS.get(route.operation, ())}
    if route.needs_token:
        found.add(401)
    if route.service == "compute":
        found |= {403, 404}
    if route.takes_body:
        found.update(_BODY_FAULTS)
    return found


def _fault(status: int) -> dict[str, Any]:
    """Return a refusal; 0: whatever a scenario's rule makes of the answer."""
    text = HTTPStatus(status).phrase if status else "What a rule of the scenario asks for"
    content = {"application/json": {"schema": shapes.ref("Fault")}}
    if status in {0, 403, 404, 413, 500}:
        content["text/plain"] = {"schema": shapes.TEXT}
    if not status:
        content |= {kind: {"schema": shapes.TEXT} for kind in ("text/html", "application/xml")}
    if status == 413:
        text += f": a limit, a quota, or a body over {MAX_BODY_BYTES} bytes"
    headers = ("Server", "Via", *_FAULT_HEADERS.get(status, ("X-Compute-Request-Id",)))
    return {"description": text, "headers": _refs((*headers, "X-Vifsim-Fault")), "content": content}


def _fault_name(status: int) -> str:
    return f"Fault{status}" if status else "Injected"


def _response_ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/responses/{name}"}


def _refs(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


# ── the control API ──────────────────────────────────────────────────────────────────────────────


def _control(
    method: str, path: str, call: tuple[str, Shape | None, int, Shape | None]
) -> dict[str, Any]:
    summary, body, status, answer = call
    operation: dict[str, Any] = {
        "operationId": f"control.{method.lower()}{re.sub('[^a-z]+', '_', path).rstrip('_')}",
        "summary": summary,
        "tags": ["control"],
        "security": [{}, {"control": []}],
        "parameters": _parameters(path, shapes.CONTROL_QUERIES.get((method, path), {})),
        "responses": {
            str(status): _control_answer(path, status, answer),
            "default": _response_ref("Problem"),
        },
    }
    if body is not None:
        operation["requestBody"] = _control_body(path, body)
    return operation


def _control_answer(path: str, status: int, shape: Shape | None) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if shape is not None:
        answer["content"] = {"application/json": {"schema": _schema(shape)}}
    elif path in _STREAMS:
        answer["content"] = {_STREAMS[path]: {"schema": shapes.TEXT}}
    if status == 201:
        answer["headers"] = _refs(["Location"])
    return answer


def _control_body(path: str, shape: Shape) -> dict[str, Any]:
    kinds = ["application/json"]
    if path in {"/scenario", "/rules"}:
        kinds.append("application/yaml")
    schema = _schema(shape)
    return {
        "required": path not in {"/reset", "/scenario"},
        "content": {kind: {"schema": schema} for kind in kinds},
    }


def _schema(shape: Shape) -> Any:
    """Return a shape, or the marshmallow schema that a reference to the scenario format names."""
    name = str(shape.get("$ref", "")).rpartition("/")[2]
    return _SCENARIO_SCHEMAS.get(name, shape)


_SCENARIO_SCHEMAS = {
    "Scenario": ScenarioSchema,
    "ScenarioRule": RuleSchema,
    "ScenarioWorld": WorldSchema,
}
