"""The edge: one request in, one backend call, one answer out.

```
request ──► route ──► token ──► role ──► accept ──► size ──► type ──► body ──► handler
              └──────────┴─────────┴─────────┴─────────┴────────┴───► backend.refuse ──► fault
```

The house rule: the order of checks is written down here and nowhere else; every request asks the
backend exactly once, also one that the app refuses; the journal's entry is opened and closed here.

Source: API contract, sections 1.3 and 1.4 (docs/api.md).
"""

from __future__ import annotations

import asyncio
import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

from vifsim.draws import RequestIds, token_digest
from vifsim.errors import (
    ApiFault,
    BadMediaType,
    BadRequest,
    ComputeFault,
    Forbidden,
    ItemNotFound,
    NoAnswer,
    NotAcceptable,
    TooLarge,
    Unauthorized,
)
from vifsim.exchange import Answer, Call
from vifsim.http.app import Router
from vifsim.http.codec import (
    MALFORMED,
    MAX_BODY_BYTES,
    Asked,
    base_of,
    digest_of,
    fault_reply,
    parse_json,
    raw_digest,
)
from vifsim.http.connection import Origin, StampedConnection, size_of, without_secrets
from vifsim.http.identity import quick_credentials
from vifsim.http.networks import quick_interface
from vifsim.http.wire import cut, send, send_whole

if TYPE_CHECKING:
    from vifsim.backend import Backend
    from vifsim.clock import Clock
    from vifsim.exchange import Decision, Ending
    from vifsim.http.app import Found, Route
    from vifsim.http.codec import Reply
    from vifsim.journal import Journal
    from vifsim.model import Identity, Settings

log = logging.getLogger(__name__)

_JSON_TYPES = frozenset(
    {"", "application/json", "application/vnd.openstack.compute+json", "text/plain"}
)
_ACCEPTABLE = frozenset(
    {"application/json", "application/*", "*/*", "application/vnd.openstack.compute+json"}
)
_CREATING = frozenset({"POST", "PUT", "PATCH"})
_WITHOUT_ID = frozenset({401, 429, 502, 504})
_PLAIN = frozenset({403, 404})


