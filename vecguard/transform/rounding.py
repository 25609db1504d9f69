"""Rounding of stored vectors to few values a coordinate: 255 of them, or two."""

from __future__ import annotations

from typing import Final

import numpy as np

from vecguard.transform.base import Floats, Subkey, TransformSpec


class Int8Rounding:
    """y to s · round(y / s), s = max|y| / 127: each coordinate one of 255 values (symmetric scalar quantisation)."""

    def round(self, y: Floats) -> Floats:
        """(n, d) float32 to (n, d) float32."""
        step = np.abs(y).max(axis=1, keepdims=True, initial=0.0) / np.float32(127)
        safe = np.where(step > 0, step, np.float32(1))
        return np.asarray(np.rint(y / safe) * step, np.float32)

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            "Stored coordinates are rounded to 255 values of a grid; the exact vector is kept encrypted beside each"
            " record. It hides next to nothing, and saves nothing by itself: databases store the rounded numbers as"
            " float32 too. Their own scalar quantisation then loses next to nothing more.",
        ]


class BinaryRounding:
    """y to (|y|_1 / d) sign(y), the nearest vector of equal magnitudes (Charikar, STOC 2002, for signs of projections).

    For a rotated vector a query's dot product with it is, up to a factor, that with the vector, and an error of about
    sqrt(pi/2 - 1) |y| |q| / sqrt(d): as noise of ratio 0.76.
    """

    _SIGNS: Final = np.array([-1.0, 1.0], np.float32)

    def round(self, y: Floats) -> Floats:
        """(n, d) float32 to (n, d) float32."""
        size = np.abs(y).mean(axis=1, keepdims=True)
        return np.asarray(self._SIGNS[(y >= 0).astype(np.intp)] * size, np.float32)

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            "Of each stored coordinate only the sign is kept; the exact vector is kept encrypted beside each record.",
            "Against a thief of the database (A): at most one bit a dimension about a record remains. Databases store"
            " the two values as float32 all the same; their own binary quantisation then loses nothing more, and makes"
            " the index 32 times smaller.",
        ]


def build_int8(spec: TransformSpec, dims: int, subkey: Subkey) -> Int8Rounding:
    """Registry entry."""
    return Int8Rounding()


def build_binary(spec: TransformSpec, dims: int, subkey: Subkey) -> BinaryRounding:
    """Registry entry."""
    return BinaryRounding()
