"""What commands that talk to a running simulator share: where it is, and how it is asked."""

from __future__ import annotations

import json
import os
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from vifsim.errors import UsageError

if TYPE_CHECKING:
    import argparse

_TIMEOUT = 30.0


class RemoteError(UsageError):
    """A running simulator refused; it ran, and failed."""

    exit_code = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say which simulator is meant."""
    parser.add_argument("--url", help="of the simulator (default: VIFSIM_URL)")
    parser.add_argument("--control-token", metavar="TOKEN", help="or VIFSIM_CONTROL_TOKEN")


def ask(options: argparse.Namespace, method: str, path: str, document: Any = None) -> Any:
    """Return what a control call answers.

    Raises:
        UsageError: no URL is given, nobody answers there, or something else does.
        RemoteError: the simulator refused.
    """
    url = _url(options)
    headers = {"Content-Type": "application/json"}
    token = options.control_token or os.environ.get("VIFSIM_CONTROL_TOKEN")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    body = None if document is None else json.dumps(document).encode()
    request = Request(  # noqa: S310 -- _url has checked the scheme
        f"{url}/_vifsim/{path}", body, headers, method=method
    )
    try:
        with urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310 -- as above
            raw = response.read()
        return json.loads(raw) if raw else None
    except HTTPError as exc:
        raise RemoteError(_detail(exc)) from exc
    except OSError as exc:
        reason = getattr(exc, "reason", exc)
        raise UsageError(f"nobody answers at {url}: {reason} (is `vifsim serve` running?)") from exc
    except (HTTPException, ValueError) as exc:
        raise UsageError(f"what answers at {url} is no simulator (see --url)") from exc


def _url(options: argparse.Namespace) -> str:
    """Return where the simulator is, without a slash at the end."""
    url: str = options.url or os.environ.get("VIFSIM_URL") or ""
    try:
        parts = urlsplit(url)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        given = f"{url} is no URL of a simulator:" if url else "which simulator?"
        raise UsageError(f"{given} give --url http://HOST:PORT or set VIFSIM_URL")
    return url.rstrip("/")


def _detail(exc: HTTPError) -> str:
    try:
        document: Any = json.loads(exc.read())
    except ValueError:
        return f"the simulator answered {exc.code}"
    match document:
        case {"detail": detail}:
            return str(detail)
        case other:
            return str(other)
