"""The text inverters of an audit's attacker: the nearest text that he owns, the bag of words (Song & Raghunathan 2020),
trained on his own texts, and what is packaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.embedders import CachedEmbedder
from vecguard.audit.inverter.bag_of_words import BagOfWordsInverter, FitPlan
from vecguard.audit.inverter.generative import GenerativeInverter, Search
from vecguard.audit.inverter.lexicon import Lexicon
from vecguard.audit.scene import Sampled, TextInverter, Trainer
from vecguard.demo.embedder import MiniLM

Floats = NDArray[np.float32]

PACKAGED_FOR: Final = "minilm"
# Beams and edits are dear, some 0.8 s of a core a text: so many records are inverted, for each attack and number of
# pairs that they are used for.
GENERATED: Final = 40
SEARCH: Final = Search(beams=16, edits=5)
# Rarer words than the commonest so many add little that is right, and cost as much as the others.
WORDS: Final = FitPlan(vocabulary=4_096)


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


def trainer(*ready: TextInverter) -> Trainer:
    """Makes the trained inverters; those that are ready beforehand (a packaged model) are added to each set."""

    def train(texts: Sequence[str], embeddings: Floats) -> list[TextInverter]:
        trained: list[TextInverter] = [NearestText(tuple(texts), embeddings)]
        trained.append(BagOfWordsInverter.fit(embeddings, list(texts), WORDS))
        return [*trained, *ready]

    return train


def inverters_for(embedder: str | None, cache: Path | None = None, generated: int = GENERATED) -> Trainer:
    """What an attacker has for vectors of this embedder (None: an unknown one): for MiniLM also the packaged model.

    The folder `cache` keeps the embeddings of single words that the model's search is led by; `generated` records are
    given to it.
    """
    if embedder != PACKAGED_FOR:
        return trainer()
    # The embedder is public: an attacker looks with its help for the text that comes closest (docs/inverter.md).
    opened = MiniLM()
    lexicon = Lexicon.of(opened.words(), CachedEmbedder(PACKAGED_FOR, cache).embed)
    generative = GenerativeInverter.open(embed=opened.embed, search=SEARCH, lexicon=lexicon)
    return trainer(Sampled(generative, generated))
