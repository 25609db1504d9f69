"""Re-identification from leaked pairs: which of the candidate texts is behind a stored vector?

No text has to be generated: the attacker holds the candidates (a public corpus, a list of patients' letters) and looks
for the nearest, after any projection that is no secret.
Three estimators: stored vectors are mapped to the candidates' space by least squares (minimum-norm below d pairs) or
the orthogonal Procrustes solution (Schönemann 1966); or candidates are mapped to the stored space by least squares and
compared there. Below d pairs the last is far stronger: within what the pairs span, where alone anything is known, it
compares directions, so that without noise four pairs find a record among a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from vecguard.audit.attacks.alignment import PAIRS
from vecguard.audit.linear import Floats, procrustes, ridge, unit
from vecguard.audit.metrics import Scores, bootstrap, identified
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target

R_AT_1 = "R@1"
FORWARD = "candidates mapped"


class Linkage:
    """Adversary B finds the victim's text among all victims' texts."""

    name: ClassVar[str] = "linkage"
    title: ClassVar[str] = "Re-identification from leaked pairs"
    adversary: ClassVar[Adversary] = "B"
    metric: ClassVar[str] = R_AT_1
    needed: ClassVar[float] = 0.9
    knows: ClassVar[str] = "m leaked pairs, and the true text among as many candidates as there are victims"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """R@1 of each estimator for each number of pairs."""
        candidates = unit(target.deployment.public(scene.victims.embeddings))
        for count in target.pair_counts(PAIRS):
            stored, clear = target.public_pairs(count)
            for kind, right in links(stored, clear, target.victims, candidates):
                yield Reading(kind, R_AT_1, bootstrap(right, scene.seed), count)

    def floor(self, scene: Scene, target: Target) -> float:
        """One in as many candidates as there are."""
        return 1.0 / len(scene.victims)


def links(stored: Floats, clear: Floats, victims: Floats, candidates: Floats) -> Iterator[tuple[str, Scores]]:
    """By estimator: 1 where a victim (n, d') is nearest to its own candidate, row i of (n, d), else 0: (n,) float64.

    The pairs are (m, d') and (m, d).
    """
    for fit in (ridge, procrustes):
        found = fit(stored, clear)
        yield found.kind, identified(found.apply(victims), candidates)
    yield FORWARD, identified(victims, ridge(clear, stored).apply(candidates))
