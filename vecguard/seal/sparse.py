"""The record entry of a sparse vector: a tag that shows if its stored indices or values were altered or swapped."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Final

import numpy as np
import numpy.typing as npt

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.ring import KeyRing
from vecguard.seal.envelope import HEAD_BYTES, Head, SealKind, read_head

TAG_BYTES: Final = 16

Indices = npt.NDArray[np.uint32]
Floats = npt.NDArray[np.float32]


class SparseSealer:
    """Makes and checks the entries of one sparse vector name: head (7), first 16 bytes of an HMAC-SHA256."""

    def __init__(self, ring: KeyRing, collection_uuid: bytes, vector_name: str) -> None:
        self._ring = ring
        self._uuid = collection_uuid
        self._name = vector_name

    def seal(self, point_id: bytes, indices: Indices, values: Floats) -> bytes:
        """The entry, under the current epoch, of what is stored: permuted indices (k,) uint32, values (k,) float32.

        The order of the pairs does not matter.

        Raises:
            InvalidArgument: lengths differ, or an index comes twice.
        """
        if len(indices) != len(values) or len(np.unique(indices)) != len(indices):
            raise InvalidArgument("a sparse vector needs as many values as indices, and each index once")
        head = Head(SealKind.SPARSE_ENTRY, self._ring.sealing)
        return head.encode() + self._tag(head, point_id, indices, values)

    def open(self, point_id: bytes, entry: bytes, indices: Indices, values: Floats) -> int:
        """Check a stored sparse vector against its entry and return the collection's epoch that it is of.

        Raises:
            Unreadable: the entry is not of this collection, vector name, point and content.
        """
        head = read_head(entry, SealKind.SPARSE_ENTRY, 0)
        if not hmac.compare_digest(entry[HEAD_BYTES:], self._tag(head, point_id, indices, values)):
            raise Unreadable
        return self._ring.epoch_of(head.epoch)

    def _tag(self, head: Head, point_id: bytes, indices: Indices, values: Floats) -> bytes:
        """HMAC-SHA256 (RFC 2104) of length-prefixed(head, collection uuid, name, point id, pairs); pairs, sorted by
        index, are a uint32 count, the indices as uint32, the values as float32, all little-endian."""
        if len(indices) != len(values):
            raise Unreadable
        order = np.argsort(indices, kind="stable")
        pairs = (
            struct.pack("<I", len(indices))
            + np.asarray(indices)[order].astype("<u4").tobytes()
            + np.asarray(values)[order].astype("<f4").tobytes()
        )
        message = length_prefixed(head.encode(), self._uuid, self._name.encode(), point_id, pairs)
        key = self._ring.subkey(head.epoch, "entry.sparse", self._name)
        return hmac.digest(key.expose(), message, hashlib.sha256)[:TAG_BYTES]
