"""Metrics of alarms by detector, of what waits, and of the store of shared state and the webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge

_OUTCOMES: Final = ("delivered", "failed", "dropped")


class DetectionMetrics:
    """Counts alarms by detector out of the trail's events, and keeps gauges of a worker's queues."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        """`registry` is None where several processes write to files."""
        kept: dict[str, Any] = {"registry": registry}
        live: dict[str, Any] = {**kept, "multiprocess_mode": "livesum"}
        self._alarms = Counter(
            "vecguard_detection_alarms",
            "Times that a principal came to a rung while a detector was at 1 or above.",
            ("detector",),
            **kept,
        )
        self._waiting = Gauge("vecguard_detection_waiting", "Served calls that wait for analysis.", **live)
        self._alerts = Counter(
            "vecguard_webhook_alerts", "Alerts to the webhook by what became of them.", ("outcome",), **kept
        )
        self._posting = Gauge("vecguard_webhook_waiting", "Alerts that wait for the webhook.", **live)
        self._state = Gauge(
            "vecguard_state_connected",
            "1 where every worker reaches the store of shared state.",
            ("store",),
            multiprocess_mode="livemin",
            **kept,
        )
        self._state_failures = Counter("vecguard_state_failures", "Times that the store was lost.", **kept)
        self._seen: dict[str, int] = {}

    def take(self, event: str, fields: Mapping[str, Any]) -> None:
        """Take an event; those of others are left alone."""
        if event == "detection" and fields["rung"]:
            for detector, level in fields.get("detectors", {}).items():
                if level >= 1.0:
                    self._alarms.labels(detector).inc()

    def waiting(self, calls: int) -> None:
        """How many served calls wait for analysis in this worker."""
        self._waiting.set(calls)

    def webhook(self, waiting: int, outcomes: Mapping[str, int]) -> None:
        """How many alerts wait, and what became of all until now."""
        self._posting.set(waiting)
        for outcome in _OUTCOMES:
            self._alerts.labels(outcome).inc(self._more(f"webhook {outcome}", outcomes.get(outcome, 0)))

    def state(self, reachable: bool, failures: int) -> None:
        """Whether this worker reaches the store, and how often it was lost until now."""
        self._state.labels("redis").set(int(reachable))
        self._state_failures.inc(self._more("state", failures))

    def _more(self, what: str, total: int) -> int:
        more = total - self._seen.get(what, 0)
        self._seen[what] = total
        return more
