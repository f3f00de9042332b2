"""The attempts of a run: journal entries as the rules see them, on the client's own clock.

The house rule: an entry is read once and here; the rules know attempts, never documents. Whatever
the journal cannot say is None, and no rule may guess it.

Source: scorecard, "Definitions" (docs/scorecard.md); control API, section 3.2
(docs/control-api.md).
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from vifsim.model import Settings
from vifsim.scenario.documented import documented_rules
from vifsim.scenario.rule import Corrupt, Scenario, Status
from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vifsim.scenario.rule import Rule

TRANSIENT = frozenset({408, 413, 429, 500, 502, 503, 504})
PERMANENT = frozenset({400, 403, 404, 405, 409})
REFUSALS = frozenset({413, 429, 503})
"""The statuses that say that nothing was done and that the client may come back."""

_PLAUSIBLE = frozenset({"set", "drop"})
"""Ways to spoil a body that leave an answer which a client may well take for a good one."""

_OP_HEADERS = frozenset({"x-vifsim-op", "idempotency-key"})


@frozen
class Run:
    """One run of a client: what the journal kept, and what it is judged by.

    Attributes:
        entries: journal entries as the control API shows them, in the order of `seq`.
        seed: of the run.
        scenario: that held; one without rules where there was none.
        settings: how the cloud behaved.
        rules: further rules that held, such as those added to a running simulator.
        clock: the clock's mode; with "scaled", `speed` simulated seconds are one of the client's.
        client: the command that was run: `exit_code`, `ended`, `at`; None where nobody knows.
        dropped: entries that the journal had no room for.
    """

    entries: Sequence[Mapping[str, Any]]
    seed: int = 0
    scenario: Scenario = field(default_factory=lambda: Scenario(name="none"))
    settings: Settings = field(default_factory=Settings)
    rules: Sequence[Rule] = ()
    clock: str = "real"
    speed: float = 1.0
    client: Mapping[str, Any] | None = None
    dropped: int = 0

    @property
    def tolerance(self) -> float:
        """Seconds by which a measured wait may be off: 50 ms, 1 ms where the clock only jumps."""
        return 0.001 if self.clock in {"manual", "autojump"} else 0.05

    @property
    def simulated_second(self) -> float:
        """The client's seconds in one of the simulator's."""
        return 1.0 / self.speed if self.clock == "scaled" and self.speed else 1.0


@frozen
class Attempt:
    """One request and what came of it.

    Attributes:
        kept: whether its connection had served a call before.
        arrived, end: the client's seconds; `end` is None while it is under way.
        at: when it arrived on the simulator's clock.
        connected, settled: when its connection was made and when it ended, in unscaled seconds;
            None where nobody saw it.
        status: that the client was told, None for no answer.
        retry_after: seconds that it was told to wait; `dated` where as a date.
        outcome: completed, client_gone, server_cut; None while under way.
        took_effect: when it changed anything, on the simulator's clock.
        created, deleted: ids of virtual interfaces; `gone_server` the id of a deleted server.
        by: the rule that decided; `injected` whether it made up the answer or the cut.
        delay: seconds of the client by which a rule made the answer late.
        op: what the client itself says that the request belongs to.
        visible: whether a client can see that the body is spoiled.
        too_large: whether a 413 says that waiting does not help; None where nobody can tell.
    """

    seq: int
    operation: str
    method: str
    path: str
    tenant: str | None
    token: str | None
    server: str | None
    network: str | None
    interface: str | None
    digest: str | None
    conn: int
    kept: bool
    arrived: float
    end: float | None
    at: float
    connected: float | None
    settled: float | None
    status: int | None
    retry_after: float | None
    dated: bool
    spoiled: bool
    visible: bool
    outcome: str | None
    committed: bool
    took_effect: float | None
    created: tuple[str, ...]
    deleted: tuple[str, ...]
    gone_server: str | None
    by: str | None
    injected: bool
    wire: str | None
    delay: float
    op: str | None
    too_large: bool | None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.end is not None

    @property
    def ended(self) -> float:
        """When it ended; only of one that has."""
        return self.arrived if self.end is None else self.end

    @property
    def completed(self) -> bool:
        """Whether the whole answer was handed over."""
        return self.outcome == "completed"

    @property
    def succeeded(self) -> bool:
        """Whether the client got what it asked for."""
        return self.completed and (self.status or 0) < 400 and not self.spoiled_visibly

    @property
    def spoiled_visibly(self) -> bool:
        """Whether the body is not what the status promises, and the client can see it."""
        return self.spoiled and self.visible

    @property
    def failed(self) -> bool:
        """Whether it ended in anything but a good answer."""
        return self.done and not self.succeeded

    @property
    def transient(self) -> bool:
        """Whether it failed in a way that may pass by itself."""
        if not self.done:
            return False
        if not self.completed or self.spoiled_visibly:
            return True
        return self.status in TRANSIENT and self.too_large is not True

    @property
    def permanent(self) -> bool:
        """Whether it was refused in a way that the same request will meet again."""
        if not self.completed or (self.retry_after or 0) > 0:
            return False
        return self.status in PERMANENT or self.too_large is True

    @property
    def ambiguous(self) -> bool:
        """Whether it is a create of which the client cannot know what became."""
        if self.operation != "create_virtual_interface" or not self.done:
            return False
        return not self.completed or (self.status or 0) >= 500 or self.spoiled_visibly

    @property
    def lost(self) -> bool:
        """Whether it is a create that took effect and whose client cannot know it."""
        return self.ambiguous and self.committed

    @property
    def reads(self) -> bool:
        """Whether it is a GET; a HEAD shows a client nothing."""
        return self.method == "GET"

    @property
    def lasted(self) -> float:
        """Seconds from its arrival to its end."""
        return self.ended - self.arrived


def rules_by_id(run: Run) -> dict[str, Rule]:
    """Return every rule that may have decided, the documented limits included."""
    limited = replace(run.settings, rate_limits="documented")
    found = {rule.id: rule for rule in documented_rules(limited)}
    return found | {rule.id: rule for rule in (*run.scenario.rules, *run.rules)}


def read_attempts(run: Run, rules: Mapping[str, Rule]) -> list[Attempt]:
    """Return the attempts of a run, in the order in which they arrived."""
    times = _client_times(run)
    tenants = _tenants_of_tokens(run.entries)
    kept = _kept(run.entries)
    attempts = [
        _attempt(entry, place, run, rules.get(_by(entry) or ""), tenants)
        for entry, place in zip(run.entries, zip(times, kept, strict=True), strict=True)
    ]
    attempts.sort(key=lambda attempt: (attempt.arrived, attempt.seq))
    return attempts


def _kept(entries: Sequence[Mapping[str, Any]]) -> list[bool]:
    """Return for each entry whether its connection had served a call before."""
    seen: set[int] = set()
    kept: list[bool] = []
    for entry in entries:
        kept.append(entry["conn"] in seen)
        seen.add(entry["conn"])
    return kept


def _by(entry: Mapping[str, Any]) -> str | None:
    decision = entry["decision"]
    return None if decision is None else decision["by"]


def _tenants_of_tokens(entries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return whose a token is: a call with a dead one is journalled without a tenant."""
    found: dict[str, str] = {}
    for entry in entries:
        if entry["token_id"] is not None and entry["tenant"] is not None:
            found[entry["token_id"]] = entry["tenant"]
    return found


