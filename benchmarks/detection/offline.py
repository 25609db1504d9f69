"""A collection that answers by exact search in memory, and says what detection would have been told of each call.

Honest traffic is needed in thousands of principal-days, which no proxy on two cores serves in minutes. The proxy's
certified search returns what exact search does, so answers are computed here; observations are made by the product's
own `Sketcher` from what a front would have read. tests/benchmarks/detection/test_offline.py compares with the proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.attacks.attack import Public, unit
from benchmarks.detection.target import Answer, Vectors, Want, has_id
from vecguard.detect.observation import Observation, Operation
from vecguard.detect.reading import NO_QUERY, Dense, Reading
from vecguard.detect.sketch import Sketcher
from vecguard.front.qdrant.filter_shape import shape_of

COLLECTION = "lab"
_KEPT = 100
"""Best records that are kept of a vector whose answers were computed beforehand."""


class Stored:
    """Records in memory with, for vectors that are asked often, their best records computed beforehand."""

    def __init__(self, documents: Public, foreseen: Sequence[Vectors] = ()) -> None:
        """`foreseen`: matrices (m, d) of vectors that will be asked for."""
        self.documents = documents
        self._at: dict[bytes, int] = {}
        self._top = np.zeros((0, _KEPT), np.int32)
        self._scores = np.zeros((0, _KEPT), np.float32)
        for rows in foreseen:
            self._foresee(rows)

    def __len__(self) -> int:
        return len(self.documents.texts)

    def _foresee(self, rows: Vectors) -> None:
        kept = min(_KEPT, len(self.documents.texts))
        for start in range(0, len(rows), 512):
            part = rows[start : start + 512]
            scores = part @ self.documents.vectors.T
            top = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
            order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
            top = np.take_along_axis(top, order, axis=1)
            for at, row in enumerate(part):
                self._at[row.tobytes()] = len(self._top) + at
            self._top = np.concatenate([self._top.reshape(-1, kept), top.astype(np.int32)])
            self._scores = np.concatenate([self._scores.reshape(-1, kept), np.take_along_axis(scores, top, axis=1)])

    def best(self, query: Vectors, count: int, only: tuple[int, ...] = ()) -> tuple[NDArray[np.int64], Vectors]:
        """The `count` records nearest to a vector and their scores, best first."""
        at = None if only or count > self._top.shape[1] else self._at.get(query.tobytes())
        if at is not None:
            return self._top[at, :count].astype(np.int64), self._scores[at, :count]
        vectors = self.documents.vectors
        among = np.array([one for one in only if one < len(vectors)], np.int64) if only else None
        scores = (vectors if among is None else vectors[among]) @ unit(query)
        count = min(count, len(scores))
        top = np.argpartition(-scores, count - 1)[:count] if count else np.zeros(0, np.int64)
        top = top[np.argsort(-scores[top], kind="stable")]
        return (top if among is None else among[top]).astype(np.int64), scores[top].astype(np.float32)


class OfflineTarget:
    """One principal's calls on `Stored`; `seen` holds the observation of each, at the time that `now` was set to."""

    def __init__(self, stored: Stored, sketcher: Sketcher, principal: str) -> None:
        self._stored, self._sketcher, self._principal = stored, sketcher, principal
        self.calls = 0
        self.now = 0.0
        self.seen: list[Observation] = []
        self._own: dict[int, Vectors] = {}

    def search(self, query: Vectors, want: Want) -> Answer:
        """Nearest to one vector (d,)."""
        return self.search_batch(query[np.newaxis], want)[0]

    def search_batch(self, queries: Vectors, want: Want) -> list[Answer]:
        """The same for rows (q, d), in one call."""
        found = [self._found(query, want) for query in queries]
        self._tell("search", want, found, queries)
        return found

    def recommend(self, ids: Sequence[int], want: Want) -> Answer:
        """Nearest to the mean of some records, which are left out."""
        query = unit(self._stored.documents.vectors[list(ids)].mean(axis=0))
        if len(ids) == 1:
            query = self._stored.documents.vectors[ids[0]]
        top, scores = self._stored.best(query, want.limit + len(ids))
        kept = ~np.isin(top, ids)
        answer = self._answer(top[kept][: want.limit], scores[kept][: want.limit], want)
        # A front tells of examples by id no vector: the client sent none.
        self._tell("search", want, [answer])
        return answer

    def retrieve(self, ids: Sequence[int], want: Want) -> Answer:
        """Records by id; ids that are not there are left out. Of records that this principal wrote, vectors alone."""
        own = [one for one in ids if one in self._own]
        there = np.array([one for one in ids if one < len(self._stored.documents.texts)], np.int64)
        answer = self._answer(there, np.full(len(there), np.nan, np.float32), want)
        if own:
            rows = np.stack([self._own[one] for one in own]) if want.vectors else answer.vectors[:0]
            answer = Answer(np.array(own, np.int64), np.full(len(own), np.nan, np.float32), rows)
        self._tell("retrieve", replace(want, limit=len(ids)), [answer])
        return answer

    def scroll(self, start: int, want: Want) -> Answer:
        """`want.limit` records in order of ids, from id `start` on."""
        there = np.arange(start, min(start + want.limit, len(self._stored.documents.texts)))
        answer = self._answer(there, np.full(len(there), np.nan, np.float32), want)
        self._tell("scroll", want, [answer])
        return answer

    def count(self) -> int:
        """How many records there are."""
        self._tell("count", Want(limit=0, payload=False), [])
        return len(self._stored.documents.texts)

    def write(self, ids: Sequence[int], rows: Vectors, texts: Sequence[str]) -> None:
        """Told, and kept for `retrieve`; searches do not meet it: nobody in the lab searches for what he wrote."""
        self._own.update((int(one), row) for one, row in zip(ids, rows, strict=True) if one >= len(self._stored))
        written = [int(one) for one in ids]
        vectors = [Dense("", rows)]
        self._append(Reading(COLLECTION, "write", written=written, written_vectors=vectors, limit=len(written)))

    def delete(self, ids: Sequence[int]) -> None:
        """Told; only what this principal wrote is gone."""
        for one in ids:
            self._own.pop(int(one), None)
        self._append(Reading(COLLECTION, "delete", written=[int(one) for one in ids], limit=len(ids)))

    def _found(self, query: Vectors, want: Want) -> Answer:
        top, scores = self._stored.best(query, want.offset + want.limit, want.only)
        return self._answer(top[want.offset :], scores[want.offset :], want)

    def _answer(self, ids: NDArray[np.int64], scores: Vectors, want: Want) -> Answer:
        documents = self._stored.documents
        vectors = documents.vectors[ids] if want.vectors else np.zeros((0, documents.vectors.shape[1]), np.float32)
        return Answer(ids, scores, vectors, tuple(documents.texts[one] for one in ids) if want.payload else ())

    def _tell(self, operation: Operation, want: Want, found: list[Answer], queries: Vectors | None = None) -> None:
        ids = [int(one) for answer in found for one in answer.ids]
        rows = [at if queries is not None else NO_QUERY for at, answer in enumerate(found) for _ in answer.ids]
        reading = Reading(COLLECTION, operation, ids=ids, query_of=rows, limit=want.limit, offset=want.offset)
        reading.scores = [float(one) for answer in found for one in answer.scores]
        reading.exact, reading.filter_ids = want.exact, len(want.only)
        if queries is not None:
            reading.queries = [Dense("", queries)]
        if operation == "search" and ids:
            reading.left.add("scores")
        if want.payload and ids:
            reading.left.add("payload")
        if want.vectors and ids:
            reading.left.add("vectors")
            reading.vectors = [Dense("", answer.vectors) for answer in found]
            reading.vector_ids = list(ids)
        if want.only:
            reading.filters = [shape_of(has_id(want.only))]
        self._append(reading)

    def _append(self, reading: Reading) -> None:
        self.calls += 1
        one = self._sketcher.observation(reading, time=self.now, principal=self._principal, collection=COLLECTION)
        self.seen.append(one)
