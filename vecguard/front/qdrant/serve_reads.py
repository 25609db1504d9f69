"""Serving Qdrant's reads without a query vector: retrieve, scroll, count, facet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from qdrant_client import grpc as q

from vecguard.errors import LimitExceeded
from vecguard.fields import Leaf, client_keys
from vecguard.front.qdrant import filters, reveal
from vecguard.front.qdrant.scope import stored_path, stored_selector, vectors_selector, wanted_vectors
from vecguard.pipeline import Session
from vecguard.shield import Shield

DEFAULT_LIMIT: Final = 10
_MORE: Final = 2
_ALL_AT_FIRST: Final = 1_000


def check_limit(asked: int, shield: Shield) -> None:
    """Refuse more results than the policy allows in one call.

    Raises:
        LimitExceeded: it is.
    """
    if asked > shield.limits.max_limit:
        raise LimitExceeded(f"{asked} results asked for: the policy allows {shield.limits.max_limit} in one call")


def check_results(asked: int, shield: Shield) -> None:
    """Refuse more results of all queries of one call than the policy allows.

    Raises:
        LimitExceeded: it is.
    """
    if asked > shield.limits.max_results:
        raise LimitExceeded(
            f"{asked} results asked for by all queries: the policy allows {shield.limits.max_results} in one call"
        )


async def get(ask: q.GetPoints, session: Session) -> q.GetResponse:
    """`Points/Get`."""
    entry = await session.open(ask.collection_name, "read")
    if entry.shield is None:
        return await session.call("/qdrant.Points/Get", ask, q.GetResponse)
    shield = entry.shield
    check_limit(len(ask.ids), shield)
    names = _select(ask, shield)
    answer = await session.call("/qdrant.Points/Get", ask, q.GetResponse)
    reveal.points(shield, answer.result, names)
    return answer


async def scroll(ask: q.ScrollPoints, session: Session) -> q.ScrollResponse:
    """`Points/Scroll`."""
    entry = await session.open(ask.collection_name, "read")
    if entry.shield is None:
        return await session.call("/qdrant.Points/Scroll", ask, q.ScrollResponse)
    shield = entry.shield
    check_limit(ask.limit, shield)
    names = _select(ask, shield)
    if ask.HasField("filter"):
        filters.rewrite(ask.filter, shield.fields)
    if ask.HasField("order_by"):
        rewrite_order(ask.order_by, shield)
    answer = await session.call("/qdrant.Points/Scroll", ask, q.ScrollResponse)
    reveal.points(shield, answer.result, names)
    return answer


def _select(ask: q.GetPoints | q.ScrollPoints, shield: Shield) -> list[str]:
    """Rewrite what an answer shall carry; the names of the vectors that the client wants."""
    names = wanted_vectors(ask.with_vectors, list(shield.vectors))
    ask.with_vectors.CopyFrom(vectors_selector(names, list(shield.vectors)))
    if isinstance(ask, q.ScrollPoints) and not ask.HasField("with_payload"):
        ask.with_payload.enable = True  # Qdrant's default for scroll; retrieve's is none
    ask.with_payload.CopyFrom(stored_selector(ask.with_payload, record=bool(names)))
    return names


def rewrite_order(order: q.OrderBy, shield: Shield) -> None:
    """Point an `order_by` at the stored field; only plain fields keep their order at rest.

    Raises:
        InvalidArgument: the field's mode has no order.
    """
    shield.fields.require(order.key, (), ("plain",), "ordering")
    order.key = stored_path(order.key)


async def count(ask: q.CountPoints, session: Session) -> q.CountResponse:
    """`Points/Count`."""
    entry = await session.open(ask.collection_name, "read")
    session.hidden.leave_out_declared(ask.collection_name, entry)
    if entry.shield is not None and ask.HasField("filter"):
        filters.rewrite(ask.filter, entry.shield.fields)
    return await session.call("/qdrant.Points/Count", ask, q.CountResponse)


async def facet(ask: q.FacetCounts, session: Session) -> q.FacetResponse:
    """`Points/Facet`; values of searchable fields come back in clear, in the order that they have in clear."""
    entry = await session.open(ask.collection_name, "read")
    if entry.shield is None:
        return await session.call("/qdrant.Points/Facet", ask, q.FacetResponse)
    shield = entry.shield
    session.hidden.leave_out_declared(ask.collection_name, entry)
    limit = ask.limit if ask.HasField("limit") else DEFAULT_LIMIT
    check_limit(limit, shield)
    mode = shield.fields.require(ask.key, (), ("plain", "searchable"), "a facet")
    keys = client_keys(ask.key)
    ask.key = stored_path(ask.key)
    if ask.HasField("filter"):
        filters.rewrite(ask.filter, shield.fields)
    if mode == "plain":
        return await session.call("/qdrant.Points/Facet", ask, q.FacetResponse)
    answer = await (_all_facets(ask, session) if shield.several_forms else _facet_past_ties(ask, session, limit))
    hits = _summed(clear for hit in answer.hits if (clear := _reveal_hit(hit, keys, shield)) is not None)
    hits.sort(key=lambda hit: (-hit.count, _value_order(hit.value)))
    del answer.hits[:]
    answer.hits.extend(hits[:limit])
    return answer


async def _all_facets(ask: q.FacetCounts, session: Session) -> q.FacetResponse:
    """Every hit: under several keys one value may stand there in several forms, of which each may be rare."""
    ask.limit = _ALL_AT_FIRST
    while True:
        answer = await session.call("/qdrant.Points/Facet", ask, q.FacetResponse)
        if len(answer.hits) < ask.limit:
            return answer
        ask.limit *= _MORE


def _summed(hits: Iterable[q.FacetHit]) -> list[q.FacetHit]:
    """One hit for each clear value, with the counts of all its stored forms together."""
    found: dict[tuple[str, Leaf], q.FacetHit] = {}
    for hit in hits:
        known = found.setdefault(_value_order(hit.value), hit)
        if known is not hit:
            known.count += hit.count
    return list(found.values())


async def _facet_past_ties(ask: q.FacetCounts, session: Session, limit: int) -> q.FacetResponse:
    """Hits until the count drops below that of the last one wanted: ties are cut by clear value, not by ciphertext."""
    fetch = limit + 1
    while True:
        ask.limit = fetch
        answer = await session.call("/qdrant.Points/Facet", ask, q.FacetResponse)
        settled = len(answer.hits) < fetch or answer.hits[-1].count < answer.hits[max(limit, 1) - 1].count
        if settled:
            return answer
        fetch *= _MORE


def _reveal_hit(hit: q.FacetHit, keys: tuple[str, ...], shield: Shield) -> q.FacetHit | None:
    """The hit in clear; None for a fractional number, which Qdrant's facets do not count."""
    kind = hit.value.WhichOneof("variant")
    value: Leaf = shield.fields.reveal(keys, getattr(hit.value, kind or "string_value"), b"")
    if isinstance(value, bool):
        return q.FacetHit(value=q.FacetValue(bool_value=value), count=hit.count)
    if isinstance(value, int):
        return q.FacetHit(value=q.FacetValue(integer_value=value), count=hit.count)
    if isinstance(value, str):
        return q.FacetHit(value=q.FacetValue(string_value=value), count=hit.count)
    return None


def _value_order(value: q.FacetValue) -> tuple[str, Leaf]:
    kind = value.WhichOneof("variant") or ""
    return kind, getattr(value, kind)
