"""Names, addresses and numbers in inverted texts, by type of personal data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np

from vecguard.audit.linear import ridge, unit
from vecguard.audit.metrics import bootstrap
from vecguard.audit.pii import recalled, recalled_parts
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target, in_clear_space

PAIRS: Final = 1_000
PARTS: Final = "personal tokens recovered"


class PersonalData:
    """How much of the personal data in stored texts stands in what is inverted from their vectors."""

    name: ClassVar[str] = "personal"
    title: ClassVar[str] = "Personal data in inverted texts"
    adversary: ClassVar[Adversary] = "A"
    metric: ClassVar[str] = PARTS
    needed: ClassVar[float] = 0.25
    knows: ClassVar[str] = "own texts of the same kind about other people; with pairs also those"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """Per inverter: share of personal tokens, and by type whole spans and their tokens, without and with pairs."""
        count = target.most_pairs(PAIRS)
        views = (
            (0, in_clear_space(target.personal, scene.dims)),
            (count, ridge(*target.pairs(count)).apply(target.personal)),
        )
        for pairs, guesses in views:
            for inverter in scene.personal_inverters:
                recovered = inverter.invert(unit(guesses))
                yield from self._score(scene, inverter.name, recovered, pairs)

    def floor(self, scene: Scene, target: Target) -> float:
        """The best inverter's share on vectors of other records."""
        best = 0.0
        for inverter in scene.personal_inverters:
            recovered = inverter.invert(np.roll(scene.personal.embeddings, 1, axis=0))
            shares = recalled_parts(recovered, scene.personal.tagged[: len(recovered)])
            best = max(best, float(np.concatenate(list(shares.values())).mean()) if shares else 0.0)
        return best

    def _score(self, scene: Scene, variant: str, recovered: list[str], pairs: int) -> Iterator[Reading]:
        parts = recalled_parts(recovered, scene.personal.tagged[: len(recovered)])
        if not parts:
            return
        yield Reading(variant, PARTS, bootstrap(np.concatenate(list(parts.values())), scene.seed), pairs)
        for kind, hits in parts.items():
            yield Reading(variant, f"{kind}: tokens", bootstrap(hits, scene.seed), pairs)
        for kind, hits in recalled(recovered, scene.personal.tagged[: len(recovered)]).items():
            yield Reading(variant, f"{kind}: whole", bootstrap(hits, scene.seed), pairs)
