"""The von Mises-Fisher mechanism: a unit vector is replaced by a random one near it, for metric privacy."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from vecguard.errors import InvalidArgument
from vecguard.keys.key import Key
from vecguard.transform.base import Subkey
from vecguard.transform.directions import Turning
from vecguard.transform.quantile import Doubles, QuantileTable


class VonMisesFisherSpec(Protocol):
    """The policy's `{kind: von-mises-fisher, epsilon: 400}`."""

    @property
    def kind(self) -> str:
        """`von-mises-fisher`."""

    @property
    def epsilon(self) -> float:
        """Concentration, and privacy loss per unit of Euclidean distance."""


class VonMisesFisherNoise(Turning):
    """y with density proportional to exp(epsilon x·y) on the sphere.

    The angle has density proportional to sin(t)^(d-2) exp(epsilon cos t); the direction is uniform around x (Wood,
    "Simulation of the von Mises Fisher distribution", Comm. Stat. 23, 1994, draws cos t by rejection, which here is
    inverted instead; Weggenmann & Kerschbaum, CCS 2021, for the mechanism and its privacy).
    """

    def __init__(self, key: Key, dims: int, epsilon: float) -> None:
        """Tabulate.

        Raises:
            InvalidArgument: fewer than 3 dimensions.
        """
        if dims < 3:
            raise InvalidArgument("directional noise needs vectors of at least 3 dimensions")
        self.epsilon = epsilon

        def log_density(t: Doubles) -> Doubles:
            with np.errstate(divide="ignore"):
                return (dims - 2) * np.log(np.sin(t)) + epsilon * np.cos(t)

        # Where epsilon sin² = (d - 2) cos.
        mode = math.acos(2 * epsilon / (dims - 2 + math.hypot(dims - 2, 2 * epsilon)))
        super().__init__(key, dims, QuantileTable(log_density, mode, 0.0, math.pi))

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            "Records are turned by a keyed random angle (von Mises-Fisher mechanism), as far as Gaussian noise of"
            f" {self.ratio:.3g} times their length would; the exact vector is kept encrypted beside them.",
            "Against a thief of the database, with or without leaked pairs (A, B): one stored vector is"
            f" {self.epsilon:g}·distance metric-private: unit vectors at distance t can be told apart with a privacy"
            f" loss of at most {self.epsilon:g}·t. It is no (epsilon, delta)-differential privacy of use.",
        ]


def build(spec: VonMisesFisherSpec, dims: int, subkey: Subkey) -> VonMisesFisherNoise:
    """Registry entry.

    Raises:
        InvalidArgument: see `VonMisesFisherNoise`.
    """
    return VonMisesFisherNoise(subkey("von-mises-fisher"), dims, spec.epsilon)
