"""What maps have in common that lose a part of the vector: nobody undoes them, and queries go the way of records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from vecguard.errors import FailedPrecondition
from vecguard.transform.base import Floats


class OneWayMap(ABC):
    """A `VectorMap` without a way back: what recovers its vectors is a sealed copy of them."""

    invertible: Final = False
    isometric: Final = False

    def __init__(self, dims_in: int, dims_out: int) -> None:
        self.dims_in = dims_in
        self.dims_out = dims_out

    @abstractmethod
    def apply(self, x: Floats) -> Floats:
        """(n, dims_in) float32 to (n, dims_out) float32."""

    @abstractmethod
    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""

    def query(self, q: Floats) -> Floats:
        """The same map as `apply`."""
        return self.apply(q)

    def invert(self, y: Floats) -> Floats:
        """There is no way back.

        Raises:
            FailedPrecondition: always.
        """
        raise FailedPrecondition("a projection cannot be undone")
