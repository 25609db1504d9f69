"""Words with the embedding of each by itself: what a text still lacks is read off the difference to the target.

An embedder of the mean of its tokens' outputs is nearly linear in the words of a text, so that the words to add are
those whose own embedding points from where the text is to where it should be (the first step of matching pursuit,
Mallat & Zhang 1993, with the embedder's vocabulary for a dictionary). Nothing is trained; the embedder and its
vocabulary are public.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Lexicon:
    """`words` in lower case, and `embeddings` of each by itself, unit rows float32 (n, dims)."""

    words: tuple[str, ...]
    embeddings: Floats

    @classmethod
    def of(cls, words: Sequence[str], embed: Callable[[Sequence[str]], Floats]) -> Self:
        """Embeds every word."""
        return cls(tuple(words), embed(words))

    def lacking(self, target: Floats, own: Floats, held: frozenset[str], count: int) -> list[str]:
        """The `count` words, but for those `held`, that lead farthest from an embedding to the target.

        Args:
            target: float32 (dims,), of unit length.
            own: the text's own, likewise.
            held: words that the text has.
            count: how many.
        """
        missing = target - (target @ own) * own
        best = np.argsort(-(self.embeddings @ missing), kind="stable")[: count + len(held)]
        return [self.words[place] for place in best.tolist() if self.words[place] not in held][:count]
