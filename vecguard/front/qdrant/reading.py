"""Candidates of a search, read probe by probe until no unread point can belong to the answer.

A search has one probe for each part of the collection (see `DenseShield`): one, or while keys are rotated one for each
key epoch. What all probes bring is opened, merged and scored in one place, here. A point counts once, whichever probe
it comes up in. Probes of older epochs are read before those of newer ones, round by round: a point that is moved to the
next epoch meanwhile comes up in one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from qdrant_client import grpc as q

from vecguard.front.qdrant.candidates import Candidates
from vecguard.front.qdrant.records import entries_of
from vecguard.front.qdrant.scoring import Score
from vecguard.front.qdrant.stages import Stage, key_of
from vecguard.metric import Distance, bigger_is_better
from vecguard.rerank import Certificate, PointId, kth_score, predicted_page, top_k
from vecguard.seal.envelope import epoch_of
from vecguard.shield import Shield
from vecguard.stages import timed

_DOUBLE = 2


@dataclass(slots=True)
class Probe:
    """The protected query of one part, and what was read of it: `protected` scores in the database's order.

    `target` is how many points to have read after the next page.
    """

    part: int
    query: q.Query
    target: int
    fetched: int = 0
    protected: list[float] = field(default_factory=list)
    exhausted: bool = False
    done: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """When enough was read: the best `wanted` that pass `threshold` are known, or each probe has read `most` points.

    first: points that each probe reads first. certificate: None where scores at rest are exact, so that a point's rank
    at rest is its rank. once: no probe is read on after its first page, since nothing can say if that was enough.
    """

    wanted: int
    threshold: float | None
    first: int
    most: int
    certificate: Certificate | None = None
    once: bool = False

    def probes(self, upstream: Mapping[int, q.Query]) -> list[Probe]:
        """The probes of protected queries by part, older ones first: a point that is moved to the newest one meanwhile,
        which may not be the one that this worker writes to yet, is found in one of them."""
        return [Probe(part, upstream[part], min(self.first, self.most)) for part in sorted(upstream)]


class Batch:
    """Candidates read so far, opened and scored."""

    def __init__(self, score: Score | None, distance: Distance) -> None:
        """`score` is None where points come with their exact scores (`take`)."""
        self._score = score
        self._distance = distance
        self._points: dict[PointId, q.ScoredPoint] = {}
        self._exact: list[float] = []
        self._largest_norm = 0.0

    def __len__(self) -> int:
        return len(self._points)

    @property
    def found(self) -> list[PointId]:
        """The ids of the points, as they came."""
        return list(self._points)

    def as_good_as(self, kth: float | None) -> list[PointId]:
        """The ids of points whose scores reach `kth`, of all where that is None."""
        if kth is None:
            return self.found
        sign = 1.0 if bigger_is_better(self._distance) else -1.0
        return [key for key, score in zip(self._points, self._exact, strict=True) if sign * score >= sign * kth]

    @timed("rerank")
    def add(self, page: Sequence[q.ScoredPoint], opened: Candidates) -> None:
        """Take a page, opened; a point seen before (pages of an index may overlap) counts once."""
        keys = [key_of(point.id) for point in page]
        fresh = [i for i, key in enumerate(keys) if key not in self._points]
        if not fresh or self._score is None:
            return
        if len(fresh) < len(keys):
            opened = opened.take(fresh)
        self._exact.extend(self._score(opened).tolist())
        self._largest_norm = max(self._largest_norm, opened.largest_norm())
        self._points.update((keys[i], page[i]) for i in fresh)

    def take(self, page: Sequence[q.ScoredPoint]) -> None:
        """Take points whose scores are exact."""
        for point in page:
            key = key_of(point.id)
            if key not in self._points:
                self._points[key] = point
                self._exact.append(point.score)

    @timed("rerank")
    def judge(self, probe: Probe, goal: Goal) -> bool:
        """Decide whether a probe is read on, and how far; whether it has to end with the answer uncertain."""
        kth = self.kth(goal)
        if goal.once or probe.exhausted or self._settled(probe, goal, kth):
            probe.done = True
            return False
        probe.target = min(self._next_target(probe, goal, kth), goal.most)
        probe.done = probe.target <= probe.fetched
        return probe.done

    def _settled(self, probe: Probe, goal: Goal, kth: float | None) -> bool:
        """Whether no unread point of the probe's part can plausibly belong to the answer."""
        if kth is None or not probe.protected:
            return False
        worst = probe.protected[-1]
        if goal.certificate is None:
            return kth >= worst if bigger_is_better(self._distance) else kth <= worst
        return goal.certificate.settled(kth, worst, self._largest_norm)

    def _next_target(self, probe: Probe, goal: Goal, kth: float | None) -> int:
        """How many points to have read after the next page, of which there is no need to be sure."""
        if kth is None or not probe.protected or goal.certificate is None:
            return _DOUBLE * max(len(probe.protected), 1)
        reach = goal.certificate.reach(kth, probe.protected[-1], self._largest_norm)
        return predicted_page(probe.protected, reach)

    def kth(self, goal: Goal) -> float | None:
        """The score that a point has to reach to be answered; None while any would be."""
        return kth_score(np.array(self._exact, np.float32), goal.wanted, self._distance, goal.threshold)

    @timed("rerank")
    def answer(self, stage: Stage) -> list[q.ScoredPoint]:
        """The stage's page of the best, with exact scores."""
        exact = np.array(self._exact, np.float32)
        keys = list(self._points)
        chosen = top_k(keys, exact, stage.limit, self._distance, offset=stage.offset, score_threshold=stage.threshold)
        points = []
        for i in chosen:
            point = self._points[keys[i]]
            point.score = float(exact[i])
            points.append(point)
        return points


def of_part(shield: Shield, page: Sequence[q.ScoredPoint], name: str, part: int) -> list[q.ScoredPoint]:
    """The points of a page whose vector `name` may be of `part`, by the epochs that their records tell.

    Raises:
        Unreadable, StaleEntry: see `records.entries_of`.
    """
    manifest = shield.manifest.short_id
    return [
        point for point in page if any(epoch_of(entry) == part for entry in entries_of(point.payload, manifest, name))
    ]
