"""Multivector entries: one box for all rows, a nonce of its own for each."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.seal.ids import num_id
from vecguard.seal.rows import RowsSealer

DIMS = 10
POINT = num_id(7)


def vectors(k: int) -> np.ndarray:
    return np.random.default_rng(k).standard_normal((k, DIMS)).astype(np.float32)


@pytest.fixture
def sealer(ring: KeyRing, collection: bytes) -> RowsSealer:
    return RowsSealer(ring, collection, "colbert", DIMS)


def sealed(sealer: RowsSealer, x: np.ndarray, exact: bool = False) -> bytes:
    scale = np.arange(1, len(x) + 1, dtype=np.float32)
    return sealer.seal(POINT, sealer.record_nonce(POINT, x), scale, scale / 2, x, exact)


def test_known_answers_open(known: Callable[[str], Any], ring: KeyRing, collection: bytes) -> None:
    for case in known("entries")["rows"]:
        x = np.array(case["rows"], np.float32)
        sealer, point = RowsSealer(ring, collection, case["vector_name"], x.shape[1]), bytes.fromhex(case["point_id"])
        opened = sealer.open(point, bytes.fromhex(case["entry"]))
        assert sealer.record_nonce(point, x).hex() == case["nonce"]
        assert [nonce.tobytes().hex() for nonce in opened.nonces] == case["row_nonces"]
        assert opened.stored_scale.tolist() == case["stored_scale"]
        assert opened.noise_scale.tolist() == case["noise_scale"]
        assert sealer.verify_sketch(x, opened, 1e-5)
        assert (opened.exact is not None) == case["exact"]


@pytest.mark.parametrize("k", [1, 2, 300])
@pytest.mark.parametrize("exact", [False, True])
def test_entries_come_back(sealer: RowsSealer, k: int, exact: bool) -> None:
    x = vectors(k)
    opened = sealer.open(POINT, sealed(sealer, x, exact))
    assert opened.epoch == 3
    assert opened.stored_scale.tolist() == list(range(1, k + 1))
    assert opened.noise_scale.tolist() == [(row + 1) / 2 for row in range(k)]
    np.testing.assert_array_equal(opened.nonces, sealer.row_nonces(sealer.record_nonce(POINT, x), k))
    assert sealer.verify_sketch(x, opened, 1e-5)
    if exact:
        np.testing.assert_array_equal(opened.exact, x)
    else:
        assert opened.exact is None


def test_row_nonces_are_distinct_and_of_the_epoch(sealer: RowsSealer) -> None:
    nonces = sealer.row_nonces(bytes(12), 1000)
    assert len(np.unique(nonces, axis=0)) == 1000
    np.testing.assert_array_equal(sealer.row_nonces(bytes(12), 3), nonces[:3])
    assert not (sealer.row_nonces(bytes(12), 1000, epoch=2) == nonces).all(axis=1).any()
    with pytest.raises(Unreadable):
        sealer.row_nonces(bytes(12), 3, epoch=9)


def test_the_record_nonce_depends_on_every_row_and_their_order(sealer: RowsSealer) -> None:
    x = vectors(3)
    nonces = {sealer.record_nonce(POINT, rows) for rows in (x, x[:2], x[::-1], x + np.float32(1e-3))}
    assert len(nonces | {sealer.record_nonce(num_id(8), x)}) == 5


def test_every_damage_is_unreadable(sealer: RowsSealer, damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    for exact in (False, True):
        for data in damaged(sealed(sealer, vectors(2), exact)):
            with pytest.raises(Unreadable):
                sealer.open(POINT, data)


def test_an_entry_does_not_open_elsewhere(sealer: RowsSealer, ring: KeyRing, collection: bytes) -> None:
    entry = sealed(sealer, vectors(2))
    elsewhere = [
        (sealer, num_id(8)),
        (RowsSealer(ring, bytes(16), "colbert", DIMS), POINT),
        (RowsSealer(ring, collection, "other", DIMS), POINT),
        (RowsSealer(KeyRing({3: Key.random()}, 3), collection, "colbert", DIMS), POINT),
    ]
    for opener, point in elsewhere:
        with pytest.raises(Unreadable):
            opener.open(point, entry)


def test_altered_swapped_added_and_missing_rows_are_found(sealer: RowsSealer) -> None:
    x = vectors(3)
    opened = sealer.open(POINT, sealed(sealer, x))
    altered = x.copy()
    altered[1, 4] += 0.5
    for rows in (altered, x[[1, 0, 2]], x[:2], np.concatenate([x, x[:1]]), x[:, :9]):
        assert not sealer.verify_sketch(rows, opened, 1e-3)


def test_no_rows_and_bad_values_are_refused(sealer: RowsSealer) -> None:
    with pytest.raises(InvalidArgument):
        sealed(sealer, vectors(0))
    for x in (vectors(2) * np.float32(np.nan), vectors(2)[:, :9]):
        with pytest.raises(InvalidArgument):
            sealed(sealer, x)
