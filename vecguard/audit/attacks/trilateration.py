"""Score trilateration through the proxy's own API: exact scores of d independent queries give the vector.

A real `vecguard serve` runs the defence's rule before its embedded engine, and ordinary `QdrantClient`s with no more
than the right to read ask for scores: one in a role that is shown exact scores, one in a role whose scores are rounded
and who is refused vectors. Every score is one linear equation in the record's vector. Asking for the vectors outright
is tried, too. Clear storage is the engine without a proxy, whose scores the attacker rounds himself.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar, Final

import grpc
import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models

from vecguard.audit.access import DECIMALS, ROUNDED, SCORES, VECTORS, scores_variant
from vecguard.audit.attacks.linkage import R_AT_1
from vecguard.audit.defence import CLEAR, ShieldDeployment
from vecguard.audit.metrics import bootstrap, identified
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene, TextInverter
from vecguard.audit.target import Target
from vecguard.audit.textual import TOKEN_F1, cosine_reading, text_floor, text_readings
from vecguard.demo.application import connect
from vecguard.demo.serving import bare_engine, protected_engine
from vecguard.policy.credentials import hash_key, new_key
from vecguard.policy.model import VectorRule

Floats = NDArray[np.float32]

RECORDS: Final = 64
_COLLECTION: Final = "audit"
# Queries asked, in dimensions of the vector.
_SHARES: Final = (0.25, 0.5, 1.0)


class Trilateration:
    """Adversary D reconstructs the records from the scores that the API returns."""

    name: ClassVar[str] = "trilateration"
    title: ClassVar[str] = "Score trilateration through the API"
    adversary: ClassVar[Adversary] = "D"
    metric: ClassVar[str] = TOKEN_F1
    needed: ClassVar[float] = 0.5
    knows: ClassVar[str] = "a credential that may read, and the embedder; nothing of the database"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """Reconstruction by number of score queries, exact and rounded; and by asking for vectors."""
        rule = target.deployment.rule if isinstance(target.deployment, ShieldDeployment) else None
        if rule is None and target.name != CLEAR:
            return  # nothing that the proxy could serve
        victims = scene.victims.first(RECORDS)
        asked = orthogonal(scene.dims, scene.random("trilateration"))
        with served(rule) as (client, limited):
            write(client, victims.embeddings)
            scores = scores_of(client, asked, len(victims))
            rounded = scores.round(DECIMALS) if limited is None else scores_of(limited, asked, len(victims))
            read = vectors_of(client, len(victims))
        for share in _SHARES:
            count = int(share * scene.dims)
            for view, seen in ((SCORES, scores), (ROUNDED, rounded)):
                guesses = reconstructed(asked[:count], seen[:count])
                # With fewer equations than unknowns little comes back: not worth the slow inverters.
                inverters = scene.inverters if count == scene.dims else scene.quick_inverters
                yield from self._report(scene, scores_variant(count, view), guesses, inverters)
        if read is not None:
            yield from self._report(scene, VECTORS, read, scene.inverters)

    def floor(self, scene: Scene, target: Target) -> float:
        """Text that has nothing to do with the record."""
        return text_floor(scene)

    def _report(
        self, scene: Scene, variant: str, guesses: Floats, inverters: Sequence[TextInverter]
    ) -> Iterator[Reading]:
        victims = scene.victims.first(RECORDS)
        yield cosine_reading(variant, guesses, victims.embeddings, scene.seed)
        yield Reading(variant, R_AT_1, bootstrap(identified(guesses, victims.embeddings), scene.seed))
        best = max(
            (list(text_readings([one], guesses, victims.texts, scene.seed)) for one in inverters),
            key=lambda readings: next(r.interval.value for r in readings if r.metric == TOKEN_F1),
        )
        yield from (Reading(variant, r.metric, r.interval) for r in best)


def orthogonal(dims: int, random: np.random.Generator) -> Floats:
    """`dims` orthonormal queries: independent, and rounding errors of their scores do not grow in the solution."""
    return np.asarray(np.linalg.qr(random.standard_normal((dims, dims)))[0].T, np.float32)


def reconstructed(asked: Floats, scores: Floats) -> Floats:
    """Minimum-norm least-squares vectors (n, d) from queries (m, d) and their scores (m, n)."""
    return np.asarray(np.linalg.lstsq(asked.astype(np.float64), scores, rcond=None)[0].T, np.float32)


@contextmanager
def served(rule: VectorRule | None) -> Iterator[tuple[QdrantClient, QdrantClient | None]]:
    """Ordinary clients of the proxy under the rule, shown exact scores and rounded ones; without a rule one client of
    the bare engine, which rounds for nobody."""
    key = new_key()
    with tempfile.TemporaryDirectory(prefix="vecguard-audit-") as name:
        folder = Path(name)
        if rule is None:
            server = bare_engine(folder / "data", folder / "engine.log")
        else:
            policy = folder / "policy.yaml"
            policy.write_text(json.dumps(served_policy(rule, key)), encoding="utf-8")  # JSON is YAML
            server = protected_engine(folder / "data", folder / "proxy.log", policy)
        with server as port, ExitStack() as opened:
            client = connect(port)
            opened.callback(client.close)
            limited = None
            if rule is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # the key goes over loopback, and is of this run only
                    limited = connect(port, key)
                opened.callback(limited.close)
            yield client, limited


def served_policy(rule: VectorRule, key: str) -> dict[str, object]:
    """A policy of this rule: callers without a credential are shown everything, who has `key` is shown rounded scores
    and no vectors."""
    role = {
        "name": "rounded",
        "grants": [{"actions": ["read"]}],
        "return_vectors": "deny",
        "scores": "rounded",
        "score_decimals": DECIMALS,
    }
    access = {
        "anonymous": ["read", "write"],
        "api_keys": [{"name": "reader", "hash": hash_key(key), "roles": ["rounded"]}],
        "roles": [role],
    }
    entry = {"match": "*", "vectors": [rule.model_dump(mode="json")]}
    return {"version": 1, "access": access, "collections": [entry]}


def write(client: QdrantClient, vectors: Floats) -> None:
    distance = models.Distance.COSINE
    client.create_collection(_COLLECTION, models.VectorParams(size=vectors.shape[1], distance=distance))
    ids: list[models.ExtendedPointId] = list(range(len(vectors)))
    client.upsert(_COLLECTION, models.Batch(ids=ids, vectors=vectors.tolist()), wait=True)


def scores_of(client: QdrantClient, asked: Floats, records: int) -> Floats:
    """Scores (m, n) of every record for every query; a query sees them all, since there are few."""
    seen = np.zeros((len(asked), records), np.float32)
    for row, query in enumerate(asked):
        found = client.query_points(_COLLECTION, query=query.tolist(), limit=records).points
        for point in found:
            seen[row, int(point.id)] = point.score
    return seen


def vectors_of(client: QdrantClient, records: int) -> Floats | None:
    """What a reader gets who asks for the vectors; None where that is refused."""
    try:
        points = client.retrieve(_COLLECTION, ids=list(range(records)), with_vectors=True)
    except grpc.RpcError:
        return None
    rows = {int(point.id): point.vector for point in points}
    if len(rows) < records or not all(isinstance(row, list) for row in rows.values()):
        return None
    return np.array([rows[i] for i in range(records)], np.float32)
