"""Searches of several vectors, hybrid searches and rerank functions, through the proxy and straight to Milvus Lite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pymilvus import AnnSearchRequest, Function, FunctionType, MilvusException, RRFRanker, WeightedRanker
from pymilvus.client.prepare import Prepare

from milvus.search_sides import (
    KEYS,
    OTHER_QUERIES,
    QUERIES,
    SPARSE_QUERIES,
    Sides,
    X,
    Y,
    both,
    compare,
    make_rich,
    make_words,
)
from milvus.servers import MilvusServer
from vecguard.front.milvus.function_scores import read_function_score
from vecguard.front.milvus.rankers import Source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["rotated", "noised"])
def rich(request: pytest.FixtureRequest, lite: MilvusServer, tmp_path_factory: Any) -> Iterator[Sides]:
    """Rows with several vectors, on Milvus Lite."""
    with both(lite, request.param, tmp_path_factory.mktemp("rich"), make_rich) as found:
        yield found


@pytest.mark.parametrize("vector", ["v", "w", "s"])
@pytest.mark.parametrize("fields", [["num", "part", "price"], ["tags", "doc"], ["v"], ["w", "s"], ["*"]])
def test_several_vectors(rich: Sides, vector: str, fields: list[str]) -> None:
    data = {"v": QUERIES, "w": OTHER_QUERIES, "s": SPARSE_QUERIES}[vector]
    straight, through = (
        side.client.search(side.name("rich"), data, limit=9, anns_field=vector, output_fields=fields) for side in rich
    )
    compare(straight, through)


def requests(filter: str | None = None) -> list[AnnSearchRequest]:
    """Three searches: by cosine, by distance, by words."""
    return [
        AnnSearchRequest(QUERIES, "v", {"metric_type": "COSINE"}, limit=20, expr=filter),
        AnnSearchRequest(OTHER_QUERIES, "w", {"metric_type": "L2"}, limit=15, expr=filter),
        AnnSearchRequest(SPARSE_QUERIES, "s", {"metric_type": "IP"}, limit=10),
    ]


def ranker(reranker: str, inputs: list[str], **params: Any) -> Function:
    """A rerank function."""
    params = {"reranker": reranker} | params
    return Function("f", FunctionType.RERANK, input_field_names=inputs, params=params)


RANKERS: dict[str, Any] = {
    "rrf": RRFRanker(7),
    "weighted": WeightedRanker(0.3, 0.9, 0.5),
    "weighted as they are": WeightedRanker(0.3, 0.9, 0.5, norm_score=False),
    "rrf function": ranker("rrf", [], k=20),
    "weighted function": ranker("weighted", [], weights=[0.1, 0.2, 0.7], norm_score=True),
    "decay by a plain field": ranker("decay", ["num"], function="exp", origin=0, scale=3),
    "decay by a sealed field": ranker("decay", ["price"], function="gauss", origin=50, scale=30, offset=5, decay=0.3),
    "decay by a sum": ranker("decay", ["num"], function="exp", origin=3, scale=2, score_mode="sum"),
}


@pytest.mark.parametrize("name", RANKERS)
@pytest.mark.parametrize("offset", [0, 4])
def test_hybrid_searches(rich: Sides, name: str, offset: int) -> None:
    straight, through = (
        side.client.hybrid_search(
            side.name("rich"),
            requests("num != 3"),
            ranker=RANKERS[name],
            limit=12,
            offset=offset,
            output_fields=["num", "price", "part", "doc"],
        )
        for side in rich
    )
    for expected, found in zip(straight, through, strict=True):
        assert [hit["distance"] for hit in found] == pytest.approx([hit["distance"] for hit in expected], abs=1e-4)
        # Of equal scores the server takes the smaller key, Milvus Lite the one that it found first.
        by_key = {hit.id: hit for hit in expected}
        shared = [hit for hit in found if hit.id in by_key]
        assert len(shared) >= len(found) - 2
        for hit in shared:
            assert hit["distance"] == pytest.approx(by_key[hit.id]["distance"], abs=1e-4)
            assert hit["entity"] == by_key[hit.id]["entity"]


@pytest.mark.parametrize("name", ["rrf", "weighted", "decay by a sealed field"])
@pytest.mark.parametrize(("size", "scorer"), [(1, "max"), (3, "max")])
def test_groups_of_hybrid_searches(rich: Sides, name: str, size: int, scorer: str) -> None:
    """Each search finds groups; the groups are ranked by their best rows' fused scores."""
    arguments = {"group_by_field": "num", "group_size": size, "rank_group_scorer": scorer}
    straight, through = (
        side.client.hybrid_search(
            side.name("rich"), requests(), ranker=RANKERS[name], limit=4, output_fields=["num", "price"], **arguments
        )
        for side in rich
    )
    for expected, found in zip(straight, through, strict=True):
        groups = [hit["entity"]["num"] for hit in found]
        assert all(groups.count(group) <= size for group in groups)
        assert len(dict.fromkeys(groups)) == 4
        best = [hit["distance"] for i, hit in enumerate(found) if groups.index(groups[i]) == i]
        assert best == sorted(best, reverse=True)
        if "rotated" in rich[1].prefix and "sealed" not in name:
            compare([expected], [found], ties=True)


