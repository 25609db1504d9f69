"""Sparse entries fit exactly one content, point, name and collection."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.seal.ids import num_id
from vecguard.seal.sparse import SparseSealer

POINT = num_id(7)
INDICES = np.array([9, 4_000_000_000, 3], np.uint32)
VALUES = np.array([0.5, -1.25, 3.0], np.float32)


@pytest.fixture
def sealer(ring: KeyRing, collection: bytes) -> SparseSealer:
    return SparseSealer(ring, collection, "bm25")


def test_known_answers_are_made_and_open(known: Callable[[str], Any], ring: KeyRing, collection: bytes) -> None:
    for case in known("entries")["sparse"]:
        sealer, point = SparseSealer(ring, collection, case["vector_name"]), bytes.fromhex(case["point_id"])
        content = np.array(case["indices"], np.uint32), np.array(case["values"], np.float32)
        assert sealer.seal(point, *content).hex() == case["entry"]
        assert sealer.open(point, bytes.fromhex(case["entry"]), *content) == 3


def test_order_does_not_matter(sealer: SparseSealer) -> None:
    entry = sealer.seal(POINT, INDICES, VALUES)
    assert sealer.seal(POINT, INDICES[::-1], VALUES[::-1]) == entry
    assert sealer.open(POINT, entry, INDICES[[1, 2, 0]], VALUES[[1, 2, 0]]) == 3


def test_altered_content_is_unreadable(sealer: SparseSealer) -> None:
    entry = sealer.seal(POINT, INDICES, VALUES)
    altered = [
        (INDICES[:2], VALUES[:2]),
        (np.append(INDICES, np.uint32(1)), np.append(VALUES, np.float32(0))),
        (INDICES + np.uint32(1), VALUES),
        (INDICES, VALUES[::-1]),
        (INDICES, np.nextafter(VALUES, np.float32(9))),
        (INDICES, VALUES[:2]),
        (INDICES[:0], VALUES[:0]),
    ]
    for indices, values in altered:
        with pytest.raises(Unreadable):
            sealer.open(POINT, entry, indices, values)


def test_every_damage_is_unreadable(sealer: SparseSealer, damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    for data in damaged(sealer.seal(POINT, INDICES, VALUES)):
        with pytest.raises(Unreadable):
            sealer.open(POINT, data, INDICES, VALUES)


def test_an_entry_does_not_open_elsewhere(sealer: SparseSealer, ring: KeyRing, collection: bytes) -> None:
    entry = sealer.seal(POINT, INDICES, VALUES)
    elsewhere = [
        (sealer, num_id(8)),
        (SparseSealer(ring, bytes(16), "bm25"), POINT),
        (SparseSealer(ring, collection, "other"), POINT),
        (SparseSealer(KeyRing({3: Key.random()}, 3), collection, "bm25"), POINT),
        (SparseSealer(KeyRing({4: Key.random()}, 4), collection, "bm25"), POINT),
    ]
    for opener, point in elsewhere:
        with pytest.raises(Unreadable):
            opener.open(point, entry, INDICES, VALUES)


def test_an_older_live_epoch_opens_and_is_told(sealer: SparseSealer, collection: bytes) -> None:
    older = SparseSealer(KeyRing({2: Key(bytes(reversed(range(32))))}, 2), collection, "bm25")
    assert sealer.open(POINT, older.seal(POINT, INDICES, VALUES), INDICES, VALUES) == 2


def test_the_empty_vector_has_an_entry(sealer: SparseSealer) -> None:
    entry = sealer.seal(POINT, INDICES[:0], VALUES[:0])
    assert sealer.open(POINT, entry, INDICES[:0], VALUES[:0]) == 3


def test_repeated_indices_and_unequal_lengths_are_refused(sealer: SparseSealer) -> None:
    for indices, values in [(INDICES[[0, 0, 1]], VALUES), (INDICES, VALUES[:2])]:
        with pytest.raises(InvalidArgument):
            sealer.seal(POINT, indices, values)
