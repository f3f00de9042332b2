"""Reads what the control API is asked: bodies, documents, parameters.

The house rule: what is wrong is refused here with a text that says what would be right; what a
value means is known elsewhere.

Source: control API, section 1 (docs/control-api.md).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

from vifsim.errors import ControlFault, Problem, ScenarioError
from vifsim.http.codec import as_object, no_constant

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BYTES = 1024 * 1024
MAX_SNAPSHOT_BYTES = 256 * 1024 * 1024
_JSON_TYPES = frozenset({"application/json", "text/json"})
_YAML_TYPES = frozenset(
    {"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml", "text/plain"}
)
SITE_TYPES = _JSON_TYPES | _YAML_TYPES | {"", "application/octet-stream"}


async def read_body(request: web.Request, most: int) -> bytes:
    """Return the body.

    Raises:
        ControlFault: 400 or 413, it is broken or over `most` bytes.
    """
    fault = ControlFault(413, f"the body is over {most} bytes")
    if (request.content_length or 0) > most:
        raise fault
    try:
        return await request.clone(client_max_size=most).read()
    except web.HTTPRequestEntityTooLarge as exc:
        raise fault from exc
    except (web.RequestPayloadError, PayloadEncodingError) as exc:
        raise ControlFault(400, f"the body is broken: {exc}") from exc


def check_type(request: web.Request, known: frozenset[str]) -> None:
    """Refuse a body that says it is of none of these types.

    Raises:
        ControlFault: 415.
    """
    text = request.headers.get("Content-Type", "")
    if text.partition(";")[0].strip().lower() not in known:
        raise ControlFault(415, f"Content-Type {text} is neither JSON nor YAML")


def utf8(raw: bytes) -> str:
    """Return bytes as text.

    Raises:
        ControlFault: 400, they are not UTF-8.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise ControlFault(400, f"the body is not UTF-8: {exc.reason}") from exc


def _parsed(raw: bytes) -> Any:
    """Return what JSON says.

    Raises:
        ControlFault: 400, it is none.
    """
    try:
        return json.loads(utf8(raw), parse_constant=no_constant)
    except (ValueError, RecursionError) as exc:
        raise ControlFault(400, f"the body is not JSON: {exc}") from exc


async def read_json(
    request: web.Request,
    keys: set[str] | None,
    *,
    most: int = MAX_BYTES,
    empty: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a JSON object that holds no key but these; None: any."""
    raw = await read_body(request, most)
    if not raw.strip() and empty is not None:
        return dict(empty)
    check_type(request, _JSON_TYPES | {"", "application/octet-stream"})
    value = as_object(_parsed(raw))
    if value is None:
        raise ControlFault(400, "the body is not a JSON object")
    for key in value:
        if keys is not None and key not in keys:
            detail = f"unknown key {key}"
            raise ControlFault(
                400,
                f"{detail}: known are {', '.join(sorted(keys))}",
                [Problem(at=key, detail=detail)],
            )
    return value


async def read_mapping(request: web.Request) -> dict[str, Any]:
    """Return a mapping from JSON or YAML."""
    from vifsim.scenario.text import read_text  # noqa: PLC0415 -- only who sends YAML needs it

    check_type(request, SITE_TYPES)
    document = read_text(utf8(await read_body(request, MAX_BYTES)), source="rule")
    if document.problems:
        raise ScenarioError("rule", document.problems)
    rule = as_object(document.data)
    if rule is None:
        raise ControlFault(400, "a rule is a mapping, such as {status: 503, first: 2}")
    return rule


def shipped_name(name: str) -> str:
    """Return the name of a shipped scenario.

    Raises:
        ControlFault: 404, there is none of this name.
    """
    from vifsim.scenario.schema import shipped_names  # noqa: PLC0415 -- slow to import

    if name not in shipped_names():
        from difflib import get_close_matches  # noqa: PLC0415 -- for a mistake only

        near = get_close_matches(name, shipped_names(), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ControlFault(404, f"there is no scenario {name}{hint}")
    return name


def check_query(query: Mapping[str, str], keys: frozenset[str]) -> None:
    """Refuse a parameter that a call does not take.

    Raises:
        ControlFault: 400.
    """
    for key in query:
        if key not in keys:
            known = f"known are {', '.join(sorted(keys))}" if keys else "this call takes none"
            raise ControlFault(400, f"unknown parameter {key}: {known}")


def journal_query(query: Mapping[str, str]) -> Mapping[str, str]:
    """Return the filters of a journal query.

    Raises:
        ControlFault: 400, no such outcome.
    """
    outcome = query.get("outcome")
    if outcome not in {None, "completed", "client_gone", "server_cut"}:
        raise ControlFault(400, "outcome is completed, client_gone or server_cut")
    return query


def number(query: Mapping[str, str], key: str, default: int, least: int, most: int) -> int:
    """Return a parameter that is a whole number.

    Raises:
        ControlFault: 400, it is none, or out of bounds.
    """
    text = query.get(key)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ControlFault(400, f"{key} is a whole number")
    if not least <= int(text) <= most:
        raise ControlFault(400, f"{key} is {least} to {most}")
    return int(text)


def flag(query: Mapping[str, str], key: str) -> bool:
    """Return a parameter that is true or false; left out, it is false.

    Raises:
        ControlFault: 400, it is neither.
    """
    given = query.get(key, "false")
    if given not in {"true", "false"}:
        raise ControlFault(400, f"{key} is true or false, not {given}")
    return given == "true"


def seconds(query: Mapping[str, str], key: str, default: float, *, most: float) -> float:
    """Return a parameter that is a duration such as 50ms, in seconds.

    Raises:
        ControlFault: 400, it is none, or over `most` seconds.
    """
    from marshmallow import ValidationError  # noqa: PLC0415 -- slow to import

    from vifsim.scenario.durations import seconds_of  # noqa: PLC0415 -- slow to import

    given = query.get(key)
    if given is None:
        return default
    try:
        found = seconds_of(given)
    except ValidationError as exc:
        raise ControlFault(400, f"{key} is a duration such as 50ms, not {given}") from exc
    if not found <= most:
        raise ControlFault(400, f"{key} is {most:g}s at most")
    return found
