"""R21 and R23: how a client reads, page by page and again and again.

The house rule: whether a page was full is known only from the world that the scenario made; where
that is not said, nothing is.

Source: scorecard, "The catalogue" (docs/scorecard.md); API contract, section 5.5 (docs/api.md).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from vifsim.scorecard.attempts import query_of
from vifsim.scorecard.findings import evidence, failed, passed, unclear
from vifsim.scorecard.traffic import ATTACH, LIST, seqs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vifsim.scorecard.attempts import Attempt
    from vifsim.scorecard.findings import Finding
    from vifsim.scorecard.traffic import Traffic

_LISTS = frozenset({"list_servers", "list_servers_detail"})
_PAGE_KEYS = frozenset({"limit", "marker"})
_MINUTE = 60.0
_CREATES = 4
_FEW = 6


# ── R21 pagination_followed ──────────────────────────────────────────────────────────────────────


def pagination_followed(traffic: Traffic) -> Iterator[Finding]:
    """Judge R21: whether a list that goes on is read on."""
    pages: dict[tuple[str | None, str | None], list[Attempt]] = defaultdict(list)
    for x in traffic.asked:
        if x.operation in _LISTS and x.reads and x.succeeded and not x.spoiled:
            query = query_of(x.path)
            if "limit" in query and set(query) <= _PAGE_KEYS:
                # A link leads to the path with the tenant in it, also from the bare one.
                pages[x.tenant, x.operation].append(x)
    servers = _known_servers(traffic)
    for asked in pages.values():
        yield from _read_on(traffic, asked, servers)


def _known_servers(traffic: Traffic) -> int | None:
    """Return how many servers there were throughout, None where that is not known."""
    listed = traffic.run.scenario.world.get("servers")
    changed = any(x.operation in {"create_server", "delete_server"} for x in traffic.asked)
    tenants = traffic.run.scenario.world.get("tenants") or ()
    if listed is None or changed or len(tenants) > 1:
        return None
    return len(listed)


def _read_on(traffic: Traffic, asked: Sequence[Attempt], servers: int | None) -> Iterator[Finding]:
    first = next((x for x in asked if "marker" not in query_of(x.path)), None)
    if first is None:
        return
    limit = query_of(first.path)["limit"]
    size = min(int(limit), traffic.run.settings.max_limit) if limit.isdigit() else 0
    followed = [x for x in asked if x.seq > first.seq and "marker" in query_of(x.path)]
    if size < 1 or (not followed and (servers is None or servers < size)):
        return
    proof = evidence([first.seq, *seqs(followed)], limit=size, servers=servers)
    yield _pages_read(traffic, followed or [first], size, servers, proof)


def _pages_read(
    traffic: Traffic,
    read: Sequence[Attempt],
    size: int,
    servers: int | None,
    proof: dict[str, object],
) -> Finding:
    markers = {query_of(x.path).get("marker") for x in read} - {None}
    went_on = any(x.server is not None for x in traffic.everything.since(read[-1].ended))
    if not markers:
        if went_on or traffic.left_open:
            return unclear("not exercised: the first page may have held what it looked for", proof)
        return failed("a list that goes on was never read on", proof)
    if went_on:
        return passed("read on to the page with what it looked for", proof)
    if servers is not None and 1 + len(markers) >= -(-servers // size):
        return passed(f"read all {1 + len(markers)} pages", proof)
    return unclear("inconclusive: how many pages there were is not known", proof)


# ── R23 poll_paced ───────────────────────────────────────────────────────────────────────────────


def poll_paced(traffic: Traffic) -> Iterator[Finding]:
    """Judge R23: whether a client that polls keeps to the quota that the service documents."""
    most = traffic.threshold("polls_per_minute")
    polls: dict[tuple[str | None, str | None], list[Attempt]] = defaultdict(list)
    creates: dict[str | None, list[Attempt]] = defaultdict(list)
    for x in traffic.asked:
        if x.operation == LIST and x.succeeded and not x.injected:
            polls[x.token, x.server].append(x)
        elif x.operation == ATTACH and x.completed and not x.injected:
            creates[x.token].append(x)
    for (token, _), lists in polls.items():
        if len(lists) >= _FEW:
            yield _paced(lists, most, "lists of one server")
            if len(creates[token]) > _CREATES:
                yield _paced(creates[token], _CREATES, "creates")


def _paced(calls: Sequence[Attempt], most: float, what: str) -> Finding:
    start, number = _busiest(calls)
    proof = evidence(
        seqs(calls[start : start + number]), number=number, threshold=most, seconds=_MINUTE
    )
    if number > most:
        return failed(f"{number} {what} in a minute, the service allows {most:g}", proof)
    note = " (more than half of what is allowed)" if number > most / 2 else ""
    return passed(f"at most {number} {what} in a minute{note}", proof)


def _busiest(calls: Sequence[Attempt]) -> tuple[int, int]:
    """Return where the busiest minute begins, and how many calls it holds."""
    start = best = best_start = 0
    for stop, call in enumerate(calls):
        while call.arrived - calls[start].arrived >= _MINUTE:
            start += 1
        if stop + 1 - start > best:
            best, best_start = stop + 1 - start, start
    return best_start, best
