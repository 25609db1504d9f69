"""What traffic is written against: the calls that a client of a vector store makes, and what it reads in the answers.

`ProxyTarget` sends them to a running VecGuard. `OfflineTarget` (offline.py) answers them by exact search in numpy and
says what detection would have been told; a test holds the two against each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as q

Vectors = NDArray[np.float32]

_CALL_S = 60.0
# A refusal for good or for a time; anything else is a fault of the benchmark.
_REFUSALS = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.PERMISSION_DENIED)


class Refused(Exception):
    """The store will not answer: the caller is blocked, or out of budget."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Records that a call brought: `ids` (n,) int64; `scores` (n,) float32, NaN without; `vectors` (n, d) float32 where
    they were asked for and came, else (0, d); `texts`, the payloads' texts where they were asked for and came."""

    ids: NDArray[np.int64]
    scores: NDArray[np.float32]
    vectors: Vectors
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Want:
    """What a call asks for beside its query. `only`: no other records than these ids (Qdrant's `has_id`)."""

    limit: int = 10
    payload: bool = True
    vectors: bool = False
    offset: int = 0
    exact: bool = False
    only: tuple[int, ...] = ()


class Target(Protocol):
    """A collection, as its client sees it. All raise Refused."""

    calls: int

    def search(self, query: Vectors, want: Want) -> Answer:
        """Nearest to one vector (d,)."""

    def search_batch(self, queries: Vectors, want: Want) -> list[Answer]:
        """The same for rows (q, d), in one call."""

    def recommend(self, ids: Sequence[int], want: Want) -> Answer:
        """Nearest to the mean of some records, which are left out."""

    def retrieve(self, ids: Sequence[int], want: Want) -> Answer:
        """Records by id; ids that are not there are left out."""

    def scroll(self, start: int, want: Want) -> Answer:
        """`want.limit` records in order of ids, from id `start` on."""

    def count(self) -> int:
        """How many records there are."""

    def write(self, ids: Sequence[int], rows: Vectors, texts: Sequence[str]) -> None:
        """Write records, over those of the same ids."""

    def delete(self, ids: Sequence[int]) -> None:
        """Delete records."""


@dataclass
class ProxyTarget:
    """A collection behind a running VecGuard, by Qdrant's gRPC API; `api_key` says as whom."""

    channel: grpc.Channel
    collection: str
    dims: int
    api_key: str = ""
    calls: int = 0
    seconds: list[float] = field(default_factory=list)
    """How long each call took."""

    def __post_init__(self) -> None:
        self._points = q.PointsStub(self.channel)
        self._metadata = (("api-key", self.api_key),) if self.api_key else ()

    def search(self, query: Vectors, want: Want) -> Answer:
        """`points/query`."""
        ask = self._asked(q.Query(nearest=_vector(query)), want)
        return self._read(self._call(self._points.Query, ask).result, want)

    def search_batch(self, queries: Vectors, want: Want) -> list[Answer]:
        """`points/query/batch`."""
        asked = [self._asked(q.Query(nearest=_vector(query)), want) for query in queries]
        ask = q.QueryBatchPoints(collection_name=self.collection, query_points=asked)
        return [self._read(one.result, want) for one in self._call(self._points.QueryBatch, ask).result]

    def recommend(self, ids: Sequence[int], want: Want) -> Answer:
        """`points/query` with `recommend` by average."""
        positive = [q.VectorInput(id=q.PointId(num=number)) for number in ids]
        recommend = q.RecommendInput(positive=positive, strategy=q.RecommendStrategy.AverageVector)
        ask = self._asked(q.Query(recommend=recommend), want)
        return self._read(self._call(self._points.Query, ask).result, want)

    def retrieve(self, ids: Sequence[int], want: Want) -> Answer:
        """`points` by ids."""
        ask = q.GetPoints(collection_name=self.collection, ids=[q.PointId(num=int(number)) for number in ids])
        ask.with_payload.enable, ask.with_vectors.enable = want.payload, want.vectors
        return self._read(self._call(self._points.Get, ask).result, want)

    def scroll(self, start: int, want: Want) -> Answer:
        """`points/scroll`."""
        ask = q.ScrollPoints(collection_name=self.collection, limit=want.limit, offset=q.PointId(num=start))
        ask.with_payload.enable, ask.with_vectors.enable = want.payload, want.vectors
        return self._read(self._call(self._points.Scroll, ask).result, want)

    def count(self) -> int:
        """`points/count`, exact."""
        ask = q.CountPoints(collection_name=self.collection, exact=True)
        return int(self._call(self._points.Count, ask).result.count)

    def write(self, ids: Sequence[int], rows: Vectors, texts: Sequence[str]) -> None:
        """`points` upsert."""
        points = [
            q.PointStruct(
                id=q.PointId(num=int(number)),
                vectors=q.Vectors(vector=q.Vector(dense=q.DenseVector(data=row.tolist()))),
                payload={"text": q.Value(string_value=text)},
            )
            for number, row, text in zip(ids, rows, texts, strict=True)
        ]
        self._call(self._points.Upsert, q.UpsertPoints(collection_name=self.collection, points=points, wait=True))

    def delete(self, ids: Sequence[int]) -> None:
        """`points/delete` by ids."""
        gone = q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=int(number)) for number in ids]))
        self._call(self._points.Delete, q.DeletePoints(collection_name=self.collection, points=gone, wait=True))

    def _asked(self, query: q.Query, want: Want) -> q.QueryPoints:
        ask = q.QueryPoints(collection_name=self.collection, query=query, limit=want.limit)
        ask.with_payload.enable, ask.with_vectors.enable = want.payload, want.vectors
        if want.offset:
            ask.offset = want.offset
        if want.exact:
            ask.params.exact = True
        if want.only:
            ask.filter.CopyFrom(has_id(want.only))
        return ask

    def _call(self, method: Callable[..., Any], ask: object) -> Any:
        self.calls += 1
        started = time.perf_counter()
        try:
            return method(ask, timeout=_CALL_S, metadata=self._metadata)
        except grpc.RpcError as error:
            if error.code() in _REFUSALS:
                raise Refused(error.details()) from error
            raise
        finally:
            self.seconds.append(time.perf_counter() - started)

    def _read(self, points: Sequence[q.ScoredPoint], want: Want) -> Answer:
        rows = [point.vectors.vector.dense.data for point in points] if want.vectors else []
        scores = [getattr(point, "score", np.nan) for point in points]
        return Answer(
            np.array([point.id.num for point in points], dtype=np.int64),
            np.array(scores, dtype=np.float32),
            np.array([row for row in rows if row], dtype=np.float32).reshape(-1, self.dims),
            tuple(point.payload["text"].string_value for point in points) if want.payload else (),
        )


def has_id(ids: Sequence[int]) -> q.Filter:
    """The filter that lets these records through alone."""
    named = q.HasIdCondition(has_id=[q.PointId(num=number) for number in ids])
    return q.Filter(must=[q.Condition(has_id=named)])


def _vector(row: Vectors) -> q.VectorInput:
    return q.VectorInput(dense=q.DenseVector(data=row.tolist()))
