"""Serving Qdrant's query RPCs: the Query API, its older forms, groups and distance matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
from qdrant_client import grpc as q

from vecguard.catalog import Entry
from vecguard.errors import InvalidArgument, NotFound, UpstreamFailure
from vecguard.front.qdrant import at_rest, filters, reveal
from vecguard.front.qdrant.candidates import open_candidates, open_sparse
from vecguard.front.qdrant.examples import open_examples
from vecguard.front.qdrant.execute import Executor, Points, Want
from vecguard.front.qdrant.frequencies import Corpus, weighted
from vecguard.front.qdrant.grouping import Grouped, Grouper, Grouping
from vecguard.front.qdrant.legacy import Old, OldGroups, as_groups, as_query
from vecguard.front.qdrant.scope import RECORD, UPDATED, wanted_vectors
from vecguard.front.qdrant.serve_reads import check_limit, check_results, get
from vecguard.front.qdrant.stages import DEFAULT_GROUP_SIZE, Stage, build, id_message, key_of, limit_of
from vecguard.front.qdrant.together import together
from vecguard.metric import reported
from vecguard.pipeline import Session
from vecguard.ranking.groups import GroupId
from vecguard.ranking.matrix import Neighbours, nearest_in_sample
from vecguard.ranking.sparse import pairwise
from vecguard.rerank import PointId
from vecguard.shield import DenseShield, Shield

Batch: TypeAlias = q.SearchBatchPoints | q.RecommendBatchPoints | q.DiscoverBatchPoints | q.QueryBatchPoints

_SAMPLE: Final = 10
_NEAREST: Final = 3


def _want(ask: q.QueryPoints | q.QueryPointGroups, shield: Shield) -> Want:
    names = wanted_vectors(ask.with_vectors, list(shield.vectors))
    return Want(ask.with_payload, tuple(names))


def _check_limits(stage: Stage, shield: Shield) -> None:
    for each in stage.walk():
        check_limit(each.offset + each.limit, shield)


async def _run(ask: q.QueryPoints, session: Session, *, old: bool = False) -> Points:
    """The client's points for one query; `old`: it came as one of the RPCs of older clients."""
    entry = await session.open(ask.collection_name, "read")
    if entry.shield is None:
        return await _clear_query(ask, session)
    if _is_at_rest(ask, entry, entry.shield):
        return list((await _at_rest(ask, session, entry.shield)).result)
    return await _ranked(ask, session, entry.shield, old=old)


def _is_at_rest(ask: q.QueryPoints, entry: Entry, shield: Shield) -> bool:
    """Whether a search was rewritten in place. An offset would count planted points, of which nobody is told."""
    return not (ask.offset and entry.policy.detection.canaries) and at_rest.rewrite(ask, shield)


async def _at_rest(ask: q.QueryPoints, session: Session, shield: Shield) -> q.QueryResponse:
    """The answer to a search that was rewritten in place, made the client's in place as well."""
    answer = await session.call("/qdrant.Points/Query", ask, q.QueryResponse)
    reveal.points(shield, answer.result, ())
    return answer


async def _ranked(ask: q.QueryPoints, session: Session, shield: Shield, *, old: bool = False) -> Points:
    """Any query, stage by stage."""
    stage = build(ask, shield.fields)
    _check_limits(stage, shield)
    want = _want(ask, shield)
    opened = await open_examples(stage, ask.collection_name, session, all_exist=True, all_whole=old)
    found = await Executor(session, shield, ask.collection_name, ask, opened).run(stage, want)
    reveal.points(shield, found, want.vectors)
    return found


async def _clear_query(ask: q.QueryPoints, session: Session) -> Points:
    """A query on a collection that the policy leaves in clear; it may not reach into a protected one."""
    await _refuse_protected_lookups(ask, session)
    return list((await session.call("/qdrant.Points/Query", ask, q.QueryResponse)).result)


