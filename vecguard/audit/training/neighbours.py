"""The nearest other training text of each training text: hypotheses that cost a matrix product and no embedding.

A neighbour is wrong in the way that a hypothesis is (close by cosine, with other words), so a corrector learns from it
what the difference of two embeddings says about the difference of their texts.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# A closer text is much the same one: less is wrong with it than with what the base writes.
SAME = 0.9
BLOCK = 512


def nearest_others(rows: Ints, embeddings: Floats) -> Ints:
    """For each of `rows`, the row of `embeddings` (n, dims; unit) with the largest cosine below SAME: int64."""
    found = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        cosines = embeddings[block] @ embeddings.T
        cosines[cosines >= SAME] = -1.0
        found[start : start + BLOCK] = cosines.argmax(axis=1)
    return found
