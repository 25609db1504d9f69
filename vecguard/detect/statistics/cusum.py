"""Page's cumulative sum: how far a sequence ran above what is usual, whenever it began to.

Page 1954, "Continuous inspection schemes": S_t = max(0, S_{t-1} + x_t - reference).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def end(start: float, drifts: NDArray[np.floating]) -> float:
    """The last of `run`, S_n, bit for bit; `start` where there are no drifts."""
    total = lowest = 0.0
    for drift in drifts.tolist():  # of so few numbers, arrays take longer
        total += drift
        lowest = min(lowest, start + total)
    return float(start + total - lowest)


def run(start: float, drifts: NDArray[np.floating]) -> NDArray[np.float64]:
    """S_1 .. S_n from S_0 = `start` >= 0, for drifts x_t - reference of shape (n,).

    As S_t = P_t - min(0, P_1, .., P_t) with P the partial sums that begin at `start`, no loop is needed.
    """
    sums = start + np.cumsum(drifts, dtype=np.float64)
    lowest = np.minimum.accumulate(np.minimum(sums, 0.0))
    return np.asarray(sums - lowest)