async def _refuse_protected_lookups(ask: q.QueryPoints | q.QueryPointGroups, session: Session) -> None:
    sources: list[q.QueryPoints | q.QueryPointGroups | q.PrefetchQuery] = [ask]
    while sources:
        source = sources.pop()
        sources.extend(source.prefetch)
        if source.HasField("lookup_from"):
            entry = await session.open(source.lookup_from.collection_name, "read")
            if entry.shield is not None:
                raise InvalidArgument(
                    f"lookup_from `{source.lookup_from.collection_name}`: its vectors are protected, and collection "
                    f"`{ask.collection_name}` is not, so they cannot be compared"
                )


async def query(ask: q.QueryPoints, session: Session) -> q.QueryResponse:
    """`Points/Query`."""
    entry = await session.open(ask.collection_name, "read")
    if entry.shield is None:
        return q.QueryResponse(result=await _clear_query(ask, session))
    if _is_at_rest(ask, entry, entry.shield):
        return await _at_rest(ask, session, entry.shield)
    return q.QueryResponse(result=await _ranked(ask, session, entry.shield))


async def search(ask: q.SearchPoints, session: Session) -> q.SearchResponse:
    """`Points/Search`."""
    return q.SearchResponse(result=await _run(as_query(ask), session, old=True))


async def recommend(ask: q.RecommendPoints, session: Session) -> q.RecommendResponse:
    """`Points/Recommend`."""
    return q.RecommendResponse(result=await _run(as_query(ask), session, old=True))


async def discover(ask: q.DiscoverPoints, session: Session) -> q.DiscoverResponse:
    """`Points/Discover`."""
    return q.DiscoverResponse(result=await _run(as_query(ask), session, old=True))


async def _batch(asks: Sequence[Old | q.QueryPoints], ask: Batch, session: Session) -> list[q.BatchResult]:
    session.grant("read", ask.collection_name)
    new = [one if isinstance(one, q.QueryPoints) else as_query(one) for one in asks]
    for one in new:
        if one.collection_name not in ("", ask.collection_name):
            raise InvalidArgument("Wrong input: all requests of a batch must name the batch's own collection")
        one.collection_name = ask.collection_name
        if ask.HasField("read_consistency"):
            one.read_consistency.CopyFrom(ask.read_consistency)
        if ask.HasField("timeout"):
            one.timeout = ask.timeout
    await _check_batch(new, session)
    old = not isinstance(ask, q.QueryBatchPoints)
    results = await together(*(_run(one, session, old=old) for one in new))
    return [q.BatchResult(result=points) for points in results]


async def _check_batch(asks: Sequence[q.QueryPoints], session: Session) -> None:
    """Refuse a batch whose queries ask together for more results than the policy allows."""
    if not asks:
        return
    entry = await session.open(asks[0].collection_name, "read")
    if entry.shield is not None:
        check_results(sum(_asked(ask) for ask in asks), entry.shield)


def _asked(ask: q.QueryPoints) -> int:
    """Results that a query makes the database find: its own, and those of its prefetches."""
    sources: list[q.QueryPoints | q.PrefetchQuery] = [ask]
    asked = ask.offset
    while sources:
        source = sources.pop()
        sources.extend(source.prefetch)
        asked += limit_of(source)
    return asked


async def query_batch(ask: q.QueryBatchPoints, session: Session) -> q.QueryBatchResponse:
    """`Points/QueryBatch`."""
    return q.QueryBatchResponse(result=await _batch(ask.query_points, ask, session))


async def search_batch(ask: q.SearchBatchPoints, session: Session) -> q.SearchBatchResponse:
    """`Points/SearchBatch`."""
    return q.SearchBatchResponse(result=await _batch(ask.search_points, ask, session))


async def recommend_batch(ask: q.RecommendBatchPoints, session: Session) -> q.RecommendBatchResponse:
    """`Points/RecommendBatch`."""
    return q.RecommendBatchResponse(result=await _batch(ask.recommend_points, ask, session))


async def discover_batch(ask: q.DiscoverBatchPoints, session: Session) -> q.DiscoverBatchResponse:
    """`Points/DiscoverBatch`."""
    return q.DiscoverBatchResponse(result=await _batch(ask.discover_points, ask, session))


