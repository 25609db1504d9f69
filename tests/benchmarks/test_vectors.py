"""Synthetic embeddings: their shape is the one the module claims."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.vectors import exact_top, shape, synthetic


@pytest.mark.parametrize("dims", [384, 768])
def test_rows_and_queries_are_unit_float32(dims: int) -> None:
    sample = synthetic(rows=300, queries=20, dims=dims, seed=1)
    assert sample.rows.shape == (300, dims)
    assert sample.queries.shape == (20, dims)
    for part in (sample.rows, sample.queries):
        assert part.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1, atol=1e-5)


def test_the_seed_decides_the_sample() -> None:
    first, again, other = (synthetic(rows=50, queries=5, dims=64, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.rows, again.rows)
    assert not np.array_equal(first.rows, other.rows)


@pytest.mark.slow
def test_shape_is_near_to_minilm_on_squad() -> None:
    figures = shape(synthetic(rows=5_000, queries=500, dims=384, seed=1))
    measured = {"pair mean": 0.035, "pair deviation": 0.091, "rank 1": 0.59, "rank 10": 0.39, "rank 50": 0.27}
    for name, value in measured.items():
        assert figures[name] == pytest.approx(value, abs=0.02), name
    assert figures["participation"] == pytest.approx(120, rel=0.15)


def test_white_noise_has_another_shape() -> None:
    sample = synthetic(rows=1_000, queries=100, dims=384, seed=1)
    white = np.random.default_rng(1).standard_normal((1_000, 384))
    white /= np.linalg.norm(white, axis=1, keepdims=True)
    spectrum = np.linalg.eigvalsh(np.cov(white, rowvar=False))
    assert shape(sample)["participation"] < 0.6 * spectrum.sum() ** 2 / (spectrum**2).sum()


def test_exact_top_is_the_sorted_head_of_all_scores() -> None:
    sample = synthetic(rows=200, queries=30, dims=32, seed=5)
    expected = np.argsort(-(sample.queries @ sample.rows.T), axis=1)[:, :10]
    np.testing.assert_array_equal(exact_top(sample.rows, sample.queries, 10), expected)
