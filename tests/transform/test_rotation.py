"""Rotations are exactly orthogonal, hide the axes, depend on the key, and are the known answers."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vecguard.errors import InvalidArgument
from vecguard.keys.key import Key
from vecguard.transform.rotation import (
    ButterflyRotation,
    HaarRotation,
    Rotation,
    block_size,
    haar_matrix,
    keyed_permutation,
)

KEY = Key(bytes(range(32)))
SIZES = [1, 2, 3, 17, 64, 384, 768, 1025, 1152, 1536]


def vectors(n: int, dims: int) -> np.ndarray:
    return np.random.default_rng(dims).standard_normal((n, dims)).astype(np.float32)


def matrix_of(rotation: Any, dims: int) -> np.ndarray:
    return rotation.apply(np.eye(dims, dtype=np.float32)).T.astype(float)


def test_haar_matrices_are_the_known_answers(known: Callable[[str], Any]) -> None:
    answers = known("rotation")
    key = Key(bytes.fromhex(answers["key"]))
    for case in answers["haar"]:
        np.testing.assert_allclose(haar_matrix(key, case["dims"], 0, 0), case["matrix"], atol=1e-10)
        np.testing.assert_allclose(matrix_of(Rotation(key, case["dims"]), case["dims"]), case["matrix"], atol=1e-6)


def test_the_butterfly_is_the_known_answer(known: Callable[[str], Any]) -> None:
    answers = known("rotation")
    case, key = answers["butterfly"], Key(bytes.fromhex(answers["key"]))
    rotation = ButterflyRotation(key, len(case["x"]), case["block"])
    assert rotation.layers == case["layers"]
    np.testing.assert_allclose(rotation.apply(np.array([case["x"]], np.float32))[0], case["y"], atol=1e-6)


def test_permutations_are_the_known_answer(known: Callable[[str], Any]) -> None:
    case = known("rotation")["permutation"]
    assert keyed_permutation(KEY, case["dims"], case["layer"]).tolist() == case["order"]


@pytest.mark.parametrize("dims", SIZES)
def test_inversion_gives_the_vectors_back(dims: int) -> None:
    x, rotation = vectors(20, dims), Rotation(KEY, dims)
    y = rotation.apply(x)
    assert y.shape == x.shape
    assert y.dtype == np.float32
    assert np.abs(rotation.invert(y) - x).max() < 1e-6 * np.linalg.norm(x, axis=1).max()


@pytest.mark.parametrize("dims", SIZES)
def test_dot_products_of_queries_and_records_are_kept(dims: int) -> None:
    x, q, rotation = vectors(20, dims), vectors(5, dims)[::-1], Rotation(KEY, dims)
    norms = np.linalg.norm(q, axis=1)[:, None] * np.linalg.norm(x, axis=1)
    error = rotation.query(q).astype(float) @ rotation.apply(x).astype(float).T - q.astype(float) @ x.T.astype(float)
    assert np.abs(error / norms).max() < 1e-6


@pytest.mark.parametrize("dims", [2, 64, 1025, 1152])
def test_matrices_are_orthogonal(dims: int) -> None:
    matrix = matrix_of(Rotation(KEY, dims), dims)
    assert np.abs(matrix @ matrix.T - np.eye(dims)).max() < 1e-6


@pytest.mark.parametrize("dims", [384, 1152])
def test_the_same_key_gives_the_same_rotation_and_another_key_an_unrelated_one(dims: int) -> None:
    x = vectors(3, dims)
    first, again, other = Rotation(KEY, dims), Rotation(KEY, dims), Rotation(Key(bytes(32)), dims)
    np.testing.assert_array_equal(first.apply(x), again.apply(x))
    cosine = np.sum(first.apply(x) * other.apply(x), axis=1) / np.sum(x * x, axis=1)
    assert np.abs(cosine).max() < 6 / math.sqrt(dims)


@pytest.mark.parametrize("dims", [512, 1152, 1536])
def test_entries_look_gaussian_so_no_axis_survives(dims: int) -> None:
    """Entries of a Haar matrix are nearly N(0, 1/dims); a permutation would have one entry of 1 in each row."""
    entries = matrix_of(Rotation(KEY, dims), dims) * math.sqrt(dims)
    assert np.abs(entries).max() < 8
    assert abs((entries**4).mean() - 3) < 0.5
    assert np.all(entries != 0)


def test_haar_signs_and_angles_are_uniform() -> None:
    """Without the sign rule the first entry of Q would never be positive, and angles would be skewed."""
    keys = [Key(index.to_bytes(32, "big")) for index in range(600)]
    matrices = np.array([haar_matrix(key, 2, 0, 0) for key in keys])
    determinants = np.linalg.det(matrices)
    angles = np.sort(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]) / (2 * np.pi) + 0.5)
    steps = np.arange(1, 601) / 600
    assert np.allclose(np.abs(determinants), 1)
    assert abs(np.mean(determinants > 0) - 0.5) < 4 * 0.5 / math.sqrt(600)
    assert np.abs(steps - angles).max() < 1.63 / math.sqrt(600)


@pytest.mark.parametrize(("dims", "block"), [(64, 16), (96, 16), (1152, 64), (1536, 64), (3072, 64), (1536, 16)])
def test_every_output_of_a_butterfly_depends_on_every_input(dims: int, block: int) -> None:
    rotation = ButterflyRotation(KEY, dims, block)
    assert rotation.layers >= 3
    assert np.all(matrix_of(rotation, dims) != 0)


def test_a_butterfly_that_mixes_slowly_gets_more_layers() -> None:
    assert ButterflyRotation(KEY, 4096, 16).layers > 3


@pytest.mark.parametrize(
    ("dims", "block"),
    [(512, None), (513, 57), (768, 64), (1536, 64), (1056, 66), (2500, 50), (1031, None)],
)
def test_blocks_divide_the_dims(dims: int, block: int | None) -> None:
    assert block_size(dims) == block


@pytest.mark.parametrize(
    ("dims", "form"),
    [
        (512, HaarRotation),
        (513, ButterflyRotation),
        (521, HaarRotation),
        (768, ButterflyRotation),
        (1536, ButterflyRotation),
    ],
)
def test_the_form_follows_the_dims(dims: int, form: type) -> None:
    assert isinstance(Rotation(KEY, dims)._form, form)


def test_long_vectors_without_a_factor_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="4099 dimensions"):
        Rotation(KEY, 4099)


def test_a_row_alone_is_rotated_as_in_a_batch() -> None:
    for dims in (384, 1536):
        x, rotation = vectors(10, dims), Rotation(KEY, dims)
        np.testing.assert_allclose(rotation.apply(x)[3:4], rotation.apply(x[3:4]), atol=1e-5)
        assert rotation.apply(x[:0]).shape == (0, dims)
        assert rotation.invert(x[:0]).shape == (0, dims)


@pytest.mark.parametrize(("dims", "words"), [(384, "Haar"), (1536, "not uniformly random")])
def test_the_description_says_which_form_it_is(dims: int, words: str) -> None:
    sentences = " ".join(Rotation(KEY, dims).describe())
    assert words in sentences
    assert "leaked pairs" in sentences
