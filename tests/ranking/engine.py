"""Qdrant's own engine as the reference: a small shard and its queries, without a server."""

from pathlib import Path

import numpy as np
import qdrant_edge as edge

DISTANCES = ("cosine", "dot", "euclid")


class Reference:
    """A shard of `vectors` (n, d), or of n multivectors, with ids 0..n-1."""

    def __init__(self, folder: Path, vectors, distance="dot", payloads=None, multi=False):
        comparator = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim) if multi else None
        params = edge.EdgeVectorParams(
            size=vectors[0].shape[-1],
            distance=getattr(edge.Distance, distance.capitalize()),
            multivector_config=comparator,
        )
        self.shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors=params))
        payloads = payloads or [{}] * len(vectors)
        points = [
            edge.Point(id=i, vector=vector.tolist(), payload=payload)
            for i, (vector, payload) in enumerate(zip(vectors, payloads, strict=True))
        ]
        self.shard.update(edge.UpdateOperation.upsert_points(points))

    def query(self, query, limit=1_000, **more):
        """(id, score) of the hits, best first."""
        hits = self.shard.query(edge.QueryRequest(limit=limit, query=query, **more))
        return [(hit.id, hit.score) for hit in hits]

    def scores(self, query, count):
        """Scores by id, (count,) float64."""
        found = dict(self.query(query))
        return np.array([found[i] for i in range(count)])


def floats(vector):
    return vector.tolist()
