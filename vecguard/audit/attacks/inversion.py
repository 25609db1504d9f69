"""Text inversion without the key: the stored vector is taken for an embedding, which on clear storage it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from vecguard.audit.linear import unit
from vecguard.audit.metrics import bootstrap, cosines
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target, in_clear_space
from vecguard.audit.textual import TOKEN_F1, score_texts, text_floor

# Embedding is the dearest step of all, and this figure decides nothing.
_REEMBEDDED: Final = 64


class Inversion:
    """Song & Raghunathan (CCS 2020) and its generative successors, as somebody runs them who stole the database."""

    name: ClassVar[str] = "inversion"
    title: ClassVar[str] = "Text inversion without key"
    adversary: ClassVar[Adversary] = "A"
    metric: ClassVar[str] = TOKEN_F1
    needed: ClassVar[float] = 0.5
    knows: ClassVar[str] = "the embedder, own texts of the same domain, all stored vectors"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """Invert every victim by the inverters; re-embedded cosines only beside the text measures."""
        guesses = unit(in_clear_space(target.victims, scene.dims))
        spared = scene.sparing and not target.shows_axes
        for inverter in scene.quick_inverters if spared else scene.inverters:
            recovered = inverter.invert(guesses)
            yield from score_texts(inverter.name, recovered, scene.victims.texts, scene.seed)
            if scene.reembed is not None:
                again = scene.reembed(recovered[:_REEMBEDDED])
                closeness = bootstrap(cosines(again, scene.victims.embeddings[: len(again)]), scene.seed)
                yield Reading(inverter.name, "re-embedding cosine", closeness)

    def floor(self, scene: Scene, target: Target) -> float:
        """Text that has nothing to do with the record."""
        return text_floor(scene)
