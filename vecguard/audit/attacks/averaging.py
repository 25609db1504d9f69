"""Averaging over repeated writes: noise that is drawn anew each time goes away with the square root of their number.

Two ways to get repeated writes: backups and re-indexing store the same record again under its id; and the same text
may be stored under many ids. The mean over k copies is compared with the vector that the noise was added to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.linear import unit
from vecguard.audit.metrics import bootstrap, cosines
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target

Floats = NDArray[np.float32]

COPIES: Final = (1, 4, 16)
COSINE: Final = "cosine to the mapped vector"
# Ids of copies: apart from all others.
_COPY_IDS: Final = 1 << 41


class Rewrites:
    """The same records written sixteen times under the same ids."""

    name: ClassVar[str] = "rewrites"
    title: ClassVar[str] = "Averaging over re-written records"
    adversary: ClassVar[Adversary] = "A"
    metric: ClassVar[str] = COSINE
    needed: ClassVar[float] = 0.9
    knows: ClassVar[str] = "sixteen backups, each after all records were written again"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """The mean's cosine to the mapped clear vector, by number of writes."""
        yield from _readings(scene, target, lambda copy: 0)

    def floor(self, scene: Scene, target: Target) -> float:
        """What one backup shows."""
        return _cosine_of_one(scene, target)


class Copies:
    """The same texts stored under sixteen ids each."""

    name: ClassVar[str] = "copies"
    title: ClassVar[str] = "Averaging over copies under other ids"
    adversary: ClassVar[Adversary] = "A"
    metric: ClassVar[str] = COSINE
    needed: ClassVar[float] = 0.9
    knows: ClassVar[str] = "which records are copies of one text (their protected vectors lie close together)"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """The mean's cosine to the mapped clear vector, by number of copies."""
        yield from _readings(scene, target, lambda copy: _COPY_IDS + copy * len(scene.victims))

    def floor(self, scene: Scene, target: Target) -> float:
        """What one copy shows."""
        return _cosine_of_one(scene, target)


def _readings(scene: Scene, target: Target, first_id: Callable[[int], int]) -> Iterator[Reading]:
    truth = target.deployment.ask(scene.victims.embeddings)
    total = np.zeros_like(truth)
    for copy in range(max(COPIES)):
        total += target.deployment.store(scene.victims.embeddings, first_id(copy)).vectors
        if copy + 1 in COPIES:
            closeness = bootstrap(cosines(unit(total), truth), scene.seed)
            yield Reading(f"mean of {copy + 1}", COSINE, closeness)


def _cosine_of_one(scene: Scene, target: Target) -> float:
    truth = target.deployment.ask(scene.victims.embeddings)
    return float(cosines(target.victims, truth).mean())
