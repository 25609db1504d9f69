"""How much a request asks for, read off the client's message: what bounds calls on collections in clear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

from vecguard.front.milvus.proto import c, m
from vecguard.model import Asked


def asked(ask: Message) -> Asked:
    """What a client's message asks for; a query without a limit asks for all that match."""
    if isinstance(ask, m.SearchRequest):
        limit = _limit(_numbers(ask.search_params))
        return Asked(limit, limit * max(int(ask.nq), 1))
    if isinstance(ask, m.HybridSearchRequest):
        own = _limit(_numbers(ask.rank_params))
        parts = [asked(request) for request in ask.requests]
        most = max([own, *(part.limit or 0 for part in parts)])
        queries = max([1, *(int(request.nq) for request in ask.requests)])
        return Asked(most, own * queries + sum(part.results for part in parts))
    if isinstance(ask, m.QueryRequest):
        given = _numbers(ask.query_params)
        limit = given.get("limit", 0) + given.get("offset", 0)
        return Asked(limit, limit) if given.get("limit", -1) >= 0 else Asked(None, 0)
    if isinstance(ask, m.InsertRequest | m.UpsertRequest):
        return Asked(0, 0, int(ask.num_rows))
    return Asked(0, 0)


def _limit(given: Mapping[str, int]) -> int:
    """Results of one query, what is skipped included."""
    most = max(given.get("topk", 0), given.get("limit", 0))
    return (most + given.get("offset", 0)) * max(given.get("group_size", 1), 1)


def _numbers(pairs: Iterable[c.KeyValuePair]) -> dict[str, int]:
    """Parameters that are numbers, as servers read them (Go's strconv.ParseInt with base 0); others are not for us."""
    found: dict[str, int] = {}
    for pair in pairs:
        try:
            found[pair.key] = max(int(pair.value, 0), found.get(pair.key, -1))  # whichever of two the server takes
        except ValueError:
            continue
    return found
