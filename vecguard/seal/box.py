"""The authenticated box and the deterministic nonce that dense and multivector record entries share."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.ring import KeyRing
from vecguard.seal.envelope import HEAD_BYTES, Head, SealKind, read_head
from vecguard.transform.keystream import NONCE_BYTES, wide_normals

EXACT: Final = 0x01
"""Head flag: the box holds the exact vector."""

SKETCH_DIMS: Final = 8
PREFIX_COLUMNS: Final = 2 + SKETCH_DIMS
"""Columns before the exact vector in a row of the box: stored scale, noise scale, sketch."""

_FLOAT_BYTES: Final = 4
_SIV_KEY_BYTES: Final = 64
_CACHED_EPOCHS: Final = 16

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """What an entry of one epoch is made with."""

    siv: AESSIV
    nonce_mac: hmac.HMAC
    sketch: Floats


class EntryBox:
    """Entries of one vector name: head (7), record nonce (12), AES-SIV box of a table of float32 rows.

    AES-SIV (RFC 5297) rather than GCM: the nonce is derived from the vector, while other contents of the box could
    differ in the last bit between machines; under GCM two such boxes would give the key stream away, under SIV they
    only show that they differ.
    """

    def __init__(self, ring: KeyRing, collection_uuid: bytes, vector_name: str, dims: int, kind: SealKind) -> None:
        self._ring = ring
        self._uuid = collection_uuid
        self._name = vector_name
        self._kind = kind
        self.dims = dims
        self._keys = lru_cache(maxsize=_CACHED_EPOCHS)(self._make_keys)

    @property
    def epoch(self) -> int:
        """The epoch that new entries are made under."""
        return self._ring.current

    def nonce(self, point_id: bytes, content: bytes | memoryview) -> bytes:
        """The record nonce: the first 12 bytes of HMAC-SHA256 (RFC 2104) of
        length-prefixed(vector name, point id) || content, where content is the vector's float32, little-endian.

        The same content under the same id gets the same nonce, hence the same noise: re-writing a record gives an
        observer nothing to average.
        """
        mac = self._keys(self.epoch).nonce_mac.copy()
        mac.update(length_prefixed(point_id))
        mac.update(content)
        return mac.digest()[:NONCE_BYTES]

    def table(self, stored_scale: Floats, noise_scale: Floats, x: Floats, exact: bool) -> npt.NDArray[np.float32]:
        """The plaintext rows: (n, 10) or, with the exact vectors, (n, 10 + dims), little-endian float32.

        Raises:
            InvalidArgument: a scale or the sketch is not finite, or shapes disagree.
        """
        n = len(x)
        if x.shape != (n, self.dims) or np.shape(stored_scale) != (n,) or np.shape(noise_scale) != (n,):
            raise InvalidArgument(f"the vector must have {self.dims} dimensions")
        rows = np.empty((n, PREFIX_COLUMNS + (self.dims if exact else 0)), "<f4")
        rows[:, 0], rows[:, 1] = stored_scale, noise_scale
        with np.errstate(over="ignore", invalid="ignore"):
            rows[:, 2:PREFIX_COLUMNS] = x @ self._keys(self.epoch).sketch
        if not np.isfinite(rows[:, :PREFIX_COLUMNS]).all():
            raise InvalidArgument("the vector is too large or not finite")
        if exact:
            rows[:, PREFIX_COLUMNS:] = x
        return rows

    def seal(self, point_id: bytes, nonce: bytes, plaintext: bytes | memoryview, exact: bool) -> bytes:
        """The entry; `plaintext` is one or several rows of `table`."""
        head = Head(self._kind, self.epoch, EXACT if exact else 0).encode()
        box = self._keys(self.epoch).siv.encrypt(plaintext, [self._aad(head, nonce, point_id)])
        return head + nonce + box

    def open(self, point_id: bytes, entry: bytes) -> tuple[Head, bytes, Floats]:
        """Head, record nonce and the rows, (n, 10) or (n, 10 + dims) float32.

        Raises:
            Unreadable: anything but an entry sealed for this collection, vector name and point.
        """
        head = read_head(entry, self._kind, EXACT)
        nonce = entry[HEAD_BYTES : HEAD_BYTES + NONCE_BYTES]
        try:
            aad = self._aad(entry[:HEAD_BYTES], nonce, point_id)
            plaintext = self._keys(head.epoch).siv.decrypt(entry[HEAD_BYTES + NONCE_BYTES :], [aad])
        except (InvalidTag, ValueError):
            raise Unreadable from None
        columns = PREFIX_COLUMNS + (self.dims if head.flags & EXACT else 0)
        if len(plaintext) % (columns * _FLOAT_BYTES):
            raise Unreadable
        return head, nonce, np.frombuffer(plaintext, "<f4").reshape(-1, columns)

    def sketch_matches(self, x: Floats, sketches: Floats, tolerance: float, epoch: int) -> npt.NDArray[np.bool_]:
        """Rows of x (n, dims) whose sketch is within tolerance · ‖x‖ of `sketches` (n, 8) in every component."""
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.abs(x @ self._keys(epoch).sketch - sketches).max(axis=1)
            return np.asarray(error <= tolerance * np.linalg.norm(x, axis=1))

    def _aad(self, head: bytes, nonce: bytes, point_id: bytes) -> bytes:
        return length_prefixed(head, self._uuid, self._name.encode(), point_id, nonce)

    def _make_keys(self, epoch: int) -> EpochKeys:
        key = self._ring.subkey(epoch, "entry", self._kind.name, self._name)
        mac = hmac.new(key.derive("nonce").expose(), digestmod=hashlib.sha256)
        mac.update(length_prefixed(self._name.encode()))
        rows = np.zeros((self.dims, NONCE_BYTES), np.uint8)
        rows[:, 8:] = np.arange(self.dims, dtype=">u4").view(np.uint8).reshape(-1, 4)
        return EpochKeys(
            siv=AESSIV(key.derive_bytes(_SIV_KEY_BYTES, "box")),
            nonce_mac=mac,
            sketch=wide_normals(key.derive("sketch"), rows, SKETCH_DIMS).astype(np.float32),
        )


def record_bytes(x: Floats) -> memoryview:
    """Row-major little-endian float32 bytes of a matrix, without a copy where it has that form already."""
    return np.ascontiguousarray(x, "<f4").reshape(-1).view(np.uint8).data
