"""Identity, version documents and extensions: handlers, rendering.

The house rule: a handler makes one backend call.

Source: API contract, sections 6 and 9 (docs/api.md).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vifsim.errors import ItemNotFound
from vifsim.http.codec import Reply, as_object, link, reply, utc_text_ms
from vifsim.model import Credentials

if TYPE_CHECKING:
    from vifsim.http.codec import Asked
    from vifsim.model import Access, Role

UNPARSABLE = "Invalid request body: unable to parse Auth data"
API_KEY = "RAX-KSKEY:apiKeyCredentials"
_TENANT = frozenset({"tenantId", "tenantName"})


def quick_credentials(data: Any) -> Credentials | None:
    """Return the credentials of a common log-in, or None: the schema decides then.

    Everything that this accepts the schema reads alike; `tests/http/test_identity.py` holds the
    two together.
    """
    match data:
        case {"auth": {"RAX-KSKEY:apiKeyCredentials": given, **outer}}:
            secret, field = "apiKey", "api_key"
        case {"auth": {"passwordCredentials": given, **outer}}:
            secret, field = "password", "password"
        case _:
            return None
    inner = as_object(given)
    if inner is None or inner.keys() != {"username", secret}:
        return None
    tenant: Any = next(iter(outer.values()), None)
    texts = [*inner.values(), "" if tenant is None else tenant]
    if len(outer) > 1 or not outer.keys() <= _TENANT or not all(type(t) is str for t in texts):
        return None
    values: dict[str, str] = {"username": inner["username"], field: inner[secret]}
    return Credentials(**values, tenant=tenant)


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────


async def authenticate(asked: Asked) -> Reply:
    """Answer `authenticate`."""
    access = await asked.backend.authenticate(asked.call, asked.body)
    document = access_view(access, asked)
    document["serviceCatalog"] = _catalog(access, asked)
    order = ("token", "serviceCatalog", "user")
    return reply({"access": {key: document[key] for key in order}})


async def validate_token(asked: Asked) -> Reply:
    """Answer `validate_token`."""
    belongs_to = asked.query.get("belongsTo")
    access = await asked.backend.validate_token(asked.call, asked.params["token"], belongs_to)
    return reply({"access": access_view(access, asked)})


async def list_endpoints(asked: Asked) -> Reply:
    """Answer `list_endpoints`."""
    access = await asked.backend.list_endpoints(asked.call, asked.params["token"])
    endpoint = _endpoint(access, asked)
    shown = {"id": 1, "name": "cloudServersOpenStack", "type": "compute", **endpoint}
    return reply({"endpoints": [shown], "endpoints_links": []})


async def revoke_token(asked: Asked) -> Reply:
    """Answer `revoke_token`."""
    await asked.backend.revoke_token(asked.call, asked.params.get("token"))
    return Reply(204)


async def list_tenants(asked: Asked) -> Reply:
    """Answer `list_tenants`."""
    found = await asked.backend.list_tenants(asked.call)
    shown = [{"id": tenant.id, "name": tenant.id, "enabled": True} for tenant in found]
    return reply({"tenants": shown})


def access_view(access: Access, asked: Asked) -> dict[str, Any]:
    """Return a token and its user as the API shows them."""
    token, user = access.token, access.user
    far = asked.backend.clock.epoch() + asked.backend.settings.token_lifetime
    return {
        "token": {
            "id": access.text,
            "expires": utc_text_ms(far if token.expires is None else token.expires),
            "tenant": {"id": token.tenant, "name": token.tenant},
            "RAX-AUTH:authenticatedBy": [token.by],
        },
        "user": {
            "id": user.id,
            "name": user.name,
            "RAX-AUTH:defaultRegion": asked.backend.settings.region,
            "RAX-AUTH:domainId": user.tenant,
            "roles": _roles(user.role, user.tenant),
        },
    }


def _roles(role: Role, tenant: str) -> list[dict[str, str]]:
    compute = {
        "id": "6",
        "name": "compute:default",
        "description": "A role that may use the compute service",
        "tenantId": tenant,
    }
    own = {
        "admin": ("3", "identity:user-admin", "A role that may manage users"),
        "creator": ("16", "creator", "A role that may look and create"),
        "observer": ("15", "observer", "A role that may look"),
    }[role]
    return [compute, dict(zip(("id", "name", "description"), own, strict=True))]


def _endpoint(access: Access, asked: Asked) -> dict[str, str]:
    return {
        "region": asked.backend.settings.region,
        "tenantId": access.token.tenant,
        "publicURL": f"{asked.base}/v2/{access.token.tenant}",
        "versionInfo": f"{asked.base}/v2",
        "versionList": f"{asked.base}/",
        "versionId": "2",
    }


def _catalog(access: Access, asked: Asked) -> list[dict[str, Any]]:
    return [
        {
            "name": "cloudServersOpenStack",
            "type": "compute",
            "endpoints": [_endpoint(access, asked)],
        }
    ]


# ── versions ─────────────────────────────────────────────────────────────────────────────────────

_COMPUTE_UPDATED = "2011-01-21T11:33:21Z"
_IDENTITY_UPDATED = "2012-01-21T11:33:21-06:00"
_MEDIA_TYPE = {
    "base": "application/json",
    "type": "application/vnd.openstack.compute+json;version=2",
}


_BASES_KEPT = 64
"""Addresses under which clients reach us; the documents of each are written once."""


async def list_versions(asked: Asked) -> Reply:
    """Answer `list_versions`."""
    await asked.backend.list_versions(asked.call)
    return Reply(body=_versions(asked.base))


@lru_cache(maxsize=_BASES_KEPT)
def _versions(base: str) -> bytes:
    version = {
        "id": "v2.0",
        "status": "CURRENT",
        "updated": _COMPUTE_UPDATED,
        "links": [link("self", f"{base}/v2/")],
    }
    return reply({"versions": [version]}).body


async def get_compute_version(asked: Asked) -> Reply:
    """Answer `get_version` on `/v2`."""
    await asked.backend.get_version(asked.call)
    return Reply(body=_compute_version(asked.base))


@lru_cache(maxsize=_BASES_KEPT)
def _compute_version(base: str) -> bytes:
    version = {
        "id": "v2.0",
        "status": "CURRENT",
        "updated": _COMPUTE_UPDATED,
        "media-types": [_MEDIA_TYPE],
        "links": [
            link("self", f"{base}/v2/"),
            {
                "rel": "describedby",
                "type": "text/html",
                "href": "https://docs.rackspace.com/docs/cloud-servers",
            },
        ],
    }
    return reply({"version": version}).body


async def get_identity_version(asked: Asked) -> Reply:
    """Answer `get_version` on `/v2.0`."""
    await asked.backend.get_version(asked.call)
    return Reply(body=_identity_version(asked.base))


@lru_cache(maxsize=_BASES_KEPT)
def _identity_version(base: str) -> bytes:
    media_type = {
        "base": "application/json",
        "type": "application/vnd.openstack.identity-v2.0+json",
    }
    version = {
        "id": "v2.0",
        "status": "CURRENT",
        "updated": _IDENTITY_UPDATED,
        "links": [link("self", f"{base}/v2.0")],
        "media-types": {"values": [media_type]},
    }
    return reply({"version": version}).body


async def get_choices(asked: Asked) -> Reply:
    """Answer `get_version` on the path of a version that is not served."""
    await asked.backend.get_version(asked.call)
    rest = asked.params["rest"]
    choice = {
        "id": "v2.0",
        "status": "CURRENT",
        "links": [link("self", f"{asked.base}/v2/{rest}")],
        "media-types": [_MEDIA_TYPE],
    }
    return reply({"choices": [choice]}, 300)


# ── extensions ───────────────────────────────────────────────────────────────────────────────────

_NAMESPACE = "http://docs.openstack.org"
_EXTENSIONS: tuple[dict[str, Any], ...] = (
    {
        "alias": "os-virtual-interfacesv2",
        "name": "VirtualInterfaces",
        "namespace": f"{_NAMESPACE}/compute/ext/virtual_interfacesv2/api/v1.1",
        "updated": "2011-08-17T00:00:00Z",
        "description": "Virtual interface support.",
        "links": [],
    },
    {
        "alias": "os-networksv2",
        "name": "OSNetworksV2",
        "namespace": f"{_NAMESPACE}/ext/services/api/v1.1",
        "updated": "2012-03-07T14:46:43Z",
        "description": "Tenant networks.",
        "links": [],
    },
)


async def list_extensions(asked: Asked) -> Reply:
    """Answer `list_extensions` of the compute service, with an alias or without."""
    await asked.backend.list_extensions(asked.call)
    alias = asked.params.get("alias")
    if alias is None:
        return reply({"extensions": list(_EXTENSIONS)})
    for extension in _EXTENSIONS:
        if extension["alias"] == alias:
            return reply({"extension": extension})
    raise ItemNotFound(f"Extension {alias} could not be found")


async def list_identity_extensions(asked: Asked) -> Reply:
    """Answer `list_extensions` of the identity service, which has none."""
    await asked.backend.list_extensions(asked.call)
    alias = asked.params.get("alias")
    if alias is None:
        return reply({"extensions": [], "extensions_links": []})
    raise ItemNotFound(f"Extension {alias} could not be found")
