"""Known queries, as a curious operator of the database sees them: protected, but without noise.

A query is rotated and not noised, so that pairs of a query's text and its protected vector give the rotation away
faster than pairs of records do, and exactly. The operator asks some of them himself as an ordinary client, or guesses
popular ones. What he learns opens all other queries, and leaves of the records' protection the noise alone. With keyed
cells every search sends a query to each cell, in one order, so that the same few searches give all cells' rotations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.attacks.alignment import PAIRS
from vecguard.audit.attacks.linkage import R_AT_1
from vecguard.audit.defence import Deployment, ShieldDeployment
from vecguard.audit.linear import Floats, LinearMap, ridge, unit
from vecguard.audit.metrics import bootstrap
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target

OTHER_QUERIES = "other queries"
STORED = "stored records"


class KnownQueries:
    """Adversary C finds which of the candidate texts is asked for, or stored, from m queries whose texts he knows."""

    name: ClassVar[str] = "queries"
    title: ClassVar[str] = "Re-identification from known queries"
    adversary: ClassVar[Adversary] = "C"
    metric: ClassVar[str] = R_AT_1
    needed: ClassVar[float] = 0.9
    knows: ClassVar[str] = "m protected queries with their texts, and the true text among as many as there are victims"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """R@1 of other queries and of stored records, for each number of known queries."""
        public = target.deployment.public
        candidates = unit(public(scene.victims.embeddings))
        counts = target.pair_counts(PAIRS)
        known = scene.crowd.embeddings[: max(counts, default=0)]
        seen, clear = probes(target.deployment, known), unit(public(known))
        asked = probes(target.deployment, scene.victims.embeddings)
        for count in counts:
            # Candidates mapped forward, as in linkage. A query comes to every cell; which one a record is in, he does
            # not know.
            maps = [ridge(clear[:count], part[:count]) for part in seen]
            yield self._reading(OTHER_QUERIES, maps[:1], asked[0], candidates, scene, count)
            yield self._reading(STORED, maps, target.victims, candidates, scene, count)

    def floor(self, scene: Scene, target: Target) -> float:
        """One in as many candidates as there are."""
        return 1.0 / len(scene.victims)

    def _reading(
        self, what: str, maps: Sequence[LinearMap], rows: Floats, candidates: Floats, scene: Scene, count: int
    ) -> Reading:
        right = (nearest_candidate(maps, rows, candidates) == np.arange(len(rows))).astype(np.float64)
        return Reading(what, R_AT_1, bootstrap(right, scene.seed), count)


def probes(deployment: Deployment, q: Floats) -> list[Floats]:
    """What the database sees of queries (m, d) float32: one (m, d') for each cell or key epoch, in their order."""
    if not isinstance(deployment, ShieldDeployment):
        return [deployment.ask(q)]
    ask: Callable[[Floats, int], Floats] = deployment.shield.query
    return [ask(q, part) for part in deployment.shield.parts]


def nearest_candidate(maps: Sequence[LinearMap], rows: Floats, candidates: Floats) -> NDArray[np.intp]:
    """For each row (n, d') the candidate (k, d) that comes closest to it under any of the maps."""
    scores = np.full((len(rows), len(candidates)), -np.inf, np.float32)
    for one in maps:
        np.maximum(scores, unit(rows) @ unit(one.apply(candidates)).T, out=scores)
    return np.asarray(scores.argmax(axis=1), np.intp)
