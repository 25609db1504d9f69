"""Linear maps from stored to clear vectors, as well as known pairs determine them: the core of every attack with pairs.

The attacker knows that the mechanism is a keyed linear map with noise, so least squares and, for a rotation, the
orthogonal Procrustes solution are the estimators to use: the former also shrinks what noise spoiled, which text
inversion needs, the latter links better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument

Floats = NDArray[np.float32]

# Relative to the mean squared singular value of the stored side.
PENALTIES: Final = (1e-6, 1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0)


@dataclass(frozen=True, slots=True)
class LinearMap:
    """`y @ weights` estimates the clear vector of a stored one: weights (d', d) float32; `kind` says how it was had."""

    weights: Floats
    kind: str

    def apply(self, stored: Floats) -> Floats:
        """Estimates (n, d) float32 for stored vectors (n, d')."""
        return np.asarray(stored @ self.weights, np.float32)


def ridge(stored: Floats, clear: Floats) -> LinearMap:
    """Ridge regression from (m, d') to (m, d); the penalty has the least leave-one-out error.

    Closed form by the SVD of the stored side; the leave-one-out residual of row i is its residual over 1 - h_ii
    (Hoerl & Kennard 1970; Golub, Heath & Wahba 1979). With fewer pairs than dimensions the least penalty gives the
    minimum-norm solution.

    Raises:
        InvalidArgument: no pairs, or not as many of one side as of the other.
    """
    _check(stored, clear)
    u, s, vt = np.linalg.svd(stored.astype(np.float64), full_matrices=False)
    projected, scale = u.T @ clear, float(np.mean(s**2))
    best: tuple[float, NDArray[np.float64]] | None = None
    for penalty in PENALTIES:
        filters = s**2 / (s**2 + penalty * scale)
        leverage = np.minimum((u**2) @ filters, 1.0 - 1e-6)
        residual = (clear - u @ (filters[:, None] * projected)) / (1.0 - leverage)[:, None]
        error = float(np.vecdot(residual, residual).mean())
        if best is None or error < best[0]:
            best = error, (vt.T * (s / (s**2 + penalty * scale))) @ projected
    assert best is not None  # noqa: S101 - PENALTIES is not empty
    return LinearMap(best[1].astype(np.float32), "least squares")


def procrustes(stored: Floats, clear: Floats) -> LinearMap:
    """The orthogonal map from (m, d') to (m, d) that fits best (Schönemann 1966): U V' of the SVD of stored' clear.

    With fewer pairs than dimensions only the part that the pairs span is determined; the rest is left at zero.

    Raises:
        InvalidArgument: no pairs, or not as many of one side as of the other.
    """
    _check(stored, clear)
    u, s, vt = np.linalg.svd(stored.T.astype(np.float64) @ clear, full_matrices=False)
    rank = min(len(stored), int((s > 1e-9 * s[0]).sum()))
    return LinearMap((u[:, :rank] @ vt[:rank]).astype(np.float32), "Procrustes")


def unit(rows: Floats) -> Floats:
    """Rows (n, d) scaled to length 1; a zero row stays."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def _check(stored: Floats, clear: Floats) -> None:
    if len(stored) != len(clear) or len(stored) == 0:
        raise InvalidArgument(f"{len(stored)} stored and {len(clear)} clear vectors are no pairs")
