"""Bytes to values going in, values to bytes coming out; what all resources share.

The house rule: text becomes values here and in the resources' schemas, and nowhere else.

Source: API contract, sections 1, 2 and 8 (docs/api.md).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import field
from datetime import UTC, datetime
from email.utils import formatdate
from hashlib import blake2b
from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeGuard

from vifsim.errors import ApiFault, BadRequest
from vifsim.values import slotted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from vifsim.backend import Backend
    from vifsim.clock import Clock
    from vifsim.errors import RetryAfter
    from vifsim.exchange import Call
    from vifsim.model import Settings

MAX_BODY_BYTES = 114_688
"""Source: API contract, section 1.2: nova's default `osapi_max_request_body_size`."""

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain; charset=UTF-8"
HTML_TYPE = "text/html; charset=UTF-8"
XML_TYPE = "application/xml"

MALFORMED = "Malformed request body"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_WHOLE = re.compile(r"-?[0-9]{1,18}")


@slotted
class Asked:
    """One request, as a handler gets it: who asks, for what, of which backend.

    `params` are the parts of the path, lower-case where they are ids; `path` is without version,
    tenant, suffix and final slash; `body` and `page` are what the route made of the body and of the
    query.
    """

    call: Call
    backend: Backend
    request: web.Request
    params: dict[str, str]
    path: str
    body: Any = None
    page: Any = None

    @property
    def base(self) -> str:
        """The URL under which the client reached us, without a slash at the end."""
        return base_of(self.request)

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the query."""
        return self.request.query


def base_of(request: web.Request) -> str:
    """Return the URL under which a client reached us, without a slash at the end."""
    host = request.headers.get("Host")
    if not host:
        name = request.transport.get_extra_info("sockname") if request.transport else None
        host = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "localhost"
    return f"{request.scheme}://{host}"


@slotted
class Reply:
    """An answer in the making."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict[str, str])
    retry_after: float | None = None


def reply(value: Any, status: int = 200) -> Reply:
    """Return a JSON answer, spaced as the service spaces it."""
    return Reply(status, json.dumps(value).encode())


def no_constant(text: str) -> float:
    """Refuse NaN and Infinity, which are no JSON.

    Raises:
        ValueError: always.
    """
    raise ValueError(text)


_DECODER = json.JSONDecoder(parse_constant=no_constant)
"""Made once: `json.loads` makes one for each call that wants constants refused."""


def parse_json(raw: bytes, malformed: str = MALFORMED) -> Any:
    """Return what a body holds.

    Raises:
        BadRequest: empty, not UTF-8, not JSON, NaN or Infinity, half a surrogate pair, or nested
            too deep.
    """
    if not raw.strip():
        raise BadRequest(f"{malformed}: it is empty")
    try:
        value = _DECODER.decode(raw.decode())
        if b"\\u" in raw:
            # An escape can hold half a surrogate pair, which is no text that a store could keep.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise BadRequest(malformed) from exc
    return value


