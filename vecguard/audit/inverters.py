"""The text inverters of an audit's attacker: the nearest text that he owns, the bag of words, what is packaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.inverter.generative import GenerativeInverter, Search
from vecguard.audit.scene import TextInverter, Trainer
from vecguard.demo.embedder import MiniLM
from vecguard.demo.inverters import WordInverter

Floats = NDArray[np.float32]

PACKAGED_FOR: Final = "minilm"
# Beams and edits are dear, some 0.3 s of a core a text: so many records are inverted, for each attack and number of
# pairs.
GENERATED: Final = 64
BEAMS: Final = 16
EDITS: Final = 2


@dataclass(frozen=True)
class NearestText:
    """Answers with the attacker's own text whose embedding is closest by cosine; `embeddings` (n, d) are unit rows."""

    texts: tuple[str, ...]
    embeddings: Floats
    name: str = "nearest own text"

    def invert(self, embeddings: Floats, /) -> list[str]:
        """See `TextInverter`."""
        closest = np.argmax(embeddings @ self.embeddings.T, axis=1)
        return [self.texts[row] for row in closest.tolist()]


@dataclass(frozen=True)
class WordSet:
    """The multi-label word predictor of Song & Raghunathan (CCS 2020), trained by ridge regression in the lab."""

    inverter: WordInverter
    name: str = "bag of words"

    def invert(self, embeddings: Floats, /) -> list[str]:
        """See `TextInverter`: the predicted words, in no order."""
        return [" ".join(sorted(words)) for words in self.inverter.invert(embeddings)]


@dataclass(frozen=True)
class Sampled:
    """A slow inverter, which is given the first `most` records only: fewer texts than records are scored then."""

    inverter: TextInverter
    most: int

    @property
    def name(self) -> str:
        """The inverter's."""
        return self.inverter.name

    def invert(self, embeddings: Floats, /) -> list[str]:
        """Texts of the first records."""
        return self.inverter.invert(embeddings[: self.most])


def trainer(*ready: TextInverter) -> Trainer:
    """Makes the trained inverters; those that are ready beforehand (a packaged model) are added to each set."""

    def train(texts: Sequence[str], embeddings: Floats) -> list[TextInverter]:
        trained: list[TextInverter] = [NearestText(tuple(texts), embeddings)]
        trained.append(WordSet(WordInverter.fit(list(texts), embeddings)))
        return [*trained, *ready]

    return train


def inverters_for(embedder: str | None) -> Trainer:
    """What an attacker has for vectors of this embedder (None: an unknown one): for MiniLM also the packaged model."""
    if embedder != PACKAGED_FOR:
        return trainer()
    # The embedder is public: an attacker looks with its help for the text that comes closest (docs/inverter.md).
    generative = GenerativeInverter.open(embed=MiniLM().embed, search=Search(beams=BEAMS, edits=EDITS))
    return trainer(Sampled(generative, GENERATED))
