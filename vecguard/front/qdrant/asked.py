"""How much a request asks for, read off the client's message: what bounds calls on collections in clear."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.front.qdrant.weight import written
from vecguard.model import Asked

_LIMIT: Final = 10  # Qdrant's default of most requests
_GROUPS, _GROUP_SIZE = 10, 3
_SAMPLE, _NEAREST = 10, 3
_OLD = q.SearchPoints | q.RecommendPoints | q.DiscoverPoints
_BATCHES: Final = (
    (q.SearchBatchPoints, "search_points"),
    (q.RecommendBatchPoints, "recommend_points"),
    (q.DiscoverBatchPoints, "discover_points"),
    (q.QueryBatchPoints, "query_points"),
)


def asked(ask: Message) -> Asked:
    """What a client's message asks for."""
    for kind, field in _BATCHES:
        if isinstance(ask, kind):
            queries = [_query(one) for one in getattr(ask, field)]
            most = max((limit for limit, _ in queries), default=0)
            return Asked(most, sum(results for _, results in queries))
    if isinstance(ask, q.GetPoints):
        return Asked(len(ask.ids), len(ask.ids))
    if isinstance(ask, q.ScrollPoints | q.FacetCounts):
        return _plain(_or(ask, "limit", _LIMIT))
    if isinstance(ask, q.SearchMatrixPoints):
        sample = _or(ask, "sample", _SAMPLE)
        return Asked(sample, sample * _or(ask, "limit", _NEAREST))
    if isinstance(ask, q.QueryPointGroups):
        most, results = _prefetched(ask.prefetch)
        groups = _or(ask, "limit", _GROUPS) * _or(ask, "group_size", _GROUP_SIZE)
        return Asked(max(most, groups), results + groups)
    if isinstance(ask, q.SearchPointGroups | q.RecommendPointGroups):
        return _plain((ask.limit or _GROUPS) * (ask.group_size or _GROUP_SIZE))
    if isinstance(ask, q.QueryPoints | _OLD):
        return Asked(*_query(ask))
    return Asked(0, 0, written(ask))


def _plain(limit: int) -> Asked:
    return Asked(limit, limit)


def _or(ask: Message, field: str, default: int) -> int:
    return int(getattr(ask, field)) if ask.HasField(field) else default


def _query(ask: q.QueryPoints | _OLD) -> tuple[int, int]:
    """The largest of a query's own limit and those of its prefetches, and the sum of all."""
    offset = int(ask.offset)
    if not isinstance(ask, q.QueryPoints):
        return offset + ask.limit, offset + ask.limit
    own = offset + _or(ask, "limit", _LIMIT)
    most, results = _prefetched(ask.prefetch)
    return max(own, most), own + results


def _prefetched(sources: Iterable[q.PrefetchQuery]) -> tuple[int, int]:
    most, results, waiting = 0, 0, list(sources)
    while waiting:
        source = waiting.pop()
        waiting.extend(source.prefetch)
        limit = _or(source, "limit", _LIMIT)
        most, results = max(most, limit), results + limit
    return most, results
