"""Batches of texts of one token count: nothing is padded, and a batch holds about as many tokens as any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from vecguard.audit.inverter.vocabulary import BEGIN, END

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Batch:
    """Rows of the data set, and their tokens int64 (rows, length + 2) with BEGIN before and END after."""

    rows: Ints
    tokens: Ints


class TokenisedTexts:
    """Texts as token numbers, cut at `longest` tokens, which a text that is cut does not END after."""

    def __init__(self, encoded: Sequence[Sequence[int]], longest: int) -> None:
        self.lengths = np.array([min(len(ids) + 1, longest) for ids in encoded], dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self.lengths)])
        flat = np.empty(self._starts[-1], dtype=np.int32)
        for ids, (start, end) in zip(encoded, pairwise(self._starts), strict=True):
            flat[start:end] = [*ids, END][: end - start]
        self._flat = flat

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Ints) -> Batch:
        """The batch of `rows`, all of one length."""
        length = int(self.lengths[rows[0]])
        body = self._flat[self._starts[rows][:, None] + np.arange(length)]
        begin = np.full((len(rows), 1), BEGIN, dtype=np.int64)
        return Batch(rows, np.concatenate([begin, body.astype(np.int64)], axis=1))

    def order(self, tokens: int, shuffle: np.random.Generator | None) -> list[Ints]:
        """Row numbers of each batch of about `tokens` tokens of one length; together every row once."""
        rows = np.arange(len(self)) if shuffle is None else shuffle.permutation(len(self))
        rows = rows[np.argsort(self.lengths[rows], kind="stable")]
        batches = []
        for same in np.split(rows, np.flatnonzero(np.diff(self.lengths[rows])) + 1):
            size = max(1, tokens // int(self.lengths[same[0]]))
            batches += [same[start : start + size] for start in range(0, len(same), size)]
        if shuffle is not None:
            shuffle.shuffle(batches)
        return batches
