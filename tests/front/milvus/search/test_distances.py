"""Milvus' metrics, their order and ranges; and the certificates for vectors stored shrunk, whatever the metric."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.distances import (
    Band,
    Settling,
    bigger_is_better,
    check_band,
    dense_metric,
    estimated_distances,
    exact_distances,
    kth_best,
    ordered,
    rounded,
)
from vecguard.metric import largest_norm

METRICS = ("COSINE", "IP", "L2")
DIMS = 192


def tail(z):
    """Phi(-z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def at_rest(rng, x, ratio):
    """Vectors as they are stored for every metric: noised, then shrunk (the rotation changes no distance)."""
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    noise = rng.normal(size=x.shape) * ratio * lengths / math.sqrt(x.shape[1])
    return ((x + noise) / (1 + ratio**2)).astype(np.float32)


def settling(metric, query, ratio, z):
    return Settling.of(metric, query, ratio, z, stored_scale=1 + ratio**2, dims=len(query))


def boundary(decides, kth, metric, norm):
    """The distance at rest at which the certificate just settles, by bisection."""
    low, high = (0.0, 100.0) if metric == "L2" else (-5.0, 5.0)
    for _ in range(60):
        middle = (low + high) / 2
        good = decides.settled(kth, middle, norm)
        low, high = (low, middle) if good == (metric == "L2") else (middle, high)
    return middle


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("length", [0.5, 3.0])
def test_an_answer_is_missed_as_rarely_as_promised_and_no_rarer(metric, ratio, length):
    """P(missing) at the boundary is Phi(-z) to within its first order, for records of any length."""
    z, count = 1.5, 4_000
    rng = np.random.default_rng(7)
    query, record = np.zeros(DIMS, np.float32), np.zeros(DIMS, np.float32)
    query[0], record[0], record[1] = length, 0.6 * length, 0.8 * length
    protected = exact_distances(metric, query, at_rest(rng, np.tile(record, (count, 1)), ratio))
    exact = float(exact_distances(metric, query, record[None])[0])
    worst = boundary(settling(metric, query, ratio, z), exact, metric, length)
    missed = np.mean(protected < worst if bigger_is_better(metric) else protected > worst)
    assert 0.75 * tail(z) < missed < 1.3 * tail(z)


@pytest.mark.parametrize("metric", METRICS)
@given(scale=st.floats(0.1, 10), kth=st.integers(-100, 100), worst=st.integers(-100, 100))
def test_settling_does_not_depend_on_units(metric, scale, kth, worst):
    """Cosine knows no lengths; products and squared distances scale with their square."""
    query = np.linspace(0.5, 1.0, 16, dtype=np.float32)
    unit = 1.0 if metric == "COSINE" else scale**2
    small = settling(metric, query, 1.0, 2.0)
    large = settling(metric, query * np.float32(scale), 1.0, 2.0)
    kth, worst = ((abs(kth) + 1) / 50, (abs(worst) + 1) / 50) if metric == "L2" else (kth / 100, worst / 100)
    bar = boundary(small, kth, metric, 1.0)
    if abs(worst - bar) > 1e-3:
        assert small.settled(kth, worst, 1.0) == large.settled(kth * unit, worst * unit, scale)


@pytest.mark.parametrize("metric", METRICS)
def test_distances_at_rest_estimate_exact_ones(metric):
    rng = np.random.default_rng(3)
    x, query = rng.normal(size=(2_000, DIMS)).astype(np.float32), rng.normal(size=DIMS).astype(np.float32)
    stored = exact_distances(metric, query, at_rest(rng, x, 1.0))
    estimates, exact = estimated_distances(metric, query, stored, 2.0), exact_distances(metric, query, x)
    assert np.mean(estimates - exact) == pytest.approx(0.0, abs=0.05 * float(np.std(exact)))
    assert (np.argsort(estimates, kind="stable") == np.argsort(stored, kind="stable")).all()


def test_distances_are_milvus():
    query, x = np.array([3, 4], np.float32), np.array([[3, 4], [-3, -4], [0, 0], [4, -3]], np.float32)
    assert exact_distances("L2", query, x).tolist() == [0, 100, 25, 50]
    assert exact_distances("IP", query, x).tolist() == [25, -25, 0, 0]
    assert exact_distances("COSINE", query, x).tolist() == [1, -1, 0, 0]
    assert exact_distances("COSINE", np.zeros(2, np.float32), x).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("metric", METRICS)
def test_a_distance_does_not_depend_on_its_neighbours(metric):
    """Iterators compare distances between calls."""
    rng = np.random.default_rng(1)
    x, query = rng.normal(size=(257, 100)).astype(np.float32), rng.normal(size=100).astype(np.float32)
    together = exact_distances(metric, query, x)
    assert together.tolist() == [float(exact_distances(metric, query, row[None].copy())[0]) for row in x]
    assert together[100:131].tolist() == exact_distances(metric, query, x[100:131]).tolist()


def test_equal_distances_go_by_key():
    distances = np.array([1, 2, 1, 2, 1], np.float32)
    assert ordered([5, 4, 3, 2, 1], distances, descending=True).tolist() == [3, 1, 4, 2, 0]
    assert ordered([5, 4, 3, 2, 1], distances, descending=False).tolist() == [4, 2, 0, 3, 1]
    assert ordered(["e", "d", "c", "b", "a"], distances, descending=True).tolist() == [3, 1, 4, 2, 0]
    assert ordered([], np.zeros(0, np.float32), descending=True).tolist() == []


def test_ranges_are_half_open():
    d = np.array([1, 2, 3, 4], np.float32)
    assert Band(radius=3, range_filter=1).passes(d, "L2").tolist() == [True, True, False, False]
    assert Band(radius=1, range_filter=3).passes(d, "IP").tolist() == [False, True, True, False]
    assert Band(radius=2).passes(d, "L2").tolist() == [True, False, False, False]
    assert Band(range_filter=2).passes(d, "COSINE").tolist() == [True, True, False, False]
    assert Band().passes(d, "L2").all()
    assert Band(after=2).passes(d, "L2").tolist() == [False, False, True, True]
    assert Band(after=2).passes(d, "IP").tolist() == [True, False, False, False]
    assert Band(radius=4, range_filter=2).skips(d, "L2") == 1
    assert Band(radius=0, range_filter=2).skips(d, "IP") == 2


@pytest.mark.parametrize("metric", METRICS)
@given(
    values=st.lists(st.integers(-5, 5), max_size=30),
    radius=st.none() | st.integers(-5, 5),
    inner=st.none() | st.integers(-5, 5),
)
def test_what_a_range_leaves_out_is_too_good_or_too_bad(metric, values, radius, inner):
    band, d = Band(radius, inner), np.array(values, np.float32)
    inside = band.passes(d, metric)
    sign = 1 if bigger_is_better(metric) else -1
    too_bad = np.zeros(len(d), bool) if radius is None else sign * d <= sign * radius
    too_good = np.zeros(len(d), bool) if inner is None else sign * d > sign * inner
    assert inside.tolist() == (~too_bad & ~too_good).tolist()
    assert band.skips(d, metric) == too_good.sum()


def test_the_radius_bounds_what_is_looked_for():
    assert Band(radius=0.5).stricter(0.7, "IP") == 0.7
    assert Band(radius=0.5).stricter(0.3, "IP") == 0.5
    assert Band(radius=0.5).stricter(0.7, "L2") == 0.5
    assert Band(radius=0.5).stricter(None, "L2") == 0.5
    assert Band().stricter(None, "L2") is None
    assert Band().stricter(0.7, "L2") == 0.7


def test_ranges_the_wrong_way_round_are_refused():
    check_band(Band(2, 1), "L2")
    check_band(Band(1, 2), "IP")
    check_band(Band(1), "IP")
    for band, metric in ((Band(1, 2), "L2"), (Band(1, 1), "L2"), (Band(2, 1), "IP"), (Band(1, 1), "COSINE")):
        with pytest.raises(InvalidArgument, match="range_filter"):
            check_band(band, metric)


def test_kth_best():
    d = np.array([3, 1, 2], np.float32)
    assert [kth_best(d, k, "L2") for k in (0, 1, 2, 3, 4)] == [None, 1, 2, 3, None]
    assert [kth_best(d, k, "IP") for k in (1, 2, 3)] == [3, 2, 1]


def test_rounding_is_half_up():
    d = np.array([0.125, 0.375, -0.125, 1.0], np.float32)
    assert rounded(d, 2).tolist() == pytest.approx([0.13, 0.38, -0.12, 1.0])
    assert rounded(d, 0).tolist() == [0, 0, 0, 1]
    assert rounded(d, -1).tolist() == d.tolist()


def test_metrics_by_name():
    assert dense_metric("cosine") == "COSINE"
    for name in ("HAMMING", "BM25", "", "MAX_SIM"):
        with pytest.raises(InvalidArgument, match="metric type"):
            dense_metric(name)


def sentence_like(rng, count):
    """Vectors as sentence embeddings have them: decaying spectrum, clusters; of unlike lengths."""
    spectrum = np.arange(1, DIMS + 1) ** -0.5
    centres = rng.normal(size=(count // 20, DIMS)) * spectrum
    x = centres[rng.integers(len(centres), size=count)] + 0.7 * rng.normal(size=(count, DIMS)) * spectrum
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return (x * np.exp(0.2 * rng.normal(size=(count, 1)))).astype(np.float32)


@pytest.mark.parametrize("metric", METRICS)
def test_settled_candidates_hold_the_true_best(metric):
    rng = np.random.default_rng(9)
    x = sentence_like(rng, 2_000)
    stored, queries = at_rest(rng, x, 1.0), sentence_like(rng, 40)[:20]
    found, read = [], []
    for query in queries:
        exact, protected = exact_distances(metric, query, x), exact_distances(metric, query, stored)
        sign = -1 if bigger_is_better(metric) else 1
        order, decides = np.argsort(sign * protected), settling(metric, query, 1.0, 2.0)
        for held in (50, 100, 200, 400, 800, 1_600, 2_000):
            candidates = order[:held]
            kth = kth_best(exact[candidates], 10, metric)
            if decides.settled(kth, float(protected[candidates[-1]]), largest_norm(x[candidates])):
                break
        best = candidates[np.argsort(sign * exact[candidates])[:10]]
        found.append(np.isin(best, np.argsort(sign * exact)[:10]).mean())
        read.append(held)
    assert np.mean(found) >= 0.99
    assert np.mean(read) < len(x) / 2
