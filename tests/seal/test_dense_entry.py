"""Dense entries come back exactly, only where they were made, and their sketch finds altered vectors."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.seal.entry import EntrySealer
from vecguard.seal.ids import num_id, uuid_id
from vecguard.seal.rows import RowsSealer

DIMS = 24
IDS = [num_id(n) for n in range(5)] + [uuid_id("936da01f-9abd-4d9d-80c7-02af85c822a8")]
ONES = np.ones(len(IDS), np.float32)


def vectors(n: int = len(IDS), dims: int = DIMS, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dims)).astype(np.float32)


@pytest.fixture
def sealer(ring: KeyRing, collection: bytes) -> EntrySealer:
    return EntrySealer(ring, collection, "title", DIMS)


def sealed(sealer: EntrySealer, x: np.ndarray, exact: bool = False) -> list[bytes]:
    scale = np.arange(1, len(x) + 1, dtype=np.float32)
    return sealer.seal_many(IDS[: len(x)], sealer.nonces(IDS[: len(x)], x), scale, scale / 2, x, exact)


def test_known_answers_open(known: Callable[[str], Any], ring: KeyRing, collection: bytes) -> None:
    for case in known("entries")["dense"]:
        x = np.array(case["rows"], np.float32)
        sealer = EntrySealer(ring, collection, case["vector_name"], x.shape[1])
        point = bytes.fromhex(case["point_id"])
        opened = sealer.open(point, bytes.fromhex(case["entry"]))
        assert sealer.nonces([point], x)[0].tobytes().hex() == case["nonce"] == opened.nonce.hex()
        assert (opened.epoch, opened.stored_scale, opened.noise_scale) == (3, 1.5, 0.5)
        np.testing.assert_allclose(opened.sketch, case["sketch"][0], atol=1e-6)
        assert sealer.verify_sketch(x, opened.sketch[None], 1e-5).all()
        if case["exact"]:
            np.testing.assert_array_equal(opened.exact, x[0])
        else:
            assert opened.exact is None


@pytest.mark.parametrize("exact", [False, True])
def test_entries_come_back_one_by_one_and_stacked(sealer: EntrySealer, exact: bool) -> None:
    x = vectors()
    entries = sealed(sealer, x, exact)
    stacked = sealer.open_many(IDS, entries)
    assert stacked.ok.all()
    assert (stacked.epochs == 3).all()
    np.testing.assert_array_equal(stacked.nonces, sealer.nonces(IDS, x))
    for row, (point, entry) in enumerate(zip(IDS, entries, strict=True)):
        one = sealer.open(point, entry)
        assert one.epoch == 3
        assert one.nonce == stacked.nonces[row].tobytes()
        assert one.stored_scale == stacked.stored_scale[row] == row + 1
        assert one.noise_scale == stacked.noise_scale[row] == (row + 1) / 2
        np.testing.assert_array_equal(one.sketch, stacked.sketches[row])
        if exact:
            np.testing.assert_array_equal(one.exact, x[row])
            np.testing.assert_array_equal(stacked.exact[row], x[row])
    assert stacked.has_exact.all() == exact
    assert (stacked.exact is None) == (not exact)


def test_entry_lengths_are_fixed(sealer: EntrySealer) -> None:
    assert {len(entry) for entry in sealed(sealer, vectors())} == {7 + 12 + 16 + 40}
    assert {len(entry) for entry in sealed(sealer, vectors(), exact=True)} == {7 + 12 + 16 + 40 + 4 * DIMS}


def test_the_same_record_gets_the_same_nonce_and_entry(sealer: EntrySealer) -> None:
    assert sealed(sealer, vectors()) == sealed(sealer, vectors())


def test_nonces_differ_by_point_content_name_and_collection_key(ring: KeyRing, collection: bytes) -> None:
    x = vectors(1)
    nudged = np.nextafter(x, np.float32(9))
    other_ring = KeyRing({3: Key.random()}, 3)
    nonces = {
        EntrySealer(ring, collection, "title", DIMS).nonces([IDS[0]], x).tobytes(),
        EntrySealer(ring, collection, "title", DIMS).nonces([IDS[1]], x).tobytes(),
        EntrySealer(ring, collection, "title", DIMS).nonces([IDS[0]], nudged).tobytes(),
        EntrySealer(ring, collection, "body", DIMS).nonces([IDS[0]], x).tobytes(),
        EntrySealer(other_ring, collection, "title", DIMS).nonces([IDS[0]], x).tobytes(),
    }
    assert len(nonces) == 5


def test_nonces_do_not_depend_on_memory_layout(sealer: EntrySealer) -> None:
    x = vectors()
    expected = sealer.nonces(IDS, x)
    for view in (np.asfortranarray(x), x.astype(">f4"), np.repeat(x, 2, axis=0)[::2]):
        np.testing.assert_array_equal(sealer.nonces(IDS, view), expected)


def test_every_damage_is_unreadable(sealer: EntrySealer, damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    for exact in (False, True):
        entry = sealed(sealer, vectors(1), exact)[0]
        for data in damaged(entry):
            with pytest.raises(Unreadable):
                sealer.open(IDS[0], data)


def test_an_entry_does_not_open_elsewhere(sealer: EntrySealer, ring: KeyRing, collection: bytes) -> None:
    entry = sealed(sealer, vectors(1))[0]
    elsewhere = [
        (sealer, IDS[1]),
        (sealer, IDS[5]),
        (sealer, b""),
        (EntrySealer(ring, bytes(16), "title", DIMS), IDS[0]),
        (EntrySealer(ring, collection, "body", DIMS), IDS[0]),
        (EntrySealer(KeyRing({3: Key.random()}, 3), collection, "title", DIMS), IDS[0]),
        (EntrySealer(KeyRing({4: Key.random()}, 4), collection, "title", DIMS), IDS[0]),
        (RowsSealer(ring, collection, "title", DIMS), IDS[0]),
    ]
    assert sealer.open(IDS[0], entry).stored_scale == 1
    for opener, point in elsewhere:
        with pytest.raises(Unreadable):
            opener.open(point, entry)


def test_a_claimed_other_epoch_does_not_open(sealer: EntrySealer) -> None:
    entry = bytearray(sealed(sealer, vectors(1))[0])
    entry[6] = 2
    with pytest.raises(Unreadable):
        sealer.open(IDS[0], bytes(entry))


def test_other_dims_do_not_open_an_exact_entry(ring: KeyRing, collection: bytes, sealer: EntrySealer) -> None:
    entry = sealed(sealer, vectors(1), exact=True)[0]
    for dims in (DIMS - 1, DIMS + 1, 2 * DIMS):
        with pytest.raises(Unreadable):
            EntrySealer(ring, collection, "title", dims).open(IDS[0], entry)


def test_a_box_of_several_rows_is_no_dense_entry(sealer: EntrySealer) -> None:
    plaintext = bytes(2 * 40)
    entry = sealer._box.seal([IDS[0]], [bytes(12)], [plaintext], exact=False)[0]
    with pytest.raises(Unreadable):
        sealer.open(IDS[0], entry)


def test_damaged_and_missing_entries_spoil_no_other(sealer: EntrySealer) -> None:
    x = vectors()
    entries: list[bytes | None] = list(sealed(sealer, x, exact=True))
    entries[1], entries[3], entries[4] = None, b"damaged", sealed(sealer, x)[4]
    opened = sealer.open_many(IDS, entries)
    assert opened.ok.tolist() == [True, False, True, False, True, True]
    assert opened.has_exact.tolist() == [True, False, True, False, False, True]
    assert opened.stored_scale.tolist() == [1, 0, 3, 0, 5, 6]
    np.testing.assert_array_equal(opened.exact[[0, 2, 5]], x[[0, 2, 5]])
    assert not opened.exact[[1, 3, 4]].any()
    assert not opened.nonces[[1, 3]].any()


def test_nothing_at_all_opens_to_nothing(sealer: EntrySealer) -> None:
    assert sealer.open_many([], []).ok.shape == (0,)
    assert sealer.open_many(IDS[:1], [None]).ok.tolist() == [False]
    assert sealer.nonces([], vectors(0)).shape == (0, 12)
    assert sealer.seal_many([], np.empty((0, 12), np.uint8), ONES[:0], ONES[:0], vectors(0), False) == []


def test_swapped_entries_do_not_open(sealer: EntrySealer) -> None:
    entries = sealed(sealer, vectors())
    entries[0], entries[1] = entries[1], entries[0]
    assert sealer.open_many(IDS, entries).ok.tolist() == [False, False, True, True, True, True]


def test_entries_of_an_older_live_epoch_open(sealer: EntrySealer, collection: bytes) -> None:
    older = EntrySealer(KeyRing({2: Key(bytes(reversed(range(32))))}, 2), collection, "title", DIMS)
    x = vectors()
    mixed = sealed(older, x)[:3] + sealed(sealer, x)[3:]
    opened = sealer.open_many(IDS, mixed)
    assert opened.epochs.tolist() == [2, 2, 2, 3, 3, 3]
    assert sealer.verify_sketch(x, opened.sketches, 1e-5, opened.epochs).all()
    assert sealer.verify_sketch(x, opened.sketches, 1e-5).tolist() == [False, False, False, True, True, True]


def test_the_sketch_accepts_float_noise_and_finds_alterations(sealer: EntrySealer) -> None:
    x = vectors()
    sketches = sealer.open_many(IDS, sealed(sealer, x)).sketches
    size = np.linalg.norm(x, axis=1, keepdims=True)
    direction = vectors(seed=2)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    assert sealer.verify_sketch(x, sketches, 1e-3).all()
    assert sealer.verify_sketch(x + 1e-5 * size * direction, sketches, 1e-3).all()
    for altered in (x + 0.05 * size * direction, x[::-1], -x, 1.01 * x, 0 * x, x + np.inf, np.full_like(x, np.nan)):
        assert not sealer.verify_sketch(altered, sketches, 1e-3).any()


@pytest.mark.parametrize("size", [1e20, 1e30, 3e38, np.inf])
def test_huge_forged_vectors_do_not_pass(sealer: EntrySealer, size: float) -> None:
    sketches = sealer.open_many(IDS, sealed(sealer, vectors())).sketches
    forged = np.clip(vectors() * np.float64(size), -np.float64(size), size).astype(np.float32)
    assert not sealer.verify_sketch(forged, sketches, 1e-3).any()


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e18])
def test_tiny_and_large_vectors_verify(sealer: EntrySealer, size: float) -> None:
    x = vectors() * np.float32(size)
    sketches = sealer.open_many(IDS, sealed(sealer, x)).sketches
    assert sealer.verify_sketch(x, sketches, 1e-3).all()
    assert not sealer.verify_sketch(np.float32(1.05) * x, sketches, 1e-3).any()


def test_one_changed_coordinate_is_found(sealer: EntrySealer) -> None:
    x = vectors(1)
    sketches = sealer.open_many(IDS[:1], sealed(sealer, x)).sketches
    for coordinate in range(DIMS):
        altered = x.copy()
        altered[0, coordinate] += 0.05 * np.linalg.norm(x)
        assert not sealer.verify_sketch(altered, sketches, 1e-3)[0]


def test_alterations_near_the_tolerance_pass_about_as_often_as_stated(sealer: EntrySealer) -> None:
    """At four times the tolerance the stated chance is (0.8 / 4)^8, one in 400,000."""
    x = np.repeat(vectors(1), 20_000, axis=0)
    sketches = np.repeat(sealer.open_many(IDS[:1], sealed(sealer, x[:1])).sketches, 20_000, axis=0)
    delta = vectors(20_000, seed=5)
    delta *= np.linalg.norm(x[0]) / np.linalg.norm(delta, axis=1, keepdims=True)
    assert sealer.verify_sketch(x + np.float32(4e-3) * delta, sketches, 1e-3).mean() < 1e-3
    assert sealer.verify_sketch(x + np.float32(2e-4) * delta, sketches, 1e-3).mean() > 0.95


def test_the_zero_vector_verifies_only_as_itself(sealer: EntrySealer) -> None:
    zero = np.zeros((1, DIMS), np.float32)
    sketches = sealer.open_many(IDS[:1], sealed(sealer, zero)).sketches
    assert sealer.verify_sketch(zero, sketches, 1e-3)[0]
    assert not sealer.verify_sketch(zero + np.float32(1e-3), sketches, 1e-3)[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3e38])
def test_vectors_and_scales_that_are_not_finite_or_too_large_are_refused(sealer: EntrySealer, bad: float) -> None:
    x = vectors(1)
    x[0, 3:] = bad
    with pytest.raises(InvalidArgument):
        sealed(sealer, x)
    for scales in ((ONES[:1] * np.nan, ONES[:1]), (ONES[:1], ONES[:1] * np.inf)):
        with pytest.raises(InvalidArgument):
            sealer.seal_many(IDS[:1], np.zeros((1, 12), np.uint8), *scales, vectors(1), False)


def test_numbers_of_rows_must_agree(sealer: EntrySealer) -> None:
    x = vectors(2)
    nonces = sealer.nonces(IDS[:2], x)
    good = [IDS[:2], nonces, ONES[:2], ONES[:2], x]
    for position, value in [(0, IDS[:1]), (1, nonces[:1]), (2, ONES[:1]), (3, ONES[:3]), (4, x[:, 1:])]:
        with pytest.raises(InvalidArgument):
            sealer.seal_many(*good[:position], value, *good[position + 1 :], False)
    for ids, rows in [(IDS[:1], x), (IDS[:2], x[:, 1:]), (IDS[:4], x.reshape(4, -1)), (IDS[:1], x.reshape(1, -1))]:
        with pytest.raises(InvalidArgument):
            sealer.nonces(ids, rows)


def test_threads_share_a_sealer(sealer: EntrySealer) -> None:
    def work(seed: int) -> bool:
        x = vectors(seed=seed)
        return bool(sealer.verify_sketch(x, sealer.open_many(IDS, sealed(sealer, x)).sketches, 1e-4).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(100)))