def digest_of(value: Any) -> str:
    """Return the digest of a body, taken after canonical JSON."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        text = "too deep"
    return blake2b(text.encode(), digest_size=8).hexdigest()


def raw_digest(raw: bytes) -> str:
    """Return the digest of a body that is not JSON."""
    return blake2b(raw, digest_size=8).hexdigest()


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def as_object(value: object) -> dict[str, Any] | None:
    """Return a JSON object, or None where the value is none."""
    return value if _is_object(value) else None


def as_list(value: object) -> list[Any] | None:
    """Return a JSON list, or None where the value is none."""
    return value if _is_list(value) else None


# ── queries ──────────────────────────────────────────────────────────────────────────────────────


def whole_number(query: Mapping[str, str], name: str) -> int | None:
    """Return a query parameter as a number, or None where it is not given.

    Raises:
        BadRequest: not a whole number, or a negative one.

    Source: API contract, section 5.5 (docs/api.md).
    """
    text = query.get(name)
    if text is None:
        return None
    if not _WHOLE.fullmatch(text):
        raise BadRequest(f"{name} param must be an integer")
    if int(text) < 0:
        raise BadRequest(f"{name} param must be positive")
    return int(text)


# ── faults ───────────────────────────────────────────────────────────────────────────────────────


def fault_reply(fault: ApiFault, settings: Settings, clock: Clock, *, plain: bool = False) -> Reply:
    """Return the answer that a fault becomes.

    `plain` is whether the live service's framework, not its fault wrapper, would answer. Where the
    fault was raised is forgotten.
    """
    # Frames that it went through hold it, too: a cycle, which a flood of refusals would leave to
    # the garbage collector, a whole request with each.
    fault.__traceback__ = None
    header, seconds, moment = _retry_after(fault.retry_after, clock)
    headers = dict(fault.headers)
    if header is not None:
        headers["Retry-After"] = header
    raw = settings.raw_framework_bodies and (plain or fault.policy)
    content_type, body = _plain_body(fault) if raw else _fault_body(fault, moment)
    return Reply(fault.status, body, content_type, headers, seconds)


def _retry_after(
    asked: RetryAfter | None, clock: Clock
) -> tuple[str | None, float | None, float | None]:
    """Return the header's text, the seconds that it tells, and the moment, None where unknown."""
    if asked is None:
        return None, None, None
    if asked.delay is None:
        return asked.text, _told_by(asked.text), None
    seconds = max(0, math.ceil(clock.client_seconds(asked.delay) - 1e-9))
    moment = clock.wall() + seconds
    if asked.form == "date":
        return formatdate(moment, usegmt=True), int(moment) - clock.wall(), moment
    return str(seconds), float(seconds), moment


def _told_by(text: str) -> float | None:
    """Return the seconds that a raw header tells a client that reads it as a number."""
    stripped = text.strip()
    return float(stripped) if stripped.isascii() and stripped.isdigit() else None


def _fault_body(fault: ApiFault, moment: float | None) -> tuple[str, bytes]:
    match fault.body:
        case "empty":
            return JSON_TYPE, b""
        case "text":
            return TEXT_TYPE, fault.message.encode()
        case "html":
            return HTML_TYPE, _html(fault)
        case "xml":
            message = f"<message>{escape(fault.message)}</message>"
            return XML_TYPE, f'<fault code="{fault.status}">{message}</fault>'.encode()
        case _:
            return JSON_TYPE, json.dumps(envelope(fault, moment)).encode()


def envelope(fault: ApiFault, moment: float | None = None) -> dict[str, Any]:
    """Return the JSON envelope of a fault.

    Source: API contract, sections 2.1, 7.3 and 7.4 (docs/api.md).
    """
    content: dict[str, Any] = {"code": fault.status, "message": fault.message}
    if fault.details is not None:
        content["details"] = fault.details
    if moment is None or fault.status not in {413, 429}:
        return {fault.name: content}
    if fault.details is None:
        content["retryAfter"] = 0  # an absolute quota: waiting does not help
    else:
        content["retryAt"] = utc_text(moment)
    return {fault.name: content}


def _html(fault: ApiFault) -> bytes:
    title = f"{fault.status} {HTTPStatus(fault.status).phrase}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n<p>{escape(fault.message)}</p>\r\n"
        "</body>\r\n</html>\r\n"
    ).encode()


_FRAMEWORK_SENTENCES = {
    403: "Access was denied to this resource.",
    404: "The resource could not be found.",
}


def _plain_body(fault: ApiFault) -> tuple[str, bytes]:
    """Return a body as the live service's framework writes it.

    Source: API contract, section 2.3 (docs/api.md).
    """
    title = f"{fault.status} {HTTPStatus(fault.status).phrase}"
    sentence = _FRAMEWORK_SENTENCES.get(fault.status, HTTPStatus(fault.status).description)
    return TEXT_TYPE, f"{title}\n\n{sentence}\n\n {fault.message}  ".encode()


# ── times and links ──────────────────────────────────────────────────────────────────────────────


def utc_text(epoch: float) -> str:
    """Return a time as the compute API writes it: whole seconds and `Z`."""
    return datetime.fromtimestamp(int(epoch), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def utc_text_ms(epoch: float) -> str:
    """Return a time as the identity API writes it: milliseconds and `Z`."""
    text = datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def link(rel: str, href: str) -> dict[str, str]:
    """Return a link as every document holds it."""
    return {"rel": rel, "href": href}
