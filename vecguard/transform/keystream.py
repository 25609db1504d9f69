"""Random words and normal deviates from a key: our own specification over AES, byte for byte (docs/formats.md).

Stored data depends on these numbers for years, so they never come from a library's random generator, whose stream may
change between releases.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from vecguard.keys.key import Key

NONCE_BYTES: Final = 12
_BLOCK_BYTES: Final = 16
_WORDS_PER_BLOCK: Final = 4
# Rows are worked on in chunks that stay in the second-level cache: one chunk's words and normals are 1 MB.
_CHUNK_WORDS: Final = 1 << 17

Bytes2D = npt.NDArray[np.uint8]
Words2D = npt.NDArray[np.uint32]


class BlockFunction:
    """AES-256's bare block function (ECB) under one key, used as a PRF on inputs that the caller keeps distinct.

    To be kept where few blocks are asked for at a time: making the cipher costs more than these do. It is not for
    several threads at once.
    """

    def __init__(self, key: Key) -> None:
        cipher = Cipher(AES(key.expose()), ECB())  # noqa: S305  (a PRF on distinct blocks, not encryption of data)
        self._encryptor = cipher.encryptor()

    def __call__(self, blocks: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """AES-256 of every 16 bytes of `blocks` (C-contiguous, any shape), as a flat uint8 array."""
        plain = blocks.reshape(-1).view(np.uint8)
        out = np.empty(plain.size + _BLOCK_BYTES, np.uint8)  # update_into asks for one block more than it writes
        self._encryptor.update_into(plain.data, out.data)
        return out[: plain.size]


def encrypt_blocks(key: Key, blocks: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """`BlockFunction` of many blocks at once."""
    return BlockFunction(key)(blocks)


def words(key: Key, nonces: Bytes2D, count: int) -> Words2D:
    """`count` uint32 words for each nonce.

    The stream of a nonce is AES-256(key, nonce || uint32 BE i) for i = 0, 1, ... (CTR mode, NIST SP 800-38A), read as
    little-endian uint32.

    Args:
        nonces: (n, 12) uint8.
        count: words per nonce, 1 to 2^32.

    Returns:
        (n, count) uint32.
    """
    n = len(nonces)
    per_nonce = -(-count // _WORDS_PER_BLOCK)
    first = np.zeros((n, _BLOCK_BYTES), np.uint8)
    first[:, :NONCE_BYTES] = nonces
    halves = first.view("<u8")  # of each nonce's block 0; half as many writes as in words
    counts = np.arange(per_nonce, dtype=">u4").view("<u4").astype("<u8") << np.uint64(32)
    blocks = np.empty((n, per_nonce, 2), "<u8")
    blocks[:, :, 0] = halves[:, :1]
    np.bitwise_or(halves[:, 1:], counts, out=blocks[:, :, 1])
    stream = encrypt_blocks(key, blocks).view("<u4").reshape(n, per_nonce * _WORDS_PER_BLOCK)
    return stream[:, :count].astype(np.uint32, copy=False)


def normals(key: Key, nonces: Bytes2D, dims: int) -> npt.NDArray[np.float32]:
    """`dims` standard normal deviates for each nonce, by Box-Muller (1958) in float32.

    With h = ceil(dims / 2) and the words w[0..2h): u = (w + 0.5) / 2^32; r = sqrt(-2 ln u[i]), t = 2 pi u[h + i];
    deviate i is r cos t, deviate h + i is r sin t, and the last is dropped when `dims` is odd. Roundings: w to float32,
    plus 0.5 in float32, times 2^-32 (exact) or, for t, times float32(2 pi / 2^32).

    Args:
        nonces: (n, 12) uint8.
        dims: deviates per nonce, at least 1.

    Returns:
        (n, dims) float32.
    """
    out = np.empty((len(nonces), dims), np.float32)
    step = max(1, _CHUNK_WORDS // dims)
    for start in range(0, len(nonces), step):
        _box_muller(words(key, nonces[start : start + step], dims + dims % 2), out[start : start + step])
    return out


def wide_normals(key: Key, nonces: Bytes2D, dims: int) -> npt.NDArray[np.float64]:
    """As `normals`, with every step in float64 and no intermediate rounding to float32: for fixed matrices.

    Returns:
        (n, dims) float64.
    """
    out = np.empty((len(nonces), dims), np.float64)
    _box_muller(words(key, nonces, dims + dims % 2), out)
    return out


def _box_muller(stream: Words2D, out: npt.NDArray[Any]) -> None:
    half = stream.shape[1] // 2
    odd_half = out.shape[1] - half
    number = out.dtype.type
    # Two arrays and not the halves of one: numpy works on a whole array faster than row by row.
    radius = stream[:, :half].astype(out.dtype)
    radius += number(0.5)
    radius *= number(2.0**-32)
    np.log(radius, out=radius)
    radius *= number(-2.0)
    np.sqrt(radius, out=radius)
    angle = stream[:, half:].astype(out.dtype)
    angle += number(0.5)
    angle *= number(2.0 * np.pi * 2.0**-32)
    np.multiply(np.cos(angle), radius, out=out[:, :half])
    np.sin(angle, out=angle)
    np.multiply(angle[:, :odd_half], radius[:, :odd_half], out=out[:, half:])
