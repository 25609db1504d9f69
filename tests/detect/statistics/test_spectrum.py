"""Effective rank where it is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from vecguard.detect.statistics.spectrum import effective_rank

Matrix = NDArray[np.float64]


def moment(rows: Matrix) -> Matrix:
    return rows.T @ rows


def test_known_ranks() -> None:
    basis = np.linalg.qr(np.random.default_rng(0).standard_normal((16, 16)))[0]
    assert effective_rank(np.zeros((16, 16))) == 0
    assert effective_rank(moment(np.repeat(basis[:1], 40, axis=0))) == pytest.approx(1, abs=1e-4)
    for rank in (2, 7, 16):
        assert effective_rank(moment(basis[:rank])) == pytest.approx(rank, rel=1e-4)


def test_it_is_the_exponential_of_the_entropy_of_singular_values() -> None:
    rows = np.random.default_rng(1).standard_normal((30, 5)) * [5, 1, 1, 0.5, 0.1]
    shares = np.linalg.svd(rows, compute_uv=False)
    shares /= shares.sum()
    assert effective_rank(moment(rows)) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_several_at_once() -> None:
    several = np.stack([np.eye(4), np.diag([1.0, 0, 0, 0]), np.zeros((4, 4))])
    np.testing.assert_allclose(effective_rank(several), [4, 1, 0], atol=1e-9)
