"""Identity, version documents and extensions: schemas, handlers, rendering.

The house rule: a handler makes one backend call.

Source: API contract, sections 6 and 9 (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from marshmallow import ValidationError, fields, post_load

from vifsim.errors import BadRequest, ItemNotFound
from vifsim.http.codec import BodySchema, Reply, as_object, link, reply, utc_text_ms
from vifsim.model import Credentials

if TYPE_CHECKING:
    from vifsim.http.codec import Asked
    from vifsim.model import Access, Role

UNPARSABLE = "Invalid request body: unable to parse Auth data"
API_KEY = "RAX-KSKEY:apiKeyCredentials"


class ApiKeySchema(BodySchema):
    """A user and an API key."""

    username = fields.String(required=True)
    apiKey = fields.String(required=True)  # noqa: N815 -- the API's own spelling
    tenantId = fields.String(load_default=None, allow_none=True)  # noqa: N815 -- as above
    tenantName = fields.String(load_default=None, allow_none=True)  # noqa: N815 -- as above


class PasswordSchema(BodySchema):
    """A user and a password."""

    username = fields.String(required=True)
    password = fields.String(required=True)
    tenantId = fields.String(load_default=None, allow_none=True)  # noqa: N815 -- as above
    tenantName = fields.String(load_default=None, allow_none=True)  # noqa: N815 -- as above


class TokenSchema(BodySchema):
    """A token to log in with again."""

    id = fields.String(required=True)


class AuthSchema(BodySchema):
    """One of three credentials, with a tenant or without."""

    api_key = fields.Nested(ApiKeySchema, data_key=API_KEY)
    password = fields.Nested(PasswordSchema, data_key="passwordCredentials")
    token = fields.Nested(TokenSchema)
    tenantId = fields.String(load_default=None, allow_none=True)  # noqa: N815 -- as above
    tenantName = fields.String(load_default=None, allow_none=True)  # noqa: N815 -- as above


class AuthenticateSchema(BodySchema):
    """The body of `authenticate`."""

    malformed = UNPARSABLE
    auth = fields.Nested(AuthSchema, required=True)

    def handle_error(self, error: ValidationError, *_: Any, **__: Any) -> None:
        """Say what the service says, and where.

        Raises:
            BadRequest: always.
        """
        messages: Any = error.messages  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # marshmallow says no more
        raise BadRequest(f"{UNPARSABLE} ({_where(messages)})") from error

    @post_load
    def _credentials(self, data: dict[str, Any], **_: object) -> Credentials:
        auth = data["auth"]
        given = [key for key in ("api_key", "password", "token") if key in auth]
        if len(given) != 1:
            raise BadRequest(f"{UNPARSABLE} (auth holds {len(given)} credentials, not one)")
        inner = auth[given[0]]
        tenant = _tenant(auth, inner)
        if given[0] == "token":
            if tenant is None:
                raise BadRequest(f"{UNPARSABLE} (a token needs a tenantId or tenantName)")
            return Credentials(token=inner["id"], tenant=tenant)
        if given[0] == "api_key":
            return Credentials(username=inner["username"], api_key=inner["apiKey"], tenant=tenant)
        return Credentials(username=inner["username"], password=inner["password"], tenant=tenant)


def _where(messages: Any) -> str:
    path: list[str] = []
    while inner := as_object(messages):
        key, messages = next(iter(inner.items()))
        path.append(str(key))
    return f"{'.'.join(path)} is missing or wrong"


def _tenant(auth: dict[str, Any], inner: dict[str, Any]) -> str | None:
    """Return the tenant, which stands beside the credentials or inside them."""
    ids = {place.get("tenantId") for place in (auth, inner)} - {None}
    names = {place.get("tenantName") for place in (auth, inner)} - {None}
    if ids and names:
        raise BadRequest("tenantId and tenantName are given together: name one of them")
    found = ids | names
    if len(found) > 1:
        raise BadRequest("two tenants are given: name one of them")
    return next(iter(found), None)


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


async def list_versions(asked: Asked) -> Reply:
    """Answer `list_versions`."""
    await asked.backend.list_versions(asked.call)
    version = {
        "id": "v2.0",
        "status": "CURRENT",
        "updated": _COMPUTE_UPDATED,
        "links": [link("self", f"{asked.base}/v2/")],
    }
    return reply({"versions": [version]})


async def get_compute_version(asked: Asked) -> Reply:
    """Answer `get_version` on `/v2`."""
    await asked.backend.get_version(asked.call)
    version = {
        "id": "v2.0",
        "status": "CURRENT",
        "updated": _COMPUTE_UPDATED,
        "media-types": [_MEDIA_TYPE],
        "links": [
            link("self", f"{asked.base}/v2/"),
            {
                "rel": "describedby",
                "type": "text/html",
                "href": "https://docs.rackspace.com/docs/cloud-servers",
            },
        ],
    }
    return reply({"version": version})


async def get_identity_version(asked: Asked) -> Reply:
    """Answer `get_version` on `/v2.0`."""
    await asked.backend.get_version(asked.call)
    media_type = {
        "base": "application/json",
        "type": "application/vnd.openstack.identity-v2.0+json",
    }
    version = {
        "id": "v2.0",
        "status": "CURRENT",
        "updated": _IDENTITY_UPDATED,
        "links": [link("self", f"{asked.base}/v2.0")],
        "media-types": {"values": [media_type]},
    }
    return reply({"version": version})


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
