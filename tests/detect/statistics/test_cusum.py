"""The cumulative sum against its recursion, step by step."""

from __future__ import annotations

import numpy as np

from vecguard.detect.statistics import cusum


def test_it_is_the_recursion() -> None:
    random = np.random.default_rng(3)
    for start in (0.0, 0.7, 12.0):
        drifts = random.normal(-0.1, 1.0, 500)
        expected, value = [], start
        for drift in drifts:
            value = max(0.0, value + drift)
            expected.append(value)
        np.testing.assert_allclose(cusum.run(start, drifts), expected, atol=1e-9)


def test_parts_follow_on_from_each_other() -> None:
    drifts = np.random.default_rng(4).normal(0, 1, 100)
    whole = cusum.run(0.0, drifts)
    first = cusum.run(0.0, drifts[:40])
    np.testing.assert_allclose(np.concatenate([first, cusum.run(float(first[-1]), drifts[40:])]), whole, atol=1e-9)


def test_its_end_is_that_of_the_run() -> None:
    random = np.random.default_rng(5)
    for count in (1, 2, 9, 200):
        drifts = random.normal(-0.1, 1.0, count)
        assert cusum.end(0.4, drifts) == cusum.run(0.4, drifts)[-1]
    assert cusum.end(0.4, np.zeros(0)) == 0.4
