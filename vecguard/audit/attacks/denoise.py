"""Taking the noise off by statistics: shrinkage with known strength, before alignment and inversion.

Stored is y = T x + n with noise of known variance. The eigenvalues of the stored vectors' covariance are those of T x
plus the noise's, so the linear estimate of least mean squared error is known without the key (Wiener 1949; per
eigenvector this is the positive-part James-Stein estimate, and its risk is Stein's unbiased one, Stein 1981).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.linear import ridge
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target
from vecguard.audit.textual import TOKEN_F1, cosine_reading, text_floor, text_readings

Floats = NDArray[np.float32]

PAIRS = 1_000


class Denoise:
    """Adversary B shrinks what he stole towards its principal directions, then aligns and inverts."""

    name: ClassVar[str] = "denoise"
    title: ClassVar[str] = "Shrinkage with known noise, then alignment and inversion"
    adversary: ClassVar[Adversary] = "B"
    metric: ClassVar[str] = TOKEN_F1
    needed: ClassVar[float] = 0.5
    knows: ClassVar[str] = "the noise's strength, all stored vectors, and up to 1,000 leaked pairs"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """How much nearer the mapped clear vectors one comes by it, and what text is inverted then."""
        shrink = wiener(target.everything, target.deployment.noise_ratio)
        victims, truth = shrink(target.victims), target.deployment.ask(scene.victims.embeddings)
        yield cosine_reading("as stored", target.victims, truth, scene.seed)
        yield cosine_reading("shrunk", victims, truth, scene.seed)
        count = target.most_pairs(PAIRS)
        stored, clear = target.pairs(count)
        guesses = ridge(shrink(stored), clear).apply(victims)
        yield from text_readings(scene.inverters, guesses, scene.victims.texts, scene.seed, count)

    def floor(self, scene: Scene, target: Target) -> float:
        """Text that has nothing to do with the record."""
        return text_floor(scene)


class Shrinkage:
    """An affine map (n, d') to (n, d') of stored vectors."""

    def __init__(self, mean: Floats, matrix: Floats) -> None:
        self._mean = mean
        self._matrix = matrix

    def __call__(self, stored: Floats) -> Floats:
        """The estimates of the vectors without noise, up to a common scale."""
        return np.asarray(self._mean + (stored - self._mean) @ self._matrix, np.float32)


def wiener(stored: Floats, noise_ratio: float) -> Shrinkage:
    """The least-squares estimate of mapped vectors from unit stored ones (n, d') under noise of this ratio.

    A record of unit norm was stored divided by about sqrt(1 + ratio²), so the noise has variance
    ratio² / (1 + ratio²) / d' a coordinate there.
    """
    mean = stored.mean(axis=0)
    centred = (stored - mean).astype(np.float64)
    values, vectors = np.linalg.eigh(centred.T @ centred / max(len(stored) - 1, 1))
    variance = noise_ratio**2 / (1.0 + noise_ratio**2) / stored.shape[1]
    if math.isclose(variance, 0.0):
        return Shrinkage(mean, np.eye(stored.shape[1], dtype=np.float32))
    gains = np.maximum(values - variance, 0.0) / np.maximum(values, variance)
    return Shrinkage(mean, np.asarray((vectors * gains) @ vectors.T, np.float32))
