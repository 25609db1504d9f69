"""The certificate keeps its promise, page sizes, thresholds and the order of answers."""

import math
import uuid

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import assume, given
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument
from vecguard.metric import bigger_is_better, largest_norm, max_sim, normalize, scores
from vecguard.rerank import Certificate, euclid_scale, id_order, kth_score, ordered, predicted_page, top_k

DISTANCES = ("cosine", "dot", "euclid")
DIMS = 384


def tail(z):
    """Phi(-z)."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def stored(rng, x, distance, ratio, scale=1.0):
    """Protected vectors as the backend holds them (the rotation changes no score and is left out)."""
    base = normalize(x) if distance == "cosine" else x
    noise = rng.normal(size=x.shape) * ratio * np.linalg.norm(base, axis=1, keepdims=True) / math.sqrt(x.shape[1])
    return ((base + noise) / scale).astype(np.float32)


def worst_that_settles(certificate, kth):
    """The protected score at which the certificate just settles, by bisection."""
    low, high = (0.0, 10.0) if certificate.distance == "euclid" else (-5.0, 5.0)
    for _ in range(50):
        middle = (low + high) / 2
        good = certificate.settled(kth, middle, 1.0)
        low, high = (low, middle) if good == (certificate.distance == "euclid") else (middle, high)
    return middle


@pytest.mark.parametrize(
    ("distance", "shrunk"), [("cosine", False), ("dot", False), ("euclid", False), ("euclid", True)]
)
@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("similarity", [0.1, 0.6, 0.9])
def test_an_answer_is_missed_as_rarely_as_promised_and_no_rarer(distance, ratio, similarity, shrunk):
    """The bound is neither optimistic nor padded: P(missing) at the boundary is Phi(-z) to within its first order."""
    z, count = 1.5, 8_000
    rng = np.random.default_rng(7)
    query, record = np.zeros(DIMS, np.float32), np.zeros(DIMS, np.float32)
    query[0], record[0], record[1] = 1.0, similarity, math.sqrt(1 - similarity**2)
    scale = euclid_scale(ratio) if shrunk else 1.0
    protected = scores(query, stored(rng, np.tile(record, (count, 1)), distance, ratio, scale), distance)
    exact = float(scores(query, record[None], distance)[0])
    worst = worst_that_settles(Certificate.of(query, distance, ratio, z, stored_scale=scale), exact)
    missed = np.mean(protected < worst if bigger_is_better(distance) else protected > worst)
    assert 0.8 * tail(z) < missed < 1.2 * tail(z)


def sentence_like(rng, count, dims=DIMS):
    """Unit vectors as sentence embeddings have them: decaying spectrum, a common direction, clusters."""
    spectrum = np.arange(1, dims + 1) ** -0.5
    centres = rng.normal(size=(count // 20, dims)) * spectrum
    points = centres[rng.integers(len(centres), size=count)] + 0.7 * rng.normal(size=(count, dims)) * spectrum
    points += 0.5 * spectrum.sum() / math.sqrt(dims) * rng.normal(size=dims) * spectrum / np.linalg.norm(spectrum)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def recall(rng, x, queries, distance, ratio, z, scale=1.0, k=10):
    """Mean recall@k and candidates of certified over-fetch against exact search, and how often it settled."""
    protected, exact = scores(queries, stored(rng, x, distance, ratio, scale), distance), scores(queries, x, distance)
    sign = -1 if bigger_is_better(distance) else 1
    found, fetched, settled = [], [], []
    for query, by_noise, by_truth in zip(queries, protected, exact, strict=True):
        order, held, page, done = np.argsort(sign * by_noise), 0, 50, False
        certificate = Certificate.of(query, distance, ratio, z, stored_scale=scale)
        while not done and page > held:
            held, candidates = page, order[:page]
            kth, seen = kth_score(by_truth[candidates], k, distance), by_noise[candidates].tolist()
            done = certificate.settled(kth, seen[-1], largest_norm(x[candidates]))
            reach = certificate.reach(kth, seen[-1], largest_norm(x[candidates]))
            page = min(predicted_page(seen, reach), 1_000)
        answer = candidates[top_k(candidates.tolist(), by_truth[candidates], k, distance)]
        found.append(np.isin(answer, np.argsort(sign * by_truth)[:k]).mean())
        fetched.append(held)
        settled.append(done)
    return np.mean(found), np.mean(fetched), np.mean(settled)


@pytest.mark.parametrize(
    ("distance", "scale"), [("cosine", 1.0), ("dot", 1.0), ("euclid", 1.0), ("euclid", euclid_scale(1.0))]
)
def test_recall_on_sentence_like_vectors(distance, scale):
    rng = np.random.default_rng(3)
    x = sentence_like(rng, 3_000)
    queries = normalize(x[rng.integers(len(x), size=60)] + 0.03 * rng.normal(size=(60, DIMS)).astype(np.float32))
    noise = [np.random.default_rng(4) for _ in range(2)]  # the same, so that only the certainty tells them apart
    found, fetched, settled = recall(noise[0], x, queries, distance, 1.0, 2.0, scale)
    without, _, _ = recall(noise[1], x, queries, distance, 1.0, 0.0, scale)
    assert found >= 0.99
    assert settled == 1.0
    assert fetched < len(x) / 3
    assert without <= found


def test_records_of_unlike_norms_need_the_shrinkage():
    """Noise in proportion to the norm drowns long records in Euclidean search, unless their vectors are shrunk."""
    rng = np.random.default_rng(4)
    x = sentence_like(rng, 3_000) * np.exp(0.3 * rng.normal(size=(3_000, 1))).astype(np.float32)
    queries = sentence_like(rng, 60)
    _, plain, plain_settled = recall(rng, x, queries, "euclid", 1.0, 2.0)
    found, shrunk, settled = recall(rng, x, queries, "euclid", 1.0, 2.0, euclid_scale(1.0))
    assert plain_settled < settled == 1.0
    assert found >= 0.99
    assert shrunk < plain / 2


@pytest.mark.parametrize("distance", DISTANCES)
def test_max_sim_certificate_holds(distance):
    rng = np.random.default_rng(5)
    scale = euclid_scale(1.0) if distance == "euclid" else 1.0
    rows = sentence_like(rng, 1_200)
    documents, protected = np.split(rows, 300), np.split(stored(rng, rows, distance, 1.0, scale), 300)
    missed = settled = 0
    for query in np.split(sentence_like(rng, 120), 40):
        by_noise, by_truth = max_sim(query, protected, distance), max_sim(query, documents, distance)
        sign = -1 if bigger_is_better(distance) else 1
        order, truth = np.argsort(sign * by_noise), np.argsort(sign * by_truth)[:3]
        certificate = Certificate.of(query, distance, 1.0, 1.0, stored_scale=scale)
        for held in range(3, 301):
            kth = kth_score(by_truth[order[:held]], 3, distance)
            if certificate.settled(kth, float(by_noise[order[held - 1]]), 1.0):
                settled += 1
                missed += 3 - np.isin(order[:held], truth).sum()
                break
    assert settled > 0
    assert missed <= tail(1.0) * 3 * settled


@pytest.mark.parametrize("distance", DISTANCES)
def test_without_noise_the_first_page_settles(distance):
    rng = np.random.default_rng(6)
    x, query = rng.normal(size=(200, 16)).astype(np.float32), rng.normal(size=16).astype(np.float32)
    exact = scores(query, x, distance)
    order = np.argsort(-exact if bigger_is_better(distance) else exact)[:10]
    kth = kth_score(exact[order], 10, distance)
    assert Certificate.of(query, distance, 0.0).settled(kth, float(exact[order[-1]]), largest_norm(x[order]))


@pytest.mark.parametrize("distance", DISTANCES)
@given(z=st.floats(0, 4), ratio=st.floats(0.1, 2), gap=st.floats(0, 1))
def test_more_certainty_or_noise_or_less_room_never_helps(distance, z, ratio, gap):
    query = np.eye(1, 64, dtype=np.float32)[0]
    at = 0.5 if bigger_is_better(distance) else 1.0
    worst = at - gap if bigger_is_better(distance) else math.sqrt(1 + ratio**2) + gap
    sign = 1 if bigger_is_better(distance) else -1

    def bar(z, ratio, worst):
        return sign * Certificate.of(query, distance, ratio, z).bar(at, worst, 1.0)

    assert bar(z + 0.5, ratio, worst) >= bar(z, ratio, worst)
    assert bar(z, ratio, worst + sign * 0.1) >= bar(z, ratio, worst)
    if distance != "cosine":  # there the ratio scales the protected score as well
        assert bar(z, ratio + 0.1, worst) >= bar(z, ratio, worst)


def test_a_declared_norm_bound_replaces_the_norms_seen():
    seen = Certificate("dot", (1.0,), 1.0, 64, 2.0)
    bounded = Certificate("dot", (1.0,), 1.0, 64, 2.0, norm_bound=4.0)
    assert bounded.bar(0.5, 0.1, 1.0) == pytest.approx(seen.bar(0.5, 0.1, 4.0))
    assert bounded.bar(0.5, 0.1, 1.0) > seen.bar(0.5, 0.1, 1.0)


@pytest.mark.parametrize("wrong", [{"ratio": -1.0}, {"dims": 0}, {"certainty": -0.1}, {"query_norms": ()}])
def test_a_certificate_refuses_nonsense(wrong):
    with pytest.raises(InvalidArgument):
        Certificate(**({"distance": "dot", "query_norms": (1.0,), "ratio": 1.0, "dims": 8} | wrong))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("distance", DISTANCES)
def test_the_reach_is_where_the_certificate_settles(distance, ratio):
    certificate = Certificate(distance, (1.0,), ratio, DIMS, 2.0, stored_scale=euclid_scale(ratio))
    for kth in (0.5, 0.7, 0.9):
        settles = worst_that_settles(certificate, kth)
        start = settles * 0.99 if distance == "euclid" else settles + 0.1
        assert not certificate.settled(kth, start, 1.0)
        assert certificate.reach(kth, start, 1.0) == pytest.approx(settles, abs=0.2 * abs(start - settles))


def test_where_the_bar_is_flat_nothing_is_foretold():
    certificate = Certificate("euclid", (1.0,), 8.0, 4, 50.0, stored_scale=65.0)
    assert certificate.reach(0.5, 0.1, 1.0) is None
    assert predicted_page([3.0, 2.0, 1.0, 0.5], None) == 8


@pytest.mark.parametrize(
    ("reach", "pages"),
    [
        (-0.1, 150),  # never less than half as many again
        (-0.5, 191),
        (-1.0, 270),  # one doubling away, and a third more
        (-2.0, 540),
        (-9.0, 800),  # never more than eight times as many
        (math.nan, 200),
        (-math.inf, 200),
    ],
)
def test_a_page_is_foretold_from_how_scores_fell(reach, pages):
    """Scores that fall by 1 with each doubling of the rank."""
    protected = [1.0 - math.log2((rank + 1) / 50) for rank in range(100)]
    assert protected[49] - protected[99] == pytest.approx(1.0)
    assert predicted_page(protected, reach) == pytest.approx(pages, abs=5)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_scores_that_grow_worse_upwards_are_foretold_alike(sign):
    protected = [sign * (1.0 - math.log2((rank + 1) / 50)) for rank in range(100)]
    assert predicted_page(protected, -sign) == predicted_page([-score for score in protected], sign)


@pytest.mark.parametrize("protected", [[1.0], [0.0] * 50, [math.nan] * 50, [2.0, 2.0, 2.0]])
def test_scores_that_tell_nothing_double_the_page(protected):
    assert predicted_page(protected, 0.5) == 2 * len(protected)


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=60), st.floats(-20, 20))
def test_the_next_page_is_never_out_of_bounds(scores, reach):
    page = predicted_page(sorted(scores, reverse=True), reach)
    assert 1.5 * len(scores) <= page <= 8 * len(scores)


@pytest.mark.parametrize("distance", DISTANCES)
def test_few_calls_reach_the_certificate(distance):
    """Against doubling, on vectors like sentences': fewer calls, and about as many candidates."""
    rng = np.random.default_rng(5)
    x = sentence_like(rng, 3_000)
    queries = normalize(x[rng.integers(len(x), size=40)] + 0.05 * rng.normal(size=(40, DIMS)).astype(np.float32))
    ratio = 2.0
    scale = euclid_scale(ratio) if distance == "euclid" else 1.0
    y = stored(rng, x, distance, ratio, scale)
    calls = {"doubled": 0, "foretold": 0}
    for query in queries:
        exact, protected = (scores(query[np.newaxis], rows, distance)[0] for rows in (x, y))
        order = np.argsort(-protected if bigger_is_better(distance) else protected, kind="stable")
        certificate = Certificate.of(query, distance, ratio, stored_scale=scale)
        for way in calls:
            held = 50
            while True:
                calls[way] += 1
                kth = kth_score(exact[order[:held]], 10, distance)
                shown = protected[order[:held]].tolist()
                norm = largest_norm(x[order[:held]])
                if held >= 1_000 or certificate.settled(kth, shown[-1], norm):
                    break
                reach = certificate.reach(kth, shown[-1], norm)
                held = min(2 * held if way == "doubled" else predicted_page(shown, reach), 1_000)
    assert calls["foretold"] <= 0.8 * calls["doubled"], calls


