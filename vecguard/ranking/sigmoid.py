"""Qdrant's cheap sigmoids (github.com/qdrant/qdrant, lib/common/common/src/math.rs)."""

from __future__ import annotations

import numpy as np

from vecguard.metric import FloatArray


def fast_sigmoid(x: FloatArray) -> FloatArray:
    """x / (1 + |x|), into (-1, 1); infinities and NaN stay what they are. Any shape, float32."""
    finite = np.isfinite(x)
    safe = np.where(finite, x, np.float32(0.0))
    return np.where(finite, safe / (np.float32(1.0) + np.abs(safe)), x)


def scaled_fast_sigmoid(x: FloatArray) -> FloatArray:
    """fast_sigmoid moved into (0, 1). Any shape, float32."""
    return np.float32(0.5) * (fast_sigmoid(x) + np.float32(1.0))
