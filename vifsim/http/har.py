"""A journal as an HTTP Archive, for the tools that draw one.

Bodies and secrets are not in a journal, so they are not in the archive either.

Source: HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from vifsim.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UNKNOWN = -1
"""What HAR says where a size is not known."""
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


def har_document(
    entries: Iterable[Mapping[str, Any]], started: datetime, url: str
) -> dict[str, Any]:
    """Return journal entries as an archive; those under way are left out.

    Args:
        entries: as the control API shows them.
        started: when the simulator's clock stood at 0.
        url: of the simulator.
    """
    return {
        "log": {
            "version": "1.2",
            "creator": {"name": "vifsim", "version": __version__},
            "entries": [_entry(entry, started, url) for entry in entries if entry["outcome"]],
        }
    }


def _entry(entry: Mapping[str, Any], started: datetime, url: str) -> dict[str, Any]:
    milliseconds = round((entry["end"] - entry["arrived"]) * 1000, 3)
    return {
        "startedDateTime": (started + timedelta(seconds=entry["arrived"])).isoformat(),
        "time": milliseconds,
        "request": _request(entry, url),
        "response": _response(entry),
        "cache": {},
        "timings": {"send": 0, "wait": milliseconds, "receive": 0},
        "serverIPAddress": urlsplit(url).hostname or "",
        "connection": str(entry["conn"]),
        "_vifsim": {
            key: entry[key] for key in ("seq", "operation", "decision", "effects", "outcome")
        },
    }


def _request(entry: Mapping[str, Any], url: str) -> dict[str, Any]:
    path: str = entry["path"]
    query = parse_qsl(urlsplit(path).query, keep_blank_values=True)
    size = str(entry["headers"].get("Content-Length", ""))
    return {
        "method": entry["method"],
        "url": url + path,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(entry["headers"].items()),
        "queryString": _pairs(query),
        "headersSize": _UNKNOWN,
        "bodySize": int(size) if size.isdigit() else 0,
    }


def _response(entry: Mapping[str, Any]) -> dict[str, Any]:
    told: Mapping[str, Any] = entry["told"] or {"status": 0, "bytes": 0, "retry_after": None}
    headers = [("X-Compute-Request-Id", entry["id"])]
    if told["retry_after"] is not None:
        headers.append(("Retry-After", f"{told['retry_after']:g}"))
    return {
        "status": told["status"],
        "statusText": _PHRASES.get(told["status"], ""),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _pairs(headers),
        "content": {"size": told["bytes"], "mimeType": "application/json"},
        "redirectURL": "",
        "headersSize": _UNKNOWN,
        "bodySize": told["bytes"],
    }


def _pairs(items: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in items]