async def _run_groups(ask: q.QueryPointGroups, session: Session, *, old: bool = False) -> q.GroupsResult:
    entry = await session.open(ask.collection_name, "read")
    if entry.shield is None:
        await _refuse_protected_lookups(ask, session)
        if ask.HasField("with_lookup"):
            lookup = ask.with_lookup
            stripped = q.QueryPointGroups()
            stripped.CopyFrom(ask)
            stripped.ClearField("with_lookup")
            found = (await session.call("/qdrant.Points/QueryGroups", stripped, q.QueryGroupsResponse)).result
            await _attach_lookups(found, lookup, session)
            return found
        return (await session.call("/qdrant.Points/QueryGroups", ask, q.QueryGroupsResponse)).result
    shield = entry.shield
    stage = build(ask, shield.fields)
    size = ask.group_size if ask.HasField("group_size") else DEFAULT_GROUP_SIZE
    check_limit(stage.limit * size, shield)
    _check_limits(stage, shield)
    want = _want(ask, shield)
    opened = await open_examples(stage, ask.collection_name, session, all_exist=old)
    executor = Executor(session, shield, ask.collection_name, ask, opened)
    groups = await Grouper(executor, stage, Grouping(ask.group_by, stage.limit, size)).run(want)
    unique = {key_of(p.id): p for group in groups for p in group.points}
    reveal.points(shield, list(unique.values()), want.vectors)
    result = q.GroupsResult(groups=[_group_message(group, unique) for group in groups])
    if ask.HasField("with_lookup"):
        await _attach_lookups(result, ask.with_lookup, session)
    return result


def _group_message(group: Grouped, clear: Mapping[PointId, q.ScoredPoint]) -> q.PointGroup:
    hits = [clear[key_of(point.id)] for point in group.points]
    return q.PointGroup(id=_group_id(group.id), hits=hits)


def _group_id(value: GroupId) -> q.GroupId:
    if isinstance(value, str):
        return q.GroupId(string_value=value)
    return q.GroupId(unsigned_value=value) if value >= 0 else q.GroupId(integer_value=value)


async def _attach_lookups(result: q.GroupsResult, lookup: q.WithLookup, session: Session) -> None:
    """Attach to each group the point of another collection whose id is the group's value.

    Raises:
        NotFound: there is no such collection.
    """
    await _require_collection(lookup.collection, session)
    ids: dict[int, q.PointId] = {}
    for i, group in enumerate(result.groups):
        kind = group.id.WhichOneof("kind")
        candidate = q.PointId(num=group.id.unsigned_value) if kind == "unsigned_value" else None
        if kind == "string_value":
            candidate = q.PointId(uuid=group.id.string_value)
        try:
            if candidate is not None:
                key_of(candidate)
                ids[i] = candidate
        except InvalidArgument:
            continue  # a group's value that is no point id has no point to look up
    if not ids:
        return
    ask = q.GetPoints(collection_name=lookup.collection, ids=list(ids.values()))
    ask.with_payload.enable = True
    if lookup.HasField("with_payload"):
        ask.with_payload.CopyFrom(lookup.with_payload)
    if lookup.HasField("with_vectors"):
        ask.with_vectors.CopyFrom(lookup.with_vectors)
    found = {key_of(point.id): point for point in (await get(ask, session)).result}
    for i, point_id in ids.items():
        point = found.get(key_of(point_id))
        if point is not None:
            result.groups[i].lookup.CopyFrom(point)


async def _require_collection(name: str, session: Session) -> None:
    try:
        await session.open(name, "read")
    except UpstreamFailure as failure:
        if failure.status == "NOT_FOUND":
            raise NotFound(f"Not found: Collection {name} not found") from None
        raise


async def query_groups(ask: q.QueryPointGroups, session: Session) -> q.QueryGroupsResponse:
    """`Points/QueryGroups`."""
    return q.QueryGroupsResponse(result=await _run_groups(ask, session))


async def _old_groups(ask: OldGroups, session: Session) -> q.GroupsResult:
    return await _run_groups(as_groups(ask), session, old=True)


async def search_groups(ask: q.SearchPointGroups, session: Session) -> q.SearchGroupsResponse:
    """`Points/SearchGroups`."""
    return q.SearchGroupsResponse(result=await _old_groups(ask, session))


