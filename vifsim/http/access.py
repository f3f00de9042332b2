"""Who may use the control API: a name, an origin and a token, checked.

The house rule: refuses, and knows nothing of what is asked for.

Source: control API, section 1 (docs/control-api.md).
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vifsim.errors import ControlFault

if TYPE_CHECKING:
    from aiohttp import web

PREFIX = "/_vifsim"
"""How the paths of the control API begin."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


def is_control(path: str) -> bool:
    """Return whether a path is the control API's, which no other may be."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


class Access:
    """Who may use the control API.

    Args:
        token: that calls must bear; None where the address is a loopback one.
        hosts: further names under which the simulator is reached.

    Source: control API, section 1 (docs/control-api.md).
    """

    def __init__(self, token: str | None = None, hosts: frozenset[str] = frozenset()) -> None:
        self._token = token
        self._hosts = _LOOPBACK | {host.lower() for host in hosts}

    def check(self, request: web.Request) -> None:
        """Refuse a request that comes from elsewhere or bears no token.

        Raises:
            ControlFault: 401 or 403.
        """
        self.check_origin(request)
        self._check_token(request)

    def check_origin(self, request: web.Request) -> None:
        """Refuse a request that comes from elsewhere.

        Raises:
            ControlFault: 403.
        """
        host = _host_of(f"//{request.headers.get('Host', '')}")
        if host not in self._hosts:
            raise ControlFault(
                403, f"Host {host or '(none)'} is not this simulator: allow it with --allow-host"
            )
        origin = request.headers.get("Origin")
        if origin is not None and not self._own(origin, request):
            raise ControlFault(403, f"Origin {origin} is not this simulator's own")

    def _own(self, origin: str, request: web.Request) -> bool:
        return urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower()

    def _check_token(self, request: web.Request) -> None:
        if self._token is None:
            return
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        given_bytes = given.strip().encode("utf-8", "surrogateescape")
        if kind.lower() != "bearer" or not compare_digest(given_bytes, self._token.encode()):
            raise ControlFault(401, "the control API needs Authorization: Bearer TOKEN here")


def _host_of(url: str) -> str:
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return host.lower()
