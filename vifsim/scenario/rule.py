"""The values of a scenario: what a rule matches, when it fires, what it does.

The house rule: values only, checked where they are made (`schema`), obeyed elsewhere (`engine`).
Durations are seconds; names and globs are lower-case only where the API is case-blind.

Source: scenario format (docs/scenarios.md).
"""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vifsim.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vifsim.errors import BodyForm

Place = Literal["before", "after_commit"]
Origin = Literal["documented", "added", "scenario"]
Per = Literal["rule", "user", "tenant", "token", "client", "server", "interface"]


ExpectedVerdict = Literal["pass", "fail", "any"]
"""What a scenario says a good client gets from a rule of the scorecard."""


@frozen
class Match:
    """Which calls: every field that is not empty must hold; within a field any of its globs.

    `servers` and `networks` hold globs of names, labels or ids, `headers` (name, glob) pairs.
    """

    operations: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    agents: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()


@frozen
class Chance:
    """A probability, or one that moves in a straight line across the phase `during`."""

    start: float
    end: float

    @property
    def moves(self) -> bool:
        """Whether the probability depends on the time."""
        return self.start != self.end


@frozen
class Flap:
    """A square wave in scenario time that begins up; a rule fires while it is down. Seconds."""

    up: float
    down: float


@frozen
class Schedule:
    """Which of the matching calls; all that is given must hold.

    `during` names phases, `between` is a half-open stretch of scenario time in seconds.
    """

    first: int | None = None
    nth: tuple[int, ...] = ()
    every: int | None = None
    after: int | None = None
    times: int | None = None
    chance: Chance | None = None
    flap: Flap | None = None
    during: tuple[str, ...] = ()
    between: tuple[float, float] | None = None
    per: Per = "rule"

    @property
    def counts(self) -> bool:
        """Whether the number of the call among its likes decides."""
        return not (self.first is self.every is self.after is self.times is None and not self.nth)


@frozen
class RetryAfterRule:
    """The `retry_after` of a rule.

    `kind`: "auto" (until the limit, window or flap ends, in the profile's form), "duration"
    (`seconds`, whole, rounded up), "date" (`seconds` from now, as an HTTP date), "raw" (`text`).
    `spread` seconds of a draw of the call's own are added to the time.
    """

    kind: Literal["auto", "duration", "date", "raw"]
    seconds: float = 0.0
    text: str = ""
    spread: float = 0.0


@frozen
class Distribution:
    """A distribution of delays, in seconds.

    `kind` and what `values` then holds: "constant" (seconds,), "uniform" (low, high),
    "lognormal" (p50, p99, max or inf), "pareto" (min, shape, max or inf), "quantiles" none, with
    `points` as (share, seconds).
    """

    kind: Literal["constant", "uniform", "lognormal", "pareto", "quantiles"]
    values: tuple[float, ...] = ()
    points: tuple[tuple[float, float], ...] = ()


@frozen
class Latency:
    """A slow answer."""

    key: ClassVar[str] = "latency"
    delay: Distribution


@frozen
class Status:
    """The API's own fault of that status.

    An empty `message` is the default text; `body` None is the usual form of the status.
    """

    key: ClassVar[str] = "status"
    status: int
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: BodyForm | None = None


@frozen
class Limit:
    """`rate` calls in each fixed window of `window` seconds; `status` answers the others."""

    key: ClassVar[str] = "limit"
    rate: int
    window: float
    status: int = 413
    message: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: BodyForm | None = None


@frozen
class Capacity:
    """Honest overload: `workers` serve, `queue` calls may wait, `shed` answers the others."""

    key: ClassVar[str] = "capacity"
    workers: int
    service: Distribution
    queue: int
    shed: int = 503


@frozen
class ExpireToken:
    """The token of the call is dead from now on."""

    key: ClassVar[str] = "expire_token"


@frozen
class Reset:
    """A TCP RST instead of an answer."""

    key: ClassVar[str] = "reset"


@frozen
class Close:
    """A FIN with no answer, or in the middle of one."""

    key: ClassVar[str] = "close"
    where: Literal["before_headers", "mid_body"]


@frozen
class Hang:
    """Silence for `seconds` (None: for ever), then a FIN."""

    key: ClassVar[str] = "hang"
    seconds: float | None


@frozen
class Drip:
    """A slow body: `rate` bytes a second, or `chunks` equal pieces over `over` seconds."""

    key: ClassVar[str] = "drip"
    rate: float | None = None
    chunks: int = 0
    over: float = 0.0


@frozen
class Truncate:
    """A share of the body (0..1) or a number of its bytes, then a FIN."""

    key: ClassVar[str] = "truncate"
    share: float | None = None
    size_bytes: int | None = None


