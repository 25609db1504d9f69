"""Truncation to the first dimensions, for embedding models that were trained so that these carry most."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from vecguard.metric import norms
from vecguard.transform.base import Floats, Subkey
from vecguard.transform.one_way import OneWayMap


class TruncateSpec(Protocol):
    """The policy's `{kind: truncate, dims: 128}`."""

    @property
    def kind(self) -> str:
        """`truncate`."""

    @property
    def dims(self) -> int:
        """Dimensions kept."""


class Truncation(OneWayMap):
    """y = ‖x‖ · x[:m] / ‖x[:m]‖ (Kusupati et al., "Matryoshka Representation Learning", NeurIPS 2022).

    After a rotation the first dimensions are a random subspace.
    """

    def apply(self, x: Floats) -> Floats:
        """(n, dims_in) float32 to (n, dims_out) float32; what has no length there stays zero."""
        kept = np.array(x[:, : self.dims_out], np.float32)
        lengths = norms(kept)
        kept *= np.divide(norms(x), lengths, out=np.zeros_like(lengths), where=lengths > 0)[:, np.newaxis]
        return kept

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            f"The first {self.dims_out} of {self.dims_in} dimensions are kept, at the vector's length; the exact vector"
            " is kept encrypted beside each record.",
            "Against a thief of the database (A): as much is hidden as the dropped dimensions carried, which for models"
            " trained to be truncated is little. It saves memory; the keyed rotation and noise protect.",
        ]


def build(spec: TruncateSpec, dims: int, subkey: Subkey) -> Truncation:
    """Registry entry. That `spec.dims` is not above `dims` was seen to when the collection was made."""
    return Truncation(dims, spec.dims)
