"""Prometheus metrics, made from the trail's events: what a call costs is counted after its answer is on its way.

Names follow Prometheus' conventions (base units, `_total`). Several workers write into one folder of memory-mapped
files (the multiprocess mode of `prometheus_client`), which the supervising process adds up when it is asked.

Labels are bounded: methods are those of the fronts' tables (`rpcs`), statuses gRPC's, and collections those that exist
and were served, the first so many of them by name. Any other is counted under `other`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from vecguard.stages import STAGES
from vecguard.telemetry.detection import DetectionMetrics

FOLD_S: Final = 0.1
_MOST_WAITING: Final = 4_096
_SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_STAGE_SECONDS: Final = (0.0001, 0.0002, 0.0005, *_SECONDS)
_CANDIDATES: Final = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
# What stands for a label whose value is not kept: no collection, another one, a method that is in no table.
NONE, OTHER, UNKNOWN = "", "other", "unknown"


class Metrics:
    """Counts events. A sink of the trail, as `vecguard.trail.Trail` is one."""

    def __init__(
        self, real_name: Callable[[str], str | None], *, collections: int, registry: CollectorRegistry | None = None
    ) -> None:
        """`real_name` says which collection a name means, None for one that is not known to exist.

        `collections` is how many are told apart. `registry` is None where several processes write to files: those
        are collected elsewhere.
        """
        self.rpcs: set[str] = set()
        self._real_name = real_name
        self._named: set[str] = set()
        self._most_named = collections
        self._waiting: list[Mapping[str, Any]] = []
        self._count_calls(registry)
        self._count_failures(registry)
        self._count_detection(registry)
        self.detection = DetectionMetrics(registry)

    def _count_calls(self, registry: CollectorRegistry | None) -> None:
        kept: dict[str, Any] = {"registry": registry}
        self._calls = Counter(
            "vecguard_calls", "Calls by how they ended.", ("rpc", "protocol", "collection", "status"), **kept
        )
        self._seconds = Histogram(
            "vecguard_call_seconds", "Time of calls.", ("rpc", "collection"), buckets=_SECONDS, **kept
        )
        self._stages = Histogram(
            "vecguard_stage_seconds", "Time that a call spent in a stage.", ("stage",), buckets=_STAGE_SECONDS, **kept
        )
        self._candidates = Histogram(
            "vecguard_candidates", "Records read for re-ranking by a call.", (), buckets=_CANDIDATES, **kept
        )
        self._uncertified = Counter(
            "vecguard_uncertified_searches", "Searches that reached max_candidates first.", ("collection",), **kept
        )
        for stage in STAGES:  # so that a stage without calls is there, at zero
            self._stages.labels(stage)

    def _count_failures(self, registry: CollectorRegistry | None) -> None:
        kept: dict[str, Any] = {"registry": registry}
        self._integrity = Counter(
            "vecguard_integrity_failures",
            "Calls that met data that does not authenticate.",
            ("collection",),
            **kept,
        )
        self._rolled_back = Counter(
            "vecguard_rolled_back_records", "Records met that are not the newest.", ("collection",), **kept
        )
        self._upstream_failures = Counter(
            "vecguard_upstream_failures", "Calls that the database failed.", ("protocol", "status"), **kept
        )
        self._key_failures = Counter("vecguard_key_provider_failures", "Requests that the key provider failed.", **kept)
        self._upstream = Gauge(
            "vecguard_upstream_connected",
            "1 where every worker is connected to the database.",
            ("front",),
            multiprocess_mode="livemin",
            **kept,
        )
        self._policy = Counter("vecguard_policy_reloads", "Reloads of the policy by a worker.", ("outcome",), **kept)

    def _count_detection(self, registry: CollectorRegistry | None) -> None:
        kept: dict[str, Any] = {"registry": registry}
        self._rungs = Counter(
            "vecguard_detections", "Principals that came to a rung of detection's ladder.", ("rung", "enforced"), **kept
        )
        self._budgets = Counter(
            "vecguard_budgets_used_up", "Answers that were more than a budget had left.", ("budget", "enforced"), **kept
        )
        self._detection_waits = Counter(
            "vecguard_detection_waits", "Calls that waited since detection's queue was full.", **kept
        )
        self._unseen = Counter("vecguard_detection_unseen_calls", "Served calls that were not analysed.", **kept)

    def __call__(self, event: str, **fields: object) -> None:
        """Take an event; calls are counted a moment later, off their own path."""
        if event != "call":
            self._count_event(event, fields)
            self.detection.take(event, fields)
            return
        self._waiting.append(fields)
        if len(self._waiting) == 1:
            try:
                asyncio.get_running_loop().call_later(FOLD_S, self.fold)
            except RuntimeError:  # no loop, so nothing would come back to it
                self.fold()
        elif len(self._waiting) >= _MOST_WAITING:
            self.fold()

    def _count_event(self, event: str, fields: Mapping[str, Any]) -> None:
        if event == "detection" and fields["rung"]:
            self._rungs.labels(fields["rung"], str(fields["enforced"]).lower()).inc()
        elif event == "budget":
            self._budgets.labels(fields["budget"], str(fields["enforced"]).lower()).inc()
        elif event == "integrity" and fields.get("rolled_back"):
            label = self._collection({"collections": [fields["collection"]]})
            self._rolled_back.labels(label).inc(fields["rolled_back"])
        elif event == "detection_failed":
            self._unseen.inc(fields["observations"])

    def detection_waited(self) -> None:
        """A call waited for room in detection's queue."""
        self._detection_waits.inc()

    def detection_missed(self, calls: int) -> None:
        """Served calls could not be looked at."""
        self._unseen.inc(calls)

    def fold(self) -> None:
        """Count the calls that wait to be counted."""
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            self._count(call)

    def key_provider_failed(self) -> None:
        """The key provider did not serve a request."""
        self._key_failures.inc()

    def upstream_connected(self, front: str, connected: bool) -> None:
        """The state of this worker's channel to the database of a front."""
        self._upstream.labels(front).set(int(connected))

    def policy_reloaded(self, accepted: bool) -> None:
        """This worker read the policy file again."""
        self._policy.labels("accepted" if accepted else "refused").inc()

    def _count(self, call: Mapping[str, Any]) -> None:
        rpc = call["rpc"] if call["rpc"] in self.rpcs or not call["rpc"].startswith("/") else UNKNOWN
        protocol, status, cause = call["protocol"], call["status"], call.get("cause")
        collection = self._collection(call)
        self._calls.labels(rpc, protocol, collection, status).inc()
        self._seconds.labels(rpc, collection).observe(call["ms"] / 1e3)
        for stage, milliseconds in call.get("stages", {}).items():
            self._stages.labels(stage).observe(milliseconds / 1e3)
        if "candidates" in call:
            self._candidates.observe(call["candidates"])
        if call.get("uncertified"):
            self._uncertified.labels(collection).inc(call["uncertified"])
        if cause == "integrity" or call.get("dropped"):
            self._integrity.labels(collection).inc()
        if cause == "upstream":
            self._upstream_failures.labels(protocol, status).inc()

    def _collection(self, call: Mapping[str, Any]) -> str:
        """The label of the call's collection. Only one that was opened, so exists, takes a place among the named."""
        names = cast("list[str]", call["collections"])
        if not names:
            return NONE
        real = {self._real_name(name) or name for name in names}  # an alias and what it stands for are one
        name = real.pop()
        if real:
            return OTHER
        if name not in self._named and len(self._named) < self._most_named and self._real_name(name) == name:
            self._named.add(name)
        return name if name in self._named else OTHER
