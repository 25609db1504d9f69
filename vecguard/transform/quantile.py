"""Deviates of a density by inversion of its tabulated distribution: one 53-bit number a deviate, nothing rejected.

A rejection sampler (Wood 1994, Best & Fisher 1979, Marsaglia & Tsang 2000) draws from the same densities, but reads a
number of words from the keystream that depends on roundings; a table does not, and is fixed by a few lines of
docs/formats.md. It is off by less than 1e-6 in distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from vecguard.keys.key import Key
from vecguard.transform.base import Nonces
from vecguard.transform.keystream import words

Doubles = npt.NDArray[np.float64]
LogDensity = Callable[[Doubles], Doubles]

NODES: Final = 8193
# Where the density has fallen by e^-60 the table ends.
DROP: Final = 60.0
_HALVINGS: Final = 60


class QuantileTable:
    """The quantile function of a density that rises to one mode and falls."""

    def __init__(self, log_density: LogDensity, mode: float, low: float, high: float) -> None:
        """`log_density`, up to a constant, on [low, high]; it may be -inf at the ends."""
        peak = float(log_density(np.array([mode]))[0])
        first = _fall(log_density, peak, mode, low)
        last = _fall(log_density, peak, mode, high)
        self._nodes = np.linspace(first, last, NODES)
        weights = np.exp(log_density(self._nodes) - peak)
        steps = (weights[1:] + weights[:-1]) / 2
        self._cumulative = np.concatenate(([0.0], np.cumsum(steps)))
        self._cumulative /= self._cumulative[-1]

    def __call__(self, uniform: Doubles) -> Doubles:
        """Quantiles of numbers in (0, 1), any shape, by linear interpolation of the table."""
        return np.asarray(np.interp(uniform, self._cumulative, self._nodes))

    def mean(self, function: Callable[[Doubles], Doubles]) -> float:
        """The expectation of a function of the deviate, by the table."""
        middles = (self._nodes[1:] + self._nodes[:-1]) / 2
        return float(function(middles) @ np.diff(self._cumulative))


def _fall(log_density: LogDensity, peak: float, mode: float, end: float) -> float:
    """Where, from the mode towards `end`, the density has fallen by e^-DROP; `end` where it never does."""

    def fallen(at: float) -> bool:
        return not float(log_density(np.array([at]))[0]) > peak - DROP

    if not fallen(end):
        return end
    inside, outside = mode, end
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (inside, middle) if fallen(middle) else (middle, outside)
    return outside


def uniforms(key: Key, nonces: Nonces) -> Doubles:
    """One number in (0, 1) a nonce, of 53 bits: (floor((w0 + 2^32 w1) / 2^11) + 1/2) / 2^53 of its first two words.

    Args:
        nonces: (n, 12) uint8.

    Returns:
        (n,) float64.
    """
    stream = words(key, nonces, 2).astype(np.uint64)
    joined = (stream[:, 0] | stream[:, 1] << np.uint64(32)) >> np.uint64(11)
    return np.asarray((joined.astype(np.float64) + 0.5) * 2.0**-53)
