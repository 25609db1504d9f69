"""The record entry of a multivector: one nonce a record, one scale and sketch a row, in one box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vecguard.errors import InvalidArgument
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.seal.box import PREFIX_COLUMNS, EntryBox, record_bytes, sketch_matches
from vecguard.seal.envelope import SealKind
from vecguard.transform.keystream import NONCE_BYTES, encrypt_blocks

Floats = npt.NDArray[np.float32]
Nonces = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class OpenedRows:
    """The entry of one record with k rows."""

    epoch: int
    record_nonce: Nonces
    """(1, 12), of the record as a whole, the effective one"""
    nonces: Nonces
    """(k, 12)"""
    stored_scale: Floats
    """(k,)"""
    noise_scale: Floats
    """(k,)"""
    sketches: Floats
    """(k, 8)"""
    exact: Floats | None
    """(k, dims) or None"""


class RowsSealer:
    """Makes and opens the entries of one multivector name of one collection."""

    def __init__(self, ring: KeyRing, collection_uuid: bytes, vector_name: str, dims: int) -> None:
        self._box = EntryBox(ring, collection_uuid, vector_name, dims, SealKind.ROWS_ENTRY)
        self._ring = ring
        self._name = vector_name
        self.dims = dims

    def record_nonce(self, point_id: bytes, x: Floats) -> bytes:
        """The record's nonce, 12 bytes, from all its rows (k, dims) float32 as the client gave them."""
        return self._box.nonces([point_id], [record_bytes(x)])[0]

    def effective(self, record_nonce: bytes) -> bytes:
        """The effective nonce of a new record (see `EntryBox.effective`)."""
        return self._box.effective([record_nonce])[0]

    def row_nonces(self, record_nonce: bytes, k: int, epoch: int | None = None) -> Nonces:
        """Nonces of rows 0..k-1: the first 12 bytes of AES-256(row key, record nonce || uint32 BE row).

        Args:
            record_nonce: 12 bytes, the effective one.
            k: number of rows.
            epoch: of the record; the current one when left out.

        Returns:
            (k, 12) uint8.

        Raises:
            Unreadable: the epoch is not live.
        """
        blocks = np.empty((k, 16), np.uint8)
        blocks[:, :NONCE_BYTES] = np.frombuffer(record_nonce, np.uint8)
        blocks[:, NONCE_BYTES:] = np.arange(k, dtype=">u4").view(np.uint8).reshape(-1, 4)
        key = self._row_key(self._box.epoch if epoch is None else epoch)
        return np.ascontiguousarray(encrypt_blocks(key, blocks).reshape(k, 16)[:, :NONCE_BYTES])

    def seal(
        self,
        point_id: bytes,
        record_nonce: bytes,
        stored_scale: Floats,
        noise_scale: Floats,
        x: Floats,
        exact: bool,
        sketched: Floats | None = None,
    ) -> bytes:
        """The entry of one record, under the current epoch; arguments as `EntrySealer.seal_many`, rows for records.

        Raises:
            InvalidArgument: no rows, shapes disagree, or a value is not finite.
        """
        if len(x) == 0:
            raise InvalidArgument("a multivector has at least one row")
        rows = self._box.table(stored_scale, noise_scale, x, sketched, exact=exact)
        return self._box.seal([point_id], [record_nonce], [record_bytes(rows)], exact=exact)[0]

    def open(self, point_id: bytes, entry: bytes) -> OpenedRows:
        """Open the entry of one record.

        Raises:
            Unreadable: anything but an entry sealed for this collection, vector name and point.
        """
        box = self._box.open(point_id, entry)
        columns = PREFIX_COLUMNS + (self.dims if box.exact else 0)
        rows = np.frombuffer(box.plaintext, "<f4").reshape(-1, columns)
        return OpenedRows(
            epoch=box.epoch,
            record_nonce=np.frombuffer(box.nonce, np.uint8)[np.newaxis],
            nonces=self.row_nonces(box.nonce, len(rows), box.epoch),
            stored_scale=rows[:, 0],
            noise_scale=rows[:, 1],
            sketches=rows[:, 2:PREFIX_COLUMNS],
            exact=rows[:, PREFIX_COLUMNS:] if box.exact else None,
        )

    def sketch_matrix(self, epoch: int | None = None) -> Floats:
        """What a row is multiplied with for its sketch; see `EntrySealer.sketch_matrix`. Raises Unreadable."""
        return self._box.sketch_matrix(self._box.epoch if epoch is None else epoch)

    def verify_sketch(
        self, x: Floats, opened: OpenedRows, tolerance: float, *, floor: float = 0.0, matrix: Floats | None = None
    ) -> bool:
        """Whether x (k, dims), row by row, is what was sealed; see `EntrySealer.verify_sketch`."""
        matrix = self._box.sketch_matrix(opened.epoch) if matrix is None else matrix
        if x.shape != (len(opened.sketches), len(matrix)):
            return False
        return bool(sketch_matches(x, opened.sketches, matrix, tolerance, floor).all())

    def _row_key(self, epoch: int) -> Key:
        return self._ring.subkey(epoch, "entry.rows", self._name)
