"""Sketches keep cosines, hashes keep identity, and both keep their key."""

import json
from pathlib import Path

import numpy as np
import pytest

from vecguard.detect.observation import SKETCH_DIMS
from vecguard.detect.reading import Dense, Reading, Sparse, mean_row
from vecguard.detect.sketch import Sketcher
from vecguard.keys.key import Key

KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "sketches.json").read_text())
KEY, OTHER = Key(bytes(range(32))), Key(bytes([9]) * 32)
RANDOM = np.random.default_rng(3)


def units(n, dims):
    x = RANDOM.normal(size=(n, dims)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_known_sketches_and_hashes_are_made():
    sketcher = Sketcher(KEY)
    vector = np.array([KNOWN["vector"]], np.float32)
    assert sketcher.sketches([Dense("v", vector)])[0].tolist() == pytest.approx(KNOWN["dense"], abs=1e-6)
    sparse = Sparse("s", np.array(KNOWN["indices"], np.uint32), np.array(KNOWN["values"], np.float32))
    assert sketcher.sketches([sparse])[0].tolist() == pytest.approx(KNOWN["sparse"], abs=1e-6)
    assert sketcher.hashes(KNOWN["numbers"]).tolist() == KNOWN["number_hashes"]
    assert sketcher.hashes(KNOWN["texts"]).tolist() == KNOWN["text_hashes"]
    assert sketcher.shape(KNOWN["filters"]) == KNOWN["filter_shape"]


@pytest.mark.parametrize("dims", [64, 384, 1536])
def test_inner_products_estimate_cosines(dims):
    """Unbiased, with the standard error of Johnson-Lindenstrauss: sqrt((1 + cos^2) / k) at most for signs."""
    x, y = units(2_000, dims), units(2_000, dims)
    y = np.where(np.arange(2_000)[:, np.newaxis] % 2, y, 0.8 * x + 0.6 * y)
    sketcher = Sketcher(KEY)
    estimated = np.vecdot(sketcher.sketches([Dense("", x)]), sketcher.sketches([Dense("", y)]))
    norms = np.linalg.norm(y, axis=1)
    error = estimated - np.vecdot(x, y) / norms
    assert abs(error.mean()) < 0.03
    assert error.std() < 1.1 * np.sqrt(2 / SKETCH_DIMS)


def test_length_makes_no_difference_and_nothing_has_the_zero_sketch():
    sketcher = Sketcher(KEY)
    x = units(1, 32)
    once, thrice = (sketcher.sketches([Dense("", factor * x)]) for factor in (1, 3e5))
    assert np.allclose(once, thrice, atol=1e-6)
    assert not sketcher.sketches([Dense("", np.zeros((1, 32), np.float32))]).any()
    empty = Sparse("", np.zeros(0, np.uint32), np.zeros(0, np.float32))
    assert not sketcher.sketches([empty]).any()
    assert sketcher.sketches([]).shape == (0, SKETCH_DIMS)


@pytest.mark.parametrize("factor", [1e-42, 1e-25, 1e-12, 1e19, 1e37])
def test_whoever_scales_a_vector_gets_the_same_sketch(factor):
    """Cosines do not change by it, so neither may what detection sees. Below 1e-38 float32 itself is coarse."""
    sketcher, x = Sketcher(KEY), units(2, 32)
    near = 1e-6 if factor > 1e-38 else 0.05
    scaled = (x * np.float64(factor)).astype(np.float32)
    assert np.allclose(sketcher.sketches([Dense("", scaled)]), sketcher.sketches([Dense("", x)]), atol=near)
    indices = np.arange(32, dtype=np.uint32)
    once, again = (sketcher.sketches([Sparse("", indices, some[0])]) for some in (x, scaled))
    assert np.allclose(once, again, atol=near)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_points_nowhere_and_its_neighbours_stay(odd):
    sketcher, x = Sketcher(KEY), units(3, 16)
    clean = sketcher.sketches([Dense("", x)])
    broken = x.copy()
    broken[1, 5] = odd
    sketches = sketcher.sketches([Dense("", broken)])
    assert not sketches[1].any()
    assert np.allclose(sketches[[0, 2]], clean[[0, 2]], atol=1e-6)
    assert not sketcher.sketches([Sparse("", np.arange(16, dtype=np.uint32), broken[1])]).any()
    assert np.isnan(
        Sketcher(KEY).observation(scored(odd), time=0.0, principal="p", collection="c").scores
    ).tolist() == [*(True, False)]


def test_the_mean_of_a_multivector_is_no_longer_than_its_rows():
    rows = np.full((4, 8), 3e38, np.float32)
    assert np.isfinite(mean_row("", rows).rows).all()


def scored(score):
    return Reading("c", "search", ids=[1, 2], query_of=[-1, -1], scores=[score, 0.5])


def test_sparse_vectors_that_share_words_are_near_each_other():
    sketcher, indices = Sketcher(KEY), np.arange(200, dtype=np.uint32) * 7_919
    one = Sparse("", indices, np.ones(200, np.float32))
    same = Sparse("", indices[::-1].copy(), np.ones(200, np.float32))
    other = Sparse("", indices + 3, np.ones(200, np.float32))
    a, b, c = sketcher.sketches([one, same, other])
    assert np.allclose(a, b, atol=1e-5)
    assert abs(a @ c) < 0.7
    assert 0.5 < a @ a < 1.6


def test_another_key_or_name_is_another_sketch_and_hash():
    x = Dense("a", units(1, 64))
    first = Sketcher(KEY).sketches([x])
    assert not np.allclose(first, Sketcher(OTHER).sketches([x]))
    assert not np.allclose(first, Sketcher(KEY).sketches([Dense("b", x.rows)]))
    for ids in ([1, 2], ["a", "b"]):
        assert not set(Sketcher(KEY).hashes(ids).tolist()) & set(Sketcher(OTHER).hashes(ids).tolist())


def test_hashes_tell_all_ids_apart_whatever_they_stand_among():
    sketcher = Sketcher(KEY)
    ids = [0, 1, 2**64 - 1, -1, "", "0", "1", "ü", "\ud800"]
    together = sketcher.hashes(ids)
    assert len(set(together.tolist())) == len(ids) - 1  # -1 is the 64 bits of 2**64 - 1
    assert together.tolist() == [int(sketcher.hashes([one])[0]) for one in ids]
    assert sketcher.hashes([]).dtype == np.uint64


def test_a_filters_structure_is_hashed_and_none_is_nothing():
    sketcher = Sketcher(KEY)
    assert sketcher.shape([]) == 0
    assert sketcher.shape(["a", "b"]) != sketcher.shape(["b", "a"]) != 0


def test_an_observation_holds_what_was_read():
    reading = Reading("alias", "search", queries=[Dense("", units(2, 8))], ids=[5, 6], query_of=[0, 1])
    reading.scores, reading.limit, reading.left = [0.5, 0.25], 7, {"scores"}
    seen = Sketcher(KEY).observation(reading, time=3.0, principal="p", collection="c")
    assert (seen.collection, seen.limit, seen.left) == ("c", 7, frozenset({"scores"}))
    assert seen.queries.shape == (2, SKETCH_DIMS)
    assert seen.ids.tolist() == Sketcher(KEY).hashes([5, 6]).tolist()
    assert (seen.query_of.dtype, seen.scores.tolist()) == (np.int32, [0.5, 0.25])
