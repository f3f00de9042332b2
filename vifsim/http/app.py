"""The route table, and the router that is read from it.

The house rule: one line for each operation on each of its paths; whatever else needs to know the
routes reads this table.

Source: API contract, sections 1.1, 5.1 and 8.1 (docs/api.md).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote, unquote

from vifsim.errors import BadMethod, ItemNotFound, NotImplementedHere
from vifsim.http import identity, networks, servers
from vifsim.http.codec import MALFORMED
from vifsim.values import frozen, slotted

if TYPE_CHECKING:
    from vifsim.errors import ApiFault
    from vifsim.http.codec import Asked, Reply

Handler = Callable[["Asked"], Awaitable["Reply"]]
ReadQuery = Callable[[Mapping[str, str]], Any]
Service = Literal["compute", "identity", "version"]

_TENANT = re.compile(r"[0-9A-Za-z_-]{1,64}")
_OTHER_VERSIONS = re.compile(r"v1\.0|v1\.1|v2\.1|v3(\.\d+)?")
_REMEMBERED = 4096
_LONGEST_REMEMBERED = 256
_IDS = frozenset({"server_id", "network_id", "interface_id"})


@frozen
class Route:
    """One operation on one path.

    Attributes:
        template: the bare path; a compute path is served below `/v2/{tenant_id}` as well.
        form: what tells this path from the operation's first one, or "".
        needs_token: whether a call without a good token is refused.
        takes_body: whether there must be one; `bodies` says how it must look.
        malformed: what a body that is no JSON object is told.
        read_query: makes values of the query, where some are known.
        plain_faults: whether the live service's own 403 and 404 of this operation are plain text.
    """

    operation: str
    method: str
    template: str
    handler: Handler
    form: str = ""
    service: Service = "compute"
    needs_token: bool = True
    takes_body: bool = False
    malformed: str = MALFORMED
    read_query: ReadQuery | None = None
    plain_faults: bool = False


def _versions() -> list[Route]:
    open_ = {"service": "version", "needs_token": False}
    return [
        Route(operation=operation, method="GET", template=path, handler=handler, form=form, **open_)  # type: ignore[arg-type]  # the two values are of their types
        for operation, path, handler, form in (
            ("list_versions", "/", identity.list_versions, ""),
            ("get_version", "/v2", identity.get_compute_version, ""),
            ("get_version", "/v2.0", identity.get_identity_version, "identity"),
        )
    ]


_VIFS = "/servers/{server_id}/os-virtual-interfacesv2"

ROUTES: tuple[Route, ...] = (
    Route(
        operation="list_virtual_interfaces",
        method="GET",
        template=_VIFS,
        handler=networks.list_virtual_interfaces,
        read_query=networks.read_interface_page,
    ),
    Route(
        operation="create_virtual_interface",
        method="POST",
        template=_VIFS,
        handler=networks.create_virtual_interface,
        takes_body=True,
    ),
    Route(
        operation="delete_virtual_interface",
        method="DELETE",
        template=f"{_VIFS}/{{interface_id}}",
        handler=networks.delete_virtual_interface,
    ),
    Route(
        operation="list_networks",
        method="GET",
        template="/os-networksv2",
        handler=networks.list_networks,
    ),
    Route(
        operation="create_network",
        method="POST",
        template="/os-networksv2",
        handler=networks.create_network,
        takes_body=True,
    ),
    Route(
        operation="get_network",
        method="GET",
        template="/os-networksv2/{network_id}",
        handler=networks.get_network,
    ),
    Route(
        operation="delete_network",
        method="DELETE",
        template="/os-networksv2/{network_id}",
        handler=networks.delete_network,
        plain_faults=True,
    ),
    Route(
        operation="list_servers",
        method="GET",
        template="/servers",
        handler=servers.list_servers,
        read_query=servers.read_server_query,
    ),
    Route(
        operation="list_servers_detail",
        method="GET",
        template="/servers/detail",
        handler=servers.list_servers_detail,
        read_query=servers.read_server_query,
    ),
    Route(
        operation="create_server",
        method="POST",
        template="/servers",
        handler=servers.create_server,
        takes_body=True,
    ),
    Route(
        operation="get_server",
        method="GET",
        template="/servers/{server_id}",
        handler=servers.get_server,
    ),
    Route(
        operation="delete_server",
        method="DELETE",
        template="/servers/{server_id}",
        handler=servers.delete_server,
    ),
    Route(
        operation="list_addresses",
        method="GET",
        template="/servers/{server_id}/ips",
        handler=servers.list_addresses,
    ),
    Route(
        operation="list_addresses",
        method="GET",
        template="/servers/{server_id}/ips/{label}",
        form="by_label",
        handler=servers.list_addresses,
    ),
    Route(operation="get_limits", method="GET", template="/limits", handler=servers.get_limits),
    Route(
        operation="list_extensions",
        method="GET",
        template="/extensions",
        handler=identity.list_extensions,
    ),
    Route(
        operation="list_extensions",
        method="GET",
        template="/extensions/{alias}",
        form="by_alias",
        handler=identity.list_extensions,
    ),
    Route(
        operation="authenticate",
        method="POST",
        template="/v2.0/tokens",
        handler=identity.authenticate,
        service="identity",
        needs_token=False,
        takes_body=True,
        malformed=identity.UNPARSABLE,
    ),
    Route(
        operation="revoke_token",
        method="DELETE",
        template="/v2.0/tokens",
        form="own",
        handler=identity.revoke_token,
        service="identity",
    ),
    Route(
        operation="validate_token",
        method="GET",
        template="/v2.0/tokens/{token}",
        handler=identity.validate_token,
        service="identity",
    ),
    Route(
        operation="revoke_token",
        method="DELETE",
        template="/v2.0/tokens/{token}",
        handler=identity.revoke_token,
        service="identity",
    ),
    Route(
        operation="list_endpoints",
        method="GET",
        template="/v2.0/tokens/{token}/endpoints",
        handler=identity.list_endpoints,
        service="identity",
    ),
    Route(
        operation="list_tenants",
        method="GET",
        template="/v2.0/tenants",
        handler=identity.list_tenants,
        service="identity",
    ),
    Route(
        operation="list_extensions",
        method="GET",
        template="/v2.0/extensions",
        form="identity",
        handler=identity.list_identity_extensions,
        service="identity",
    ),
    Route(
        operation="list_extensions",
        method="GET",
        template="/v2.0/extensions/{alias}",
        form="identity.by_alias",
        handler=identity.list_identity_extensions,
        service="identity",
    ),
    *_versions(),
)

CHOICES = Route(
    operation="get_version",
    method="GET",
    template="/{other_version}/{rest}",
    handler=identity.get_choices,
    service="version",
    needs_token=False,
)
"""The versions that are not served answer which one is."""

_OUT_OF_SCOPE = (
    r"/servers/[^/]+/(action|metadata|os-interface|os-volume_attachments|os-instance-actions"
    r"|os-security-groups|rax-si-image-schedule|consoles|diagnostics)(/.*)?"
    r"|/(images|flavors|os-keypairs|os-volumes|os-quota-sets|os-availability-zone|os-hosts"
    r"|os-server-groups|os-volumes_boot|os-networks|os-tenant-networks|os-floating-ips"
    r"|os-security-groups)(/.*)?"
    r"|/v2\.0/(users|RAX-AUTH|RAX-KSGRP|OS-KSADM|RAX-KSQA|RAX-KSKEY|tenants/[^/]+)(/.*)?"
)
"""Real paths of the service that this simulator does not play; compiled when one is asked for."""


@slotted
class _Node:
    """One place in the tree of paths."""

    literal: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    parameter: _Node | None = None
    name: str = ""
    is_id: bool = False
    routes: dict[str, Route] = field(default_factory=dict[str, Route])

    def child(self, segment: str) -> _Node:
        if not segment.startswith("{"):
            return self.literal.setdefault(segment, _Node())
        if self.parameter is None:
            name = segment.strip("{}")
            self.parameter = _Node(name=name, is_id=name in _IDS)
        return self.parameter


@slotted
class Found:
    """Where a path leads.

    `route` is None where no operation has this path and method; `refusal` then says why. `path` is
    the path without version, tenant, suffix and final slash. `tenant` is the one in the path.
    """

    route: Route | None
    params: dict[str, str]
    path: str
    tenant: str | None = None
    refusal: ApiFault | None = None
    service: Service = "compute"
    needs_token: bool = True
    wants_xml: bool = False


@cache
def _tree() -> _Node:
    """Return the routes by their segments; all routers share it, and none changes it."""
    root = _Node()
    for route in ROUTES:
        node = root
        for segment in _segments(route.template):
            node = node.child(segment)
        node.routes[route.method] = route
    return root


class Router:
    """Finds the route of a request."""

    _known: ClassVar[dict[tuple[str, str], Found]] = {}
    """Where paths lead, which is the same for all routers: a test's first call asks for one."""

    def __init__(self) -> None:
        self._root = _tree()

    def find(self, method: str, raw_path: str) -> Found:
        """Return where a method and path lead, not to be changed; never raises.

        Paths that lead somewhere are remembered, but none that holds a token, and none to an
        interface: it is asked for once, to go.
        """
        key = method, raw_path
        found = self._known.get(key)
        if found is not None:
            return found
        found = self._search(method, raw_path)
        short = len(raw_path) <= _LONGEST_REMEMBERED
        again = found.service != "identity" and "interface_id" not in found.params
        if short and found.refusal is None and again:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[key] = found
        return found

    def _search(self, method: str, raw_path: str) -> Found:
        segments, wants_xml = _split(raw_path)
        tenant = None
        first = segments[0] if segments else ""
        if first == "v2" and len(segments) > 2 and _TENANT.fullmatch(segments[1]):
            tenant = segments[1]
            segments = segments[2:]
        elif first.startswith("v") and _OTHER_VERSIONS.fullmatch(first):
            return _choices(method, segments, wants_xml=wants_xml)
        found = self._walk(method, segments)
        found.tenant = tenant
        found.wants_xml = wants_xml
        if tenant is not None and found.service != "compute":
            return Found(None, {}, found.path, tenant, _no_such_path())
        return found

    def _walk(self, method: str, segments: list[str]) -> Found:
        node = self._root
        params: dict[str, str] = {}
        for segment in segments:
            child = node.literal.get(segment)
            if child is None:
                child = node.parameter if segment else None
                if child is None:
                    return _missing(segments)
                params[child.name] = segment.lower() if child.is_id else segment
            node = child
        route = node.routes.get("GET" if method == "HEAD" else method)
        path = "/" + "/".join(segments)
        if route is not None:
            return Found(
                route,
                params,
                path,
                service=route.service,
                needs_token=route.needs_token,
            )
        return _wrong_method(method, node, params, path)


