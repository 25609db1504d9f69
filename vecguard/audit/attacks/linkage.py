"""Re-identification from leaked pairs: which of the candidate texts is behind a stored vector?

No text has to be generated: the attacker holds the candidates (a public corpus, a list of patients' letters) and looks
for the nearest. Least squares (minimum-norm below d pairs) and the orthogonal Procrustes solution (Schönemann 1966).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vecguard.audit.attacks.alignment import PAIRS
from vecguard.audit.linear import procrustes, ridge
from vecguard.audit.metrics import bootstrap, identified
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target

R_AT_1 = "R@1"


class Linkage:
    """Adversary B finds the victim's text among all victims' texts."""

    name: ClassVar[str] = "linkage"
    title: ClassVar[str] = "Re-identification from leaked pairs"
    adversary: ClassVar[Adversary] = "B"
    metric: ClassVar[str] = R_AT_1
    needed: ClassVar[float] = 0.9
    knows: ClassVar[str] = "m leaked pairs, and the true text among as many candidates as there are victims"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """R@1 of both estimators for each number of pairs."""
        for count in target.pair_counts(PAIRS):
            stored, clear = target.pairs(count)
            for fit in (ridge, procrustes):
                found = fit(stored, clear)
                scores = identified(found.apply(target.victims), scene.victims.embeddings)
                yield Reading(found.kind, R_AT_1, bootstrap(scores, scene.seed), count)

    def floor(self, scene: Scene, target: Target) -> float:
        """One in as many candidates as there are."""
        return 1.0 / len(scene.victims)
