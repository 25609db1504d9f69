"""Scores with Qdrant's IDF modifier while keys are rotated: how often an index occurs, counted over both key epochs.

Qdrant multiplies the weight of index i in a query by ln((N - df + 0.5) / (df + 0.5) + 1), where N is the number of
records and df that of those with i (lib/segment/src/index/sparse_index). An index has another form in each epoch, so
the database counts each by itself. Since 1.19 a query may name its *corpus*, the records that are counted: over no
record at all the factor is ln 2 for each index, so that the proxy can set whatever factor is right by the weights that
it sends; and of a query of one index, asked once over the corpus and once over none, the ratio of the two best scores
gives df of that form. N is counted. What was deleted is in no corpus, though an index may hold it still.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from qdrant_client import grpc as q

from vecguard.front.qdrant import filters
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.rotating import rotating
from vecguard.front.qdrant.scoring import Scoring
from vecguard.front.qdrant.stages import Stage, vector_inputs
from vecguard.front.qdrant.together import together
from vecguard.metric import FloatArray
from vecguard.pipeline import Session
from vecguard.ranking.sparse import SparseVector
from vecguard.shield import SparseShield

Indices: TypeAlias = NDArray[np.uint32]
Source: TypeAlias = q.QueryPoints | q.QueryPointGroups | q.SearchMatrixPoints
Known: TypeAlias = dict[tuple[str, bytes, bytes], FloatArray]

_INFO: Final = "/qdrant.Collections/Get"
_HEALTH: Final = "/qdrant.Qdrant/HealthCheck"
_BATCH: Final = "/qdrant.Points/QueryBatch"
_COUNT: Final = "/qdrant.Points/Count"
_OVER_NONE: Final = math.log(2)
_FIRST_VERSION: Final = (1, 19)
_MOST_INDICES: Final = 1_024
_AT_ONCE: Final = 256


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is counted: records with the sparse vector `name` that match `corpus`, or all. `source` says how to read.

    Asked without a caller's own conditions: Qdrant's frequencies are those of the whole collection.
    """

    session: Session
    collection: str
    name: str
    source: Source
    corpus: q.Filter | None = None

    async def modified(self) -> bool:
        """Whether scores of the vector have the IDF modifier.

        Raises:
            FailedPrecondition: they have, and the database cannot say what is counted.
        """
        ask = q.GetCollectionInfoRequest(collection_name=self.collection)
        params = (await self.session.send(_INFO, ask, q.GetCollectionInfoResponse)).result.config.params
        sparse = params.sparse_vectors_config.map
        if self.name not in sparse or sparse[self.name].modifier != q.Modifier.Idf:
            return False
        what = f"a query over sparse vector `{self.name}`, which has the IDF modifier,"
        if not self._within_one_shard(params):
            raise rotating(f"{what} and of which each shard counts its own records,")
        health = await self.session.send(_HEALTH, q.HealthCheckRequest(), q.HealthCheckReply)
        if not counts_a_corpus(health.version):
            raise rotating(f"{what} on a Qdrant {health.version or 'of unknown version'}, older than 1.19,")
        return True

    def _within_one_shard(self, params: q.CollectionParams) -> bool:
        if params.shard_number > 1:
            return False
        if params.sharding_method != q.ShardingMethod.Custom:
            return True
        keys = self.source.shard_key_selector
        return len(keys.shard_keys) == 1 and not keys.HasField("fallback")

    async def idf(self, indices: Mapping[int, Indices]) -> FloatArray:
        """The factor of each of n indices over all epochs, `(n,)` float32; `indices` as they are stored, by part.

        Of an index whose largest weight in an epoch is exactly 0, that epoch's records are not counted.

        Raises:
            FailedPrecondition: more indices than are counted in one call.
        """
        count = len(next(iter(indices.values())))
        if count > _MOST_INDICES:
            raise rotating(f"a query of {count} indices (more than {_MOST_INDICES}) with the IDF modifier")
        asked = [
            self._single(index, corpus)
            for stored in indices.values()
            for index in stored.tolist()
            for corpus in (self.corpus or q.Filter(), _nothing())
        ]
        records = (await self.session.send(_COUNT, self._count(), q.CountResponse)).result.count
        best = np.array(await self._best_scores(asked), np.float64).reshape(len(indices), count, 2)
        frequency = np.minimum(_frequencies(best[..., 0], best[..., 1], records).sum(axis=0), records)
        factors: FloatArray = np.log((records - frequency + 0.5) / (frequency + 0.5) + 1).astype(np.float32)
        return factors

    def _count(self) -> q.CountPoints:
        has_vector = q.Filter(must=[q.Condition(has_vector=q.HasVectorCondition(has_vector=self.name))])
        ask = q.CountPoints(collection_name=self.collection, exact=True)
        ask.filter.CopyFrom(filters.merged(self.corpus, has_vector) or has_vector)
        for option in ("read_consistency", "shard_key_selector"):
            if self.source.HasField(option):
                getattr(ask, option).CopyFrom(getattr(self.source, option))
        if self.source.HasField("timeout"):
            ask.timeout = self.source.timeout
        return ask

    def _single(self, index: int, corpus: q.Filter) -> q.QueryPoints:
        """The record with the largest weight of one stored index."""
        ask = q.QueryPoints(collection_name=self.collection, using=self.name, limit=1)
        ask.query.nearest.sparse.indices.append(index)
        ask.query.nearest.sparse.values.append(1.0)
        ask.params.idf.corpus.CopyFrom(corpus)
        if self.source.HasField("shard_key_selector"):
            ask.shard_key_selector.CopyFrom(self.source.shard_key_selector)
        return ask

    async def _best_scores(self, asked: Sequence[q.QueryPoints]) -> list[float]:
        """The best score of each query; 0 for one that finds nothing."""

        async def some(queries: Sequence[q.QueryPoints]) -> list[float]:
            ask = q.QueryBatchPoints(collection_name=self.collection, query_points=queries)
            if self.source.HasField("read_consistency"):
                ask.read_consistency.CopyFrom(self.source.read_consistency)
            if self.source.HasField("timeout"):
                ask.timeout = self.source.timeout
            found = (await self.session.send(_BATCH, ask, q.QueryBatchResponse)).result
            return [one.result[0].score if one.result else 0.0 for one in found]

        batches = (asked[start : start + _AT_ONCE] for start in range(0, len(asked), _AT_ONCE))
        return list(chain.from_iterable(await together(*map(some, batches))))


