"""What a rule that fired does to a call: its delay, its refusal, its bytes.

The house rule: a pure reading of one rule; whether it fires, and what counts, is the engine's.

Source: scenario format, "fault: exactly one of", "at" and "retry_after" (docs/scenarios.md).
"""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, assert_never

from vifsim.draws import lognormal, pareto, quantiles, uniform
from vifsim.errors import FAULT_BY_STATUS, ApiFault, OverLimit, RetryAfter, TooLarge
from vifsim.exchange import (
    PASS,
    Decision,
    Redelivery,
    WireClose,
    WireCorrupt,
    WireDrip,
    WireHang,
    WireKeepaliveCut,
    WireMidBody,
    WireReset,
    WireTruncate,
)
from vifsim.scenario.rule import (
    Close,
    Corrupt,
    Drip,
    Duplicate,
    ExpireToken,
    Hang,
    KeepaliveCut,
    Reset,
    Stale,
    Status,
    Truncate,
)
from vifsim.values import slotted

if TYPE_CHECKING:
    from vifsim.errors import RetryAfterForm
    from vifsim.exchange import WireEffect
    from vifsim.scenario.rule import Distribution, Fault, Limit, RetryAfterRule, Rule

MESSAGES: dict[int, str] = {
    400: "Injected failure: the request is refused",
    401: "Unauthorized",
    403: "Injected failure: forbidden",
    404: "The resource could not be found.",
    405: "Injected failure: the method is not supported here",
    409: "Injected failure: the request conflicts with the present state",
    413: "Injected failure: too large",
    415: "Injected failure: the media type is not supported",
    429: "OverLimit Retry...",
    500: "Injected failure",
    501: "Injected failure: not implemented",
    502: "Bad Gateway",
    503: "Temporarily unavailable",
    504: "Gateway Timeout",
}
"""The default text of each injected status; code and name are contract, the text is not."""

_GATEWAY = frozenset({502, 504})


def sample(distribution: Distribution, u: float) -> float:
    """Return the delay of a distribution at the draw `u`, seconds."""
    values = distribution.values
    match distribution.kind:
        case "constant":
            return values[0]
        case "uniform":
            return uniform(u, low=values[0], high=values[1])
        case "lognormal":
            return min(values[2], lognormal(u, p50=values[0], p99=values[1]))
        case "pareto":
            return min(values[2], pareto(u, minimum=values[0], shape=values[1]))
        case "quantiles":
            return quantiles(u, points=distribution.points)
        case _:
            assert_never(distribution.kind)


def fault_of(answer: Status | Limit, retry_after: RetryAfter | None) -> ApiFault:
    """Return the fault that a rule answers with."""
    status = answer.status
    leaf = FAULT_BY_STATUS[status]
    timed = retry_after is not None and retry_after.delay is not None
    if leaf is OverLimit and not timed:
        leaf = TooLarge
    message = answer.message or ("OverLimit Retry..." if leaf is OverLimit else MESSAGES[status])
    headers = dict(answer.headers)
    if status == 405:
        headers.setdefault("Allow", "GET, POST")
    return leaf(
        message,
        details="Error Details..." if timed and status in {413, 429} else None,
        retry_after=retry_after,
        headers=headers,
        body=answer.body or ("html" if status in _GATEWAY else "fault"),
    )


def retry_after_of(
    asked: RetryAfterRule, form: RetryAfterForm, *, left: float, u: float
) -> RetryAfter:
    """Return when a refused client may come back.

    Args:
        asked: what the rule says.
        form: the profile's, for `auto`.
        left: seconds until what `auto` waits for is over.
        u: the draw that `spread` uses.
    """
    spread = asked.spread * u
    match asked.kind:
        case "auto":
            return RetryAfter(left + spread, form)
        case "duration":
            return RetryAfter(asked.seconds + spread, "seconds")
        case "date":
            return RetryAfter(asked.seconds + spread, "date")
        case "raw":
            return RetryAfter(None, "raw", asked.text)
        case _:
            assert_never(asked.kind)


@slotted
class Making:
    """A decision in the making: what fired so far, and the delays that this added.

    `drawn`: a delay was drawn, so hardly another call gets the same.
    """

    fired: list[str] = field(default_factory=list[str])
    before: float = 0.0
    after: float = 0.0
    drawn: bool = False

    def done(self) -> Decision:
        """Return the decision where no rule decided: the delays alone."""
        if not self.fired:
            return PASS
        make = _delayed if self.drawn else _delayed_alike
        return make(tuple(self.fired), self.before, self.after)

    def refused(self, rule: Rule, fault: ApiFault, hold: float) -> Decision:
        """Return the decision that refuses, held for `hold` seconds."""
        return self._held(rule, hold, fault=fault)

    def decided(self, rule: Rule, hold: float) -> Decision:
        """Return the decision of a rule whose fault is no status."""
        fault = rule.fault
        match fault:
            case ExpireToken():
                return self._expiry(rule, hold)
            case Hang(seconds=seconds):
                return self._cut(rule, wire=WireHang(), hang=seconds)
            case Stale(seconds=seconds):
                return self._decision(rule, stale=seconds)
            case Duplicate():
                redelivery = Redelivery(fault.times, fault.gap, fault.answer)
                return self._decision(rule, redelivery=redelivery)
            case Reset() | Close(where="before_headers"):
                wire = WireReset() if isinstance(fault, Reset) else WireClose()
                return self._cut(rule, wire=wire)
            case _:
                return self._decision(rule, at="after_commit", wire=_spoiling(fault))

    def _expiry(self, rule: Rule, hold: float) -> Decision:
        if rule.at == "after_commit":
            return self._decision(rule, at=rule.at, expire_token=True)
        fault = fault_of(Status(status=401), None)
        return self._held(rule, hold, fault=fault, expire_token=True)

    def _held(self, rule: Rule, hold: float, **decided: Any) -> Decision:
        self.after += hold
        return self._cut(rule, **decided)

    def _cut(self, rule: Rule, **decided: Any) -> Decision:
        """Return a decision whose call, where it comes before the effect, never gets to the store.

        Nothing lies between the delays before and after the effect then.
        """
        if rule.at == "before":
            self.before, self.after = self.before + self.after, 0.0
        return self._decision(rule, at=rule.at, **decided)

    def _decision(self, rule: Rule, **decided: Any) -> Decision:
        return Decision(
            fired=tuple(self.fired),
            by=rule.id,
            delay_before=self.before,
            delay_after=self.after,
            **decided,
        )


def _delayed(fired: tuple[str, ...], before: float, after: float) -> Decision:
    return Decision(fired=fired, delay_before=before, delay_after=after)


_delayed_alike = lru_cache(maxsize=256)(_delayed)
"""The same for calls that are delayed alike: thousands of them may wait at once."""


def _spoiling(fault: Fault) -> WireEffect:
    """Return what a fault does to the bytes of an answer."""
    match fault:
        case Close():
            return WireMidBody()
        case Drip(rate=rate, chunks=chunks, over=over):
            return WireDrip(rate, chunks, over)
        case Truncate(share=share, size_bytes=size_bytes):
            return WireTruncate(share, size_bytes)
        case Corrupt(kind=kind, path=path, value=value, surplus=surplus):
            return WireCorrupt(kind, path, value, surplus)
        case KeepaliveCut():
            return WireKeepaliveCut()
        case _:
            raise AssertionError(f"{fault.key} spoils no answer")
