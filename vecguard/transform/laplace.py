"""Laplace noise for metric privacy (d_X-privacy) with the Euclidean distance: keyed, and subtracted by key."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from vecguard.keys.key import Key
from vecguard.transform.base import Floats, Nonces, Subkey
from vecguard.transform.directions import uniform_directions
from vecguard.transform.quantile import Doubles, QuantileTable, uniforms
from vecguard.transform.strength import laplace_ratio


class LaplaceSpec(Protocol):
    """The policy's `{kind: laplace, epsilon: 400}`."""

    @property
    def kind(self) -> str:
        """`laplace`."""

    @property
    def epsilon(self) -> float:
        """Privacy loss per unit of Euclidean distance."""


class LaplaceNoise:
    """n with density proportional to exp(-epsilon |n|): a uniform direction, a length that is Gamma(d, 1/epsilon).

    Fernandes, Dras & McIver, "Generalised Differential Privacy for Text Document Processing" (POST 2019), and Feyisetan
    et al., "Privacy- and Utility-Preserving Textual Analysis via Calibrated Multivariate Perturbations" (WSDM 2020).
    """

    unit_only: Final = True

    def __init__(self, key: Key, dims: int, epsilon: float) -> None:
        self._key = key
        self._length_key = key.derive("length")
        self.dims = dims
        self.epsilon = epsilon
        self.ratio = laplace_ratio(epsilon, dims)
        # Of the fourth moment d (d+1) (d+2) (d+3) of a Gamma(d) length.
        self.spread = (2 * dims + 3) / (dims + 1)

        def log_density(g: Doubles) -> Doubles:
            with np.errstate(divide="ignore"):
                return (dims - 1) * np.log(g) - g if dims > 1 else -g

        self._lengths = QuantileTable(log_density, mode=dims - 1, low=0.0, high=4.0 * (dims + 60))

    def sample(self, nonces: Nonces) -> Floats:
        """(n, 12) uint8 to (n, dims) float32."""
        noise = uniform_directions(self._key, nonces, self.dims)
        lengths = self._lengths(uniforms(self._length_key, nonces)) / self.epsilon
        noise *= lengths.astype(np.float32)[:, np.newaxis]
        return noise

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            f"Keyed Laplace noise of about {self.ratio:.3g} times the record's length is added; it can be subtracted"
            " with the key only.",
            "Against a thief of the database, with or without leaked pairs (A, B): one stored vector is"
            f" {self.epsilon:g}·distance metric-private (d_X-privacy): two vectors at distance t can be told apart with"
            f" a privacy loss of at most {self.epsilon:g}·t, so opposite ones with {2 * self.epsilon:g}. Near vectors"
            " are hidden among each other, far ones are not; it is no (epsilon, delta)-differential privacy of use.",
        ]


def build(spec: LaplaceSpec, dims: int, subkey: Subkey) -> LaplaceNoise:
    """Registry entry."""
    return LaplaceNoise(subkey("laplace"), dims, spec.epsilon)
