"""The shapes of what is answered, as JSON Schema, for the OpenAPI document.

The house rule: handlers render by hand, which is fast; `tests/http/test_openapi.py` holds what they
render to these shapes.

Source: API contract, sections 2 to 9 (docs/api.md); control API (docs/control-api.md).
"""

from __future__ import annotations

from typing import Any

from vifsim.model import SERVER_STATUSES

Shape = dict[str, Any]

TEXT: Shape = {"type": "string"}
WHOLE: Shape = {"type": "integer"}
NUMBER: Shape = {"type": "number"}
FLAG: Shape = {"type": "boolean"}
UUID: Shape = {"type": "string", "format": "uuid"}
TIME: Shape = {"type": "string", "format": "date-time"}
ANYTHING: Shape = {"type": "object"}


def ref(name: str) -> Shape:
    """Return a reference to a shape by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def some(shape: Shape) -> Shape:
    """Return the shape of a list."""
    return {"type": "array", "items": shape}


def or_null(shape: Shape) -> Shape:
    """Return the shape of a value that may be null."""
    return {"anyOf": [shape, {"type": "null"}]}


def thing(optional: Shape | None = None, /, **needed: Shape) -> Shape:
    """Return the shape of an object that has exactly these keys; `optional` ones may be left out.

    A keyword's `__` stands for a hyphen, which many of the API's keys have.
    """
    keys = {name.replace("__", "-"): shape for name, shape in needed.items()}
    return {
        "type": "object",
        "properties": {**keys, **(optional or {})},
        "required": list(keys),
        "additionalProperties": False,
    }


_LINKS = some(ref("Link"))
_IDENTIFIED = thing(id=TEXT, links=_LINKS)
_SERVER_KEYS: Shape = {
    "OS-DCF:diskConfig": {"enum": ["AUTO", "MANUAL"]},
    "OS-EXT-STS:power_state": {"enum": [0, 1, 4]},
    "OS-EXT-STS:task_state": {"type": ["string", "null"]},
    "OS-EXT-STS:vm_state": TEXT,
    "accessIPv4": TEXT,
    "accessIPv6": TEXT,
    "addresses": ref("Addresses"),
    "config_drive": TEXT,
    "created": TIME,
    "flavor": _IDENTIFIED,
    "hostId": TEXT,
    "id": UUID,
    "image": _IDENTIFIED,
    "key_name": {"type": ["string", "null"]},
    "links": _LINKS,
    "metadata": {"type": "object", "additionalProperties": TEXT},
    "name": TEXT,
    "progress": {"type": "integer", "minimum": 0, "maximum": 100},
    "status": {"enum": list(SERVER_STATUSES)},
    "tenant_id": TEXT,
    "updated": TIME,
    "user_id": TEXT,
}
_FAULT_KEYS = {"code": WHOLE, "message": TEXT}
_ENDPOINT = {
    "region": TEXT,
    "tenantId": TEXT,
    "publicURL": TEXT,
    "versionInfo": TEXT,
    "versionList": TEXT,
    "versionId": TEXT,
}
_VERSION = {"id": TEXT, "status": TEXT}
_MEDIA_TYPES = some(thing(base=TEXT, type=TEXT))

API: dict[str, Shape] = {
    "Fault": {
        "type": "object",
        "description": "One key, the name of the fault.",
        "minProperties": 1,
        "maxProperties": 1,
        "additionalProperties": {
            "type": "object",
            "properties": {
                **_FAULT_KEYS,
                "details": TEXT,
                "retryAt": TIME,
                "retryAfter": WHOLE,
            },
            "required": ["code", "message"],
            "additionalProperties": False,
        },
    },
    "Link": thing({"type": TEXT}, rel=TEXT, href=TEXT),
    "VirtualInterface": thing(
        id=UUID,
        mac_address={"type": "string", "pattern": "^[0-9A-F]{2}(:[0-9A-F]{2}){5}$"},
        ip_addresses=some(thing(address=TEXT, network_id=UUID, network_label=TEXT)),
    ),
    "Network": thing({"cidr": TEXT}, id=UUID, label=TEXT),
    "Addresses": {
        "type": "object",
        "description": "By label, IPv4 first.",
        "additionalProperties": some(thing(addr=TEXT, version={"enum": [4, 6]})),
    },
    "Server": thing(
        {"fault": thing(code=WHOLE, created=TIME, message=TEXT, details=TEXT)}, **_SERVER_KEYS
    ),
    "ServerInBrief": thing(id=UUID, links=_LINKS, name=TEXT),
    "Extension": thing(
        alias=TEXT,
        name=TEXT,
        namespace=TEXT,
        updated=TIME,
        description=TEXT,
        links=some(ANYTHING),
    ),
    "Token": thing(
        {"RAX-AUTH:authenticatedBy": some(TEXT)}, id=TEXT, expires=TIME, tenant=ref("TenantName")
    ),
    "TenantName": thing(id=TEXT, name=TEXT),
    "User": thing(
        {"RAX-AUTH:defaultRegion": TEXT, "RAX-AUTH:domainId": TEXT},
        id=TEXT,
        name=TEXT,
        roles=some(thing({"tenantId": TEXT, "description": TEXT}, id=TEXT, name=TEXT)),
    ),
    "Service": thing(name=TEXT, type=TEXT, endpoints=some(thing(**_ENDPOINT))),
    "Rate": thing(
        uri=TEXT,
        regex=TEXT,
        limit=some(
            thing(
                verb=TEXT,
                value=WHOLE,
                remaining=WHOLE,
                unit={"enum": ["SECOND", "MINUTE", "HOUR", "DAY"]},
                next__available=TIME,
            )
        ),
    ),
}
"""The shapes that several answers share, by name."""

_SERVERS_LINKS = {"servers_links": _LINKS}

ANSWERS: dict[str, tuple[int, Shape | None]] = {
    "list_virtual_interfaces": (200, thing(virtual_interfaces=some(ref("VirtualInterface")))),
    "create_virtual_interface": (200, thing(virtual_interfaces=some(ref("VirtualInterface")))),
    "delete_virtual_interface": (200, None),
    "list_networks": (200, thing(networks=some(ref("Network")))),
    "create_network": (200, thing(network=ref("Network"))),
    "get_network": (200, thing(network=ref("Network"))),
    "delete_network": (202, None),
    "list_servers": (200, thing(_SERVERS_LINKS, servers=some(ref("ServerInBrief")))),
    "list_servers_detail": (200, thing(_SERVERS_LINKS, servers=some(ref("Server")))),
    "create_server": (
        202,
        thing(
            server=thing(
                {"OS-DCF:diskConfig": {"enum": ["AUTO", "MANUAL"]}},
                id=UUID,
                links=_LINKS,
                adminPass=TEXT,
            )
        ),
    ),
    "get_server": (200, thing(server=ref("Server"))),
    "delete_server": (204, None),
    "list_addresses": (200, thing(addresses=ref("Addresses"))),
    "list_addresses.by_label": (200, ref("Addresses")),
    "get_limits": (
        200,
        thing(
            limits=thing(
                rate=some(ref("Rate")),
                absolute={"type": "object", "additionalProperties": WHOLE},
            )
        ),
    ),
    "list_extensions": (200, thing(extensions=some(ref("Extension")))),
    "list_extensions.by_alias": (200, thing(extension=ref("Extension"))),
    "list_extensions.identity": (
        200,
        thing(extensions=some(ANYTHING), extensions_links=some(ANYTHING)),
    ),
    "list_extensions.identity.by_alias": (200, ANYTHING),
    "authenticate": (
        200,
        thing(
            access=thing(token=ref("Token"), serviceCatalog=some(ref("Service")), user=ref("User"))
        ),
    ),
    "revoke_token": (204, None),
    "revoke_token.own": (204, None),
    "validate_token": (200, thing(access=thing(token=ref("Token"), user=ref("User")))),
    "list_endpoints": (
        200,
        thing(
            endpoints=some(thing(id=WHOLE, name=TEXT, type=TEXT, **_ENDPOINT)),
            endpoints_links=some(ANYTHING),
        ),
    ),
    "list_tenants": (200, thing(tenants=some(thing(id=TEXT, name=TEXT, enabled=FLAG)))),
    "list_versions": (
        200,
        thing(versions=some(thing(**_VERSION, updated=TIME, links=_LINKS))),
    ),
    "get_version": (
        200,
        thing(version=thing(**_VERSION, updated=TIME, media__types=_MEDIA_TYPES, links=_LINKS)),
    ),
    "get_version.identity": (
        200,
        thing(
            version=thing(
                **_VERSION, updated=TIME, media__types=thing(values=_MEDIA_TYPES), links=_LINKS
            )
        ),
    ),
    "get_version.not_served": (
        300,
        thing(choices=some(thing(**_VERSION, links=_LINKS, media__types=_MEDIA_TYPES))),
    ),
}
"""What a call that succeeds answers with, by operation and form; None: not JSON."""

# ── the control API ──────────────────────────────────────────────────────────────────────────────

_PROBLEM_PLACE = thing({"line": WHOLE, "column": WHOLE, "hint": TEXT}, at=TEXT, detail=TEXT)
_CLOCK = thing(
    mode={"enum": ["real", "scaled", "manual", "autojump"]}, speed=NUMBER, now=NUMBER, utc=TIME
)
_MODE = {"mode": {"enum": ["real", "scaled", "manual"]}}
_TEXT_OR_NULL: Shape = {"type": ["string", "null"]}
_MOMENTS = {"arrived": NUMBER, "end": {"type": ["number", "null"]}}
_ENTRY = thing(
    {"process": TEXT},  # where several share a store
    seq=WHOLE,
    id=TEXT,
    operation=TEXT,
    method=TEXT,
    path=TEXT,
    headers={"type": "object", "additionalProperties": TEXT},
    peer=TEXT,
    conn=WHOLE,
    **dict.fromkeys(
        ("user", "tenant", "token_id", "server", "network", "interface", "body_digest"),
        _TEXT_OR_NULL,
    ),
    n=WHOLE,
    **_MOMENTS,
    real=thing(connected={"type": ["number", "null"]}, **_MOMENTS),
    decision=or_null(
        thing(
            fired=some(TEXT),
            by=_TEXT_OR_NULL,
            at={"enum": ["before", "after_commit"]},
            fault={"type": ["integer", "null"]},
            wire=_TEXT_OR_NULL,
            delay_before=NUMBER,
            delay_after=NUMBER,
        )
    ),
    effects=some(thing(kind=TEXT, object=TEXT, id=TEXT, at=NUMBER, name=TEXT)),
    committed=FLAG,
    told=or_null(
        thing(status=WHOLE, retry_after={"type": ["number", "null"]}, spoiled=FLAG, bytes=WHOLE)
    ),
    outcome={"enum": ["completed", "client_gone", "server_cut", None]},
)
_LOOK = thing(
    rule=TEXT,
    fired=FLAG,
    stopped_at={
        "enum": ["match", "window", "count", "flap", "chance", "times", "not_reached", None]
    },
    detail={"anyOf": [TEXT, thing(draw=NUMBER, threshold=NUMBER)]},
)

CONTROL_SHAPES: dict[str, Shape] = {
    "Problem": thing(
        {"errors": some(_PROBLEM_PLACE)}, type=TEXT, title=TEXT, status=WHOLE, detail=TEXT
    ),
    "Clock": _CLOCK,
    "JournalEntry": _ENTRY,
    "Snapshot": {
        "type": "object",
        "properties": {
            "version": {"const": 1},
            **dict.fromkeys(("world", "sequences", "touched", "scenario", "clock"), ANYTHING),
            "tokens": some(ANYTHING),
        },
        "required": ["version", "world", "tokens", "sequences", "touched", "scenario", "clock"],
        "additionalProperties": False,
    },
}
"""The shapes of the control API that have a name."""

JSON = "application/json"
CONTROL: dict[tuple[str, str], tuple[str, Shape | None, int, Shape | None]] = {
    ("GET", "/health"): (
        "How the simulator is",
        None,
        200,
        thing(
            {"process": TEXT},  # likewise
            status={"const": "ok"},
            version=TEXT,
            backend=TEXT,
            seed=WHOLE,
            scenario=TEXT,
        ),
    ),
    ("GET", "/state"): ("The world now", None, 200, ref("ScenarioWorld")),
    ("POST", "/reset"): (
        "Begin again",
        thing({"seed": {"type": "integer", "minimum": 0}}),
        204,
        None,
    ),
    ("GET", "/snapshot"): ("Everything but the journal", None, 200, ref("Snapshot")),
    ("PUT", "/snapshot"): ("Become what a snapshot says", ref("Snapshot"), 204, None),
    ("GET", "/scenario"): (
        "The scenario and its rules",
        None,
        200,
        thing(
            name=TEXT,
            description=TEXT,
            seed=WHOLE,
            digest=TEXT,
            text=TEXT,
            rules=some(
                thing(
                    id=TEXT,
                    origin={"enum": ["documented", "added", "scenario"]},
                    rule=ANYTHING,
                    matched=WHOLE,
                    fired=WHOLE,
                )
            ),
        ),
    ),
    ("PUT", "/scenario"): ("Let another scenario hold", ref("Scenario"), 204, None),
    ("POST", "/rules"): ("Add a rule", ref("ScenarioRule"), 201, thing(id=TEXT)),
    ("DELETE", "/rules"): ("Remove all added rules", None, 204, None),
    ("DELETE", "/rules/{id}"): ("Remove any one rule", None, 204, None),
    ("POST", "/amend"): (
        "Change the cloud by hand",
        {"type": "object", "properties": {"change": TEXT}, "required": ["change"]},
        204,
        None,
    ),
    ("GET", "/clock"): ("What the clock says", None, 200, ref("Clock")),
    ("PUT", "/clock"): (
        "Set the clock's mode",
        thing({"speed": NUMBER}, **_MODE),
        200,
        ref("Clock"),
    ),
    ("POST", "/clock/advance"): ("Move the clock ahead", thing(by=TEXT), 200, ref("Clock")),
    ("GET", "/journal"): (
        "The entries of the journal, oldest first",
        None,
        200,
        thing(entries=some(ref("JournalEntry")), last=WHOLE, dropped=WHOLE),
    ),
    ("DELETE", "/journal"): ("Forget all entries", None, 204, None),
    ("GET", "/journal/export"): ("The journal, a JSON object a line", None, 200, None),
    ("GET", "/journal/har"): ("The journal as an HTTP Archive", None, 200, thing(log=ANYTHING)),
    ("GET", "/metrics"): ("What has happened, in numbers for Prometheus", None, 200, None),
    ("GET", "/scorecard"): ("The verdict on the client", None, 200, ANYTHING),
    ("GET", "/explain"): (
        "The rules that never fired",
        None,
        200,
        thing(
            never_fired=some(
                thing(rule=TEXT, stopped_at={"type": "object", "additionalProperties": WHOLE})
            )
        ),
    ),
    ("GET", "/explain/{seq}"): (
        "Every rule's look at one call",
        None,
        200,
        thing(entry=WHOLE, looks=some(_LOOK)),
    ),
    ("GET", "/openapi.json"): ("This document", None, 200, ANYTHING),
    ("POST", "/rewind"): (
        "Let world and rules be as they were before an entry",
        thing(before={"type": "integer", "minimum": 1}),
        204,
        None,
    ),
    ("GET", "/moments/{before}"): (
        "The moment before an entry, as a scenario and as a test",
        None,
        200,
        thing(before=WHOLE, name=TEXT, scenario=TEXT, test=TEXT),
    ),
    ("GET", "/timeline"): (
        "Where scenario time is, its phases, and when each rule may fire",
        None,
        200,
        thing(
            start={"type": ["number", "null"]},
            phases=some({"type": "object", "required": ["name", "from", "to"]}),
            rules=some(thing(id=TEXT, fault=TEXT, stretches=some(some(NUMBER)))),
        ),
    ),
    ("GET", "/clients"): (
        "A scorecard for each client",
        None,
        200,
        thing(
            clients=some(thing(client=TEXT, host=TEXT, calls=WHOLE, last=WHOLE, scorecard=ANYTHING))
        ),
    ),
    ("GET", "/scenarios"): (
        "The shipped scenarios",
        None,
        200,
        thing(scenarios=some(thing(name=TEXT, description=TEXT, text=TEXT))),
    ),
    ("GET", "/events"): ("What happens, as it happens: server-sent events", None, 200, None),
}
"""Each control call: what it is for, its body, its status and its answer; None: there is none."""

CONTROL_QUERIES: dict[tuple[str, str], dict[str, Shape]] = {
    ("GET", "/journal"): {
        **dict.fromkeys(("operation", "tenant", "server", "network"), TEXT),
        "outcome": {"enum": ["completed", "client_gone", "server_cut"]},
        "since": {"type": "integer", "minimum": 0},
        "limit": {"type": "integer", "minimum": 1, "maximum": 10_000},
    },
    ("PUT", "/scenario"): {"name": TEXT},
    ("GET", "/events"): {"pace": {"type": "string", "examples": ["50ms"]}, "brief": FLAG},
}
"""The parameters of the control calls that take some."""
