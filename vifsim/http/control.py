"""The control API under `/_vifsim/`: the simulator's own hand, never mixed with the simulated API.

The house rule: it hands on what is asked to `Controls` and `Shown`, and knows no simulator; its
calls are never faulted, journalled or counted; every error is `application/problem+json`.

Source: control API (docs/control-api.md).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Container, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from aiohttp import web

from vifsim.errors import ApiFault, ControlFault, ScenarioError, UsageError
from vifsim.http.access import PREFIX
from vifsim.http.asking import (
    MAX_BYTES,
    MAX_SNAPSHOT_BYTES,
    SITE_TYPES,
    check_query,
    check_type,
    flag,
    journal_query,
    number,
    read_body,
    read_json,
    read_mapping,
    seconds,
    shipped_name,
    utf8,
)
from vifsim.http.console import Console
from vifsim.http.events import Feed
from vifsim.http.har import har_document
from vifsim.http.metrics import METRICS_TYPE, Metrics
from vifsim.http.problem import answer, problem

if TYPE_CHECKING:
    from vifsim.http.access import Access
    from vifsim.http.needs import Controls, Shown

log = logging.getLogger(__name__)

_MOST_ENTRIES = 10_000
_DEFAULT_ENTRIES = 1_000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _done() -> web.Response:
    return web.Response(status=204)


class Control:
    """The handlers of the control API.

    Args:
        controls: the simulator.
        shown: what is shown of it.
        access: who may call.
    """

    def __init__(self, controls: Controls, shown: Shown, access: Access) -> None:
        self._controls = controls
        self._shown = shown
        self._access = access
        self._feed = Feed(
            controls.journal,
            controls,
            {
                "scenario": _later(shown.scenario),
                "clock": _later(shown.clock),
                "state": controls.state_document,
            },
            controls.clock,
        )

    async def let_go(self) -> None:
        """End the streams of events."""
        await self._feed.aclose()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request to a path of the control API.

        Most clouds live and die without one: a table in the application's own router would be half
        of their start.
        """
        path = _template(request.path.removeprefix(PREFIX), self.routes)
        methods = self.routes.get(path)
        if methods is None:
            return await self._guarded(_page_or_nothing, open_to_all=True)(request)
        method = "GET" if request.method == "HEAD" else request.method
        handler = methods.get(method)
        if handler is None:
            return await self._guarded(_not_allowed(sorted(methods)))(request)
        keys = _QUERY_KEYS.get((method, path), frozenset())
        return await self._guarded(handler, keys)(request)

    @cached_property
    def routes(self) -> dict[str, dict[str, Handler]]:
        """The handler of each path, relative to the prefix, and method."""
        return self._table()

    def _table(self) -> dict[str, dict[str, Handler]]:
        return {
            "/health": {"GET": self.get_health},
            "/state": {"GET": self.get_state},
            "/reset": {"POST": self.post_reset},
            "/snapshot": {"GET": self.get_snapshot, "PUT": self.put_snapshot},
            "/scenario": {"GET": self.get_scenario, "PUT": self.put_scenario},
            "/rules": {"POST": self.post_rule, "DELETE": self.delete_rules},
            "/rules/{id}": {"DELETE": self.delete_rule},
            "/amend": {"POST": self.post_amend},
            "/clock": {"GET": self.get_clock, "PUT": self.put_clock},
            "/clock/advance": {"POST": self.post_advance},
            "/journal": {"GET": self.get_journal, "DELETE": self.delete_journal},
            "/journal/export": {"GET": self.get_export},
            "/journal/har": {"GET": self.get_har},
            "/metrics": {"GET": self.get_metrics},
            "/scorecard": {"GET": self.get_scorecard},
            "/explain": {"GET": self.get_never_fired},
            "/explain/{seq}": {"GET": self.get_explain},
            "/openapi.json": {"GET": self.get_openapi},
            "/events": {"GET": self.get_events},
            **Console(self._controls, self._shown).table(),
        }

    def _guarded(
        self,
        handler: Handler,
        query_keys: frozenset[str] | None = None,
        *,
        open_to_all: bool = False,
    ) -> Handler:
        check = self._access.check_origin if open_to_all else self._access.check

        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                check(request)
                if handler != self.get_health:
                    await self._controls.catch_up()
                if query_keys is not None:
                    check_query(request.query, query_keys)
                return await handler(request)
            except (ControlFault, UsageError, ApiFault) as exc:
                return problem(_refusal(exc))
            except (ConnectionError, web.HTTPException):
                raise
            except Exception as exc:  # our own defect: the traceback goes to the log
                log.exception("defect in %s %s", request.method, request.path)
                return problem(ControlFault(500, f"the simulator failed: {type(exc).__name__}"))

        return guarded

    # ── state ──

    async def get_health(self, _: web.Request) -> web.Response:
        """Answer GET `health`."""
        return answer(self._shown.health())

    async def get_state(self, _: web.Request) -> web.Response:
        """Answer GET `state`."""
        return answer(await self._controls.state_document())

    async def post_reset(self, request: web.Request) -> web.Response:
        """Answer POST `reset`."""
        body = await read_json(request, {"seed"}, empty={})
        seed = body.get("seed")
        if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool) or seed < 0):
            raise ControlFault(400, "seed is a whole number, 0 or more")
        await self._controls.reset(seed)
        return _done()

    async def get_snapshot(self, _: web.Request) -> web.Response:
        """Answer GET `snapshot`."""
        return answer(await self._controls.snapshot())

    async def put_snapshot(self, request: web.Request) -> web.Response:
        """Answer PUT `snapshot`."""
        keys = {"version", "world", "tokens", "sequences", "touched", "scenario", "clock"}
        snapshot = await read_json(request, keys, most=MAX_SNAPSHOT_BYTES)
        await self._controls.restore(snapshot)
        return _done()

    # ── scenario ──

    async def get_scenario(self, _: web.Request) -> web.Response:
        """Answer GET `scenario`."""
        await self._controls.catch_up_counts()
        return answer(self._shown.scenario())

    async def put_scenario(self, request: web.Request) -> web.Response:
        """Answer PUT `scenario`."""
        name = request.query.get("name")
        raw = await read_body(request, MAX_BYTES)
        if name is not None:
            if raw.strip():
                raise ControlFault(400, "give a name or a scenario, not both")
            await self._controls.load(shipped_name(name))
            return _done()
        check_type(request, SITE_TYPES)
        await self._controls.load_text(utf8(raw))
        return _done()

    async def post_rule(self, request: web.Request) -> web.Response:
        """Answer POST `rules`."""
        rule = await read_mapping(request)
        rule_id = await self._controls.add_rule(rule)
        return answer({"id": rule_id}, 201, Location=f"{PREFIX}/rules/{rule_id}")

    async def delete_rules(self, _: web.Request) -> web.Response:
        """Answer DELETE `rules`."""
        await self._controls.remove_added_rules()
        return _done()

    async def delete_rule(self, request: web.Request) -> web.Response:
        """Answer DELETE `rules/{id}`."""
        await self._controls.remove_rule(_item(request))
        return _done()

    async def post_amend(self, request: web.Request) -> web.Response:
        """Answer POST `amend`."""
        body = await read_json(request, None)
        change = body.pop("change", None)
        if not isinstance(change, str):
            raise ControlFault(400, "change is missing: name what to change, such as set_status")
        await self._controls.amend(change, **body)
        return _done()

    # ── clock ──

    async def get_clock(self, _: web.Request) -> web.Response:
        """Answer GET `clock`."""
        return answer(self._shown.clock())

    async def put_clock(self, request: web.Request) -> web.Response:
        """Answer PUT `clock`."""
        body = await read_json(request, {"mode", "speed"})
        mode, speed = body.get("mode"), body.get("speed")
        if not isinstance(mode, str):
            raise ControlFault(400, "mode is missing: real, scaled or manual")
        if speed is not None and (isinstance(speed, bool) or not isinstance(speed, int | float)):
            raise ControlFault(400, "speed is a number")
        await self._controls.steer_clock(mode, speed)
        return answer(self._shown.clock())

    async def post_advance(self, request: web.Request) -> web.Response:
        """Answer POST `clock/advance`."""
        body = await read_json(request, {"by"})
        by = body.get("by")
        if not isinstance(by, str):
            raise ControlFault(400, 'by is missing: a duration with its unit, such as "30m"')
        await self._controls.advance_clock(by)
        return answer(self._shown.clock())

    # ── journal ──

    async def get_journal(self, request: web.Request) -> web.Response:
        """Answer GET `journal`."""
        query = journal_query(request.query)
        journal = self._controls.journal
        calls = list(
            journal.query(
                operation=query.get("operation", "*"),
                tenant=query.get("tenant"),
                server=await self._ids("server", query),
                network=await self._ids("network", query),
                outcome=query.get("outcome"),
                since=number(query, "since", 0, 0, 1 << 62),
            )
        )
        limit = number(query, "limit", _DEFAULT_ENTRIES, 1, _MOST_ENTRIES)
        return answer(
            {
                "entries": journal.documents(calls[:limit]),
                "last": journal.last,
                "dropped": journal.dropped,
            }
        )

    async def _ids(self, kind: str, query: Mapping[str, str]) -> list[str] | None:
        name = query.get(kind)
        return None if name is None else await self._controls.ids_named(kind, name)

    async def delete_journal(self, _: web.Request) -> web.Response:
        """Answer DELETE `journal`."""
        await self._controls.clear_journal()
        return _done()

    async def get_export(self, _: web.Request) -> web.Response:
        """Answer GET `journal/export`."""
        lines = self._controls.journal.lines(self._shown.export_header())
        return web.Response(
            body="".join(f"{line}\n" for line in lines).encode(),
            content_type="application/x-ndjson",
        )

    async def get_har(self, request: web.Request) -> web.Response:
        """Answer GET `journal/har`."""
        journal, clock = self._controls.journal, self._controls.clock
        entries = journal.documents(journal)
        return answer(har_document(entries, clock.utc(0.0), str(request.url.origin())))

    async def get_metrics(self, _: web.Request) -> web.Response:
        """Answer GET `metrics`."""
        return web.Response(body=self._metrics.text(), headers={"Content-Type": METRICS_TYPE})

    @cached_property
    def _metrics(self) -> Metrics:
        return Metrics(self._controls.journal, self._controls.clock)

    async def get_openapi(self, _: web.Request) -> web.Response:
        """Answer GET `openapi.json`."""
        return answer(self._shown.openapi())

    # ── events ──

    async def get_events(self, request: web.Request) -> web.StreamResponse:
        """Answer GET `events`; a HEAD is answered with the headers alone."""
        pace = seconds(request.query, "pace", 0.0, most=60.0)
        brief = flag(request.query, "brief")
        if brief and not pace:
            raise ControlFault(400, "brief goes with a pace, such as pace=60ms")
        if request.method == "HEAD":
            return web.Response(content_type="text/event-stream")
        return await self._feed.stream(request, pace=pace, brief=brief)

    # ── explain ──

    async def get_scorecard(self, _: web.Request) -> web.Response:
        """Answer GET `scorecard`."""
        return answer(self._shown.scorecard())

    async def get_explain(self, request: web.Request) -> web.Response:
        """Answer GET `explain/{seq}`."""
        text = _item(request)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise ControlFault(404, f"no entry {text}")
        return answer(self._shown.explain(int(text)))

    async def get_never_fired(self, _: web.Request) -> web.Response:
        """Answer GET `explain`."""
        await self._controls.catch_up_counts()
        return answer(self._shown.never_fired())


