"""What a defence leaves of search quality, and what it costs: the other half of every report."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from vecguard.audit.defence import Deployment, ShieldDeployment, nearest
from vecguard.audit.metrics import Interval, bootstrap, ndcg_at, recall_at
from vecguard.audit.scene import Scene
from vecguard.transform.gaussian import information_bound

K: Final = 10
_FIRST_ID: Final = 1 << 42


@dataclass(frozen=True, slots=True)
class Utility:
    """Search quality at 10 over the scene's questions: recall against exact search over the clear vectors, nDCG against
    the data set's judgements (None where there are none). `unranked` is the protected order as it comes.

    `candidates` are read on average for a question; `per_second` records are protected, on one core of this machine;
    `bytes` is what a record takes at rest: vector and entry. `bits` bounds what a record's stored vector can tell about
    it (Gaussian channel; inf without noise).
    """

    recall: Interval
    recall_unranked: Interval
    ndcg: Interval | None
    ndcg_unranked: Interval | None
    candidates: float
    per_second: float
    query_us: float
    bytes: float
    bits: float


def measure_utility(scene: Scene, deployment: Deployment) -> Utility:
    """Store the scene's documents, ask its questions."""
    documents, questions = scene.retrieval.documents, scene.retrieval.questions
    started = time.process_time()
    stored = deployment.store(documents, _FIRST_ID)
    spent = time.process_time() - started
    started = time.process_time()
    asked = deployment.ask(questions)
    asking = time.process_time() - started
    found, read = deployment.search(stored, questions, K)
    plain = nearest(stored.vectors, np.asarray(asked, np.float32), K)
    exact = nearest(documents, questions, K)
    entries = [len(entry) for entry in stored.entries if entry is not None]
    return Utility(
        recall=bootstrap(recall_at(found, exact), scene.seed),
        recall_unranked=bootstrap(recall_at(plain, exact), scene.seed),
        ndcg=_ndcg(scene, found),
        ndcg_unranked=_ndcg(scene, plain),
        candidates=float(read.mean()),
        per_second=len(documents) / max(spent, 1e-6),
        query_us=1e6 * asking / max(len(questions), 1),
        bytes=4.0 * stored.vectors.shape[1] + (float(np.mean(entries)) if entries else 0.0),
        bits=bits_about_a_record(deployment, scene.dims),
    )


def bits_about_a_record(deployment: Deployment, dims: int) -> float:
    """d/2 · log2(1 + 1/r²) over the stored dimensions: the most that a stored vector tells about a unit record."""
    if deployment.noise_ratio == 0:
        return math.inf
    stored = deployment.shield.stored_dims if isinstance(deployment, ShieldDeployment) else dims
    return information_bound(deployment.noise_ratio, stored)


def _ndcg(scene: Scene, found: Sequence[Sequence[int]]) -> Interval | None:
    if not any(scene.retrieval.relevant):
        return None
    return bootstrap(ndcg_at(found, scene.retrieval.relevant, K), scene.seed)
