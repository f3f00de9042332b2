"""What a simulator has done, in numbers that Prometheus reads.

The house rule: nothing is counted before somebody asks for the first time; then the journal is
read, and from there on each call is counted as it ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vifsim.errors import ControlFault

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram

    from vifsim.clock import Clock
    from vifsim.exchange import Call
    from vifsim.journal import Journal

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""What `metrics` answers with: Prometheus' text format."""

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts the calls of a journal.

    Args:
        journal: whose calls are counted.
        clock: whose time is shown.

    Raises:
        ControlFault: 501, prometheus-client is not installed.
    """

    def __init__(self, journal: Journal, clock: Clock) -> None:
        try:
            import prometheus_client  # noqa: PLC0415 -- an extra
        except ImportError as exc:
            text = "metrics need prometheus-client: pip install 'vifsim[metrics]'"
            raise ControlFault(501, text) from exc
        self._client = prometheus_client
        self._journal = journal
        self._clock = clock
        self._registry: CollectorRegistry = prometheus_client.CollectorRegistry()
        self._calls = self._counter(
            "vifsim_calls", "Calls that have ended.", "operation", "status", "outcome"
        )
        self._faults = self._counter(
            "vifsim_faults", "Calls whose answer a rule decided.", "rule", "operation"
        )
        self._effects = self._counter(
            "vifsim_effects", "What calls have done to the cloud.", "kind", "object"
        )
        self._seconds = self._histogram(
            "vifsim_call_seconds", "From the arrival of a call to its end, on the clock."
        )
        self._work = self._histogram(
            "vifsim_backend_seconds", "The same in real seconds, without what rules have added."
        )
        self._gauges(clock)
        for call in journal:
            self._count(call)
        journal.listeners.append(self._count)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._client.Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        labels = ("operation",)
        return self._client.Histogram(name, text, labels, buckets=_BUCKETS, registry=self._registry)

    def _gauges(self, clock: Clock) -> None:
        journal = self._journal
        for name, text, read in (
            ("vifsim_clock_seconds", "Seconds on the simulator's clock.", clock.now),
            ("vifsim_calls_under_way", "Calls without an end.", lambda: journal.under_way),
            ("vifsim_journal_entries", "Entries that are kept.", lambda: len(journal)),
            ("vifsim_journal_dropped", "Entries that had no room.", lambda: journal.dropped),
        ):
            gauge = self._client.Gauge(name, text, registry=self._registry)
            gauge.set_function(read)

    def _count(self, call: Call) -> None:
        """Count a call that has ended; a journal tells of each at its arrival too."""
        outcome = call.outcome
        if outcome.ending is None or outcome.end is None or outcome.real_end is None:
            return
        operation = call.operation or "unknown"
        status = "none" if outcome.answer is None else str(outcome.answer.status)
        self._calls.labels(operation, status, outcome.ending).inc()
        added = 0.0
        decision = outcome.decision
        if decision is not None:
            added = self._clock.client_seconds(decision.delay_before + decision.delay_after)
            if decision.by is not None:
                self._faults.labels(decision.by, operation).inc()
        for effect in outcome.effects:
            self._effects.labels(effect.kind, effect.object).inc()
        self._seconds.labels(operation).observe(outcome.end - call.arrived)
        self._work.labels(operation).observe(max(0.0, outcome.real_end - call.real_arrived - added))

    def text(self) -> bytes:
        """Return the numbers in Prometheus' text format."""
        return self._client.generate_latest(self._registry)