def _nothing() -> q.Filter:
    return q.Filter(must=[q.Condition(has_id=q.HasIdCondition())])


def counts_a_corpus(version: str) -> bool:
    """Whether a Qdrant of this version counts over the corpus that a query names; older ones overlook it."""
    numbers = version.split(".")[:2]
    return all(map(str.isdecimal, numbers)) and tuple(map(int, numbers)) >= _FIRST_VERSION


def _frequencies(counted: NDArray[np.float64], over_none: NDArray[np.float64], records: int) -> NDArray[np.float64]:
    """How many of the records have each index, from its best scores over the corpus and over none."""
    found = over_none != 0
    idf = np.divide(counted, over_none, out=np.zeros_like(counted), where=found) * _OVER_NONE
    return np.where(found, np.clip(np.rint((records + 1) / np.exp(idf) - 0.5), 0, records), 0.0)


async def weighted(vectors: Sequence[SparseVector], guard: SparseShield, corpus: Corpus) -> list[SparseVector]:
    """Exact vectors with weights whose inner products are scores of the database, factors of all epochs and all.

    Raises:
        FailedPrecondition: the database cannot say what they are.
    """
    if not vectors or not await corpus.modified():
        return list(vectors)
    distinct, place = np.unique(np.concatenate([vector.indices for vector in vectors]), return_inverse=True)
    factors = await corpus.idf({part: guard.query(distinct, part) for part in guard.parts})
    roots = np.split(np.sqrt(factors)[place], np.cumsum([len(vector.indices) for vector in vectors])[:-1])
    return [SparseVector(vector.indices, vector.weights * root) for vector, root in zip(vectors, roots, strict=True)]


async def with_idf(stage: Stage, scoring: Scoring, corpus: Corpus, known: Known) -> tuple[Stage, Scoring]:
    """A stage over a divided sparse vector, and its scoring, so that scores at rest have the factors of all epochs.

    `known` keeps factors: the searches of one request are made with the same ones.

    Raises:
        FailedPrecondition: the database cannot say what they are.
    """
    if not await corpus.modified():
        return stage, scoring
    named = {part: _indices(query) for part, query in scoring.upstream.items()}
    _, first, place = np.unique(next(iter(named.values())), return_index=True, return_inverse=True)
    distinct = {part: indices[first] for part, indices in named.items()}
    counted = b"" if corpus.corpus is None else corpus.corpus.SerializeToString(deterministic=True)
    key = (corpus.name, counted, b"".join(indices.tobytes() for indices in distinct.values()))
    if key not in known and len(first):
        known[key] = await corpus.idf(distinct)
    factors = (known[key] / np.float32(_OVER_NONE))[place] if len(first) else np.zeros(0, np.float32)
    params = q.SearchParams()
    if stage.params is not None:
        params.CopyFrom(stage.params)
    params.idf.corpus.CopyFrom(_nothing())
    upstream = {part: _weighted(query, factors) for part, query in scoring.upstream.items()}
    return replace(stage, params=params), replace(scoring, upstream=upstream)


def _indices(query: q.Query) -> Indices:
    """The indices of all sparse vectors of a query, one after the other."""
    return np.array([index for given in vector_inputs(query) for index in given.sparse.indices], np.uint32)


def _weighted(query: q.Query, factors: FloatArray) -> q.Query:
    """The query with the weights of its sparse vectors, one after the other, times `factors`."""
    weighted, start = q.Query(), 0
    weighted.CopyFrom(query)
    for given in vector_inputs(weighted):
        end = start + len(given.sparse.values)
        vector = wire.read_input(given)
        assert isinstance(vector, wire.Sparse)  # noqa: S101 - so are all examples of a sparse vector, once opened
        given.CopyFrom(wire.to_input(wire.Sparse(vector.indices, vector.values * factors[start:end])))
        start = end
    return weighted


def corpus_of(stage: Stage) -> q.Filter | None:
    """The corpus, as it is stored, that a stage's client wants counted; None for all records."""
    idf = q.IdfParams() if stage.params is None else stage.params.idf
    corpus: q.Filter | None = idf.corpus if idf.HasField("corpus") else None
    return corpus