@frozen
class Corrupt:
    """A 200 that does not hold what it should.

    `path` and `value` belong to "drop" and "set", `surplus` (bytes) to "content_length".
    """

    key: ClassVar[str] = "corrupt"
    kind: Literal["not_json", "cut_json", "html", "empty_list", "drop", "set", "content_length"]
    path: tuple[str | int, ...] = ()
    value: Any = None
    surplus: int = 0


@frozen
class Stale:
    """Gets and lists show the world of `seconds` ago as far as creates and deletes go."""

    key: ClassVar[str] = "stale"
    seconds: float


@frozen
class Duplicate:
    """A proxy delivers the call `times` times, `gap` seconds apart, and passes on one answer."""

    key: ClassVar[str] = "duplicate"
    times: int = 2
    gap: float = 0.0
    answer: Literal["first", "last"] = "first"


@frozen
class KeepaliveCut:
    """After a whole answer the connection closes without notice."""

    key: ClassVar[str] = "keepalive_cut"


Fault = (
    Latency
    | Status
    | Limit
    | Capacity
    | ExpireToken
    | Reset
    | Close
    | Hang
    | Drip
    | Truncate
    | Corrupt
    | Stale
    | Duplicate
    | KeepaliveCut
)

FAULT_KEYS: tuple[str, ...] = (
    "latency",
    "status",
    "limit",
    "capacity",
    "expire_token",
    "reset",
    "close",
    "hang",
    "drip",
    "truncate",
    "corrupt",
    "stale",
    "duplicate",
    "keepalive_cut",
)

STATUSES: tuple[int, ...] = (400, 401, 403, 404, 405, 409, 413, 415, 429, 500, 501, 502, 503, 504)
"""The statuses that a rule may answer."""


SCORECARD_RULES: tuple[str, ...] = (
    "retry_after_honoured",
    "transient_retried",
    "retries_capped",
    "no_hot_retry",
    "backoff_grows",
    "backoff_jittered",
    "permanent_not_retried",
    "no_blind_recreate",
    "reconciled_by_listing",
    "no_leaked_interface",
    "hung_request_abandoned",
    "timeout_not_too_short",
    "reauth_on_401",
    "dead_token_not_reused",
    "token_cached",
    "no_stampede",
    "amplification_bounded",
    "overall_deadline",
    "gone_delete_is_done",
    "stale_list_tolerated",
    "pagination_followed",
    "bad_body_survived",
    "poll_paced",
    "busy_server_awaited",
)
"""The rules of the scorecard, R01 to R24, which `expect` may name."""


@frozen
class Rule:
    """One rule: match, schedule, and exactly one fault.

    `id` is the rule's name, else a digest of its canonical text and its rank among equals. `at` is
    the place of the fault: before or after the effect. `source` is the rule as written, plain
    mappings and lists; `line` and `column` its place in the text, counted from 1, 0 where none.
    """

    id: str
    fault: Fault
    match: Match = field(default_factory=Match)
    schedule: Schedule = field(default_factory=Schedule)
    at: Place = "before"
    retry_after: RetryAfterRule | None = None
    origin: Origin = "scenario"
    source: Mapping[str, Any] = field(default_factory=dict[str, Any])
    line: int = 0
    column: int = 0


@frozen
class Phase:
    """A named, half-open stretch of scenario time, in seconds."""

    name: str
    start: float
    end: float


@frozen
class ClientIntent:
    """What the client under test means to do.

    `keeps`: interfaces left on purpose; `fail_fast`: single-shot by design;
    `max_reasonable_wait`: a Retry-After above this many seconds may be ignored.
    """

    keeps: int = 0
    fail_fast: bool = False
    max_reasonable_wait: float = 3600.0


@frozen
class Expectation:
    """What turns a scenario into a test. None and empty: nothing is expected.

    `rules` maps a scorecard rule to "pass", "fail" or "any"; `interfaces` counts those made by the
    client and left at the end; `finishes_within` and the thresholds that are times are seconds.
    """

    rules: Mapping[str, ExpectedVerdict] = field(default_factory=dict[str, ExpectedVerdict])
    interfaces: int | None = None
    max_requests: int | None = None
    finishes_within: float | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict[str, float])


@frozen
class Scenario:
    """A scenario, checked.

    `seed` is None where the file names none. `world` holds the `world` mapping as checked plain
    data; `text` is what was read and `digest` its blake2b, so that a run can name what it ran.
    """

    name: str
    description: str = ""
    seed: int | None = None
    start: Literal["load", "first_call"] = "load"
    hold: float = 0.0
    world: Mapping[str, Any] = field(default_factory=dict[str, Any])
    phases: tuple[Phase, ...] = ()
    rules: tuple[Rule, ...] = ()
    client: ClientIntent = field(default_factory=ClientIntent)
    expect: Expectation = field(default_factory=Expectation)
    text: str = ""
    digest: str = ""
