"""The analytic Gaussian mechanism: keyed noise that makes one stored vector (epsilon, delta)-differentially private."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from vecguard.keys.key import Key
from vecguard.transform.base import Floats, Nonces, Subkey
from vecguard.transform.keystream import normals
from vecguard.transform.strength import analytic_gaussian_ratio, analytic_gaussian_sigma


class AnalyticGaussianSpec(Protocol):
    """The policy's `{kind: analytic-gaussian, epsilon: 100, delta: 1e-6}`."""

    @property
    def kind(self) -> str:
        """`analytic-gaussian`."""

    @property
    def epsilon(self) -> float:
        """Privacy loss of one release."""

    @property
    def delta(self) -> float:
        """Probability that it is more."""


class AnalyticGaussianNoise:
    """Independent N(0, sigma^2) in every coordinate, sigma the smallest that is (epsilon, delta)-DP.

    Neighbours are any two unit vectors (local differential privacy), so the sensitivity is 2, and a little for
    roundings (`strength.SENSITIVITY`); sigma by Balle & Wang (ICML 2018), algorithm 1, see `accounting`.
    """

    unit_only: Final = True
    spread: Final = 1.0

    def __init__(self, key: Key, dims: int, epsilon: float, delta: float) -> None:
        self._key = key
        self.dims = dims
        self.epsilon, self.delta = epsilon, delta
        self.sigma = analytic_gaussian_sigma(epsilon, delta)
        self.ratio = analytic_gaussian_ratio(epsilon, delta, dims)

    def sample(self, nonces: Nonces) -> Floats:
        """(n, 12) uint8 to (n, dims) float32: `normals` times float32(sigma)."""
        noise = normals(self._key, nonces, self.dims)
        noise *= np.float32(self.sigma)
        return noise

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            f"Keyed Gaussian noise of {self.ratio:.3g} times the record's length is added (deviation {self.sigma:.3g} a"
            " coordinate); it can be subtracted with the key only.",
            f"Against a thief of the database, with or without leaked pairs (A, B): one stored vector is"
            f" ({self.epsilon:g}, {self.delta:g})-differentially private as to which unit vector it holds, up to the"
            " strength of AES and the roundings of floating point. The noise is fixed per content and id, so rewriting"
            " the same content is no second release; another content under the same id is, and adds up.",
            "It says nothing about who has the key, about payloads, or about what queries find.",
        ]


def build(spec: AnalyticGaussianSpec, dims: int, subkey: Subkey) -> AnalyticGaussianNoise:
    """Registry entry."""
    return AnalyticGaussianNoise(subkey("analytic-gaussian"), dims, spec.epsilon, spec.delta)
