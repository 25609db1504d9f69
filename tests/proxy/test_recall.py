"""Recall through the proxy on real text, under the default policy: what noise hides, re-ranking gives back.

Embeds part of two data sets (SQuAD passages, MedQuAD answers) with the model of the `demo` extra. The data lies in the
folder that `VECGUARD_DATA` names, else in `shared/data` beside the project; embeddings are kept between runs in the
folder that `VECGUARD_EMBEDDING_CACHE` names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client import grpc as pb
from serving import Proxy

from benchmarks.embeddings import Embedded, cached
from vecguard.audit.beir import read_dataset
from vecguard.demo.embedder import MODEL_SHA256, MiniLM

DATA = Path(os.environ.get("VECGUARD_DATA", Path(__file__).parents[3] / "shared" / "data"))
DOCUMENTS = 1_500
QUESTIONS = 150
K = 10
SETS = ("squad_wiki", "medquad")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1_200),
    pytest.mark.skipif(
        not all((DATA / name).is_dir() for name in SETS),
        reason="the shared data sets are not here: name their folder in VECGUARD_DATA",
    ),
]


@pytest.fixture(scope="module", params=SETS)
def embedded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Embedded:
    cache = os.environ.get("VECGUARD_EMBEDDING_CACHE")
    folder = Path(cache) / f"tests-{DOCUMENTS}" if cache else tmp_path_factory.mktemp("embeddings")
    dataset = read_dataset(DATA / request.param, DOCUMENTS, QUESTIONS)
    return cached(dataset, folder, MiniLM, MODEL_SHA256, lambda _: None)


def write(client: QdrantClient, name: str, documents: np.ndarray) -> None:
    client.delete_collection(name)
    params = models.VectorParams(size=documents.shape[1], distance=models.Distance.COSINE)
    client.create_collection(name, vectors_config=params)
    for start in range(0, len(documents), 250):
        rows = range(start, min(start + 250, len(documents)))
        client.upsert(name, [models.PointStruct(id=i, vector=documents[i].tolist()) for i in rows], wait=True)


def recall(answers: list[list[int]], exact: np.ndarray) -> float:
    """Mean share of the exact ten among the ten answered."""
    return float(np.mean([len(set(row) & set(right)) / K for row, right in zip(answers, exact.tolist(), strict=True)]))


def test_recall_at_10(embedded: Embedded, proxy: Callable[[str | None], Proxy]) -> None:
    documents, questions = embedded.documents, embedded.questions
    assert documents.shape == (DOCUMENTS, 384)
    assert questions.shape == (QUESTIONS, 384)
    true = questions @ documents.T
    exact = np.argsort(-true, axis=1, kind="stable")[:, :K]

    server, name = proxy(None), f"recall-{embedded.dataset.name}"
    client = server.client()
    write(client, name, documents)
    answers = [client.query_points(name, query=row.tolist(), limit=K).points for row in questions]
    found = recall([[int(point.id) for point in row] for row in answers], exact)
    wrong = [abs(point.score - true[i, int(point.id)]) for i, row in enumerate(answers) for point in row]
    client.close()

    print(f"{embedded.dataset.name}: recall@{K} {found:.4f}, largest score error {max(wrong):.1e}")
    assert found >= 0.99
    assert max(wrong) < 1e-4
    # The noise is really there: clear questions find nothing in what is stored, and stored vectors are no client's.
    assert recall(at_rest(server, name, questions), exact) < 0.2


def at_rest(server: Proxy, name: str, questions: np.ndarray) -> list[list[int]]:
    """What the database answers to questions in clear."""
    with grpc.insecure_channel(server.engine_target) as channel:
        points = pb.PointsStub(channel)
        asks = [
            pb.QueryPoints(
                collection_name=name,
                query=pb.Query(nearest=pb.VectorInput(dense=pb.DenseVector(data=row.tolist()))),
                limit=K,
            )
            for row in questions
        ]
        return [[point.id.num for point in points.Query(ask).result] for ask in asks]
