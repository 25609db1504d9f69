"""What a transform is. A new one is one file with a `build` function and one line in `vecguard.registry.TRANSFORMS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from vecguard.keys.key import Key

Floats: TypeAlias = npt.NDArray[np.float32]
Nonces: TypeAlias = npt.NDArray[np.uint8]
Subkey: TypeAlias = Callable[[str], Key]
"""Gives the key of one collection, epoch and vector name for a purpose."""


class TransformSpec(Protocol):
    """What the policy says about one transform; further fields depend on the kind."""

    @property
    def kind(self) -> str:
        """The name in `TRANSFORMS`."""


@runtime_checkable
class VectorMap(Protocol):
    """A step that maps vectors to vectors, the same for all records."""

    dims_in: int
    dims_out: int
    invertible: bool
    isometric: bool
    """Whether `apply` and `query` are one linear map that keeps every dot product, so lengths and distances too."""

    def apply(self, x: Floats) -> Floats:
        """Map stored vectors, (n, dims_in) to (n, dims_out)."""

    def query(self, q: Floats) -> Floats:
        """Map query vectors, (n, dims_in) to (n, dims_out); scores against `apply` are those of the clear vectors."""

    def invert(self, y: Floats) -> Floats:
        """Undo `apply`, (n, dims_out) to (n, dims_in); only called when `invertible`."""

    def describe(self) -> list[str]:
        """What it does and what it claims against whom, in plain sentences."""


@runtime_checkable
class Noise(Protocol):
    """A step that adds keyed noise, different for every record nonce."""

    @property
    def dims(self) -> int:
        """Dimensions of the noise."""

    @property
    def ratio(self) -> float:
        """Root of the mean squared length of the noise of a unit record."""

    @property
    def spread(self) -> float:
        """Variance of the squared length over that of Gaussian noise (see `vecguard.rerank`)."""

    @property
    def unit_only(self) -> bool:
        """Whether it is made for unit vectors, and others are refused; else it grows with the record's norm."""

    def sample(self, nonces: Nonces) -> Floats:
        """The noise of unit-norm records, (n, 12) to (n, dims); the same nonce always gives the same noise."""

    def describe(self) -> list[str]:
        """What it does and what it claims against whom, in plain sentences."""


@runtime_checkable
class BoundedNoise(Noise, Protocol):
    """Noise whose strength is that for the longest record allowed, whatever a record's own length."""

    @property
    def clip(self) -> float | None:
        """The norm that longer records are shortened to, and that the noise is multiplied with.

        None: it is `unit_only` instead.
        """


@runtime_checkable
class DirectionalNoise(Protocol):
    """A step that turns unit vectors by a keyed angle, different for every record nonce. It cannot be undone."""

    @property
    def dims(self) -> int:
        """Dimensions of the vectors."""

    @property
    def ratio(self) -> float:
        """Root of the mean squared length of what `turn` adds."""

    @property
    def spread(self) -> float:
        """Variance of that squared length over that of Gaussian noise (see `vecguard.rerank`)."""

    @property
    def unit_only(self) -> bool:
        """True: there is no other strength."""

    def turn(self, x: Floats, nonces: Nonces) -> Floats:
        """Unit vectors (n, dims) and (n, 12) to (n, dims), whose mean is x; the same nonce always turns alike."""

    def describe(self) -> list[str]:
        """What it does and what it claims against whom, in plain sentences."""


@runtime_checkable
class Rounding(Protocol):
    """The last step, that leaves few values a coordinate. It cannot be undone, and queries are not rounded."""

    def round(self, y: Floats) -> Floats:
        """(n, d) to (n, d), a new array."""

    def describe(self) -> list[str]:
        """What it does and what it claims against whom, in plain sentences."""


Step: TypeAlias = VectorMap | Noise | DirectionalNoise | Rounding
TransformBuilder: TypeAlias = Callable[[Any, int, Subkey], Step]
"""`(spec, dims, subkey) -> Step`; `dims` is what the steps before leave. Raises InvalidArgument, ConfigError."""
