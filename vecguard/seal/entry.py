"""The record entry of a dense vector, kept in `_vg` beside the protected vector: what it takes to open it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.keys.ring import KeyRing
from vecguard.seal.box import PREFIX_COLUMNS, EntryBox, OpenedBox, record_bytes, sketch_matches, slices
from vecguard.seal.envelope import SealKind
from vecguard.transform.keystream import NONCE_BYTES

_PREFIX_BYTES: Final = 4 * PREFIX_COLUMNS

Floats = npt.NDArray[np.float32]
Nonces = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class OpenedEntry:
    """One entry: epoch, effective nonce (12 bytes), scales, sketch (8,), and the exact vector (dims,) or None."""

    epoch: int
    nonce: bytes
    stored_scale: float
    noise_scale: float
    sketch: Floats
    exact: Floats | None


@dataclass(frozen=True, slots=True)
class OpenedEntries:
    """Entries of n records, stacked. Where `ok` is False the entry did not open and its row holds zeros."""

    ok: npt.NDArray[np.bool_]
    """(n,)"""
    epochs: npt.NDArray[np.int64]
    """(n,)"""
    nonces: Nonces
    """(n, 12)"""
    stored_scale: Floats
    """(n,)"""
    noise_scale: Floats
    """(n,)"""
    sketches: Floats
    """(n, 8)"""
    has_exact: npt.NDArray[np.bool_]
    """(n,) whether `exact` holds the vector."""
    exact: Floats | None
    """(n, dims), None when no entry holds its vector."""

    def take(self, rows: npt.NDArray[np.intp]) -> OpenedEntries:
        """Only those at these indices."""
        exact = None if self.exact is None else self.exact[rows]
        return OpenedEntries(
            ok=self.ok[rows],
            epochs=self.epochs[rows],
            nonces=self.nonces[rows],
            stored_scale=self.stored_scale[rows],
            noise_scale=self.noise_scale[rows],
            sketches=self.sketches[rows],
            has_exact=self.has_exact[rows],
            exact=exact,
        )


class EntrySealer:
    """Makes and opens the entries of one dense vector name of one collection."""

    def __init__(self, ring: KeyRing, collection_uuid: bytes, vector_name: str, dims: int) -> None:
        self._box = EntryBox(ring, collection_uuid, vector_name, dims, SealKind.DENSE_ENTRY)
        self.dims = dims
        self._exact_bytes = _PREFIX_BYTES + 4 * dims

    def nonces(self, point_ids: Sequence[bytes], x: Floats) -> Nonces:
        """Record nonces for vectors as the client gave them (see `EntryBox.nonce`).

        Args:
            point_ids: n canonical ids (`seal.ids`).
            x: (n, dims) float32.

        Returns:
            (n, 12) uint8.

        Raises:
            InvalidArgument: numbers of rows or dims disagree.
        """
        if x.shape != (len(point_ids), self.dims):
            raise InvalidArgument(f"every point needs one vector of {self.dims} dimensions")
        nonces = self._box.nonces(point_ids, slices(record_bytes(x), 4 * self.dims))
        return np.frombuffer(b"".join(nonces), np.uint8).reshape(-1, NONCE_BYTES)

    def effective(self, nonces: Nonces) -> Nonces:
        """Effective nonces (n, 12) of new records (see `EntryBox.effective`)."""
        if not self._box.is_tenants:
            return nonces
        packed = np.ascontiguousarray(nonces, np.uint8).tobytes()
        cut = [packed[start : start + NONCE_BYTES] for start in range(0, len(packed), NONCE_BYTES)]
        return np.frombuffer(b"".join(self._box.effective(cut)), np.uint8).reshape(-1, NONCE_BYTES)

    def seal_many(
        self,
        point_ids: Sequence[bytes],
        nonces: Nonces,
        stored_scale: Floats,
        noise_scale: Floats,
        x: Floats,
        exact: bool,
        sketched: Floats | None = None,
    ) -> list[bytes]:
        """One entry a record, under the current epoch.

        Args:
            point_ids: n canonical ids.
            nonces: (n, 12) uint8 from `nonces`.
            stored_scale: (n,) norm of the protected vector where the database normalises what it stores, else 1.
            noise_scale: (n,) factor of the noise: the record's norm, 1 for cosine.
            x: (n, dims) float32, what recovery must give back (unit norm for cosine).
            exact: whether the entry holds x itself and not only its sketch.
            sketched: (n, at most dims) float32 that the sketch is of, where x cannot be had from the stored vector.

        Raises:
            InvalidArgument: numbers of rows or dims disagree, or a value is not finite.
        """
        if len(point_ids) != len(x) or len(nonces) != len(x):
            raise InvalidArgument("every vector needs one point id and one nonce")
        rows = self._box.table(stored_scale, noise_scale, x, sketched, exact=exact)
        packed = np.ascontiguousarray(nonces, np.uint8).tobytes()
        cut = [packed[start : start + NONCE_BYTES] for start in range(0, len(packed), NONCE_BYTES)]
        return self._box.seal(point_ids, cut, slices(record_bytes(rows), 4 * rows.shape[1]), exact=exact)

    def open(self, point_id: bytes, entry: bytes) -> OpenedEntry:
        """Open the entry of one record.

        Raises:
            Unreadable: anything but an entry sealed for this collection, vector name and point.
        """
        box = self._open_box(point_id, entry)
        row = np.frombuffer(box.plaintext, "<f4")
        return OpenedEntry(
            epoch=box.epoch,
            nonce=box.nonce,
            stored_scale=float(row[0]),
            noise_scale=float(row[1]),
            sketch=row[2:PREFIX_COLUMNS],
            exact=row[PREFIX_COLUMNS:] if box.exact else None,
        )

    def open_many(self, point_ids: Sequence[bytes], entries: Sequence[bytes | None]) -> OpenedEntries:
        """Open n entries; a missing (None) or damaged one clears its `ok` and spoils no other."""
        boxes = [self._try_open(point_id, entry) for point_id, entry in zip(point_ids, entries, strict=True)]
        ok = np.array([box is not None for box in boxes], bool)
        found = [box for box in boxes if box is not None]
        has_exact = np.array([box is not None and box.exact for box in boxes], bool)
        prefix = np.zeros((len(boxes), PREFIX_COLUMNS), np.float32)
        prefix[ok] = _matrix([box.plaintext[:_PREFIX_BYTES] for box in found], PREFIX_COLUMNS)
        exact = None
        if has_exact.any():
            exact = np.zeros((len(boxes), self.dims), np.float32)
            exact[has_exact] = _matrix([box.plaintext[_PREFIX_BYTES:] for box in found if box.exact], self.dims)
        epochs, nonces = np.zeros(len(boxes), np.int64), np.zeros((len(boxes), NONCE_BYTES), np.uint8)
        epochs[ok] = [box.epoch for box in found]
        nonces[ok] = np.frombuffer(b"".join([box.nonce for box in found]), np.uint8).reshape(-1, NONCE_BYTES)
        return OpenedEntries(
            ok=ok,
            epochs=epochs,
            nonces=nonces,
            stored_scale=prefix[:, 0],
            noise_scale=prefix[:, 1],
            sketches=prefix[:, 2:],
            has_exact=has_exact,
            exact=exact,
        )

    def sketch_matrix(self, epoch: int | None = None) -> Floats:
        """What a vector is multiplied with for its sketch in an epoch, the current one by default: (dims, 8) float32.

        It is secret.

        Raises:
            Unreadable: the epoch is not live.
        """
        return self._box.sketch_matrix(self._box.epoch if epoch is None else epoch)

    def verify_sketch(
        self,
        x: Floats,
        sketches: Floats,
        tolerance: float,
        epochs: npt.NDArray[np.int64] | None = None,
        *,
        floor: float = 0.0,
        matrix: Floats | None = None,
    ) -> npt.NDArray[np.bool_]:
        """Whether recovered vectors are those that were sealed.

        A vector that is off by δ passes with probability about (0.8 · tolerance · ‖x‖ / ‖δ‖)^8, whoever chose δ
        without the key. 1e-3 fits vectors stored as float32, 1e-2 those stored as float16.

        Args:
            x: (n, dims) float32 recovered vectors.
            sketches: (n, 8) float32 from the opened entries.
            tolerance: largest error of a sketch component, relative to ‖x‖.
            epochs: (n,) of the entries; the current epoch when left out.
            floor: norm below which the storage's smallest numbers, not its precision, bound the error: shorter vectors
                are held to the tolerance of this norm.
            matrix: `sketch_matrix()` mapped like x, (d, 8), where x are given in other coordinates (n, d) that keep dot
                products; `epochs` does not count then.

        Returns:
            (n,) bool; False for NaN.

        Raises:
            Unreadable: an epoch is not live.
        """
        if matrix is not None or epochs is None:
            return sketch_matches(x, sketches, self.sketch_matrix() if matrix is None else matrix, tolerance, floor)
        matches = np.zeros(len(x), bool)
        for epoch in np.unique(epochs):
            rows = epochs == epoch
            of_epoch = self._box.sketch_matrix(int(epoch))
            matches[rows] = sketch_matches(x[rows], sketches[rows], of_epoch, tolerance, floor)
        return matches

    def _open_box(self, point_id: bytes, entry: bytes) -> OpenedBox:
        box = self._box.open(point_id, entry)
        if len(box.plaintext) != (self._exact_bytes if box.exact else _PREFIX_BYTES):
            raise Unreadable
        return box

    def _try_open(self, point_id: bytes, entry: bytes | None) -> OpenedBox | None:
        if entry is None:
            return None
        try:
            return self._open_box(point_id, entry)
        except Unreadable:
            return None


def _matrix(rows: list[bytes], columns: int) -> Floats:
    return np.frombuffer(b"".join(rows), "<f4").reshape(-1, columns)
