"""The analytic Gaussian mechanism: keyed noise that makes one stored vector (epsilon, delta)-differentially private."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from vecguard.keys.key import Key
from vecguard.transform.base import Floats, Nonces, Subkey
from vecguard.transform.keystream import normals
from vecguard.transform.strength import analytic_gaussian_ratio, analytic_gaussian_sigma


class AnalyticGaussianSpec(Protocol):
    """The policy's `{kind: analytic-gaussian, epsilon: 100, delta: 1e-6, clip: 10}`."""

    @property
    def kind(self) -> str:
        """`analytic-gaussian`."""

    @property
    def epsilon(self) -> float:
        """Privacy loss of one release."""

    @property
    def delta(self) -> float:
        """Probability that it is more."""

    @property
    def clip(self) -> float | None:
        """Norm that longer vectors are shortened to; None: they are of unit length, or refused."""


class AnalyticGaussianNoise:
    """Independent N(0, sigma^2) in every coordinate, sigma the smallest that is (epsilon, delta)-DP.

    Neighbours are any two vectors of norm at most C (local differential privacy), C = 1 without `clip`, so the
    sensitivity is 2 C, and a little for roundings (`strength.SENSITIVITY`); sigma by Balle & Wang (ICML 2018),
    algorithm 1, see `accounting`. `sigma`, `ratio` and `sample` are for C = 1; what uses them multiplies by C.
    """

    spread: Final = 1.0

    def __init__(self, key: Key, dims: int, epsilon: float, delta: float, clip: float | None = None) -> None:
        self._key = key
        self.dims = dims
        self.epsilon, self.delta = epsilon, delta
        self.clip = clip
        self.unit_only = clip is None
        self.sigma = analytic_gaussian_sigma(epsilon, delta)
        self.ratio = analytic_gaussian_ratio(epsilon, delta, dims)

    def sample(self, nonces: Nonces) -> Floats:
        """(n, 12) uint8 to (n, dims) float32: `normals` times float32(sigma)."""
        noise = normals(self._key, nonces, self.dims)
        noise *= np.float32(self.sigma)
        return noise

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        if self.clip is None:
            length, held, shortened = "the record's length", "unit vector", []
        else:
            length, held = f"the norm {self.clip:g}", f"vector of norm at most {self.clip:g}"
            shortened = [
                f"Vectors longer than {self.clip:g} are shortened to that norm first (but for cosine, where length does"
                " not count and the noise is for unit vectors): what the key derives back is the shortened vector."
            ]
        return [
            *shortened,
            f"Keyed Gaussian noise of {self.ratio:.3g} times {length} is added (deviation"
            f" {self.sigma * (self.clip or 1.0):.3g} a coordinate); it can be subtracted with the key only.",
            f"Against a thief of the database, with or without leaked pairs (A, B): one stored vector is"
            f" ({self.epsilon:g}, {self.delta:g})-differentially private as to which {held} it holds, up to the"
            " strength of AES and the roundings of floating point. The noise is fixed per content and id, so rewriting"
            " the same content is no second release; another content under the same id is, and adds up.",
            "It says nothing about who has the key, about payloads, or about what queries find.",
        ]


def build(spec: AnalyticGaussianSpec, dims: int, subkey: Subkey) -> AnalyticGaussianNoise:
    """Registry entry."""
    return AnalyticGaussianNoise(subkey("analytic-gaussian"), dims, spec.epsilon, spec.delta, spec.clip)