async def recommend_groups(ask: q.RecommendPointGroups, session: Session) -> q.RecommendGroupsResponse:
    """`Points/RecommendGroups`."""
    return q.RecommendGroupsResponse(result=await _old_groups(ask, session))


async def matrix_pairs(ask: q.SearchMatrixPoints, session: Session) -> q.SearchMatrixPairsResponse:
    """`Points/SearchMatrixPairs`."""
    found = await _matrix(ask, session)
    if found is None:
        return await session.call("/qdrant.Points/SearchMatrixPairs", ask, q.SearchMatrixPairsResponse)
    pairs = [
        q.SearchMatrixPair(a=id_message(found.ids[row]), b=id_message(found.ids[column]), score=score)
        for row, column, score in zip(found.rows, found.columns, found.scores.tolist(), strict=True)
    ]
    return q.SearchMatrixPairsResponse(result=q.SearchMatrixPairs(pairs=pairs))


async def matrix_offsets(ask: q.SearchMatrixPoints, session: Session) -> q.SearchMatrixOffsetsResponse:
    """`Points/SearchMatrixOffsets`."""
    found = await _matrix(ask, session)
    if found is None:
        return await session.call("/qdrant.Points/SearchMatrixOffsets", ask, q.SearchMatrixOffsetsResponse)
    result = q.SearchMatrixOffsets(
        offsets_row=found.rows.tolist(),
        offsets_col=found.columns.tolist(),
        scores=found.scores.tolist(),
        ids=[id_message(key) for key in found.ids],
    )
    return q.SearchMatrixOffsetsResponse(result=result)


async def _matrix(ask: q.SearchMatrixPoints, session: Session) -> Neighbours | None:
    """The matrix on exact vectors; None (with `ask` rewritten) where the database's own scores are as good."""
    entry = await session.open(ask.collection_name, "read")
    if entry.shield is None:
        return None
    shield = entry.shield
    if ask.HasField("filter"):
        filters.rewrite(ask.filter, shield.fields)
    using = ask.using if ask.HasField("using") else ""
    guard = shield.vector(using)
    sample = ask.sample if ask.HasField("sample") else _SAMPLE
    limit = ask.limit if ask.HasField("limit") else _NEAREST
    check_limit(sample, shield)
    if not guard.divided and (not isinstance(guard, DenseShield) or guard.exact_at_rest):
        return None
    if isinstance(guard, DenseShield) and not guard.recoverable:
        return None
    if sample < 2:
        raise InvalidArgument(f"Validation error in body: [sample: value {sample} invalid, must be 2 or larger]")
    if limit < 1:
        raise InvalidArgument("Validation error in body: [limit: value 0 invalid, must be 1 or larger]")
    sampled = await _sampled(ask, using, sample, session)
    points = [point for point in sampled if reveal.holder(point, using) is not None]
    ids = [key_of(point.id) for point in points]
    if not points:
        return nearest_in_sample([], np.zeros((0, 0), np.float32), limit, "dot")
    if isinstance(guard, DenseShield):
        alike = reported(open_candidates(shield, points, using).pairwise(guard.distance), guard.distance)
        return nearest_in_sample(ids, alike, limit, guard.distance)
    corpus = Corpus(session, ask.collection_name, using, ask)
    products, shared = pairwise(await weighted(open_sparse(shield, points, using), guard, corpus))
    return nearest_in_sample(ids, np.where(shared, products, np.float32(-np.inf)), limit, "dot")


async def _sampled(ask: q.SearchMatrixPoints, using: str, sample: int, session: Session) -> Points:
    has_vector = q.Filter(must=[q.Condition(has_vector=q.HasVectorCondition(has_vector=using))])
    both = filters.merged(ask.filter if ask.HasField("filter") else None, has_vector)
    draw = q.QueryPoints(
        collection_name=ask.collection_name, query=q.Query(sample=q.Sample.Random), filter=both, limit=sample
    )
    draw.with_payload.include.fields.extend((RECORD, UPDATED))
    draw.with_vectors.include.names.append(using)
    if ask.HasField("shard_key_selector"):
        draw.shard_key_selector.CopyFrom(ask.shard_key_selector)
    return list((await session.call("/qdrant.Points/Query", draw, q.QueryResponse)).result)
