"""Servers, addresses, limits: schemas, handlers, rendering.

The house rule: a handler makes one backend call.

Source: API contract, sections 5 and 7.1 (docs/api.md).
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha224
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from marshmallow import ValidationError, fields, post_load

from vifsim.cloud import power_state, vm_state
from vifsim.errors import BadRequest, Forbidden, ItemNotFound
from vifsim.http.codec import (
    BodySchema,
    Reply,
    as_list,
    as_object,
    link,
    reply,
    utc_text,
    utc_text_ms,
    whole_number,
)
from vifsim.http.networks import REQUIRED, UUID
from vifsim.model import NetworkId, NewServer, ServerId, ServerQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vifsim.http.codec import Asked
    from vifsim.model import Limits, Rate, Server, ServerView, VirtualInterface

_MAX_METADATA = 40
_MAX_NAME = 255


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValidationError("is not a text", name)
    return value


def _reference(value: object, name: str) -> str:
    """Return the id in an image or flavor reference: itself, or the last part of a URL."""
    text = _text(value, name).rstrip("/").rpartition("/")[2]
    if not text:
        raise ValidationError("is empty", name)
    return text


class NewServerSchema(BodySchema):
    """A server to create."""

    name = fields.String(
        required=True,
        error_messages=REQUIRED,
        metadata={"description": "1 to 255 characters.", "minLength": 1, "maxLength": 255},
    )
    imageRef = fields.String(  # noqa: N815 -- the API's own spelling
        required=True, error_messages=REQUIRED, metadata={"description": "An id or a URL."}
    )
    flavorRef = fields.String(  # noqa: N815 -- the API's own spelling
        required=True, error_messages=REQUIRED, metadata={"description": "An id or a URL."}
    )
    networks = fields.Raw(
        load_default=None,
        metadata={
            "description": "Exactly these, in this order; left out: public and private.",
            "type": "array",
            "items": {
                "type": "object",
                "required": ["uuid"],
                "properties": {"uuid": {"type": "string", "format": "uuid"}},
            },
        },
    )
    disk_config = fields.String(data_key="OS-DCF:diskConfig", load_default="AUTO")
    metadata = fields.Raw(
        load_default=None,
        metadata={
            "description": "Up to 40 pairs of texts.",
            "type": "object",
            "additionalProperties": {"type": "string"},
        },
    )
    accessIPv4 = fields.String(load_default="")  # noqa: N815 -- the API's own spelling
    accessIPv6 = fields.String(load_default="")  # noqa: N815 -- the API's own spelling
    key_name = fields.String(load_default=None, allow_none=True)
    config_drive = fields.Raw(load_default="")
    min_count = fields.Raw(load_default=1)
    max_count = fields.Raw(load_default=1)


class CreateServerSchema(BodySchema):
    """The body of `create_server`."""

    server = fields.Nested(NewServerSchema, required=True, error_messages=REQUIRED)

    @post_load
    def _checked(self, data: dict[str, Any], **_: object) -> NewServer:
        server = data["server"]
        for name in ("min_count", "max_count"):
            if server[name] not in (1, "1", None):
                raise ValidationError("can only be 1 here", f"server.{name}")
        if server["disk_config"] not in {"AUTO", "MANUAL"}:
            text = "=OS-DCF:diskConfig must be either 'MANUAL' or 'AUTO'."
            raise ValidationError(text, "server.OS-DCF:diskConfig")
        return NewServer(
            name=_name(server["name"]),
            image_ref=_reference(server["imageRef"], "server.imageRef"),
            flavor_ref=_reference(server["flavorRef"], "server.flavorRef"),
            networks=_networks(server["networks"]),
            disk_config=server["disk_config"],
            metadata=_metadata(server["metadata"]),
            access_ipv4=_address(server["accessIPv4"], 4),
            access_ipv6=_address(server["accessIPv6"], 6),
            key_name=server["key_name"],
            config_drive=str(server["config_drive"] or ""),
        )


def _name(text: str) -> str:
    if not text.strip() or len(text) > _MAX_NAME:
        raise ValidationError("is not 1 to 255 characters", "server.name")
    return text


def _networks(value: object) -> tuple[NetworkId, ...] | None:
    if value is None:
        return None
    given = as_list(value)
    if given is None:
        raise ValidationError("is not a list", "server.networks")
    found: list[NetworkId] = []
    for index, wanted in enumerate(given):
        place = f"server.networks.{index}"
        item = as_object(wanted)
        if item is None:
            raise ValidationError("is not an object", place)
        if "port" in item:
            raise ValidationError("ports are not modelled here, name a uuid", f"{place}.port")
        uuid = item.get("uuid")
        if not isinstance(uuid, str) or not UUID.fullmatch(uuid):
            raise ValidationError("is not a UUID", f"{place}.uuid")
        found.append(NetworkId(uuid.lower()))
    return tuple(found)


def _metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}
    given = as_object(value)
    if given is None:
        raise ValidationError("is not an object", "server.metadata")
    for key, text in given.items():
        place = f"server.metadata.{key[:40]}"
        if not isinstance(text, str):
            raise ValidationError("is not a text", place)
        if len(key.encode()) > _MAX_NAME or len(text.encode("utf-8", "replace")) > _MAX_NAME:
            raise ValidationError("is over 255 bytes", place)
    if len(given) > _MAX_METADATA:
        raise Forbidden(f"Maximum number of metadata items exceeds {_MAX_METADATA}")
    return given


def _address(text: str, version: int) -> str:
    if not text:
        return ""
    name = f"server.accessIPv{version}"
    try:
        address = ip_address(text)
    except ValueError as exc:
        raise ValidationError(f"is not an IPv{version} address", name) from exc
    if address.version != version:
        raise ValidationError(f"is not an IPv{version} address", name)
    return text


# ── handlers ─────────────────────────────────────────────────────────────────────────────────────


async def create_server(asked: Asked) -> Reply:
    """Answer `create_server`."""
    created = await asked.backend.create_server(asked.call, asked.body)
    links = _links(asked.base, created.server)
    answer = reply(
        {
            "server": {
                "OS-DCF:diskConfig": created.server.disk_config,
                "id": created.server.id,
                "links": links,
                "adminPass": created.admin_pass,
            }
        },
        202,
    )
    answer.headers["Location"] = links[0]["href"]
    return answer


async def get_server(asked: Asked) -> Reply:
    """Answer `get_server`."""
    view = await asked.backend.get_server(asked.call, ServerId(asked.params["server_id"]))
    return reply({"server": server_view(view, asked.base)})


async def delete_server(asked: Asked) -> Reply:
    """Answer `delete_server`."""
    await asked.backend.delete_server(asked.call, ServerId(asked.params["server_id"]))
    return Reply(204)


async def list_servers(asked: Asked) -> Reply:
    """Answer `list_servers`."""
    query: ServerQuery = asked.page
    views = await asked.backend.list_servers(asked.call, query)
    brief = [
        {
            "id": view.server.id,
            "links": _links(asked.base, view.server),
            "name": view.server.name,
        }
        for view in views
    ]
    return reply({"servers": brief, **_next_page(asked, views)})


async def list_servers_detail(asked: Asked) -> Reply:
    """Answer `list_servers_detail`."""
    query: ServerQuery = asked.page
    views = await asked.backend.list_servers_detail(asked.call, query)
    found = [server_view(view, asked.base) for view in views]
    return reply({"servers": found, **_next_page(asked, views)})


def read_server_query(query: Mapping[str, str]) -> ServerQuery:
    """Return what a server list asks for.

    Raises:
        BadRequest: a parameter is malformed.

    Source: API contract, section 5.5 (docs/api.md).
    """
    if not query:
        return ServerQuery()
    since = query.get("changes-since")
    return ServerQuery(
        limit=whole_number(query, "limit"),
        offset=whole_number(query, "offset") or 0,
        marker=query.get("marker"),
        changes_since=None if since is None else _moment(since),
        name=query.get("name"),
        status=query.get("status"),
        image=query.get("image"),
        flavor=query.get("flavor"),
    )


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as exc:
        raise BadRequest(f"changes-since is not an ISO 8601 time: {text}") from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _next_page(asked: Asked, views: Sequence[ServerView]) -> dict[str, Any]:
    """Return the link to the next page, where a limit was given and the page is full."""
    query: ServerQuery = asked.page
    if query.limit is None or not views:
        return {}
    size = min(query.limit, asked.backend.settings.max_limit)
    if len(views) < size:
        return {}
    carried = {key: asked.query[key] for key in asked.query if key not in {"marker", "offset"}}
    carried |= {"limit": str(size), "marker": views[-1].server.id}
    tenant = views[-1].server.tenant
    href = f"{asked.base}/v2/{tenant}{asked.path}?{urlencode(carried)}"
    return {"servers_links": [link("next", href)]}


async def list_addresses(asked: Asked) -> Reply:
    """Answer `list_addresses`, with a label or without."""
    server_id = ServerId(asked.params["server_id"])
    try:
        interfaces = await asked.backend.list_addresses(asked.call, server_id)
    except ItemNotFound as exc:
        raise ItemNotFound("Instance does not exist") from exc
    addresses = addresses_view(interfaces)
    label = asked.params.get("label")
    if label is None:
        return reply({"addresses": addresses})
    if label not in addresses:
        raise ItemNotFound(f"Network {label} could not be found on this server")
    return reply({label: addresses[label]})


async def get_limits(asked: Asked) -> Reply:
    """Answer `get_limits`."""
    limits = await asked.backend.get_limits(asked.call)
    now = asked.backend.clock.epoch()
    return reply({"limits": {"rate": _rates(limits, now), "absolute": _absolute(limits)}})


# ── rendering ────────────────────────────────────────────────────────────────────────────────────


def server_view(view: ServerView, base: str) -> dict[str, Any]:
    """Return a server as the detail view shows it."""
    server = view.server
    shown: dict[str, Any] = {
        "OS-DCF:diskConfig": server.disk_config,
        "OS-EXT-STS:power_state": power_state(server),
        "OS-EXT-STS:task_state": server.task_state,
        "OS-EXT-STS:vm_state": vm_state(server),
        "accessIPv4": server.access_ipv4,
        "accessIPv6": server.access_ipv6,
        "addresses": addresses_view(view.interfaces),
        "config_drive": server.config_drive,
        "created": utc_text(server.created),
        "flavor": {
            "id": server.flavor_ref,
            "links": [link("bookmark", f"{base}/{server.tenant}/flavors/{server.flavor_ref}")],
        },
        "hostId": _host_id(server),
        "id": server.id,
        "image": {
            "id": server.image_ref,
            "links": [link("bookmark", f"{base}/{server.tenant}/images/{server.image_ref}")],
        },
        "key_name": server.key_name,
        "links": _links(base, server),
        "metadata": dict(server.metadata),
        "name": server.name,
        "progress": view.progress,
        "status": server.status,
        "tenant_id": server.tenant,
        "updated": utc_text(view.updated),
        "user_id": server.user_id,
    }
    if server.fault is not None:
        shown["fault"] = {
            "code": server.fault.code,
            "created": utc_text(server.fault.created),
            "message": server.fault.message,
            "details": server.fault.details,
        }
    return shown


def addresses_view(interfaces: Sequence[VirtualInterface]) -> dict[str, list[dict[str, Any]]]:
    """Return the addresses of a server by label, IPv4 before IPv6."""
    found: dict[str, list[dict[str, Any]]] = {}
    for interface in interfaces:
        entries = found.setdefault(interface.network_label, [])
        entries += [
            {"addr": address, "version": 6 if ":" in address else 4}
            for address in sorted(interface.addresses, key=lambda address: ":" in address)
        ]
    return found


def _links(base: str, server: Server) -> list[dict[str, str]]:
    return [
        link("self", f"{base}/v2/{server.tenant}/servers/{server.id}"),
        link("bookmark", f"{base}/{server.tenant}/servers/{server.id}"),
    ]


def _host_id(server: Server) -> str:
    if server.status == "BUILD":
        return ""
    return sha224(f"{server.tenant}host-{server.number % 8}".encode()).hexdigest()


def _rates(limits: Limits, now: float) -> list[dict[str, Any]]:
    """Return the rate limits by URI, each URI at its first place in the documented order."""
    items: dict[str, dict[str, Any]] = {}
    for rate in limits.rates:
        item = items.setdefault(rate.uri, {"uri": rate.uri, "regex": rate.regex, "limit": []})
        item["limit"].append(_rate(rate, now))
    return list(items.values())


def _rate(rate: Rate, now: float) -> dict[str, Any]:
    return {
        "verb": rate.verb,
        "value": rate.value,
        "remaining": rate.remaining,
        "unit": rate.unit,
        "next-available": utc_text_ms(now + rate.next_available),
    }


def _absolute(limits: Limits) -> dict[str, int]:
    usage = limits.usage
    return {
        "maxTotalInstances": _bound(usage.quotas.instances),
        "maxTotalRAMSize": _bound(usage.quotas.ram),
        "maxTotalCores": -1,
        "maxTotalPrivateNetworks": _bound(usage.quotas.networks),
        "maxServerMeta": _MAX_METADATA,
        "maxImageMeta": 40,
        "maxPersonality": 5,
        "maxPersonalitySize": 1000,
        "totalInstancesUsed": usage.instances,
        "totalRAMUsed": usage.ram,
        "totalCoresUsed": usage.instances,
        "totalPrivateNetworksUsed": usage.networks,
    }


def _bound(quota: int | None) -> int:
    return -1 if quota is None else quota
