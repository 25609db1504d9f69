"""The ring of sketches: order, size, and cosines with what came before only."""

from __future__ import annotations

import numpy as np

from vecguard.detect.observation import SKETCH_DIMS
from vecguard.detect.statistics import ring


def rows(count: int, seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return ring.unit(np.random.default_rng(seed).standard_normal((count, SKETCH_DIMS)).astype(np.float32))


def test_the_latest_stay_in_order() -> None:
    kept, added = ring.empty(5), rows(12)
    for start in (0, 3, 4, 9):
        ring.push(kept, added[start : {0: 3, 3: 4, 4: 9, 9: 12}[start]])
    np.testing.assert_allclose(kept, added[-5:], atol=ring.ROUNDING)
    ring.push(kept, added[:0])
    np.testing.assert_allclose(kept, added[-5:], atol=ring.ROUNDING)


def test_cosines_are_with_the_ring_and_with_earlier_rows() -> None:
    kept, added = ring.empty(4), rows(3, seed=1)
    before = rows(2, seed=2)
    ring.push(kept, before)
    found = ring.cosines(added, kept)
    assert found.shape == (3, 7)
    np.testing.assert_allclose(found[:, :2], 0)  # slots that are not filled yet
    np.testing.assert_allclose(found[:, 2:4], added @ before.T, atol=ring.ROUNDING)
    np.testing.assert_allclose(found[2, 4:6], added[2] @ added[:2].T, atol=1e-6)
    assert (found[0, 4:] == -1).all()
    assert found[2, 6] == -1


def test_rows_without_a_direction_are_zero() -> None:
    odd = np.stack([np.zeros(SKETCH_DIMS), np.full(SKETCH_DIMS, np.nan), np.full(SKETCH_DIMS, 3.0)]).astype(np.float32)
    found = ring.unit(odd)
    assert not found[:2].any()
    assert np.linalg.norm(found[2]) == np.float32(1)
