"""Which hashes were met before: two generations of a Bloom filter, so that memory of the recent past never fills up.

Bloom 1970; a full generation is dropped for a fresh one, as in Chang, Feng & Li 2004 (double buffering). At 10 bits an
id and 4 probes a hash is taken for known wrongly about once in 85. A wrong "known" only makes a principal look tamer.
"""

from __future__ import annotations

from functools import lru_cache
from math import expm1, log1p
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Generations = NDArray[np.uint8]
"""Shape (2, bytes): row 0 is being filled, row 1 is the one before."""

PROBES: Final = 4
BITS_PER_ID: Final = 10
FULL: Final = -expm1(-PROBES / BITS_PER_ID)
"""The share of set bits in a generation that holds as many ids as it was made for."""

_Places = tuple[NDArray[np.intp], NDArray[np.uint8]]
# Detectors ask about the same answers, one after the other: what was reckoned of so many hashes is kept for the next.
_MOST_KEPT: Final = 1_024
_LOW: Final = np.uint64(0xFFFFFFFF)
_HALF: Final = np.uint64(32)
_ODD: Final = np.uint64(1)
_STEPS: Final = np.arange(PROBES, dtype=np.uint64)
_BITS: Final = (1 << np.arange(8)).astype(np.uint8)


def empty(ids: int) -> Generations:
    """Memory of at least the last `ids` distinct hashes, at most twice as many."""
    return np.zeros((2, (ids * BITS_PER_ID + 7) // 8), np.uint8)


def met_before(
    generations: Generations,
    hashes: NDArray[np.uint64],
    call: NDArray[np.int64] | None = None,
    fill: float = FULL,
) -> NDArray[np.bool_]:
    """Add hashes, shape (n,), in order, and say which of them were met before.

    With `call`, shape (n,), ascending: which were met in an earlier call, as what came in the same is no memory. `fill`
    is the share of set bits at which a generation is full; the chance of a wrong memory is `fill**PROBES` at most, for
    each generation.
    """
    if hashes.size == 0:
        return np.zeros(0, np.bool_)
    capacity = -log1p(-fill) / PROBES * generations.shape[1] * 8
    step = max(int(capacity) // 4, 1)  # a generation must not overflow in one step
    distinct = _distinct(hashes)
    held = np.zeros(distinct.hashes.size, np.bool_)
    for start in range(0, held.size, step):
        places = _places(generations.shape[1], distinct.hashes[start : start + step])
        held[start : start + step] = _held(generations, *places)
        _add(generations, *places, fill)
    if distinct.of is None:
        return held
    order = np.arange(hashes.size) if call is None else call
    return np.asarray(held[distinct.of] | (order[distinct.first][distinct.of] < order))


class _Distinct(NamedTuple):
    """Hashes in the order in which they first come: each once, where it is `first`, and which of them each is `of`
    (None: all are distinct)."""

    hashes: NDArray[np.uint64]
    first: NDArray[np.int64]
    of: NDArray[np.int64] | None


def _distinct(hashes: NDArray[np.uint64]) -> _Distinct:
    return _distinct_of(hashes.tobytes()) if hashes.size <= _MOST_KEPT else _distinct_of.__wrapped__(hashes.tobytes())


@lru_cache(maxsize=4)
def _distinct_of(data: bytes) -> _Distinct:
    hashes = np.frombuffer(data, np.uint64)
    if len(set(hashes.tolist())) == hashes.size:
        return _Distinct(hashes, np.arange(hashes.size), None)
    distinct, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    in_order = np.argsort(first)
    rank = np.empty_like(in_order)
    rank[in_order] = np.arange(in_order.size)
    return _Distinct(distinct[in_order], first[in_order], rank[inverse.reshape(-1)])


def _add(generations: Generations, byte: NDArray[np.intp], bit: NDArray[np.uint8], fill: float) -> None:
    """Add the hashes of these places: at most as many as a generation is for."""
    # What only the older generation holds is added again, so that what is met again and again stays known.
    np.bitwise_or.at(generations[0], byte.reshape(-1), bit.reshape(-1))
    if int(np.add.reduce(np.bitwise_count(generations[0]))) >= fill * generations.shape[1] * 8:
        generations[1] = generations[0]
        generations[0] = 0


def known(generations: Generations, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which of `hashes` are in memory; nothing is added."""
    return _held(generations, *_places(generations.shape[1], hashes))


def _held(generations: Generations, byte: NDArray[np.intp], bit: NDArray[np.uint8]) -> NDArray[np.bool_]:
    there = np.logical_and.reduce(generations.take(byte, axis=1) & bit, axis=2)
    return np.asarray(there[0] | there[1])


def _places(size: int, hashes: NDArray[np.uint64]) -> _Places:
    """Byte and bit of each probe, shape (n, PROBES): double hashing by the two halves (Kirsch & Mitzenmacher 2006)."""
    data = hashes.tobytes()
    return _places_of(size, data) if hashes.size <= _MOST_KEPT else _places_of.__wrapped__(size, data)


@lru_cache(maxsize=16)
def _places_of(size: int, data: bytes) -> _Places:
    halves = np.frombuffer(data, np.uint64).reshape(-1, 1)
    low, high = halves & _LOW, halves >> _HALF
    place = ((low + _STEPS * (high | _ODD)) % np.uint64(size * 8)).astype(np.intp)
    return place >> 3, _BITS[place & 7]
