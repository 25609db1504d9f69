"""Cells are of equal size, follow key and nonce alone, and share nothing that leaked pairs could tell."""

import numpy as np
import pytest
from scipy import stats
from shields import dense_of, record_of, ring_of

from vecguard.errors import Unreadable
from vecguard.keys.key import Key
from vecguard.metric import normalize
from vecguard.policy.transforms import CellsSpec, GaussianSpec, RotationSpec
from vecguard.seal.ids import num_id
from vecguard.transform.cells import Cells, Division

KEY = Key(bytes(range(32)))
COUNT = 5


def nonces(n: int) -> np.ndarray:
    return np.frombuffer(b"".join(i.to_bytes(12, "big") for i in range(n)), np.uint8).reshape(n, 12)


def guard_of(ring=None, kind="dense", noise=True, recover="derived", distance="cosine"):
    steps = (CellsSpec(count=COUNT), RotationSpec(), *([GaussianSpec(ratio=1.0)] if noise else []))
    record = record_of(dims=32, kind=kind, recover=recover, distance=distance)
    return dense_of(record.model_copy(update={"transforms": steps}), ring)


def embeddings(n: int, seed: int = 0) -> np.ndarray:
    return normalize(np.random.default_rng(seed).normal(size=(n, 32)).astype(np.float32))


IDS = [num_id(i) for i in range(60)]


def test_known_answers(known) -> None:
    file = known("projections")["cells"]
    ring = ring_of(0)
    ring = type(ring)({1: Key(bytes.fromhex(file["data_key"]))}, 1)
    cells = Cells(ring.subkey(1, "transform cells", "größe"), file["count"])
    given = np.array([list(bytes.fromhex(nonce)) for nonce in file["nonces"]], np.uint8)
    assert cells.of(given).tolist() == file["cells"]
    key = ring.subkey(1, "transform rotation", "größe", "cell 3")
    assert key.expose().hex() == file["rotation_key_of_cell_3"]


def test_cells_are_of_equal_size_and_depend_on_the_key() -> None:
    dealt = Cells(KEY, COUNT).of(nonces(5_000))
    assert stats.chisquare(np.bincount(dealt, minlength=COUNT)).pvalue > 1e-3
    other = Cells(Key(bytes(32)), COUNT).of(nonces(5_000))
    assert abs(np.mean(dealt == other) - 1 / COUNT) < 0.03


def test_parts_are_epochs_times_cells() -> None:
    division = Division((3, 2), {3: Cells(KEY, 2), 2: Cells(KEY, 2)})
    assert [division.place(part) for part in division.parts] == [(3, 0), (3, 1), (2, 0), (2, 1)]
    places = [division.place(part) for part in division.of(np.array([2, 3, 3]), nonces(3)).tolist()]
    assert [epoch for epoch, _ in places] == [2, 3, 3]
    assert division.of(np.array([7]), nonces(1)).tolist() == [-1]
    assert Division((3, 2), {}).parts == (3, 2)
    assert Division((3, 2), {}).of(np.array([2, 3]), nonces(2)).tolist() == [2, 3]


@pytest.mark.parametrize("noise", [True, False])
@pytest.mark.parametrize("recover", ["derived", "sealed"])
@pytest.mark.parametrize("distance", ["cosine", "euclid"])
def test_records_come_back_whatever_their_cell(noise: bool, recover: str, distance: str) -> None:
    guard, x = guard_of(noise=noise, recover=recover, distance=distance), embeddings(60)
    stored, entries = guard.protect(IDS, x)
    opened = guard.open(IDS, stored, [[entry] for entry in entries]).x
    np.testing.assert_allclose(opened, x, atol=1e-4)
    np.testing.assert_array_equal(guard.protect(IDS, x)[0], stored)
    alone, _ = guard.protect(IDS[7:8], x[7:8])
    np.testing.assert_allclose(alone[0], stored[7], atol=1e-6)
    with pytest.raises(Unreadable):
        guard.open(IDS, np.roll(stored, 1, axis=0), [[entry] for entry in entries])


def test_a_query_finds_the_records_of_its_cell_and_no_others() -> None:
    guard, x = guard_of(noise=False), embeddings(60)
    stored, _ = guard.protect(IDS, x)
    assert guard.rerank is not None
    scores = np.stack([np.vecdot(guard.query(x, part), stored) for part in guard.parts])
    exact = np.isclose(scores, 1.0, atol=1e-5)
    assert (exact.sum(axis=0) == 1).all()
    assert len(set(exact.argmax(axis=0).tolist())) == COUNT


def test_pairs_of_one_cell_do_not_undo_another() -> None:
    """All records of one cell, 384 pairs and more, give its rotation away, and nothing of the others."""
    guard, x = guard_of(noise=False), embeddings(1_200)
    ids = [num_id(i) for i in range(len(x))]
    stored, _ = guard.protect(ids, x)
    mine = np.isclose(np.vecdot(guard.query(x, guard.parts[0]), stored), 1.0, atol=1e-5)
    rotation, *_ = np.linalg.lstsq(stored[mine], x[mine], rcond=None)
    recovered = np.abs(np.vecdot(stored @ rotation, x))
    assert recovered[mine].min() > 0.999
    assert recovered[~mine].mean() < 0.25


def test_multivectors_have_one_cell_for_all_their_rows() -> None:
    guard = guard_of(kind="multi")
    seen = set()
    for number in range(12):
        rows = embeddings(4, seed=number)
        stored, entry = guard.protect_rows(num_id(number), rows)
        np.testing.assert_allclose(guard.open_rows(num_id(number), stored, [entry]).x, rows, atol=1e-4)
        means = [np.vecdot(guard.query(rows, part), stored).mean() for part in guard.parts]
        seen.add(int(np.argmax(means)))
        assert max(means) > 0.4
    assert len(seen) > 1


def test_cells_go_through_a_rotation_of_keys() -> None:
    old, x = guard_of(ring_of(1)), embeddings(60)
    stored, entries = old.protect(IDS, x)
    both = guard_of(ring_of(1, 2))
    assert len(both.parts) == 2 * COUNT
    np.testing.assert_allclose(both.open(IDS, stored, [[entry] for entry in entries]).x, x, atol=1e-4)
    again, entries = both.protect(IDS, x)
    assert not np.isclose(again, stored).all(axis=1).any()
    np.testing.assert_allclose(both.open(IDS, again, [[entry] for entry in entries]).x, x, atol=1e-4)
