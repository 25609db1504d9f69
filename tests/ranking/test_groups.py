"""Grouping against qdrant-client's local mode and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from vecguard.metric import scores
from vecguard.ranking.groups import group_ids, group_points
from vecguard.ranking.payload_path import PayloadPath

VALUE = st.sampled_from(["a", "b", "3", 3, 7, True, 2.5, None, {"x": 1}])
FIELD = st.one_of(st.just({}), VALUE.map(lambda v: {"f": v}), st.lists(VALUE, max_size=3).map(lambda v: {"f": v}))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(FIELD, min_size=1, max_size=12), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["dot", "euclid"])
)
def test_groups_are_local_modes(payloads, limit, group_size, distance):
    rng = np.random.default_rng(len(payloads))
    x, query = rng.normal(size=(len(payloads), 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    client = QdrantClient(":memory:")
    params = models.VectorParams(size=4, distance=models.Distance(distance.capitalize()))
    client.create_collection("c", vectors_config=params)
    points = [
        models.PointStruct(id=i, vector=vector.tolist(), payload=payload)
        for i, (vector, payload) in enumerate(zip(x, payloads, strict=True))
    ]
    client.upsert("c", points)
    theirs = client.query_points_groups(
        "c", group_by="f", query=query.tolist(), limit=limit, group_size=group_size
    ).groups
    path = PayloadPath.parse("f")
    ours = group_points(
        list(range(len(x))),
        scores(query, x, distance),
        [path.select(payload) for payload in payloads],
        limit=limit,
        group_size=group_size,
        distance=distance,
    )
    assert [(g.id, list(g.hits)) for g in ours] == [(g.id, [hit.id for hit in g.hits]) for g in theirs]


def test_a_point_with_several_values_enters_several_groups():
    score = np.array([0.99, 0.85, 0.75], np.float32)
    groups = group_points([1, 2, 3], score, [[["a", "a"]], [["a", "b"]], ["b"]], limit=3, group_size=2, distance="dot")
    assert [(g.id, g.hits) for g in groups] == [("a", (0, 1)), ("b", (1, 2))]


def test_groups_are_ordered_by_their_best_hit_and_cut():
    score = np.array([0.1, 0.9, 0.5, 0.8], np.float32)
    values = [["a"], ["b"], ["a"], ["c"]]
    groups = group_points([1, 2, 3, 4], score, values, limit=2, group_size=1, distance="cosine")
    assert [(g.id, g.hits) for g in groups] == [("b", (1,)), ("c", (3,))]
    nearest = group_points([1, 2, 3, 4], score, values, limit=2, group_size=2, distance="euclid")
    assert [(g.id, g.hits) for g in nearest] == [("a", (0, 2)), ("c", (3,))]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        (["a", "a"], ["a"]),
        ([["a", 1]], ["a", 1]),
        ([1, "1"], [1, "1"]),
        (["a", True], []),
        ([["a", None]], []),
        ([2.5], []),
        ([[["a"]]], []),
        ([{"a": 1}], []),
    ],
)
def test_only_texts_and_integers_make_groups(values, expected):
    assert group_ids(values) == expected
