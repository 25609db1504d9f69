"""Search quality through the real proxy on real text: recall against exact search, and what it took.

Documents go in and questions are asked with the ordinary `QdrantClient`. Between proxy and engine stands a counting
pass-through, so the number of candidates is seen from outside.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, models

from benchmarks.counting import Counts
from benchmarks.embeddings import Embedded
from benchmarks.processes import engine_command, free_port, running, vecguard_command, wait_until_serving
from benchmarks.vectors import exact_top

K = 10
BATCH = 100
MAX_CANDIDATES = 1_000


@dataclass(frozen=True)
class Variant:
    """One protection: the collection's name, a title (noise ratio, certainty z), and its rule in the policy file."""

    key: str
    title: str
    rule: dict[str, Any] | None


def _noise(ratio: float) -> list[dict[str, Any]]:
    return [{"kind": "rotation"}, {"kind": "gaussian", "ratio": ratio}]


def _rerank(certainty: float) -> dict[str, Any]:
    return {"certainty": certainty, "max_candidates": MAX_CANDIDATES}


CLEAR = Variant("clear", "none (direct)", None)
VARIANTS = (
    CLEAR,
    Variant("rotate", "0 (rotation)", {"transforms": [{"kind": "rotation"}], "rerank": "off"}),
    Variant("unranked", "1, no re-rank", {"transforms": _noise(1.0), "rerank": "off"}),
    Variant("half", "0.5, z 2", {"transforms": _noise(0.5), "rerank": _rerank(2.0)}),
    Variant("default", "1, z 2 (default)", {"transforms": _noise(1.0), "rerank": _rerank(2.0)}),
    Variant("double", "2, z 2", {"transforms": _noise(2.0), "rerank": _rerank(2.0)}),
)


@dataclass(frozen=True)
class Quality:
    """What one variant gave over all questions.

    `recall` and `ndcg` are at 10: against exact search, and against the data set's judgements. `candidates` are the
    different points that the engine handed over for a question; `certified` is the share of questions that needed fewer
    than the cap, so that the certificate, not the cap, ended them. `score_error` is the largest difference between a
    returned score and the true cosine. `p50_ms` is the ordinary client's time for one question.
    """

    variant: str
    title: str
    recall: float
    ndcg: float
    candidates: float
    engine_calls: float
    certified: float
    score_error: float
    p50_ms: float


@dataclass(frozen=True)
class Servers:
    """The clients of the engine and of the proxy, and the counts of what passes between the two."""

    engine: QdrantClient
    proxy: QdrantClient
    counts: Counts


@contextmanager
def servers(folder: Path, logs: Path) -> Iterator[Servers]:
    """Engine, counting pass-through and VecGuard as processes; data in `folder`, their output in `logs`."""
    engine_at, counting_at, proxy_at = (f"127.0.0.1:{free_port()}" for _ in range(3))
    policy, counted = folder / "policy.yaml", folder / "counted.jsonl"
    policy.write_text(json.dumps(_policy()))  # JSON is YAML
    counted.touch()
    counting = ("benchmarks.counting", "--listen", counting_at, "--upstream", engine_at, "--log", str(counted))
    lines = (
        ("engine", engine_at, engine_command(folder / "data", engine_at)),
        ("counting", counting_at, counting),
        ("vecguard", proxy_at, vecguard_command(proxy_at, counting_at, policy, folder / "key")),
    )
    with ExitStack() as stack:
        for name, target, line in lines:
            wait_until_serving(stack.enter_context(running(name, line, logs)), target)
        yield Servers(_client(engine_at), _client(proxy_at), Counts(counted))


def measure_quality(servers: Servers, embedded: Embedded, tell: Callable[[str], None]) -> list[Quality]:
    """Every variant over all documents and questions of a data set with cosine embeddings."""
    truth = exact_top(embedded.documents, embedded.questions, K)
    qualities = []
    for variant in VARIANTS:
        client = servers.engine if variant is CLEAR else servers.proxy
        tell(f"{variant.title}: writing")
        _write(client, variant.key, embedded)
        tell(f"{variant.title}: asking")
        qualities.append(_ask(servers, client, variant, embedded, truth.tolist()))
    return qualities


def _policy() -> dict[str, Any]:
    protected = [v for v in VARIANTS if v.rule]
    return {
        "version": 1,
        "access": {"anonymous": ["read", "write", "admin"]},
        "collections": [{"match": v.key, "vectors": [v.rule]} for v in protected],
    }


def _client(target: str) -> QdrantClient:
    host, _, port = target.rpartition(":")
    return QdrantClient(host=host, grpc_port=int(port), prefer_grpc=True, check_compatibility=False, timeout=60)


def _write(client: QdrantClient, collection: str, embedded: Embedded) -> None:
    dims = embedded.documents.shape[1]
    client.create_collection(collection, models.VectorParams(size=dims, distance=models.Distance.COSINE))
    documents = embedded.dataset.documents
    for start in range(0, len(documents), BATCH):
        points = [
            models.PointStruct(id=i, vector=embedded.documents[i].tolist(), payload={"text": documents[i].text})
            for i in range(start, min(start + BATCH, len(documents)))
        ]
        client.upsert(collection, points, wait=True)


def _ask(
    servers: Servers, client: QdrantClient, variant: Variant, embedded: Embedded, truth: list[list[int]]
) -> Quality:
    servers.counts.candidates()
    found, gains, fetched, calls, errors, times = [], [], [], [], [0.0], []
    for number, vector in enumerate(embedded.questions):
        start = time.perf_counter()
        points = client.query_points(variant.key, vector.tolist(), limit=K).points
        times.append(time.perf_counter() - start)
        ids = [int(point.id) for point in points]
        found.append(len(set(ids) & set(truth[number])) / K)
        gains.append(_ndcg(ids, embedded, number))
        errors += [abs(point.score - float(vector @ embedded.documents[int(point.id)])) for point in points]
        if client is servers.proxy:
            engine_calls, candidates = servers.counts.candidates()
            calls.append(engine_calls)
            fetched.append(candidates)
    capped = min(MAX_CANDIDATES, len(embedded.documents))
    return Quality(
        variant=variant.key,
        title=variant.title,
        recall=float(np.mean(found)),
        ndcg=float(np.mean(gains)),
        candidates=float(np.mean(fetched)) if fetched else float(K),
        engine_calls=float(np.mean(calls)) if calls else 1.0,
        certified=float(np.mean([count < capped for count in fetched])) if fetched else 1.0,
        score_error=max(errors),
        p50_ms=1e3 * float(np.median(times)),
    )


def _ndcg(ids: list[int], embedded: Embedded, question: int) -> float:
    """nDCG@10 with binary relevance (Järvelin and Kekäläinen 2002), over the relevant documents in the sample."""
    relevant = embedded.dataset.relevant[embedded.dataset.questions[question].id]
    hits = [embedded.dataset.documents[i].id in relevant for i in ids[:K]]
    gain = sum(1 / np.log2(rank + 2) for rank, hit in enumerate(hits) if hit)
    ideal = sum(1 / np.log2(rank + 2) for rank in range(min(K, len(relevant))))
    return float(gain / ideal) if ideal else 0.0
