"""What bodies of requests must look like: a schema for each operation that needs one.

Apart from the handlers, since the library behind it takes longer to import than a cloud to start,
and the common bodies are read without it (`quick_interface`, `quick_credentials`).

The house rule: a schema says what is wrong with a body in the service's own words, and where.

Source: API contract, sections 2 to 6 (docs/api.md).
"""

from __future__ import annotations

from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load

from vifsim.cloud import canonical_cidr
from vifsim.errors import BadRequest, Forbidden
from vifsim.http.codec import MALFORMED, UUID, as_list, as_object
from vifsim.http.identity import API_KEY, UNPARSABLE
from vifsim.http.servers import MAX_METADATA
from vifsim.model import Credentials, NetworkId, NewServer

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUIRED: dict[str, Any] = {
    "required": "is missing",
    "null": "may not be null",
    "invalid": "is not a text",
}


class BodySchema(Schema):
    """The schema of a request body: unknown keys are ignored, as the service does."""

    error_messages = {"type": "is not an object"}  # noqa: RUF012 -- marshmallow's own attribute

    class Meta:
        """Options."""

        unknown = EXCLUDE


def load(schema: BodySchema, data: Any, malformed: str = MALFORMED) -> Any:
    """Return what a schema makes of a body.

    Args:
        schema: of the body.
        data: what its JSON holds.
        malformed: what a body that is no JSON object is told.

    Raises:
        BadRequest: not an object, or a key that is missing or wrong; the message names the first.
    """
    body = as_object(data)
    if body is None:
        raise BadRequest(f"{malformed}: it is not an object")
    try:
        loaded: Any = schema.load(body)  # pyright: ignore[reportUnknownVariableType]  # a schema says no more
    except ValidationError as exc:
        raise BadRequest(first_problem(exc)) from exc
    return loaded


def first_problem(exc: ValidationError) -> str:
    """Return the first error of a schema as `path: what is wrong`, or as it stands."""
    messages: Any = exc.messages  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # as above
    path, text = _first(messages, ())
    if text.startswith("="):
        return text[1:]
    return f"{'.'.join(path)}: {text}" if path else text


def _first(messages: Any, path: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    inner = as_object(messages)
    if inner is not None:
        key, value = next(iter(inner.items()))
        return _first(value, path if key == "_schema" else (*path, str(key)))
    several = as_list(messages)
    if several is not None:
        return path, str(several[0]) if several else "is wrong"
    return path, str(messages)


# ── networks ──


class UuidField(fields.String):
    """A UUID in text, made lower-case."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)  # pyright: ignore[reportUnknownMemberType]  # marshmallow leaves `data` open
        if not UUID.fullmatch(text):
            raise ValidationError("is not a UUID")
        return text.lower()


class NewInterfaceSchema(BodySchema):
    """The network to attach to."""

    network_id = UuidField(
        required=True,
        error_messages=REQUIRED,
        metadata={"description": "The id of the network.", "format": "uuid"},
    )


class CreateInterfaceSchema(BodySchema):
    """The body of `create_virtual_interface`."""

    virtual_interface = fields.Nested(NewInterfaceSchema, required=True, error_messages=REQUIRED)

    @post_load
    def _network_id(self, data: dict[str, Any], **_: object) -> NetworkId:
        return NetworkId(data["virtual_interface"]["network_id"])


class NewNetworkSchema(BodySchema):
    """A network to create."""

    label = fields.String(
        required=True,
        error_messages=REQUIRED,
        metadata={"description": "1 to 255 characters.", "minLength": 1, "maxLength": 255},
    )
    cidr = fields.String(
        load_default="",
        allow_none=True,
        error_messages=REQUIRED,
        metadata={"description": "At least 4 addresses.", "example": "192.168.0.0/24"},
    )


class CreateNetworkSchema(BodySchema):
    """The body of `create_network`."""

    network = fields.Nested(NewNetworkSchema, required=True, error_messages=REQUIRED)

    @post_load
    def _checked(self, data: dict[str, Any], **_: object) -> tuple[str, str]:
        network = data["network"]
        label = network["label"].strip()
        if not 1 <= len(label) <= 255:
            raise ValidationError("is not 1 to 255 characters", "network.label")
        try:
            return label, canonical_cidr(network["cidr"] or "")
        except BadRequest as exc:
            raise ValidationError(f"={exc.message}") from exc


# ── servers ──

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
    if len(given) > MAX_METADATA:
        raise Forbidden(f"Maximum number of metadata items exceeds {MAX_METADATA}")
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


# ── log-ins ──


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


SCHEMAS: Mapping[str, type[BodySchema]] = {
    "create_virtual_interface": CreateInterfaceSchema,
    "create_network": CreateNetworkSchema,
    "create_server": CreateServerSchema,
    "authenticate": AuthenticateSchema,
}
"""The schema of each operation that needs a body."""


@cache
def schema_of(operation: str) -> BodySchema:
    """Return the schema of an operation's body, made once."""
    return SCHEMAS[operation]()
