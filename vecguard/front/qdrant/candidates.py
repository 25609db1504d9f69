"""Candidates of a search: stored points opened to be scored, in the coordinates in which that is the cheapest.

Never what a client is shown: these may be rotated (see `vecguard.transform.frame`). `reveal` gives exact vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vecguard.errors import Unreadable
from vecguard.front.qdrant import reveal
from vecguard.front.qdrant.vectors import Sparse
from vecguard.metric import Distance, FloatArray, largest_norm, max_sim_similarities, similarities
from vecguard.ranking.sparse import SparseVector
from vecguard.shield import Shield
from vecguard.stages import timed


@dataclass(frozen=True, slots=True)
class Candidates:
    """Vectors of `n` points: one `(n, d)` float32 matrix, or for multivectors a `(rows, d)` float32 one each."""

    vectors: FloatArray | Sequence[FloatArray]

    def __len__(self) -> int:
        return len(self.vectors)

    def take(self, kept: Sequence[int]) -> Candidates:
        """Only those at these indices."""
        vectors = self.vectors
        return Candidates(vectors[list(kept)] if isinstance(vectors, np.ndarray) else [vectors[i] for i in kept])

    def largest_norm(self) -> float:
        """The largest Euclidean norm of a vector or of a multivector's row; 0 without any."""
        if isinstance(self.vectors, np.ndarray):
            return largest_norm(self.vectors)
        return max((largest_norm(rows) for rows in self.vectors), default=0.0)

    def similarity(self, example: FloatArray, distance: Distance) -> FloatArray:
        """Qdrant's inner similarity (bigger is better) of an example to each, `(n,)` float32.

        example: in the same coordinates (`Example.framed`), `(d,)` or for multivectors `(m, d)` float32.
        """
        if isinstance(self.vectors, np.ndarray):
            return similarities(example, self.vectors, distance)
        return max_sim_similarities(example, self.vectors, distance)

    def pairwise(self, distance: Distance) -> FloatArray:
        """Inner similarity of every one as the query to every other, `(n, n)` float32."""
        if isinstance(self.vectors, np.ndarray):
            return similarities(self.vectors, self.vectors, distance)
        return np.stack([self.similarity(rows, distance) for rows in self.vectors])


@timed("open")
def open_candidates(shield: Shield, points: Sequence[reveal.StoredPoint], name: str) -> Candidates:
    """Stored points, whose answers carry their vectors called `name` and their records, opened for scoring.

    Raises:
        Unreadable: a point lacks the vector, or it does not fit its record.
        StaleEntry: a record belongs to another manifest.
        InvalidArgument: it is no dense vector or multivector, or nobody can recover it.
    """
    guard = shield.dense(name)
    if not points:
        return Candidates(np.zeros((0, guard.stored_dims), np.float32))
    held = reveal.read_held(shield, points, name)
    if len(held.positions) != len(points):
        raise Unreadable
    if guard.record.kind == "multi":
        stored = zip(held.ids, reveal.stored_rows(held, guard), held.entries, strict=True)
        return Candidates([guard.open_rows_for_scoring(*record) for record in stored])
    return Candidates(guard.open_for_scoring(held.ids, reveal.stored_matrix(held, guard), held.entries))


def open_sparse(shield: Shield, points: Sequence[reveal.StoredPoint], name: str) -> list[SparseVector]:
    """Exact sparse vectors of stored points, whose answers carry those called `name` and their records.

    Raises:
        Unreadable: a point lacks the vector, or it does not fit its record.
        StaleEntry: a record belongs to another manifest.
    """
    found = reveal.open_vectors(shield, points, name).vectors
    exact = [SparseVector(one.indices, one.values) for one in found if isinstance(one, Sparse)]
    if len(exact) != len(points):
        raise Unreadable
    return exact
