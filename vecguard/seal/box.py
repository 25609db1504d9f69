"""The authenticated box and the deterministic nonce that dense and multivector record entries share."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.keys.encoding import length_prefixed
from vecguard.keys.ring import KeyRing
from vecguard.metric import norms
from vecguard.seal.envelope import HEAD_BYTES, Head, SealKind, read_head
from vecguard.transform.keystream import NONCE_BYTES, wide_normals

EXACT: Final = 0x01
"""Head flag: the box holds the exact vector."""

SKETCH_DIMS: Final = 8
PREFIX_COLUMNS: Final = 2 + SKETCH_DIMS
"""Columns before the exact vector in a row of the box: stored scale, noise scale, sketch."""

_FLOAT_BYTES: Final = 4
_BODY: Final = HEAD_BYTES + NONCE_BYTES
_SIV_KEY_BYTES: Final = 64
# Of tenants' keys there may be thousands.
_CACHED_EPOCHS: Final = 1024
_NONCE_LENGTH: Final = NONCE_BYTES.to_bytes(4, "big")

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _EpochKeys:
    siv: AESSIV
    nonce_mac: hmac.HMAC
    effective: hmac.HMAC | None
    """Begun with the key by which record nonces become effective ones; None where they are the same."""


class _HeadContext(NamedTuple):
    epoch: int
    effective: hmac.HMAC | None
    exact: bool
    row_bytes: int
    siv: AESSIV
    aad: bytes


class OpenedBox(NamedTuple):  # a dataclass costs 0.5 µs more to make, and hundreds are made per search
    """An authentic entry: its epoch, effective nonce (12 bytes), and the rows of its box as bytes.

    The epoch is the collection's own, also where a tenant's key sealed the entry.
    """

    epoch: int
    exact: bool
    nonce: bytes
    plaintext: bytes


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
        self._context = lru_cache(maxsize=2 * _CACHED_EPOCHS)(self._make_context)
        self._sketches = lru_cache(maxsize=16)(self._make_sketch)

    @property
    def epoch(self) -> int:
        """The collection's epoch that new entries are made under."""
        return self._ring.current

    def effective(self, nonces: Iterable[bytes]) -> list[bytes]:
        """What noise, and the choice of a cell, are derived from, for new entries with these record nonces.

        The nonces themselves; under a tenant's key the first 12 bytes of HMAC-SHA256 of each under a subkey of that, so
        that without the key nobody can compute the noise again, although the noise's own key is the collection's.
        """
        begun = self._keys(self._ring.sealing).effective
        return list(nonces) if begun is None else [_effective(begun, nonce) for nonce in nonces]

    @property
    def is_tenants(self) -> bool:
        """Whether new entries are made under a tenant's key."""
        return self._ring.is_tenants(self._ring.sealing)

    def nonces(self, point_ids: Iterable[bytes], contents: Iterable[bytes | memoryview]) -> list[bytes]:
        """Record nonces: the first 12 bytes of HMAC-SHA256 (RFC 2104) of length-prefixed(vector name, point id) ||
        content, where content is the vector's float32, row by row, little-endian.

        The same content under the same id gets the same nonce, hence the same noise: re-writing a record gives an
        observer nothing to average.
        """
        start = self._keys(self._ring.sealing).nonce_mac
        nonces = []
        for point_id, content in zip(point_ids, contents, strict=True):
            mac = start.copy()
            # `length_prefixed` of one part, written out because this runs for every vector that is stored.
            mac.update(len(point_id).to_bytes(4, "big") + point_id)
            mac.update(content)
            nonces.append(mac.digest()[:NONCE_BYTES])
        return nonces

    def table(
        self, stored_scale: Floats, noise_scale: Floats, x: Floats, sketched: Floats | None = None, *, exact: bool
    ) -> npt.NDArray[np.float32]:
        """The plaintext rows: (n, 10) or, with the exact vectors, (n, 10 + dims), little-endian float32.

        The sketch is of `sketched` (n, at most dims) in place of x where that is given.

        Raises:
            InvalidArgument: a scale or the sketch is not finite, or shapes disagree.
        """
        n = len(x)
        if x.shape != (n, self.dims) or np.shape(stored_scale) != (n,) or np.shape(noise_scale) != (n,):
            raise InvalidArgument(f"the vector must have {self.dims} dimensions")
        rows = np.empty((n, PREFIX_COLUMNS + (self.dims if exact else 0)), "<f4")
        rows[:, 0], rows[:, 1] = stored_scale, noise_scale
        with np.errstate(over="ignore", invalid="ignore"):
            of = x if sketched is None else sketched
            rows[:, 2:PREFIX_COLUMNS] = of @ self.sketch_matrix(self.epoch)[: of.shape[1]]
        if not np.isfinite(rows[:, :PREFIX_COLUMNS]).all():
            raise InvalidArgument("the vector is too large or not finite")
        if exact:
            rows[:, PREFIX_COLUMNS:] = x
        return rows

    def seal(
        self,
        point_ids: Iterable[bytes],
        nonces: Iterable[bytes],
        plaintexts: Iterable[bytes | memoryview],
        *,
        exact: bool,
    ) -> list[bytes]:
        """The entries; each plaintext is one or several rows of `table`."""
        head = Head(self._kind, self._ring.sealing, EXACT if exact else 0).encode()
        context = self._context(head)
        encrypt, aad = context.siv.encrypt, context.aad
        return [
            head + nonce + encrypt(plaintext, [_record_aad(aad, point_id, nonce)])
            for point_id, nonce, plaintext in zip(point_ids, nonces, plaintexts, strict=True)
        ]

    def open(self, point_id: bytes, entry: bytes) -> OpenedBox:
        """Open one entry.

        Raises:
            Unreadable: anything but an entry sealed for this collection, vector name and point.
            TenantShredded: the key that sealed it was destroyed.
        """
        epoch, effective, exact, row_bytes, siv, aad = self._context(entry[:HEAD_BYTES])
        nonce = entry[HEAD_BYTES:_BODY]
        try:
            plaintext = siv.decrypt(entry[_BODY:], [_record_aad(aad, point_id, nonce)])
        except (InvalidTag, ValueError):
            raise Unreadable from None
        if not plaintext or len(plaintext) % row_bytes:
            raise Unreadable
        return OpenedBox(epoch, exact, nonce if effective is None else _effective(effective, nonce), plaintext)

    def sketch_matrix(self, epoch: int) -> Floats:
        """What a vector is multiplied with for its sketch: (dims, 8) float32, secret.

        Raises:
            Unreadable: the epoch is not live.
        """
        return self._sketches(epoch)

    def _make_context(self, encoded: bytes) -> _HeadContext:
        head = read_head(encoded, self._kind, EXACT)
        exact = bool(head.flags & EXACT)
        return _HeadContext(
            epoch=self._ring.epoch_of(head.epoch),
            effective=self._keys(head.epoch).effective,
            exact=exact,
            row_bytes=_FLOAT_BYTES * (PREFIX_COLUMNS + (self.dims if exact else 0)),
            siv=self._keys(head.epoch).siv,
            aad=length_prefixed(encoded, self._uuid, self._name.encode()),
        )

    def _make_sketch(self, epoch: int) -> Floats:
        rows = np.zeros((self.dims, NONCE_BYTES), np.uint8)
        rows[:, 8:] = np.arange(self.dims, dtype=">u4").view(np.uint8).reshape(-1, 4)
        key = self._ring.subkey(epoch, "entry", self._kind.name, self._name).derive("sketch")
        return wide_normals(key, rows, SKETCH_DIMS).astype(np.float32)

    def _make_keys(self, epoch: int) -> _EpochKeys:
        key = self._ring.subkey(epoch, "entry", self._kind.name, self._name)
        mac = hmac.new(key.derive("nonce").expose(), digestmod=hashlib.sha256)
        mac.update(length_prefixed(self._name.encode()))
        own = hmac.new(key.derive("effective").expose(), digestmod=hashlib.sha256)
        return _EpochKeys(
            siv=AESSIV(key.derive_bytes(_SIV_KEY_BYTES, "box")),
            nonce_mac=mac,
            effective=own if self._ring.is_tenants(epoch) else None,
        )


