"""Few-shot alignment, then inversion: m leaked pairs give a linear map back to the embedder's space.

After ALGEN (Chen, Xu & Bjerva 2025), whose least-squares alignment needs a handful of pairs. Here the map is ridge
regression with the penalty chosen on the leaked pairs, which also shrinks what the noise spoiled.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from vecguard.audit.linear import ridge
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target
from vecguard.audit.textual import TOKEN_F1, cosine_reading, text_floor, text_readings

PAIRS: Final = (1, 10, 32, 100, 384, 1_000, 10_000)
# Numbers of pairs at which inverters are used that are too slow for all of them.
DEAR_AT: Final = (1_000, 10_000)


class Alignment:
    """Adversary B turns leaked pairs into a map, and inverts all other records through it."""

    name: ClassVar[str] = "alignment"
    title: ClassVar[str] = "Alignment from leaked pairs, then inversion"
    adversary: ClassVar[Adversary] = "B"
    metric: ClassVar[str] = TOKEN_F1
    needed: ClassVar[float] = 0.5
    knows: ClassVar[str] = "as inversion, and the embeddings behind m stored vectors of the same collection"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """For each number of pairs: cosine of the guessed embeddings, and the texts inverted from them."""
        for count in target.pair_counts(PAIRS):
            guesses = ridge(*target.pairs(count)).apply(target.victims)
            yield cosine_reading("least squares", guesses, scene.victims.embeddings, scene.seed, count)
            inverters = scene.inverters if count in DEAR_AT else scene.quick_inverters
            yield from text_readings(inverters, guesses, scene.victims.texts, scene.seed, count)

    def floor(self, scene: Scene, target: Target) -> float:
        """Text that has nothing to do with the record."""
        return text_floor(scene)
