"""The page: files of this package, served as they are.

The house rule: a fixed list of files, no path from outside ever reaches the disk; nothing that the
page needs is anywhere else, and its policy forbids it to look.

Source: control API, section 2 (docs/control-api.md).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from aiohttp import web

from vifsim.errors import ControlFault

_TYPES = {
    "html": "text/html",
    "css": "text/css",
    "js": "text/javascript",
    "json": "application/json",
    "svg": "image/svg+xml",
}

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def page_of(path: str) -> web.Response | None:
    """Return what a path below the prefix shows to anyone, or None where it is no page.

    Raises:
        ControlFault: 404, the page has no such part.
    """
    match path:
        case "":
            return web.Response(status=308, headers={"Location": "/_vifsim/"})
        case "/":
            return _page("index.html")
        case "/reference":
            return _page("reference.html")
        case _ if path.startswith("/page/"):
            return _page(path.removeprefix("/page/"))
        case _:
            return None


def _page(name: str) -> web.Response:
    content = _files().get(name)
    if content is None:
        raise ControlFault(404, f"the console has no {name}")
    return web.Response(
        body=content,
        headers=_HEADERS,
        content_type=_TYPES[name.rpartition(".")[2]],
        charset=None if name.endswith(".svg") else "utf-8",
    )


@cache
def _files() -> dict[str, bytes]:
    """Return the parts of the page by name."""
    folder = files("vifsim.http") / "page"
    return {
        part.name: part.read_bytes()
        for part in folder.iterdir()
        if part.name.rpartition(".")[2] in _TYPES
    }
