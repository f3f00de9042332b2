"""What the control API answers with: JSON, or a problem document.

The house rule: bytes out of values; nothing is asked or decided here.

Source: RFC 9457; control API, section 1 (docs/control-api.md).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from vifsim.errors import ControlFault, Problem


def problem(fault: ControlFault) -> web.Response:
    """Return the `application/problem+json` of a refusal.

    Source: RFC 9457; control API, section 1 (docs/control-api.md).
    """
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(fault.status, "Error"),
        "status": fault.status,
        "detail": fault.detail,
    }
    if fault.problems:
        document["errors"] = [_place(item) for item in fault.problems]
    headers = {"WWW-Authenticate": "Bearer"} if fault.status == 401 else {}
    return web.Response(
        body=json.dumps(document).encode(),
        status=fault.status,
        headers=headers,
        content_type="application/problem+json",
    )


_TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
}


def _place(item: Problem) -> dict[str, Any]:
    shown: dict[str, Any] = {"at": item.at}
    if item.line is not None:
        shown |= {"line": item.line, "column": item.column}
    shown["detail"] = item.detail
    if item.hint:
        shown["hint"] = item.hint
    return shown


def answer(document: Any, status: int = 200, **headers: str) -> web.Response:
    """Return a JSON answer."""
    return web.Response(
        body=json.dumps(document).encode(),
        status=status,
        headers=headers,
        content_type="application/json",
    )
