"""Hungarian matching against secret permutations: which stored coordinate is which, from a few leaked pairs.

A permutation of coordinates, with or without sign flips, leaves every coordinate's values what they were, so that they
can be matched by their correlation over the pairs (Kuhn 1955 solves the assignment). It falls to about ten pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.attacks.linkage import R_AT_1
from vecguard.audit.metrics import bootstrap, identified
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target

Floats = NDArray[np.float32]

PAIRS: Final = (8, 16, 32, 100)


class PermutationMatching:
    """Adversary B assumes that the coordinates were shuffled and their signs flipped, and undoes it."""

    name: ClassVar[str] = "permutation"
    title: ClassVar[str] = "Hungarian matching of coordinates"
    adversary: ClassVar[Adversary] = "B"
    metric: ClassVar[str] = R_AT_1
    needed: ClassVar[float] = 0.9
    knows: ClassVar[str] = "m leaked pairs, and the true text among as many candidates as there are victims"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """R@1 among the victims for each number of pairs; nothing where dimensions were changed."""
        if target.victims.shape[1] != scene.dims:
            return
        for count in target.pair_counts(PAIRS):
            order, signs = matched_coordinates(*target.pairs(count))
            guesses = np.asarray(target.victims[:, order] * signs, np.float32)
            scores = identified(guesses, scene.victims.embeddings)
            yield Reading("Hungarian", R_AT_1, bootstrap(scores, scene.seed), count)

    def floor(self, scene: Scene, target: Target) -> float:
        """One in as many candidates as there are."""
        return 1.0 / len(scene.victims)


def matched_coordinates(stored: Floats, clear: Floats) -> tuple[NDArray[np.intp], Floats]:
    """For each clear coordinate the stored one that matches best over m pairs, and its sign: (d,) and (d,) float32."""
    from scipy.optimize import linear_sum_assignment

    likeness = clear.T.astype(np.float64) @ stored
    lengths = np.outer(np.linalg.norm(clear, axis=0), np.linalg.norm(stored, axis=0))
    likeness /= np.maximum(lengths, 1e-12)
    rows, order = linear_sum_assignment(-np.abs(likeness))
    return order, np.where(likeness[rows, order] < 0, -1.0, 1.0).astype(np.float32)
