"""How many directions a set of vectors really spans.

Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality": the exponential of the entropy of the
normalised singular values. Here of the second moment's eigenvalues, whose square roots the singular values are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def effective_rank(moments: NDArray[np.floating]) -> NDArray[np.float64]:
    """exp(-sum p log p) with p the normalised singular values, for each (d, d) second moment of (..., d, d).

    0.0 for a zero moment; between 1 and d otherwise.
    """
    values = np.sqrt(np.clip(np.linalg.eigvalsh(moments.astype(np.float64)), 0, None))
    total = values.sum(axis=-1, keepdims=True)
    shares = np.divide(values, total, out=np.zeros_like(values), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(np.where(total[..., 0] > 0, np.exp(-(shares * logs).sum(axis=-1)), 0.0))
