"""Ids encrypted into ids: keyed permutations of 64-bit numbers and of UUIDs, AES-SIV of texts; reversible without a
table.

The same id always becomes the same one, so ids can be asked for; nothing else of an id shows, but whether it is a
number, a UUID or a text, and of a long text about how long it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from numpy.typing import NDArray

from vecguard.errors import Unreadable
from vecguard.keys.key import Key
from vecguard.seal import base64url
from vecguard.seal.leaf import decode_leaf, encode_leaf, padded_length
from vecguard.transform.keystream import encrypt_blocks

ROUNDS: Final = 10
_BLOCK_BYTES: Final = 16
_HALF_BITS: Final = np.uint64(32)
_HALF: Final = np.uint64(0xFFFFFFFF)
_MASK: Final = 2**64 - 1
_SIV_KEY_BYTES: Final = 64
_TAG_BYTES: Final = 16
_LEAF_HEAD_BYTES: Final = 5

Numbers: TypeAlias = NDArray[np.uint64]


class IdCipher:
    """Permutations of ids under one key."""

    def __init__(self, key: Key) -> None:
        self._numbers = key.derive("number")
        self._texts = AESSIV(key.derive_bytes(_SIV_KEY_BYTES, "text"))
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

    def encrypt_signed(self, numbers: Sequence[int]) -> list[int]:
        """Numbers -2^63..2^63-1, permuted: as those of the same 64 bits (two's complement)."""
        return [_signed(number) for number in self.encrypt_numbers([number & _MASK for number in numbers])]

    def decrypt_signed(self, numbers: Sequence[int]) -> list[int]:
        """Undo `encrypt_signed`."""
        return [_signed(number) for number in self.decrypt_numbers([number & _MASK for number in numbers])]

    def encrypt_texts(self, texts: Sequence[str]) -> list[str]:
        """AES-SIV (RFC 5297, 512-bit key, no associated data) of each text as a leaf, as base64url.

        Raises:
            InvalidArgument: one is no valid Unicode.
        """
        return [base64url.encode(self._texts.encrypt(encode_leaf(text), None)) for text in texts]

    def decrypt_texts(self, texts: Sequence[str]) -> list[str]:
        """Undo `encrypt_texts`.

        Raises:
            Unreadable: one is none that it made.
        """
        return [self._text(text) for text in texts]

    def _text(self, stored: str) -> str:
        try:
            clear = decode_leaf(self._texts.decrypt(base64url.decode(stored), None))
        except (InvalidTag, ValueError):
            raise Unreadable from None
        if not isinstance(clear, str):
            raise Unreadable
        return clear

    def _round(self, number: int, half: Numbers) -> Numbers:
        blocks = np.zeros((len(half), 4), ">u4")
        blocks[:, 0] = number
        blocks[:, 1] = half
        return encrypt_blocks(self._numbers, blocks).view(">u4")[::4].astype(np.uint64)


def text_length(longest: int) -> int:
    """How many characters `encrypt_texts` makes at most of texts of `longest` bytes."""
    return (4 * (_TAG_BYTES + padded_length(_LEAF_HEAD_BYTES + longest)) + 2) // 3


def _signed(number: int) -> int:
    return number - 2**64 if number >> 63 else number


def _halves(numbers: Sequence[int]) -> tuple[Numbers, Numbers]:
    whole = np.array(numbers, np.uint64)
    return whole >> _HALF_BITS, whole & _HALF


def _joined(left: Numbers, right: Numbers) -> list[int]:
    return [int(number) for number in left << _HALF_BITS | right]


def _blocks(data: bytes) -> list[bytes]:
    return [data[at : at + _BLOCK_BYTES] for at in range(0, len(data), _BLOCK_BYTES)]