@pytest.mark.parametrize("vector", ["v", "w", "s"])
@pytest.mark.parametrize("name", ["rrf function", "decay by a plain field", "decay by a sealed field"])
def test_searches_with_a_rerank_function(rich: Sides, vector: str, name: str) -> None:
    """The best rows by distance, in the order of their new scores. Milvus Lite reranks ten times as many."""
    data = {"v": QUERIES, "w": OTHER_QUERIES, "s": SPARSE_QUERIES}[vector]
    straight, through = rich
    fields = ["num", "price"]
    arguments = {"anns_field": vector, "output_fields": fields}
    plain = straight.client.search(straight.name("rich"), data, limit=9, **arguments)
    found = through.client.search(through.name("rich"), data, limit=9, ranker=RANKERS[name], **arguments)
    score = read_function_score(Prepare.ranker_to_function_score(RANKERS[name]))
    metric = {"v": "COSINE", "w": "L2", "s": "IP"}[vector]
    for expected, hits in zip(plain, found, strict=True):
        source = Source(
            tuple(hit.id for hit in expected), np.array([hit["distance"] for hit in expected], np.float32), metric
        )
        field = "num" if "plain" in name else "price"
        fused = score.fuse([source], {hit.id: hit["entity"][field] for hit in expected})
        if ("noised" in through.prefix and vector != "s") or "sealed" in name:
            assert [hit.id for hit in hits] == [fused.ids[i] for i in fused.page(9, 0)]
            assert [hit["distance"] for hit in hits] == pytest.approx(fused.scores[fused.page(9, 0)].tolist(), abs=1e-4)
        else:
            same = straight.client.search(straight.name("rich"), data, limit=9, ranker=RANKERS[name], **arguments)
            compare(same, found, ties=True)


def test_boosts_are_for_exact_distances_at_rest(rich: Sides) -> None:
    _, through = rich
    boost = ranker("boost", [], filter="part == 'p3' and num < 5", weight=3)
    arguments = {"limit": 9, "anns_field": "s", "output_fields": ["part"], "ranker": boost}
    compare(*(side.client.search(side.name("rich"), SPARSE_QUERIES, **arguments) for side in rich))
    if "noised" in through.prefix:
        with pytest.raises(MilvusException, match="scores at rest"):
            through.client.search(through.name("rich"), QUERIES, **(arguments | {"anns_field": "v"}))
    sealed = ranker("boost", [], filter="price > 3", weight=3)
    with pytest.raises(MilvusException, match="price"):
        through.client.search(through.name("rich"), SPARSE_QUERIES, **(arguments | {"ranker": sealed}))


