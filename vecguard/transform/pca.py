"""Projection to principal components: the directions in which a sample of embeddings varies most."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from vecguard.errors import ConfigError, InvalidArgument
from vecguard.transform.artefact import FittedSpec, read_artefact, write_artefact
from vecguard.transform.base import Floats, Subkey
from vecguard.transform.one_way import OneWayMap

KIND: Final = "pca"
# Fewer would fit the noise of the sample.
LEAST_ROWS_A_COMPONENT: Final = 4


class Pca(OneWayMap):
    """y = W (x - m): m the mean and W (dims, d) the first principal axes of a sample (Pearson 1901; Hotelling 1933).

    Records and queries are mapped alike, so that distances are kept as far as the components carry them.
    """

    def __init__(self, dims_in: int, dims_out: int, fitted: Callable[[], tuple[Floats, Floats]]) -> None:
        """`fitted` gives the mean (d,) and the axes (dims, d), orthonormal rows, when they are needed."""
        super().__init__(dims_in, dims_out)
        self._fitted = cache(fitted)

    def apply(self, x: Floats) -> Floats:
        """(n, d) float32 to (n, dims) float32.

        Raises:
            ConfigError, InvalidArgument: see `load`.
        """
        mean, axes = self._fitted()
        return np.asarray((x - mean) @ axes.T)

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            f"Vectors and queries are projected to {self.dims_out} of {self.dims_in} dimensions, the principal"
            " components of a sample without its mean; the exact vector is kept encrypted beside each record.",
            "Against a thief of the database (A), it hides nothing that search needs: what is dropped is what varies"
            " least. It saves memory; the keyed rotation and noise after it protect.",
        ]


def fit(sample: Floats, components: int) -> tuple[Floats, Floats]:
    """Mean (d,) and principal axes (components, d) of a sample (n, d), float32.

    Raises:
        InvalidArgument: more components than dimensions, or too few rows, or a number that is not finite.
    """
    rows, dims = sample.shape
    if not 1 <= components <= dims:
        raise InvalidArgument(f"{components} components of vectors of {dims} dimensions: name 1 to {dims}")
    if rows < LEAST_ROWS_A_COMPONENT * components:
        needed = LEAST_ROWS_A_COMPONENT * components
        raise InvalidArgument(f"{rows} vectors are too few to fit {components} components to: give {needed} or more")
    exact = sample.astype(np.float64)
    if not np.isfinite(exact).all():
        raise InvalidArgument("the sample holds a number that is not finite")
    mean = exact.mean(axis=0)
    centred = exact - mean
    _, vectors = np.linalg.eigh(centred.T @ centred)  # ascending
    axes = vectors[:, ::-1][:, :components].T
    # The sign of an axis is arbitrary; fixed, so that the same sample gives the same file.
    axes *= np.where(np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1) < 0, -1.0, 1.0)
    return mean.astype(np.float32), axes.astype(np.float32)


def save(path: Path, mean: Floats, axes: Floats) -> str:
    """Write the artefact; returns its SHA-256 for the policy.

    Raises:
        ConfigError: it cannot be written.
    """
    return write_artefact(path, KIND, {"mean": mean, "axes": axes})


def load(spec: FittedSpec, dims: int) -> tuple[Floats, Floats]:
    """`read_named`, for vectors of `dims` dimensions.

    Raises:
        ConfigError: see `read_named`.
        InvalidArgument: it was fitted to another number of dimensions.
    """
    mean, axes = read_named(spec)
    if len(mean) != dims:
        raise InvalidArgument(f"the policy's PCA was fitted to vectors of {len(mean)} dimensions; this one has {dims}")
    return mean, axes


def read_named(spec: FittedSpec) -> tuple[Floats, Floats]:
    """Mean (d,) and the axes kept (spec.dims, d) out of the artefact that a policy names.

    Raises:
        ConfigError: see `read_artefact`; or the file holds something else or too few axes, or none is named.
    """
    if not spec.file:
        raise ConfigError("names no file: add `file`, the artefact that fit-pca wrote")
    arrays = read_artefact(Path(spec.file), spec.sha256, KIND)
    if set(arrays) != {"mean", "axes"} or arrays["axes"].shape[1:] != arrays["mean"].shape:
        raise ConfigError(f"{spec.file}: does not hold a mean and axes")
    if len(arrays["axes"]) < spec.dims:
        raise ConfigError(f"{spec.file}: has {len(arrays['axes'])} components, and the policy keeps {spec.dims}")
    return arrays["mean"], arrays["axes"][: spec.dims]


def build(spec: FittedSpec, dims: int, subkey: Subkey) -> Pca:
    """Registry entry. The file is read when a vector is first mapped: to open records nobody needs it."""
    return Pca(dims, spec.dims, lambda: load(spec, dims))