def _refusal(exc: ControlFault | UsageError | ApiFault) -> ControlFault:
    """Return what a control call is refused with; an `ApiFault` is a store that is away."""
    if isinstance(exc, ControlFault):
        return exc
    if isinstance(exc, ScenarioError):
        count = len(exc.problems)
        text = f"{count} error{'s' if count > 1 else ''} in the scenario"
        return ControlFault(400, text, exc.problems)
    if isinstance(exc, ApiFault):
        return ControlFault(exc.status, exc.message)
    return ControlFault(400, str(exc))


def _later(document: Callable[[], dict[str, Any]]) -> Callable[[], Awaitable[dict[str, Any]]]:
    async def made() -> dict[str, Any]:
        return document()

    return made


def _template(path: str, known: Container[str]) -> str:
    """Return the path of the table that a path is an instance of, or the path itself."""
    collection, _, item = path[1:].partition("/")
    template = _ITEMS.get(collection)
    return template if item and template and "/" not in item and path not in known else path


def _item(request: web.Request) -> str:
    """Return what the path names within its collection, as `/rules/{id}` does."""
    return request.path.removeprefix(PREFIX + "/").partition("/")[2]


_ITEMS: Mapping[str, str] = {
    "rules": "/rules/{id}",
    "explain": "/explain/{seq}",
    "moments": "/moments/{before}",
}


async def _page_or_nothing(request: web.Request) -> web.StreamResponse:
    """Answer with a part of the page, which holds no secret and so needs no token."""
    from vifsim.http.pages import page_of  # noqa: PLC0415 -- most clouds are never looked at

    page = page_of(request.path.removeprefix(PREFIX))
    if page is not None and request.method in {"GET", "HEAD"}:
        return page
    if page is not None:
        return await _not_allowed(["GET"])(request)
    raise ControlFault(404, f"the control API has no {request.path}")


def _not_allowed(allowed: list[str]) -> Handler:
    async def refuse(request: web.Request) -> web.Response:
        response = problem(
            ControlFault(405, f"{request.method} is not allowed here, only {', '.join(allowed)}")
        )
        response.headers["Allow"] = ", ".join(allowed)
        return response

    return refuse


_QUERY_KEYS: Mapping[tuple[str, str], frozenset[str]] = {
    ("GET", "/journal"): frozenset(
        {"operation", "tenant", "server", "network", "outcome", "since", "limit"}
    ),
    ("PUT", "/scenario"): frozenset({"name"}),
    ("GET", "/events"): frozenset({"pace", "brief"}),
}
"""The parameters of the calls that take some."""
