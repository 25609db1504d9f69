"""Point ids encrypted into point ids: keyed permutations of 64-bit numbers and of UUIDs, reversible without a table.

The same id always becomes the same one, so ids can be asked for; nothing else of an id shows, but whether it is a
number or a UUID.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from vecguard.keys.key import Key
from vecguard.transform.keystream import encrypt_blocks

ROUNDS: Final = 10
_BLOCK_BYTES: Final = 16
_HALF_BITS: Final = np.uint64(32)
_HALF: Final = np.uint64(0xFFFFFFFF)

Numbers: TypeAlias = NDArray[np.uint64]


class IdCipher:
    """Permutations of ids under one key."""

    def __init__(self, key: Key) -> None:
        self._numbers = key.derive("number")
        # One block an id: AES as the permutation that it is.
        self._uuids: Cipher[Any] = Cipher(algorithms.AES256(key.derive("uuid").expose()), modes.ECB())  # noqa: S305

    def encrypt_numbers(self, numbers: Sequence[int]) -> list[int]:
        """Numbers 0..2^64-1, permuted: a balanced Feistel network (Luby & Rackoff 1988) of ten rounds on 32-bit halves.

        Round i of half v: the first four bytes, big-endian, of AES-256(number key, u32 i || u32 v || 8 zero bytes).
        """
        left, right = _halves(numbers)
        for i in range(ROUNDS):
            left, right = right, left ^ self._round(i, right)
        return _joined(left, right)

    def decrypt_numbers(self, numbers: Sequence[int]) -> list[int]:
        """Undo `encrypt_numbers`."""
        left, right = _halves(numbers)
        for i in reversed(range(ROUNDS)):
            left, right = right ^ self._round(i, left), left
        return _joined(left, right)

    def encrypt_uuids(self, uuids: Sequence[bytes]) -> list[bytes]:
        """UUIDs of 16 bytes, permuted: one block of AES-256 under the UUID key."""
        return _blocks(self._uuids.encryptor().update(b"".join(uuids)))

    def decrypt_uuids(self, uuids: Sequence[bytes]) -> list[bytes]:
        """Undo `encrypt_uuids`."""
        return _blocks(self._uuids.decryptor().update(b"".join(uuids)))

    def _round(self, number: int, half: Numbers) -> Numbers:
        blocks = np.zeros((len(half), 4), ">u4")
        blocks[:, 0] = number
        blocks[:, 1] = half
        return encrypt_blocks(self._numbers, blocks).view(">u4")[::4].astype(np.uint64)


def _halves(numbers: Sequence[int]) -> tuple[Numbers, Numbers]:
    whole = np.array(numbers, np.uint64)
    return whole >> _HALF_BITS, whole & _HALF


def _joined(left: Numbers, right: Numbers) -> list[int]:
    return [int(number) for number in left << _HALF_BITS | right]


def _blocks(data: bytes) -> list[bytes]:
    return [data[at : at + _BLOCK_BYTES] for at in range(0, len(data), _BLOCK_BYTES)]
