"""Every defence through Qdrant's front: what clients see is theirs, answers are exact, and the database has neither."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as q
from serving import Proxy, serving_proxy
from transform_cases import COUNT, DIMS, RULES, clustered, policy

pytestmark = pytest.mark.slow

# One after the other, rule by rule.
METRICS = (models.Distance.COSINE, models.Distance.DOT, models.Distance.EUCLID)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("transforms")
    with serving_proxy(folder, policy(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def client(proxy: Proxy) -> Iterator[QdrantClient]:
    client = proxy.client()
    yield client
    client.close()


def at_rest(proxy: Proxy, name: str) -> np.ndarray:
    """What a thief of the database reads: `(n, d')` float32."""
    with grpc.insecure_channel(proxy.engine_target) as channel:
        ask = q.ScrollPoints(collection_name=name, limit=COUNT, with_vectors=q.WithVectorsSelector(enable=True))
        points = q.PointsStub(channel).Scroll(ask).result
    return np.array([point.vectors.vector.dense.data or point.vectors.vector.data for point in points], np.float32)


@pytest.mark.parametrize(("name", "distance"), list(zip(RULES, itertools.cycle(METRICS), strict=False)))
def test_a_defence_end_to_end(proxy: Proxy, client: QdrantClient, name: str, distance: models.Distance) -> None:
    collection, x = f"{name}-{distance.value}", clustered()
    client.create_collection(collection, vectors_config=models.VectorParams(size=DIMS, distance=distance))
    points = [models.PointStruct(id=i, vector=row.tolist()) for i, row in enumerate(x)]
    client.upsert(collection, points, wait=True)
    assert client.get_collection(collection).config.params.vectors.size == DIMS
    records = client.retrieve(collection, ids=list(range(9)), with_vectors=True)
    np.testing.assert_allclose([record.vector for record in records], x[[record.id for record in records]], atol=1e-4)
    stored = at_rest(proxy, collection)
    assert len(stored) == COUNT
    if stored.shape[1] == DIMS:
        # Turned by a random key: by chance single ones point somewhere near, but never all of them.
        assert np.abs(np.vecdot(x, stored) / np.linalg.norm(stored, axis=1)).mean() < 0.4
    found = 0
    for query in clustered(12, seed=1):
        scores = np.linalg.norm(x - query, axis=1) if distance is models.Distance.EUCLID else x @ query
        order = np.argsort(scores if distance is models.Distance.EUCLID else -scores)[:10]
        hits = client.query_points(collection, query=query.tolist(), limit=10).points
        found += len({hit.id for hit in hits} & set(order.tolist()))
        np.testing.assert_allclose([hit.score for hit in hits], scores[[hit.id for hit in hits]], atol=1e-4)
    assert found >= 0.95 * 120


@pytest.mark.parametrize("distance", [models.Distance.DOT, models.Distance.EUCLID])
@pytest.mark.parametrize(("name", "shortens"), [("clipped", True), ("kept", False)])
def test_vectors_longer_than_a_clip_norm(
    client: QdrantClient, name: str, shortens: bool, distance: models.Distance
) -> None:
    """`derived` gives shortened vectors back and scores those; `sealed` knows the exact ones."""
    collection = f"{name}-long-{distance.value}"
    x = clustered(200) * np.linspace(0.3, 4.0, 200, dtype=np.float32)[:, None]
    shown = x * np.minimum(1.0, 1.5 / np.linalg.norm(x, axis=1, keepdims=True)) if shortens else x
    client.create_collection(collection, vectors_config=models.VectorParams(size=DIMS, distance=distance))
    client.upsert(collection, [models.PointStruct(id=i, vector=x[i].tolist()) for i in range(200)], wait=True)
    records = client.retrieve(collection, ids=[2, 150, 199], with_vectors=True)
    np.testing.assert_allclose([r.vector for r in records], shown[[r.id for r in records]], atol=1e-4)
    query = clustered(12, seed=1)[0]
    exact = shown @ query if distance is models.Distance.DOT else np.linalg.norm(shown - query, axis=1)
    order = np.argsort(-exact if distance is models.Distance.DOT else exact)[:10]
    hits = client.query_points(collection, query=query.tolist(), limit=10).points
    assert len({hit.id for hit in hits} & set(order.tolist())) >= 9
    np.testing.assert_allclose([hit.score for hit in hits], exact[[hit.id for hit in hits]], atol=1e-3)


@pytest.mark.parametrize("name", ["subspace", "cells"])
def test_what_else_goes_by_vectors(client: QdrantClient, name: str) -> None:
    """Other strategies, named vectors, multivectors, and updates of vectors alone, where dimensions or keys differ."""
    collection, x = f"{name}-more", clustered(60)
    multi = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    cosine = models.Distance.COSINE
    config = {
        "a": models.VectorParams(size=DIMS, distance=cosine),
        "m": models.VectorParams(size=DIMS, distance=cosine, multivector_config=multi),
    }
    client.create_collection(collection, vectors_config=config)
    shown = client.get_collection(collection).config.params.vectors
    assert {key: of.size for key, of in shown.items()} == {"a": DIMS, "m": DIMS}
    rows = {i: x[[i, (i + 1) % 60]] for i in range(60)}
    vectors = [{"a": x[i].tolist(), "m": rows[i].tolist()} for i in range(60)]
    client.upsert(collection, [models.PointStruct(id=i, vector=vectors[i]) for i in range(60)], wait=True)
    (hit, *_) = client.query_points(collection, query=rows[7].tolist(), using="m", limit=3).points
    assert (hit.id, round(hit.score, 3)) == (7, 2.0)
    found = client.query_points(collection, query=7, using="a", limit=5).points
    order = [i for i in np.argsort(-(x @ x[7])).tolist() if i != 7][:5]
    assert [hit.id for hit in found] == order
    mmr = models.NearestQuery(nearest=x[3].tolist(), mmr=models.Mmr(diversity=0.0, candidates_limit=10))
    assert [hit.id for hit in client.query_points(collection, query=mmr, using="a", limit=4).points] == np.argsort(
        -(x @ x[3])
    ).tolist()[:4]
    recommend = models.RecommendQuery(recommend=models.RecommendInput(positive=[4, 5]))
    assert len(client.query_points(collection, query=recommend, using="a", limit=4).points) == 4
    matrix = client.search_matrix_pairs(collection, sample=20, limit=2, using="a")
    for pair in matrix.pairs:
        assert pair.score == pytest.approx(float(x[pair.a] @ x[pair.b]), abs=1e-4)
    client.update_vectors(collection, [models.PointVectors(id=7, vector={"a": x[8].tolist()})], wait=True)
    (record,) = client.retrieve(collection, ids=[7], with_vectors=["a"])
    np.testing.assert_allclose(record.vector["a"], x[8], atol=1e-4)
    with pytest.raises(Exception, match=f"expected dim: {DIMS}"):
        client.query_points(collection, query=[1.0] * 40, using="a")
