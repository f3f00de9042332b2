"""Servers, addresses, limits: handlers, rendering.

The house rule: a handler makes one backend call.

Source: API contract, sections 5 and 7.1 (docs/api.md).
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha224
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from vifsim.cloud import power_state, vm_state
from vifsim.errors import BadRequest, ItemNotFound
from vifsim.http.codec import (
    Reply,
    link,
    reply,
    utc_text,
    utc_text_ms,
    whole_number,
)
from vifsim.model import ServerId, ServerQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vifsim.http.codec import Asked
    from vifsim.model import Limits, Rate, Server, ServerView, VirtualInterface

MAX_METADATA = 40


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
        "maxServerMeta": MAX_METADATA,
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