def sketch_matches(
    x: Floats, sketches: Floats, matrix: Floats, tolerance: float, floor: float
) -> npt.NDArray[np.bool_]:
    """Rows of x (n, d) for which x · matrix (d, 8) is within tolerance · max(‖x‖, floor) of `sketches` (n, 8)."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(x @ matrix - sketches).max(axis=1)
    # An infinite norm, of a huge forged vector, would let every error pass.
    lengths = norms(x)
    return np.asarray((error <= tolerance * np.maximum(lengths, np.float32(floor))) & np.isfinite(lengths))


def _effective(begun: hmac.HMAC, nonce: bytes) -> bytes:
    mac = begun.copy()
    mac.update(nonce)
    return mac.digest()[:NONCE_BYTES]


def _record_aad(aad: bytes, point_id: bytes, nonce: bytes) -> bytes:
    # Two more length-prefixed parts, written out because this runs for every candidate of a search.
    return b"".join((aad, len(point_id).to_bytes(4, "big"), point_id, _NONCE_LENGTH, nonce))


def record_bytes(x: Floats) -> memoryview:
    """Row-major little-endian float32 bytes of a matrix, without a copy where it has that form already."""
    return np.ascontiguousarray(x, "<f4").reshape(-1).view(np.uint8).data


def slices(data: memoryview, width: int) -> list[memoryview]:
    """`data` cut into pieces of `width` bytes."""
    return [data[start : start + width] for start in range(0, len(data), width)]
