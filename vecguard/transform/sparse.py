"""Keyed permutation of the 32-bit indices of sparse vectors, which would otherwise name the words of a text."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from vecguard.keys.key import Key
from vecguard.transform.keystream import encrypt_blocks

ROUNDS: Final = 10
_HALF: Final = 1 << 16

Indices = npt.NDArray[np.uint32]


class IndexPermutation:
    """A permutation of 0..2^32-1: balanced Feistel network (Luby & Rackoff 1988) of ten rounds on two 16-bit halves.

    Round function i of half v: the first two bytes, little-endian, of AES-256(key, uint32 BE i || uint32 BE v || 8 zero
    bytes). A half has only 65,536 values, so each round is tabulated once (1.3 MB in all) and applied by look-up.
    """

    def __init__(self, key: Key) -> None:
        self._rounds = [_round_table(key, index) for index in range(ROUNDS)]

    def forward(self, indices: Indices) -> Indices:
        """Permuted indices; same shape, uint32."""
        left, right = _halves(indices)
        for table in self._rounds:
            left, right = right, left ^ table[right]
        return _joined(left, right)

    def inverse(self, indices: Indices) -> Indices:
        """Undo `forward`; same shape, uint32."""
        left, right = _halves(indices)
        for table in reversed(self._rounds):
            left, right = right ^ table[left], left
        return _joined(left, right)


def _round_table(key: Key, index: int) -> npt.NDArray[np.uint16]:
    blocks = np.zeros((_HALF, 4), ">u4")
    blocks[:, 0] = index
    blocks[:, 1] = np.arange(_HALF)
    return encrypt_blocks(key, blocks).view("<u2")[:: 16 // 2].astype(np.uint16)


def _halves(indices: Indices) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    return (indices >> np.uint32(16)).astype(np.uint16), (indices & np.uint32(0xFFFF)).astype(np.uint16)


def _joined(left: npt.NDArray[np.uint16], right: npt.NDArray[np.uint16]) -> Indices:
    return left.astype(np.uint32) << np.uint32(16) | right