def test_search_by_rows(rich: Sides) -> None:
    """Milvus 2.6 knows it, neither server here does: compared with a search by the rows' own vectors."""
    straight, through = rich
    if "rotated" in through.prefix:
        pytest.skip("the server searches by its rows")
    rows = [7, 300, 41]
    for vector, data in (("v", X), ("w", Y)):
        arguments = {"limit": 6, "anns_field": vector, "output_fields": ["num"]}
        expected = straight.client.search(straight.name("rich"), [data[row] for row in rows], **arguments)
        ids = [f"k{KEYS[row]}" for row in rows]
        compare(expected, through.client.search(through.name("rich"), ids=ids, **arguments))
    with pytest.raises(MilvusException, match="do not exist"):
        through.client.search(through.name("rich"), ids=["nobody"], **arguments)


@pytest.mark.parametrize("strategy", [RRFRanker(), WeightedRanker(0.5, 0.5, 0.1)])
def test_hybrid_search_without_columns_and_all_columns(rich: Sides, strategy: Any) -> None:
    _, through = rich
    name = through.name("rich")
    bare = through.client.hybrid_search(name, requests(), ranker=strategy, limit=5, output_fields=["key"])
    full = through.client.hybrid_search(name, requests(), ranker=strategy, limit=5, output_fields=["*"])
    assert [[hit.id for hit in hits] for hits in bare] == [[hit.id for hit in hits] for hits in full]
    hit = full[0][0]
    assert set(hit["entity"]) >= {"v", "w", "s", "num", "part", "price", "tags", "doc"}
    row = [f"k{key}" for key in KEYS].index(hit.id)
    assert np.allclose(hit["entity"]["v"], X[row], atol=1e-5)
    assert not any(name.startswith("_vg") for name in hit["entity"])


def test_what_hybrid_search_refuses(rich: Sides) -> None:
    _, through = rich
    for wrong, words in (
        (ranker("model", ["part"], queries=["a"], provider="tei"), "service outside"),
        (ranker("median", []), "Unsupported rerank function|reranker"),
        (WeightedRanker(0.5), "weights"),
        (ranker("decay", ["part"], function="exp", origin=0, scale=1), "numeric|not supported|part"),
    ):
        with pytest.raises(MilvusException, match=words):
            through.client.hybrid_search(through.name("rich"), requests(), ranker=wrong, limit=3)


@pytest.fixture(scope="module", params=["rotated", "noised"])
def words(request: pytest.FixtureRequest, lite: MilvusServer, tmp_path_factory: Any) -> Iterator[Sides]:
    """Rows with plain text, on Milvus Lite."""
    with both(lite, request.param, tmp_path_factory.mktemp("words"), make_words) as found:
        yield found


def test_full_text_search_of_plain_text(words: Sides) -> None:
    arguments = {"anns_field": "bm", "limit": 12, "output_fields": ["text", "note"]}
    queries = ["apple dog", "jungle", "nothing of that"]
    compare(*(side.client.search(side.name("words"), queries, **arguments) for side in words), ties=True)


def test_hybrid_search_with_full_text(words: Sides) -> None:
    searches = [
        AnnSearchRequest(QUERIES[:2], "v", {"metric_type": "IP"}, limit=20),
        AnnSearchRequest(["apple dog", "jungle"], "bm", {"metric_type": "BM25"}, limit=20),
    ]
    for strategy in (WeightedRanker(0.4, 0.6), WeightedRanker(0.4, 0.6, norm_score=False)):
        straight, through = (
            side.client.hybrid_search(side.name("words"), searches, ranker=strategy, limit=8, output_fields=["note"])
            for side in words
        )
        for expected, found in zip(straight, through, strict=True):
            assert [hit["distance"] for hit in found] == pytest.approx([hit["distance"] for hit in expected], abs=1e-4)
            distances = {hit.id: hit["distance"] for hit in expected}
            assert sum(hit.id in distances for hit in found) >= 7
