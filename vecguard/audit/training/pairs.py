"""What an attacker trains on: texts and their embeddings, and for a corrector the base's hypotheses beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vecguard.audit.inverter.vocabulary import END, PAD
from vecguard.audit.training.batches import TokenisedTexts

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hypotheses:
    """What the base wrote for each text: token numbers without specials, and their embeddings float32 (n, d)."""

    tokens: Sequence[Sequence[int]]
    embeddings: Floats

    def padded(self, rows: Ints, longest: int) -> Ints:
        """int64 (len(rows), any): the hypotheses of `rows`, each followed by END and filled with PAD."""
        cut = [[*self.tokens[row][: longest - 1], END] for row in rows]
        filled = np.full((len(rows), max(map(len, cut))), PAD, dtype=np.int64)
        for place, ids in enumerate(cut):
            filled[place, : len(ids)] = ids
        return filled


@dataclass(frozen=True)
class TensorBatch:
    """One step's input: embeddings (rows, d); tokens (rows, length + 1) from BEGIN on; hypotheses where there are."""

    embeddings: Tensor
    tokens: Tensor
    hypothesis: Tensor | None
    hypothesis_embeddings: Tensor | None


@dataclass(frozen=True)
class Pairs:
    """Row i of `embeddings`, float32 (n, d) of unit rows, is the embedding of text i."""

    texts: TokenisedTexts
    embeddings: Floats
    hypotheses: Hypotheses | None = None

    def batches(self, tokens: int, longest: int, shuffle: np.random.Generator | None) -> Iterator[TensorBatch]:
        """Every pair once, in batches of about `tokens` tokens."""
        for rows in self.texts.order(tokens, shuffle):
            yield self.batch(rows, longest)

    def batch(self, rows: Ints, longest: int) -> TensorBatch:
        """The batch of `rows`, whose texts are of one length."""
        found = self.hypotheses
        return TensorBatch(
            embeddings=torch.from_numpy(np.asarray(self.embeddings[rows])),
            tokens=torch.from_numpy(self.texts.batch(rows).tokens),
            hypothesis=None if found is None else torch.from_numpy(found.padded(rows, longest)),
            hypothesis_embeddings=None if found is None else torch.from_numpy(np.asarray(found.embeddings[rows])),
        )
