"""Sparse indices are permuted by key, one to one, and come back."""

from collections.abc import Callable
from typing import Any

import numpy as np

from vecguard.keys.key import Key
from vecguard.transform.sparse import IndexPermutation

KEY = Key(bytes(range(32)))


def test_permuted_indices_are_the_known_answers(known: Callable[[str], Any]) -> None:
    answers = known("indices")
    permutation = IndexPermutation(Key(bytes.fromhex(answers["key"])))
    permuted = permutation.forward(np.array(answers["indices"], np.uint32))
    assert permuted.tolist() == answers["permuted"]
    assert permuted.dtype == np.uint32


def test_the_inverse_gives_indices_back() -> None:
    indices = np.random.default_rng(3).integers(0, 2**32, 100_000, dtype=np.uint32)
    permutation = IndexPermutation(KEY)
    np.testing.assert_array_equal(permutation.inverse(permutation.forward(indices)), indices)
    np.testing.assert_array_equal(permutation.forward(permutation.inverse(indices)), indices)


def test_no_two_indices_meet() -> None:
    indices = np.arange(300_000, dtype=np.uint32)
    assert len(np.unique(IndexPermutation(KEY).forward(indices))) == len(indices)


def test_neighbours_scatter_over_the_whole_range() -> None:
    permuted = IndexPermutation(KEY).forward(np.arange(65_536, dtype=np.uint32)).astype(np.int64)
    counts = np.bincount(permuted >> 24, minlength=256)  # 256 expected in each of 256 cells
    chi_squared = float(((counts - 256) ** 2 / 256).sum())
    assert 180 < chi_squared < 345  # 255 degrees of freedom: about 0.01 % on either side
    assert abs(np.corrcoef(permuted[:-1], permuted[1:])[0, 1]) < 0.02


def test_one_flipped_bit_flips_half_of_the_output() -> None:
    permutation = IndexPermutation(KEY)
    indices = np.random.default_rng(4).integers(0, 2**32, 4000, dtype=np.uint32)
    for bit in range(32):
        changed = permutation.forward(indices) ^ permutation.forward(indices ^ np.uint32(1 << bit))
        flipped = np.unpackbits(changed.view(np.uint8)).mean()
        assert abs(flipped - 0.5) < 0.01


def test_keys_give_unrelated_permutations() -> None:
    indices = np.arange(10_000, dtype=np.uint32)
    first, second = IndexPermutation(KEY).forward(indices), IndexPermutation(Key(bytes(32))).forward(indices)
    assert np.mean(first == second) < 0.001


def test_shape_is_kept_and_nothing_is_fine() -> None:
    permutation = IndexPermutation(KEY)
    assert permutation.forward(np.zeros((2, 3), np.uint32)).shape == (2, 3)
    assert permutation.forward(np.zeros(0, np.uint32)).shape == (0,)