@pytest.mark.parametrize(
    ("distance", "k", "threshold", "expected"),
    [
        ("dot", 2, None, 3.0),
        ("dot", 2, 3.5, 3.5),
        ("dot", 2, 2.5, 3.0),
        ("euclid", 2, None, 2.0),
        ("euclid", 2, 1.5, 1.5),
        ("euclid", 2, 9.0, 2.0),
        ("dot", 9, None, None),
        ("dot", 9, 2.5, 2.5),
        ("dot", 0, None, None),
    ],
)
def test_score_to_beat(distance, k, threshold, expected):
    assert kth_score(np.array([1, 4, 3, 2], np.float32), k, distance, threshold) == expected


POINT_IDS = st.one_of(st.integers(0, 2**64 - 1), st.uuids().map(str))


@given(
    st.dictionaries(POINT_IDS, st.sampled_from([0.0, 0.5, 1.0, 2.0]), max_size=12),
    st.integers(0, 5),
    st.integers(0, 5),
    st.none() | st.sampled_from([0.5, 1.0]),
    st.sampled_from(["dot", "euclid"]),
)
def test_top_k_is_filter_sort_offset_limit(points, k, offset, threshold, distance):
    ids, exact = list(points), np.array(list(points.values()), np.float32)
    descending = distance == "dot"
    kept = [i for i in ids if threshold is None or (points[i] > threshold if descending else points[i] < threshold)]
    kept.sort(key=lambda i: (points[i], isinstance(i, str), i), reverse=descending)
    found = top_k(ids, exact, k, distance, offset=offset, score_threshold=threshold)
    assert [ids[i] for i in found] == kept[offset : offset + k]


