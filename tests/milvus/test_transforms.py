"""Every defence through Milvus' front, on Milvus Lite: answers are exact, and clients see what they declared."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from transform_cases import COUNT, DIMS, RULES, clustered, policy

from milvus.proxies import MilvusProxy, serving_milvus
from milvus.servers import MilvusServer

pytestmark = pytest.mark.slow

# One after the other, rule by rule.
METRICS = ("COSINE", "IP", "L2")


@pytest.fixture(scope="module")
def proxy(lite: MilvusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusProxy]:
    folder = tmp_path_factory.mktemp("transforms")
    with serving_milvus(folder, lite, policy(folder)) as running:
        yield running


@pytest.mark.parametrize(("name", "metric"), list(zip(RULES, itertools.cycle(METRICS), strict=False)))
def test_a_defence_end_to_end(proxy: MilvusProxy, name: str, metric: str) -> None:
    collection, x = f"{name}_{metric}", clustered()
    with proxy.client() as client:
        index = client.prepare_index_params()
        index.add_index("vector", index_type="FLAT", metric_type=metric)
        client.create_collection(
            collection, dimension=DIMS, metric_type=metric, index_params=index, consistency_level="Strong"
        )
        client.insert(collection, [{"id": i, "vector": row.tolist()} for i, row in enumerate(x)])
        fields = {field["name"]: field for field in client.describe_collection(collection)["fields"]}
        assert fields["vector"]["params"]["dim"] == DIMS
        rows = client.get(collection, ids=list(range(9)), output_fields=["vector"])
        np.testing.assert_allclose([row["vector"] for row in rows], x[[row["id"] for row in rows]], atol=1e-4)
        found = 0
        for query in clustered(12, seed=1):
            distances = ((x - query) ** 2).sum(axis=1) if metric == "L2" else x @ query
            order = np.argsort(distances if metric == "L2" else -distances)[:10]
            hits = client.search(collection, data=[query.tolist()], limit=10)[0]
            found += len({hit["id"] for hit in hits} & set(order.tolist()))
            np.testing.assert_allclose(
                [hit["distance"] for hit in hits], distances[[hit["id"] for hit in hits]], atol=1e-4
            )
        assert found >= 0.95 * 120
        assert len(x) == COUNT
