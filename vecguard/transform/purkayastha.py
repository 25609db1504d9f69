"""The Purkayastha mechanism: a unit vector is turned by a random angle, for metric privacy with angular distance."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from vecguard.errors import InvalidArgument
from vecguard.keys.key import Key
from vecguard.transform.base import Subkey
from vecguard.transform.directions import Turning
from vecguard.transform.quantile import Doubles, QuantileTable


class PurkayasthaSpec(Protocol):
    """The policy's `{kind: purkayastha, epsilon: 400}`."""

    @property
    def kind(self) -> str:
        """`purkayastha`."""

    @property
    def epsilon(self) -> float:
        """Privacy loss per radian."""


class PurkayasthaNoise(Turning):
    """y with density proportional to exp(-epsilon · angle(x, y)) on the sphere.

    The angle has density proportional to sin(t)^(d-2) exp(-epsilon t), 0 <= t <= pi; the direction is uniform around x
    (Weggenmann & Kerschbaum, "Differential Privacy for Directional Data", CCS 2021, definition of PurMech).
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
                return (dims - 2) * np.log(np.sin(t)) - epsilon * t

        super().__init__(key, dims, QuantileTable(log_density, math.atan2(dims - 2, epsilon), 0.0, math.pi))

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            "Records are turned by a keyed random angle (Purkayastha mechanism), as far as Gaussian noise of"
            f" {self.ratio:.3g} times their length would; the exact vector is kept encrypted beside them.",
            "Against a thief of the database, with or without leaked pairs (A, B): one stored vector is"
            f" {self.epsilon:g}·angle metric-private: two directions at an angle of t radians can be told apart with a"
            f" privacy loss of at most {self.epsilon:g}·t. It is no (epsilon, delta)-differential privacy of use.",
        ]


def build(spec: PurkayasthaSpec, dims: int, subkey: Subkey) -> PurkayasthaNoise:
    """Registry entry.

    Raises:
        InvalidArgument: see `PurkayasthaNoise`.
    """
    return PurkayasthaNoise(subkey("purkayastha"), dims, spec.epsilon)
