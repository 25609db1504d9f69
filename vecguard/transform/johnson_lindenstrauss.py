"""Keyed random projections that keep distances on average: Gaussian ones, and sparse ones of -1, 0 and 1."""

from __future__ import annotations

import math
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from vecguard.keys.key import Key
from vecguard.transform.base import Floats, Subkey
from vecguard.transform.keystream import wide_normals, words
from vecguard.transform.one_way import OneWayMap

Form = Literal["gaussian", "sparse"]


class JohnsonLindenstraussSpec(Protocol):
    """The policy's `{kind: johnson-lindenstrauss, dims: 128, form: gaussian}`."""

    @property
    def kind(self) -> str:
        """`johnson-lindenstrauss`."""

    @property
    def dims(self) -> int:
        """Dimensions at rest."""

    @property
    def form(self) -> Form:
        """How the matrix is drawn."""


class RandomProjection(OneWayMap):
    """y = M x / sqrt(m), M (m, d) with entries of mean 0 and variance 1 (Johnson & Lindenstrauss 1984).

    gaussian: N(0, 1). sparse: sqrt(3) times 1, -1, 0 with probabilities 1/6, 1/6, 2/3 (Achlioptas, "Database-friendly
    random projections", JCSS 66, 2003). A length changes by a factor whose deviation is about 1/sqrt(2 m).
    """

    def __init__(self, key: Key, dims_in: int, dims_out: int, form: Form) -> None:
        super().__init__(dims_in, dims_out)
        self.form = form
        rows = sparse_rows(key, dims_out, dims_in) if form == "sparse" else gaussian_rows(key, dims_out, dims_in)
        self._transposed = np.ascontiguousarray(rows.T / math.sqrt(dims_out), np.float32)

    def apply(self, x: Floats) -> Floats:
        """(n, dims_in) float32 to (n, dims_out) float32."""
        return x @ self._transposed

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            f"Vectors and queries are projected to {self.dims_out} of {self.dims_in} dimensions by a secret {self.form}"
            " random matrix; the exact vector is kept encrypted beside each record.",
            "Against a thief of the database (A) and a curious operator (C): a text-inversion model cannot be used as"
            " it is; distances stay visible about as far as search needs them.",
            f"Against a thief with leaked pairs (B): about {self.dims_in} pairs give the matrix away; add noise. The"
            f" {self.dims_in - self.dims_out} dimensions that it drops are lost to the thief even then.",
        ]


def gaussian_rows(key: Key, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """(rows, columns) float64: row i is `wide_normals` for the nonce u32 0 || u32 0 || u32 i."""
    return wide_normals(key, _nonces(rows), columns)


def sparse_rows(key: Key, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """(rows, columns) float64: of word w, floor(6 w / 2^32) = 0 gives sqrt(3), 1 gives -sqrt(3), the others 0."""
    sixth = (words(key, _nonces(rows), columns).astype(np.uint64) * np.uint64(6)) >> np.uint64(32)
    return np.asarray(np.where(sixth == 0, 1.0, np.where(sixth == 1, -1.0, 0.0)) * math.sqrt(3))


def _nonces(rows: int) -> npt.NDArray[np.uint8]:
    triples = np.zeros((rows, 3), ">u4")
    triples[:, 2] = np.arange(rows)
    return triples.view(np.uint8)


def build(spec: JohnsonLindenstraussSpec, dims: int, subkey: Subkey) -> RandomProjection:
    """Registry entry. That `spec.dims` is not above `dims` was seen to when the collection was made."""
    return RandomProjection(subkey("johnson-lindenstrauss"), dims, spec.dims, spec.form)