class Edge:
    """Answers every request outside the control API.

    Args:
        backend: the outermost one, faults included.
        journal: that keeps what happened.
        clock: that arrivals are stamped by where the connection did not stamp them.

    Attributes:
        at_once: whether requests are mostly answered without waiting.
        ending: whether a connection ends with the answer that is under way on it.
    """

    def __init__(self, backend: Backend, journal: Journal, clock: Clock) -> None:
        self._backend = backend
        self.at_once = backend.at_once
        self._journal = journal
        self._clock = clock
        self._router = Router()
        self._ids = RequestIds(0)
        self._foreign: dict[str, int] = {}
        self._common: tuple[Settings | None, dict[str, str]] = (None, {})
        self._open_calls: dict[Call, web.Request] = {}
        self.ending = False
        self.defects = 0
        self.last_defect: Exception | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        found = self._router.find(request.method, request.rel_url.raw_path)
        call = self._open(request, found)
        self._open_calls[call] = request
        try:
            reply = await self._reply(request, found, call)
        except NoAnswer as end:
            self._journal.close(call, None, "server_cut")
            cut(request, end.wire)
            return web.Response()
        except asyncio.CancelledError:
            ending: Ending = "client_gone" if _is_gone(request) else "server_cut"
            self._journal.close(call, None, ending)
            raise
        else:
            return await self._send(request, call, reply)
        finally:
            del self._open_calls[call]
            if self.ending:
                request.protocol.close()  # once the answer is sent

    @property
    def under_way(self) -> int:
        """How many calls have no end yet."""
        return self._journal.under_way

    def cut_calls(self, longer_than: float = -math.inf) -> None:
        """Cut the calls that are under way for so many real seconds: they get no answer."""
        now = self._clock.real()
        for call, request in list(self._open_calls.items()):
            if now - call.real_arrived > longer_than:
                protocol = request.protocol
                if isinstance(protocol, StampedConnection):
                    protocol.cut_call()
                else:
                    request.task.cancel()

    async def _reply(self, request: web.Request, found: Found, call: Call) -> Reply:
        """Return the answer; a fault becomes one here and nowhere else."""
        try:
            reply = await self._handle(request, found, call)
        except ApiFault as fault:
            plain = _is_plain(found.route, call, fault)
            reply = fault_reply(fault, self._backend.settings, self._clock, plain=plain)
        except NoAnswer:
            raise
        except Exception as exc:  # our own defect: a plain 500, and the traceback in the log
            log.exception("defect in %s %s", call.method, call.operation)
            self.defects += 1
            self.last_defect = exc
            defect = ComputeFault(f"The simulator failed: {type(exc).__name__}")
            reply = fault_reply(defect, self._backend.settings, self._clock)
        self._finish(request, found, call, reply)
        return reply

    async def _send(self, request: web.Request, call: Call, reply: Reply) -> web.StreamResponse:
        decision = call.outcome.decision
        closing = partial(self._journal.close, call)
        effect = None if decision is None else decision.wire
        if _is_gone(request):  # before anything is closed: who counts ends would count two
            self._close_gone(call, reply)
            return web.Response()
        try:
            if effect is None:
                return await send_whole(request, reply, closing)
            return await send(request, reply, effect, closing, self._clock)
        except ConnectionError:
            self._close_gone(call, reply)
            return web.Response()  # nobody reads it; an error here, aiohttp would log as a defect
        except asyncio.CancelledError:
            self._close_gone(call, reply)
            raise

    def _close_gone(self, call: Call, reply: Reply) -> None:
        """Close the entry of a client that left before its answer was handed over."""
        told = Answer(reply.status, reply.retry_after, size_bytes=len(reply.body))
        self._journal.close(call, call.outcome.answer or told, "client_gone")

    # ── the call ──

    def _open(self, request: web.Request, found: Found) -> Call:
        seq = self._journal.next_seq()
        arrived, connected, conn, peer, headers, size_bytes = self._origin(request)
        now = self._clock.now()
        params = found.params
        call = Call(
            seq=seq,
            id=self._id_of(seq),
            operation=None if found.route is None else found.route.operation,
            method=request.method,
            path=_path_to_keep(request, found),
            headers=headers,
            peer=peer,
            conn=conn,
            connected=connected,
            arrived=now if arrived is None else min(arrived, now),
            real_arrived=self._clock.real(),
            server=params.get("server_id"),
            network=params.get("network_id"),
            interface=params.get("interface_id"),
        )
        self._journal.open(call, size_bytes)
        return call

    def _id_of(self, seq: int) -> str:
        ids = self._ids
        if ids.seed != self._backend.seed:
            ids = self._ids = RequestIds(self._backend.seed)
        return ids(seq)

    def _origin(self, request: web.Request) -> Origin:
        """Return when the request's bytes came, on which connection, from where, and its headers.

        A connection's requests mostly have the same headers; they are kept once.
        """
        protocol = request.protocol
        if isinstance(protocol, StampedConnection):
            return protocol.stamped(request)
        name = request.transport.get_extra_info("peername") if request.transport else None
        peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else str(name or "")
        number = self._foreign.setdefault(peer, len(self._foreign) + 1)
        headers = without_secrets(request.headers)
        return Origin(None, None, number, peer, headers, size_of(request.raw_headers))

    # ── the order of checks ──

    async def _handle(self, request: web.Request, found: Found, call: Call) -> Reply:
        if found.needs_token:
            await self._authorize(request, found, call)
        route = found.route
        if route is None:
            await self._refuse(call, found.refusal or _no_route())
        assert route is not None  # noqa: S101 -- `refuse` never returns
        fault = _role_fault(call, route) or _accept_fault(request, found)
        if fault is not None:
            await self._refuse(call, fault)
        asked = Asked(
            call=call,
            backend=self._backend,
            request=request,
            params=found.params,
            path=found.path,
        )
        if route.takes_body or route.read_query is not None:
            await self._read(request, route, asked)
        return await route.handler(asked)

    async def _authorize(self, request: web.Request, found: Found, call: Call) -> None:
        token = request.headers.get("X-Auth-Token")
        identity = None if token is None else await self._backend.identify(token)
        if identity is None:
            call.token_id = None if token is None else token_digest(token)
            await self._refuse(call, Unauthorized("Unauthorized"))
            return
        _note_caller(call, identity)
        if found.tenant is not None and found.tenant != identity.tenant:
            await self._refuse(call, _mismatch(self._backend.settings))

    async def _read(self, request: web.Request, route: Route, asked: Asked) -> None:
        """Read the query and the body, and refuse what is wrong with them."""
        try:
            if route.takes_body:
                await self._read_body(request, route, asked)
            if route.read_query is not None:
                asked.page = route.read_query(asked.query)
        except ApiFault as fault:
            await self._refuse(asked.call, fault)

    async def _read_body(self, request: web.Request, route: Route, asked: Asked) -> None:
        raw = await _body_of(request)
        if raw:
            self._check_media_type(request)
        call = asked.call
        quick = quick_interface(raw) if call.operation == _ATTACH else None
        if quick is not None:
            asked.body, call.body_digest = quick
        else:
            try:
                data = parse_json(raw, route.malformed)
            except BadRequest:
                call.body_digest = raw_digest(raw) if raw else None
                raise
            call.body_digest = digest_of(data)
            asked.body = _read_data(route, data)
        if call.operation == _ATTACH:
            call.network = asked.body

    def _check_media_type(self, request: web.Request) -> None:
        text = request.headers.get("Content-Type", "")
        if text in _JSON_TYPES or text.partition(";")[0].strip().lower() in _JSON_TYPES:
            return
        message = f"Content-Type {text} is not supported: send application/json"
        if self._backend.settings.bad_media_type_status == 415:
            raise BadMediaType(message)
        raise BadRequest(message)

    async def _refuse(self, call: Call, fault: ApiFault) -> None:
        await self._backend.refuse(call, fault)

    # ── headers ──

    def _finish(self, request: web.Request, found: Found, call: Call, reply: Reply) -> None:
        """Add the headers that every answer has."""
        settings = self._backend.settings
        if self._common[0] is not settings:
            common = {"Server": settings.server_header, "Via": settings.via_header}
            self._common = (settings, common)
        headers = reply.headers
        headers.update(self._common[1])
        if self.ending:
            headers["Connection"] = "close"
        if reply.status == 401:
            headers["WWW-Authenticate"] = f"Keystone uri={base_of(request)}/v2.0"
        decision = call.outcome.decision
        if found.service != "identity" and not _proxy_made(reply, decision):
            headers["X-Compute-Request-Id"] = call.id
        if decision is not None and settings.profile != "live" and _shows(decision):
            headers["X-Vifsim-Fault"] = decision.by or ""


