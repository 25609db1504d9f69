"""Known plaintext against keyed cells by somebody who knows the mechanism: a mixture of maps instead of one.

He tells the leaked pairs' cells by how they resemble each other, fits a map to each cell (`vecguard.audit.mixture`),
and tries every cell's map on a stolen vector. Without cells it is least squares.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from vecguard.audit.attacks.alignment import PAIRS
from vecguard.audit.attacks.linkage import R_AT_1
from vecguard.audit.linear import unit
from vecguard.audit.metrics import bootstrap
from vecguard.audit.mixture import cell_maps
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target
from vecguard.audit.textual import cosine_reading, text_readings

_TEXTS_FROM = 1_000


class Mixture:
    """Adversary B finds the victim's text among all victims' texts, though he does not know which cell it is in."""

    name: ClassVar[str] = "mixture"
    title: ClassVar[str] = "Re-identification from leaked pairs of unknown cells"
    adversary: ClassVar[Adversary] = "B"
    metric: ClassVar[str] = R_AT_1
    needed: ClassVar[float] = 0.9
    knows: ClassVar[str] = "as linkage, that there are cells, how many, and how strong the noise is"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """R@1 for each number of pairs that leaves two a cell; from 1,000 pairs on also the texts inverted."""
        cells, ratio = target.deployment.cells, target.deployment.noise_ratio
        candidates = unit(target.deployment.public(scene.victims.embeddings))
        for count in target.pair_counts(PAIRS):
            if count < 2 * cells:
                continue
            stored, clear = target.public_pairs(count)
            maps = cell_maps(stored, clear, cells, ratio, scene.random(f"mixture {target.name} {count}"))
            found = maps.likeness(target.victims, candidates).argmax(axis=1)
            right = (found == np.arange(len(found))).astype(np.float64)
            yield Reading("mixture of maps", R_AT_1, bootstrap(right, scene.seed), count)
            if cells > 1 and candidates.shape[1] == scene.dims and count >= _TEXTS_FROM:
                guesses = maps.guesses(target.victims, scene.own.embeddings)
                yield cosine_reading("mixture of maps", guesses, scene.victims.embeddings, scene.seed, count)
                yield from text_readings(scene.inverters, guesses, scene.victims.texts, scene.seed, count)

    def floor(self, scene: Scene, target: Target) -> float:
        """One in as many candidates as there are."""
        return 1.0 / len(scene.victims)
