"""Scale-and-Perturb: noise uniform in a ball, the scheme of IronCore's SDK, at the strength of the same factor."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from vecguard.keys.key import Key
from vecguard.transform.base import Floats, Nonces, Subkey
from vecguard.transform.directions import uniform_directions
from vecguard.transform.quantile import uniforms
from vecguard.transform.strength import ball_ratio


class ScaleAndPerturbSpec(Protocol):
    """The policy's `{kind: scale-and-perturb, approximation_factor: 4}`."""

    @property
    def kind(self) -> str:
        """`scale-and-perturb`."""

    @property
    def approximation_factor(self) -> float:
        """beta."""


class BallNoise:
    """y = s (x + n), n uniform in the ball of radius beta/4: a uniform direction, a length of beta/4 u^(1/d).

    Fuchsbauer, Ghosal, Hauke & O'Neill, "Approximate Distance-Comparison-Preserving Symmetric Encryption" (SCN 2022,
    IACR ePrint 2021/1666), algorithm SAP: c = s m + U(ball of radius s beta/4). beta is what IronCore's SDK calls the
    approximation factor: its version 0.16 adds noise of length 0.25, 0.5, 1.0 and 2.0 to a unit vector of 384
    dimensions at factors 1, 2, 4 and 8 (measured). The scale s is 1, which is that SDK's default too: it changes the
    unit of length and no order of results, and a length that is known, such as that of unit vectors, gives it away.
    """

    unit_only: Final = True

    def __init__(self, key: Key, dims: int, approximation_factor: float) -> None:
        self._key = key
        self._length_key = key.derive("length")
        self.dims = dims
        self.radius = approximation_factor / 4
        self.ratio = ball_ratio(approximation_factor, dims)
        # Of the fourth moment d / (d+4) of a length u^(1/d).
        self.spread = 2 / (dims + 4)

    def sample(self, nonces: Nonces) -> Floats:
        """(n, 12) uint8 to (n, dims) float32."""
        noise = uniform_directions(self._key, nonces, self.dims)
        lengths = self.radius * uniforms(self._length_key, nonces) ** (1 / self.dims)
        noise *= lengths.astype(np.float32)[:, np.newaxis]
        return noise

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            f"Keyed noise, uniform in a ball of {self.radius:g} times the record's length, is added"
            " (Scale-and-Perturb); it can be subtracted with the key only.",
            "Against a thief of the database (A): distances can be compared where they differ by more than"
            f" {4 * self.radius:g}, which is what makes search work; below that the noise hides them. The proof speaks"
            " of records drawn at random, not of embeddings. It is not differential privacy.",
            "Against a thief with leaked pairs (B): as Gaussian noise of the same length.",
        ]


def build(spec: ScaleAndPerturbSpec, dims: int, subkey: Subkey) -> BallNoise:
    """Registry entry."""
    return BallNoise(subkey("scale-and-perturb"), dims, spec.approximation_factor)