def _client_times(run: Run) -> list[tuple[float, float | None]]:
    """Return when each entry arrived and ended, in the client's seconds.

    Retry-After is told in the client's seconds, so a scaled clock's own stamps are of no use. A
    clock that stands is moved by a test, or by nobody while a client really waits: what has passed
    is the larger of the two.
    """
    if run.clock == "scaled":
        return [(entry["real"]["arrived"], entry["real"]["end"]) for entry in run.entries]
    if run.clock == "manual":
        return _joined_times(run.entries)
    return [(entry["arrived"], entry["end"]) for entry in run.entries]


def _joined_times(entries: Sequence[Mapping[str, Any]]) -> list[tuple[float, float | None]]:
    moments = [
        (entry["real"][key], entry[key], index, key)
        for index, entry in enumerate(entries)
        for key in ("arrived", "end")
        if entry[key] is not None
    ]
    moments.sort()
    stamped: dict[tuple[int, str], float] = {}
    now, real, simulated = 0.0, 0.0, 0.0
    for its_real, its_simulated, index, key in moments:
        now += max(its_real - real, its_simulated - simulated, 0.0)
        real, simulated = its_real, max(simulated, its_simulated)
        stamped[index, key] = now
    return [
        (stamped[index, "arrived"], stamped.get((index, "end"))) for index in range(len(entries))
    ]


