"""Keyed cells: records are dealt to cells that share no key, so that pairs leaked from one say nothing of another.

A record's cell is a pseudo-random function of its record nonce, so of its id and content: cells are of equal size, each
is a random sample of the collection, and neither cell nor key is written anywhere. A cell is one more *part* of a
collection, as a key epoch is (see `vecguard.dense_shield`): a search sends one protected query for each, and what they
bring is opened, scored exactly and merged, each under a certificate of its own, so that no answer is lost.

Cells of neighbours (nearest of C keyed directions) would need fewer queries, but on real sentences they do not: of the
true ten, .86 are found in 8 of 16 cells, .91 in 32 of 64, .95 in 128 of 256 (MiniLM, 20,000 sentences), and they would
show a thief what belongs together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from vecguard.keys.key import Key
from vecguard.transform.base import Nonces, Subkey
from vecguard.transform.keystream import words

KIND: Final = "cells"
MAX_CELLS: Final = 64
_BITS: Final = 8
_NOWHERE: Final = -1


class CellsSpec(Protocol):
    """The policy's `{kind: cells, count: 16}`."""

    @property
    def kind(self) -> str:
        """`cells`."""

    @property
    def count(self) -> int:
        """How many cells."""


class Cells:
    """The cells of one vector name in one key epoch."""

    def __init__(self, key: Key, count: int) -> None:
        self._key = key
        self.count = count

    def of(self, nonces: Nonces) -> NDArray[np.int64]:
        """Cells of records: (n, 12) uint8 record nonces to (n,): floor(count · w / 2^32), w the nonce's first word."""
        first = words(self._key, nonces, 1)[:, 0].astype(np.int64)
        return first * self.count >> 32

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            f"Records are dealt by key to {self.count} cells with keys of their own. Which cell a record is in is"
            " written nowhere; a search is one query a cell.",
            f"Against a thief with leaked pairs (B): pairs of one cell say nothing of another, so {self.count} times as"
            " many pairs are needed in all; each cell alone is as strong as without cells.",
            "Against one who sees queries (C): every search is sent to every cell, so that queries whose texts he knows"
            " tell him of all cells at once.",
            "Against a thief of the database (A): distances can be compared within a cell only. Without noise, who"
            " knows two texts can tell whether they share a cell; with noise of ratio 1, the clouds of ten thousand"
            " records still tell most of sixteen cells apart.",
        ]


class Division:
    """The parts of a collection: its key epochs, each in cells where there are any.

    A part is the number of its epoch, or with cells epoch · 256 + cell.
    """

    def __init__(self, epochs: Sequence[int], cells: Mapping[int, Cells]) -> None:
        """`epochs`, the one that is written to first; `cells` by epoch, empty where there are none."""
        self.epochs = tuple(epochs)
        self._cells = cells

    @property
    def parts(self) -> tuple[int, ...]:
        """All parts, those that are written to first."""
        if not self._cells:
            return self.epochs
        return tuple(epoch << _BITS | cell for epoch in self.epochs for cell in range(self._cells[epoch].count))

    def place(self, part: int) -> tuple[int, int]:
        """A part's epoch and cell, 0 where there are none."""
        return (part >> _BITS, part & (1 << _BITS) - 1) if self._cells else (part, 0)

    def of(self, epochs: NDArray[np.int64], nonces: Nonces) -> NDArray[np.int64]:
        """Parts of records by their epochs (n,) and record nonces (n, 12): (n,), -1 for an epoch that is not live."""
        parts = np.full(len(epochs), _NOWHERE, np.int64)
        for epoch in self.epochs:
            rows = epochs == epoch
            if rows.any():
                cells = self._cells.get(epoch)
                parts[rows] = epoch if cells is None else epoch << _BITS | cells.of(np.ascontiguousarray(nonces[rows]))
        return parts


def build(spec: CellsSpec, dims: int, subkey: Subkey) -> Cells:
    """Registry entry."""
    return Cells(subkey(KIND), spec.count)
