"""From what a front read to an observation: vectors become sketches, ids and filters keyed hashes. Keys stay here.

docs/formats.md has the formats byte by byte: recorded logs and shared stores outlive a process.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.observation import SKETCH_DIMS, Hashes, Observation, Sketches
from vecguard.detect.reading import Dense, Id, Reading, Sparse, Vectors
from vecguard.keys.key import Key
from vecguard.transform.keystream import BlockFunction, words

_MOST_PROJECTIONS: Final = 16
_NAME_BYTES: Final = 12
_HASH_BYTES: Final = 8
_LARGEST: Final = 2**64 - 1
_NO_SKETCHES: Final = np.zeros((0, SKETCH_DIMS), np.float32)
_NO_HASHES: Final = np.zeros(0, np.uint64)
# Between these float32 gives a squared length in full: what underflows below the first does not matter beside it.
_LEAST_SQUARE: Final = np.float32(1e-24)
_MOST_SQUARE: Final = np.float32(1e38)
_SCALE: Final = np.float32(SKETCH_DIMS**-0.5)


class Sketcher:
    """Sketches and hashes of one collection, under its detection key."""

    def __init__(self, key: Key) -> None:
        self._projections: OrderedDict[tuple[str, int], Sketches] = OrderedDict()
        self._vectors = key.derive("sketches")
        self._numbers = BlockFunction(key.derive("number ids"))
        self._texts = key.derive("text ids").expose()
        self._filters = key.derive("filters").expose()

    def observation(
        self,
        reading: Reading,
        *,
        time: float,
        principal: str,
        collection: str,
        records: int = 0,
        planted: int = 0,
        request_id: str = "",
    ) -> Observation:
        """The observation of a reading; `time` in seconds since 1970, `collection` by its own name."""
        ids = self.hashes(reading.ids)
        return Observation(
            time=time,
            principal=principal,
            collection=collection,
            operation=reading.operation,
            queries=self.sketches(reading.queries),
            ids=ids,
            query_of=np.array(reading.query_of, np.int32),
            scores=_finite(np.array(reading.scores, np.float32)),
            vectors=self.sketches(reading.vectors),
            vector_ids=ids if reading.vector_ids == reading.ids else self.hashes(reading.vector_ids),
            written=self.hashes(reading.written),
            written_vectors=self.sketches(reading.written_vectors),
            left=frozenset(reading.left),
            limit=reading.limit,
            offset=reading.offset,
            exact=reading.exact,
            filter_shape=self.shape(reading.filters),
            filter_ids=reading.filter_ids,
            records=records,
            canaries=np.array(reading.canaries, np.uint16),
            planted=planted,
            request_id=request_id,
        )

    def sketches(self, vectors: Sequence[Vectors]) -> Sketches:
        """One row for each vector, (n, SKETCH_DIMS) float32: of its unit vector u the sums `S^T u`, S being signs of
        either sort, each 1/sqrt(SKETCH_DIMS) (Achlioptas 2003). The zero vector has the zero sketch, and so has one
        with a component that is not finite, which points nowhere."""
        if not vectors:
            return _NO_SKETCHES
        parts, same = list[Sketches](), list[Dense]()
        for some in vectors:
            if same and not (isinstance(some, Dense) and _alike(same[0], some)):
                parts.append(self._dense(same))
                same = []
            if isinstance(some, Dense):
                same.append(some)
            else:
                parts.append(self._sparse(some))
        if same:
            parts.append(self._dense(same))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _dense(self, alike: Sequence[Dense]) -> Sketches:
        """Of vectors of one name and dimension, which together are one product."""
        rows = alike[0].rows if len(alike) == 1 else np.concatenate([some.rows for some in alike])
        return np.asarray(_unit(rows) @ self._projection(alike[0].name, rows.shape[1]), np.float32)

    def _sparse(self, vector: Sparse) -> Sketches:
        """As of a dense vector of 2^32 dimensions; the signs of a dimension are those of its own block."""
        nonces = np.zeros((len(vector.indices), _NAME_BYTES), np.uint8)
        nonces[:, :4] = vector.indices.astype("<u4").view(np.uint8).reshape(-1, 4)
        nonces[:, 4:] = _name_digest(vector.name, _NAME_BYTES - 4)
        signs = _signs(words(self._vectors, nonces, SKETCH_DIMS // 32))
        return (_unit(vector.values[np.newaxis, :]) @ signs).astype(np.float32, copy=False)

    def _projection(self, name: str, dims: int) -> Sketches:
        """The signs of a vector name and dimension, (dims, SKETCH_DIMS)."""
        known = self._projections.get((name, dims))
        if known is None:
            nonce = np.zeros((1, _NAME_BYTES), np.uint8)
            nonce[0] = _name_digest(f"{name}\0{dims}", _NAME_BYTES)
            known = self._projections[name, dims] = _signs(words(self._vectors, nonce, dims).reshape(-1, 1))
            while len(self._projections) > _MOST_PROJECTIONS:
                self._projections.popitem(last=False)
        return known

    def hashes(self, ids: Sequence[Id]) -> Hashes:
        """One keyed hash for each id, (n,) uint64: a PRF of its kind and value."""
        if not ids:
            return _NO_HASHES
        numbers = [one for one in ids if not isinstance(one, str)]
        if len(numbers) == len(ids):
            return self._of_numbers(numbers)
        if not numbers:
            return self._of_texts([one for one in ids if isinstance(one, str)])
        return np.concatenate([self.hashes([one]) for one in ids])

    def _of_numbers(self, numbers: Sequence[int]) -> Hashes:
        """The first eight bytes, little-endian, of AES-256 of u64 LE id || 8 zero bytes."""
        blocks = np.zeros((len(numbers), 2), "<u8")
        blocks[:, 0] = [number & _LARGEST for number in numbers]
        return self._numbers(blocks).view("<u8")[::2].astype(np.uint64)

    def _of_texts(self, texts: Sequence[str]) -> Hashes:
        """BLAKE2b of eight bytes over the UTF-8 text, keyed (RFC 7693)."""
        digests = b"".join(
            hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES, key=self._texts).digest()
            for text in texts
        )
        return np.frombuffer(digests, "<u8").astype(np.uint64)

    def shape(self, filters: Sequence[str]) -> int:
        """The hash of filters' structures; 0 without any."""
        if not filters:
            return 0
        text = "\0".join(filters).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, digest_size=_HASH_BYTES, key=self._filters).digest()
        return int.from_bytes(digest, "little") or 1