def _attempt(
    entry: Mapping[str, Any],
    place: tuple[tuple[float, float | None], bool],
    run: Run,
    rule: Rule | None,
    tenants: Mapping[str, str],
) -> Attempt:
    told: Mapping[str, Any] = entry["told"] or {}
    decision: Mapping[str, Any] = entry["decision"] or {}
    token = entry["token_id"]
    retry_after = told.get("retry_after")
    late = decision.get("delay_before", 0.0) + decision.get("delay_after", 0.0)
    (arrived, end), kept = place
    return Attempt(
        seq=entry["seq"],
        operation=entry["operation"],
        method=entry["method"],
        path=entry["path"],
        tenant=entry["tenant"] or tenants.get(token or ""),
        token=token,
        server=entry["server"],
        network=entry["network"],
        interface=entry["interface"],
        digest=entry["body_digest"],
        conn=entry["conn"],
        kept=kept,
        arrived=arrived,
        end=end if entry["outcome"] is not None else None,
        at=entry["arrived"],
        connected=entry["real"].get("connected"),
        settled=entry["real"]["end"],
        status=told.get("status"),
        retry_after=retry_after,
        # A number of seconds is always whole; what is left until a date never is.
        dated=retry_after is not None and retry_after != int(retry_after),
        spoiled=bool(told.get("spoiled")),
        visible=not (
            rule is not None
            and isinstance(rule.fault, Corrupt)
            and (rule.fault.kind in _PLAUSIBLE or _empty_read(entry, rule.fault))
        ),
        outcome=entry["outcome"],
        committed=entry["committed"],
        took_effect=min((effect["at"] for effect in entry["effects"]), default=None),
        created=_ids(entry, "created"),
        deleted=_ids(entry, "deleted"),
        gone_server=_gone_server(entry),
        by=decision.get("by"),
        injected=decision.get("fault") is not None or decision.get("wire") is not None,
        wire=decision.get("wire"),
        delay=late * run.simulated_second,
        op=_op(entry["headers"]),
        too_large=_too_large(told, decision, rule),
    )


def _empty_read(entry: Mapping[str, Any], fault: Corrupt) -> bool:
    """Return whether a read was answered with a list that is empty, which is no visible damage."""
    return fault.kind == "empty_list" and entry["method"] == "GET"


def _ids(entry: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    return tuple(
        effect["id"]
        for effect in entry["effects"]
        if effect["kind"] == kind and effect["object"] == "virtual_interface"
    )


def _gone_server(entry: Mapping[str, Any]) -> str | None:
    for effect in entry["effects"]:
        if effect["kind"] == "deleted" and effect["object"] == "server":
            return str(effect["id"])
    return None


def _op(headers: Mapping[str, str]) -> str | None:
    for name, value in headers.items():
        if name.lower() in _OP_HEADERS and value:
            return value
    return None


def _too_large(
    told: Mapping[str, Any], decision: Mapping[str, Any], rule: Rule | None
) -> bool | None:
    """Return whether an answer is a 413 that says "too large", None where the text is not known.

    Source: API contract, section 7.4 (docs/api.md).
    """
    if told.get("status") != 413 or (told.get("retry_after") or 0) > 0:
        return False
    if decision.get("by") is None:
        return True
    if rule is None or rule.retry_after is not None or not isinstance(rule.fault, Status):
        return None
    own_text = rule.fault.message or rule.fault.body not in {None, "fault"}
    return None if own_text else True


def query_of(path: str) -> dict[str, str]:
    """Return the query of a path."""
    return dict(parse_qsl(urlsplit(path).query, keep_blank_values=True))


def key_path(path: str) -> str:
    """Return a path with its query in order, so that order makes no difference."""
    bare, mark, query = path.partition("?")
    if not mark:
        return path
    return bare + mark + "&".join(sorted(query.split("&")))
