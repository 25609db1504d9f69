"""The latest unit sketches, kept as half floats in a ring of fixed size."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.observation import SKETCH_DIMS

Ring = NDArray[np.float16]
"""Shape (slots, SKETCH_DIMS): unit rows, oldest first; rows not yet filled are zero, and similar to nothing."""

# A half float's rounding moves a cosine of unit sketches by less than this.
ROUNDING: Final = 1e-3
_MOST: Final = np.float32(1e15)


def empty(slots: int) -> Ring:
    """A ring without sketches."""
    return np.zeros((slots, SKETCH_DIMS), np.float16)


def push(ring: Ring, sketches: NDArray[np.float32]) -> None:
    """Add unit sketches, shape (n, SKETCH_DIMS), in order; the oldest leave."""
    count = min(len(sketches), len(ring))
    if count == 0:
        return
    ring[:-count] = ring[count:].copy()
    ring[-count:] = sketches[-count:]


def unit(sketches: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1, float32; coordinates that are not finite, or absurdly large, count as zero, as do zero rows.

    Cosines of unit sketches err by about (1 - cos^2) / sqrt(SKETCH_DIMS), hence little where they are near 1.
    """
    rows = np.where(np.abs(sketches) < _MOST, sketches, np.float32(0))
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0), dtype=np.float32)


def cosines(sketches: NDArray[np.float32], ring: Ring) -> NDArray[np.float32]:
    """Cosine of each of n unit sketches with each row of the ring, and with those before it: (n, slots + n).

    Column `slots + j` is the j-th of the sketches themselves; where j >= row, it is -1: not earlier.
    """
    everything = np.concatenate([ring.astype(np.float32), sketches])
    found = sketches @ everything.T
    slots, rows = len(ring), len(sketches)
    np.copyto(found[:, slots:], np.float32(-1), where=_not_earlier(rows))
    return np.asarray(found)


@lru_cache(maxsize=64)
def _not_earlier(rows: int) -> NDArray[np.bool_]:
    """Which of n queries, (n, n), do not come before each of them."""
    return np.triu(np.ones((rows, rows), np.bool_))


@lru_cache(maxsize=64)
def window_of(rows: int, slots: int) -> NDArray[np.bool_]:
    """For each of n queries which of `slots` rows before the first and of the n themselves, (n, slots + n), are the
    `slots` before it. Not to be written to."""
    places = np.arange(slots + rows) - np.arange(rows)[:, np.newaxis]
    return np.asarray((places >= 0) & (places < slots))
