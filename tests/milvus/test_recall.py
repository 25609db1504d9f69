"""Recall through the proxy on real text, under the default policy, on the real Milvus.

The same data as in `tests/proxy/test_recall.py`: SQuAD passages, embedded by the model of the `demo` extra.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from pymilvus import MilvusClient

from benchmarks.embeddings import Embedded, cached
from milvus.proxies import serving_milvus
from milvus.servers import MilvusServer
from vecguard.audit.beir import read_dataset
from vecguard.demo.embedder import MODEL_SHA256, MiniLM

DATA = Path(os.environ.get("VECGUARD_DATA", Path(__file__).parents[3] / "shared" / "data"))
DATASET = "squad_wiki"
DOCUMENTS = 1_500
QUESTIONS = 150
K = 10

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(
        not (DATA / DATASET).is_dir(),
        reason="the shared data set is not here: name its folder in VECGUARD_DATA",
    ),
]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    cache = os.environ.get("VECGUARD_EMBEDDING_CACHE")
    folder = Path(cache) / f"tests-{DOCUMENTS}" if cache else tmp_path_factory.mktemp("embeddings")
    dataset = read_dataset(DATA / DATASET, DOCUMENTS, QUESTIONS)
    return cached(dataset, folder, MiniLM, MODEL_SHA256, lambda _: None)


def write(client: MilvusClient, name: str, documents: np.ndarray, metric: str) -> None:
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type=metric)
    client.create_collection(
        name, dimension=documents.shape[1], metric_type=metric, index_params=index, consistency_level="Strong"
    )
    for start in range(0, len(documents), 250):
        rows = range(start, min(start + 250, len(documents)))
        client.insert(name, [{"id": i, "vector": documents[i].tolist()} for i in rows])
    client.load_collection(name)


def true_distances(questions: np.ndarray, documents: np.ndarray, metric: str) -> np.ndarray:
    """All distances as Milvus has them, `(questions, documents)`."""
    dots = questions.astype(np.float64) @ documents.T.astype(np.float64)
    if metric == "L2":
        lengths = (questions.astype(np.float64) ** 2).sum(axis=1)[:, None] + (documents.astype(np.float64) ** 2).sum(1)
        return np.asarray(lengths - 2 * dots)
    return np.asarray(dots)


def recall(answers: list[list[int]], exact: np.ndarray) -> float:
    """Mean share of the exact ten among the ten answered."""
    return float(np.mean([len(set(row) & set(right)) / K for row, right in zip(answers, exact.tolist(), strict=True)]))


def ask(client: MilvusClient, name: str, questions: np.ndarray) -> list[list[tuple[int, float]]]:
    found = [client.search(name, data=[row.tolist()], limit=K, consistency_level="Eventually")[0] for row in questions]
    return [[(hit["id"], hit["distance"]) for hit in hits] for hits in found]


@pytest.mark.parametrize("metric", ["COSINE", "IP", "L2"])
def test_recall_at_10(embedded: Embedded, real: MilvusServer, tmp_path: Path, metric: str) -> None:
    documents, questions = embedded.documents, embedded.questions
    assert (documents.shape, questions.shape) == ((DOCUMENTS, 384), (QUESTIONS, 384))
    true = true_distances(questions, documents, metric)
    exact = np.argsort(true if metric == "L2" else -true, axis=1, kind="stable")[:, :K]
    name = f"recall_{metric.lower()}"
    with serving_milvus(tmp_path, real) as proxy, proxy.client() as client:
        write(client, name, documents, metric)
        answers = ask(client, name, questions)
        found = recall([[key for key, _ in row] for row in answers], exact)
        wrong = max(abs(distance - true[i, key]) for i, row in enumerate(answers) for key, distance in row)
        print(f"{metric}: recall@{K} {found:.4f}, largest distance error {wrong:.1e}")
        assert found >= 0.99
        assert wrong < 1e-4
    with real.client() as straight:
        # The noise is really there: clear questions find nothing in what is stored.
        stored = ask(straight, name, questions[:50])
        assert recall([[key for key, _ in row] for row in stored], exact[:50]) < 0.2