def _finite(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores, of which those that are beyond float32 say no more than none: NaN."""
    return np.where(np.isfinite(scores), scores, np.float32(np.nan))


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows (n, d) at unit length, whatever their length was; zero where they are zero, or not finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        squared = np.vecdot(rows, rows)
        # One row is what a search has, and numpy's ways of many cost more than it.
        within = squared[0] > _LEAST_SQUARE and squared[0] < _MOST_SQUARE if len(squared) == 1 else _all_within(squared)
        if within:
            return np.asarray(rows / np.sqrt(squared)[:, np.newaxis], np.float32)
    # Squares of all that float32 holds are within float64: who scales a query is seen all the same.
    wide = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, np.float32(0.0)).astype(np.float64)
    lengths = np.sqrt(np.vecdot(wide, wide))
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0)[:, np.newaxis], np.float32)


def _all_within(squared: NDArray[np.float32]) -> bool:
    return bool(((squared > _LEAST_SQUARE) & (squared < _MOST_SQUARE)).all())


def _alike(one: Dense, other: Dense) -> bool:
    return one.name == other.name and one.rows.shape[1] == other.rows.shape[1]


def _name_digest(name: str, size: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=size).digest()
    return np.frombuffer(digest, np.uint8)


def _signs(bits: np.ndarray[tuple[int, int], np.dtype[np.uint32]]) -> Sketches:
    """(n, 1) uint32 as (n, 32) of plus and minus 1/sqrt(SKETCH_DIMS), the lowest bit first; a set bit is minus."""
    spread = np.unpackbits(bits.astype("<u4").view(np.uint8).reshape(len(bits), 4), axis=1, bitorder="little")
    return np.where(spread, -_SCALE, _SCALE).astype(np.float32)