def _is_gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


_ATTACH = "create_virtual_interface"
_LOG_IN = "authenticate"


def _read_data(route: Route, data: Any) -> Any:
    """Return what a body comes to.

    Raises:
        BadRequest: it is not what the operation takes.
    """
    quick = quick_credentials(data) if route.operation == _LOG_IN else None
    if quick is not None:
        return quick
    from vifsim.http.bodies import load, schema_of  # noqa: PLC0415 -- marshmallow is slow to import

    return load(schema_of(route.operation), data, route.malformed)


def _path_to_keep(request: web.Request, found: Found) -> str:
    path = request.raw_path
    if not path.startswith("/"):
        path = request.path_qs
    if found.service == "identity" or "tokens" in path or "%" in path:
        return _masked(request.path) if "tokens/" in request.path else path
    return path


def _masked(path: str) -> str:
    """Return a path without the token in it: credentials are never kept."""
    head, _, tail = path.partition("tokens/")
    token, slash, rest = tail.partition("/")
    return f"{head}tokens/{token_digest(token)}{slash}{rest}"


def _note_caller(call: Call, identity: Identity) -> None:
    call.user = identity.user
    call.tenant = identity.tenant
    call.role = identity.role
    call.token_id = identity.token_id


def _no_route() -> ItemNotFound:
    return ItemNotFound("The resource could not be found.")