def _segments(template: str) -> list[str]:
    return template[1:].split("/") if template != "/" else []


def _split(raw_path: str) -> tuple[list[str], bool]:
    """Return the parts of a path without suffix and final slash, and whether XML is asked for."""
    if raw_path in {"", "/"}:
        return [], False
    segments = raw_path.removesuffix("/")[1:].split("/")
    if "%" in raw_path:
        segments = [unquote(segment) for segment in segments]
    last = segments[-1]
    if "." not in last:
        return segments, False
    if last.endswith(".json") and len(last) > 5:
        segments[-1] = last[:-5]
    elif last.endswith(".xml") and len(last) > 4:
        segments[-1] = last[:-4]
        return segments, True
    return segments, False


def _choices(method: str, segments: list[str], *, wants_xml: bool) -> Found:
    found = Found(CHOICES, {}, "/" + "/".join(segments), service="version", needs_token=False)
    found.params["rest"] = quote("/".join(segments[1:]))
    found.wants_xml = wants_xml
    if method not in {"GET", "HEAD"}:
        found.route, found.refusal = None, _not_allowed(method, ["GET"])
    return found


def _no_such_path() -> ItemNotFound:
    return ItemNotFound("The resource could not be found.")


def _missing(segments: list[str]) -> Found:
    path = "/" + "/".join(segments)
    service: Service = "identity" if segments[0] == "v2.0" else "compute"
    if re.fullmatch(_OUT_OF_SCOPE, path):
        return Found(None, {}, path, None, _not_played(path), service)
    return Found(None, {}, path, None, _no_such_path(), service)


def _not_played(path: str) -> NotImplementedHere:
    return NotImplementedHere(
        f"vifsim does not simulate {path}: the service has it, this simulator does not"
    )


def _not_allowed(method: str, allowed: list[str]) -> BadMethod:
    headers = {"Allow": ", ".join(sorted(allowed))}
    return BadMethod(f"{method} is not supported here", headers=headers)


def _wrong_method(method: str, node: _Node, params: dict[str, str], path: str) -> Found:
    if not node.routes:
        return _missing(path[1:].split("/"))
    one = next(iter(node.routes.values()))
    fault: ApiFault = _not_allowed(method, list(node.routes))
    if one.template == "/servers/{server_id}" and method == "PUT":
        fault = _not_played(path)
    needs_token = one.service != "version"
    return Found(None, params, path, None, fault, one.service, needs_token)
