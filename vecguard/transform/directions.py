"""Keyed directions: uniform on the sphere, and turned away from a vector by a given angle."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from vecguard.keys.key import Key
from vecguard.metric import norms
from vecguard.transform.base import Floats, Nonces
from vecguard.transform.keystream import normals
from vecguard.transform.quantile import QuantileTable, uniforms
from vecguard.transform.strength import resultant_ratio


def uniform_directions(key: Key, nonces: Nonces, dims: int) -> Floats:
    """Unit vectors, uniform on the sphere: `normals` divided by their length (Muller, CACM 2, 1959).

    Returns:
        (n, dims) float32.
    """
    directions = normals(key, nonces, dims)
    directions /= norms(directions)[:, np.newaxis]
    return directions


def turned(x: Floats, angles: npt.NDArray[np.float64], key: Key, nonces: Nonces) -> Floats:
    """Unit vectors x turned by `angles` (n,) towards keyed directions that are uniform around them.

    The direction is g - (g·x) x for standard normals g, divided by its length.

    Returns:
        (n, dims) float32.
    """
    away = normals(key, nonces, x.shape[1])
    away -= np.vecdot(away, x)[:, np.newaxis] * x
    away *= (np.sin(angles) / norms(away)).astype(np.float32)[:, np.newaxis]
    away += np.cos(angles).astype(np.float32)[:, np.newaxis] * x
    return away


class Turning:
    """Turns unit vectors by angles of one density, and divides by the mean's length A = E cos, so that E y = x."""

    unit_only: Final = True
    # What is added is no longer at some angles than at others but leans along x; a score varies by that at most as much
    # as under isotropic noise of this spread (with equality for the Purkayastha density where the query is x).
    spread: Final = 2.0

    def __init__(self, key: Key, dims: int, angles: QuantileTable) -> None:
        self._key = key
        self._angle_key = key.derive("angle")
        self._angles = angles
        self.dims = dims
        self.resultant = angles.mean(np.cos)
        self.ratio = resultant_ratio(self.resultant)

    def turn(self, x: Floats, nonces: Nonces) -> Floats:
        """(n, dims) float32 of unit norm to (n, dims) float32 of norm 1 / A."""
        y = turned(x, self._angles(uniforms(self._angle_key, nonces)), self._key, nonces)
        y /= np.float32(self.resultant)
        return y