def _mismatch(settings: Settings) -> ApiFault:
    match settings.tenant_mismatch_status:
        case 403:
            return Forbidden("The token is not for this tenant")
        case 404:
            return _no_route()
        case _:
            return Unauthorized("Unauthorized")


def _role_fault(call: Call, route: Route) -> ApiFault | None:
    """Return the refusal of a role that is too weak.

    Source: API contract, section 6.3 (docs/api.md).
    """
    if call.role in {"admin", None} or route.service != "compute" or route.method == "GET":
        return None
    if call.role == "creator" and route.method == "POST":
        return None
    return Forbidden(f"Role '{call.role}' may not call {route.method} here")


def _accept_fault(request: web.Request, found: Found) -> ApiFault | None:
    """Return the refusal of a client that takes no JSON.

    Source: API contract, section 8.3 (docs/api.md).
    """
    if found.wants_xml:
        return NotAcceptable("Only application/json is available here")
    accept = request.headers.get("Accept")
    if accept is None or accept in _ACCEPTABLE or _accepts_json(accept):
        return None
    return NotAcceptable(f"Only application/json is available here, not {accept}")


def _accepts_json(accept: str) -> bool:
    for item in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in item.split(";"))
        refused = any(part.replace(" ", "") in {"q=0", "q=0.0", "q=0.00"} for part in parameters)
        if not refused and (kind in _ACCEPTABLE or _is_vendor_json(kind) or not kind):
            return True
    return not accept.strip()


def _is_vendor_json(kind: str) -> bool:
    return kind.startswith("application/vnd.openstack.") and kind.endswith("+json")


async def _whole_body(request: web.Request) -> bytes:
    """Return the body when all of it is there.

    One of a known length fits into the buffer: whoever sends it byte by byte wakes nobody before
    its end. Chunks and what is packed may become larger than that.
    """
    content = request.content
    if request.content_length is None or "Content-Encoding" in request.headers:
        return await request.read()
    if content.exception() is None:
        await content.wait_eof()
    return content.read_nowait()


async def _body_of(request: web.Request) -> bytes:
    """Return the body.

    Raises:
        TooLarge: over the limit; it is not read then.
    """
    message = f"The request body is over {MAX_BODY_BYTES} bytes"
    if request.content.is_eof():  # all of it is here
        body = request.content.read_nowait()
        if len(body) > MAX_BODY_BYTES:
            raise TooLarge(message)
        return body
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise TooLarge(message)
    if not request.can_read_body:
        return b""
    try:
        return await _whole_body(request)
    except web.HTTPRequestEntityTooLarge as exc:
        raise TooLarge(message) from exc
    except (web.RequestPayloadError, PayloadEncodingError) as exc:
        raise BadRequest(f"{MALFORMED}: {exc}") from exc


def _proxy_made(reply: Reply, decision: Decision | None) -> bool:
    """Return whether the real answer would not come from behind the proxy, so has no request id.

    A 413 with a time is a rate limit's, and so the proxy's, where a rule decided; where none did
    it is a quota's.
    """
    if reply.status == 413:
        injected = decision is not None and decision.fault is not None
        return injected and "Retry-After" in reply.headers
    return reply.status in _WITHOUT_ID


def _is_plain(route: Route | None, call: Call, fault: ApiFault) -> bool:
    """Return whether the live service's extension itself made this refusal, in plain text.

    Refusals of a role come from the fault wrapper, injected ones say what a rule asks for.

    Source: API contract, section 2.3 (docs/api.md).
    """
    if route is None or not route.plain_faults or fault.status not in _PLAIN:
        return False
    decision = call.outcome.decision
    injected = decision is not None and decision.fault is fault
    return not injected and _role_fault(call, route) is None


def _shows(decision: Decision) -> bool:
    """Return whether an injected fault made the answer, and is a rule of a scenario."""
    if decision.by is None or decision.by.startswith("documented-"):
        return False
    return decision.fault is not None or decision.wire is not None
