"""Keyed Gaussian noise that whoever has the key and the record's nonce can subtract again."""

from __future__ import annotations

import math
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from vecguard.errors import ConfigError
from vecguard.keys.key import Key
from vecguard.transform.base import Floats, Nonces, Subkey
from vecguard.transform.keystream import normals


class GaussianSpec(Protocol):
    """The policy's `{kind: gaussian, ratio: 1.0}`."""

    @property
    def kind(self) -> str:
        """`gaussian`."""

    @property
    def ratio(self) -> float:
        """Norm of the noise over the norm of the record."""


class GaussianNoise:
    """Independent N(0, ratio^2 / dims) in every coordinate, so that sqrt(E‖n‖²) = ratio for a unit record."""

    unit_only: Final = False
    spread: Final = 1.0

    def __init__(self, key: Key, dims: int, ratio: float) -> None:
        """`ratio` is finite and >= 0; 0 adds nothing.

        Raises:
            ConfigError: another ratio.
        """
        if not (math.isfinite(ratio) and ratio >= 0):
            raise ConfigError("the noise ratio must be a finite number that is not negative")
        self._key = key
        self.dims = dims
        self.ratio = float(ratio)
        self._sigma = np.float32(self.ratio / math.sqrt(dims))

    def sample(self, nonces: Nonces) -> Floats:
        """Noise for unit-norm records; the caller multiplies by the record's norm.

        Args:
            nonces: (n, 12) uint8.

        Returns:
            (n, dims) float32.
        """
        if self.ratio == 0:
            return np.zeros((len(nonces), self.dims), np.float32)
        noise = normals(self._key, nonces, self.dims)
        noise *= self._sigma
        return noise

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        bits = information_bound(self.ratio, self.dims)
        bound = f"at most {bits:.0f} bits about a record of unit norm remain" if self.ratio else "it hides nothing"
        return [
            f"Keyed Gaussian noise of {self.ratio:g} times the record's norm is added;"
            " it can be subtracted with the key only.",
            f"Against a thief of the database (A): text inversion works on a spoiled vector; {bound}"
            " (Gaussian channel).",
            "Against a thief with leaked pairs (B): more pairs are needed to undo the rotation, and what comes back"
            " stays noisy. It does not stop linkage of a known record: at ratio 1 some 60 pairs do, at"
            " ratio 2 about as many as dimensions.",
            "It is not differential privacy: the noise is fixed per content and id, and is not calibrated to one.",
        ]


def score_deviation(
    ratio: float, dims: int, noise_scale: npt.ArrayLike, query_norm: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Standard deviation of <q, n>: what the noise adds to a dot product.

    <q, n> is N(0, sd²) with sd = ratio * noise_scale / sqrt(dims) * ‖q‖, as n is isotropic.

    Args:
        ratio: the noise ratio.
        dims: dimensions of the protected vector.
        noise_scale: norm that the noise was multiplied with (record norm; 1 for cosine), any shape.
        query_norm: ‖q‖, broadcast against `noise_scale`.
    """
    per_unit = ratio / math.sqrt(dims)
    return per_unit * np.asarray(noise_scale, np.float64) * np.asarray(query_norm, np.float64)


def information_bound(ratio: float, dims: int) -> float:
    """Most bits that the noised vector can tell about a unit record: dims/2 log2(1 + 1/ratio²), inf for ratio 0.

    Capacity of the Gaussian channel (Cover & Thomas, Elements of Information Theory, ch. 9).
    """
    return math.inf if ratio == 0 else dims / 2 * math.log2(1 + ratio**-2)


def build(spec: GaussianSpec, dims: int, subkey: Subkey) -> GaussianNoise:
    """Registry entry.

    Raises:
        ConfigError: see `GaussianNoise`.
    """
    return GaussianNoise(subkey("gaussian"), dims, spec.ratio)