@given(st.lists(st.integers(0, 3), max_size=20), st.booleans(), st.randoms())
def test_order_does_not_depend_on_how_candidates_came(values, descending, random):
    ids = list(range(len(values)))
    shuffled = random.sample(ids, len(ids))
    score = np.array(values, np.float32)
    straight = ordered(ids, score, descending=descending)
    mixed = ordered(shuffled, score[shuffled], descending=descending)
    assert straight.tolist() == [shuffled[i] for i in mixed]


def test_ids_are_ordered_as_the_engine_scrolls_them(tmp_path):
    ids = [3, 2**64 - 1, uuid.UUID(int=5), 0, uuid.UUID(int=2**127), uuid.UUID(int=1)]
    shard = edge.EdgeShard.create(
        str(tmp_path), edge.EdgeConfig(vectors=edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot))
    )
    shard.update(edge.UpdateOperation.upsert_points([edge.Point(id=i, vector=[1.0], payload={}) for i in ids]))
    scrolled = [record.id for record in shard.scroll(edge.ScrollRequest(limit=10))[0]]
    shard.close()
    assert sorted(ids, key=id_order) == scrolled


def test_text_that_is_no_uuid_is_refused():
    with pytest.raises(InvalidArgument):
        id_order("not-a-uuid")


@given(st.uuids())
def test_a_uuid_orders_like_its_text(value):
    assume(value.int > 0)
    assert id_order(value) == id_order(str(value))
