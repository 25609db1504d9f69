"""A client's search, understood: which vector, which queries, which metric, and who computes the distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vecguard.errors import InvalidArgument, LimitExceeded, Unreadable, UpstreamFailure
from vecguard.front.milvus import filters, reveal
from vecguard.front.milvus import layout as kinds
from vecguard.front.milvus.candidates import primary_keys
from vecguard.front.milvus.distances import PrimaryKey, dense_metric
from vecguard.front.milvus.execute import Executor, Found, Search, Source
from vecguard.front.milvus.expression import Rewritten, pk_in
from vecguard.front.milvus.grouping import require_groupable
from vecguard.front.milvus.layout import Column, Layout
from vecguard.front.milvus.placeholder import (
    DenseQueries,
    Queries,
    SparseQueries,
    TextQueries,
    read_queries,
    write_dense,
    write_sparse,
)
from vecguard.front.milvus.proto import TYPE_NAMES, c, m, rpc
from vecguard.front.milvus.rotating import require_settled, rotating
from vecguard.front.milvus.search_metrics import forget, is_mismatch, metric_of
from vecguard.front.milvus.search_parameters import RankParameters, SearchParameters
from vecguard.front.milvus.sparse_parts import SparseParts
from vecguard.front.milvus.status import ask
from vecguard.metric import FloatArray
from vecguard.shield import DenseShield, Shield, SparseShield

_QUERY: Final = rpc("Query")
_UNSERVED: Final = {
    "highlighter": "the database would cut fragments out of texts that it does not have in clear",
    "search_aggregation": "the database would aggregate values that it does not have in clear",
    "function_chains": "the database would compute with values and distances that it does not have in clear",
    "namespace": "a protected collection has no namespaces",
    "sub_reqs": "searches within a search come as a hybrid search",
    "search_by_primary_keys": "a search by rows is asked for by their ids",
    "base": "it belongs to calls between servers",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One search: what it asks for, the searched column, and its queries (None: those of stored rows, `by_ids`)."""

    request: m.SearchRequest
    parameters: SearchParameters
    column: Column
    expression: Rewritten
    queries: Queries | None

    @property
    def count(self) -> int:
        """How many queries there are."""
        return len(primary_keys(self.request.ids)) if self.queries is None else len(self.queries)


def plan_search(request: m.SearchRequest, parameters: SearchParameters, shield: Shield, layout: Layout) -> Plan:
    """What a search asks for, nothing of it sent yet.

    Raises:
        InvalidArgument: something that is not understood, does not fit the collection, or cannot be protected.
        LimitExceeded: more results than the policy allows.
    """
    _require_served(request)
    require_allowed(parameters, shield)
    column = _searched(parameters.anns_field, layout)
    if parameters.grouping is not None:
        require_groupable(shield, layout, parameters.grouping.field)
    by_ids = "ids" in request.DESCRIPTOR.fields_by_name and request.HasField("ids")
    queries = None if by_ids else read_queries(request.placeholder_group)
    if queries is not None:
        _require_fitting(queries, column)
        if request.nq not in (0, len(queries)):
            raise InvalidArgument(f"nq ({request.nq}) is not the number of query vectors ({len(queries)})")
    require_few(parameters, max(1, len(queries) if queries is not None else request.nq), shield)
    expression = filters.rewrite(request.dsl, request.expr_template_values, layout, shield)
    expression = filters.with_a_vector(expression, column)
    return Plan(request, parameters, column, expression, queries)


def _require_served(request: m.SearchRequest) -> None:
    for part, why in _UNSERVED.items():
        field = request.DESCRIPTOR.fields_by_name.get(part)
        if field is not None and any(field is found for found, _ in request.ListFields()):
            raise InvalidArgument(f"{part} is refused on a protected collection: {why}")
    if request.dsl and request.dsl_type != c.DslType.BoolExprV1:
        raise InvalidArgument("a filter that is not an expression (dsl_type) is refused: it cannot be understood")


def require_allowed(parameters: SearchParameters | RankParameters, shield: Shield) -> None:
    """Refuse to answer with more results to one query than the policy allows.

    Raises:
        LimitExceeded: more are asked for.
    """
    size = 1 if parameters.grouping is None else parameters.grouping.size
    asked = (parameters.offset + parameters.limit) * size
    if asked > shield.limits.max_limit:
        raise LimitExceeded(f"{asked} results asked for: the policy allows {shield.limits.max_limit} in one call")


def require_few(parameters: SearchParameters | RankParameters, queries: int, shield: Shield) -> None:
    """Refuse to answer with more results to all queries of a call than the policy allows.

    Raises:
        LimitExceeded: more are asked for.
    """
    size = 1 if parameters.grouping is None else parameters.grouping.size
    asked = queries * (parameters.offset + parameters.limit) * size
    if asked > shield.limits.max_results:
        raise LimitExceeded(
            f"{asked} results asked for by {queries} queries: the policy allows {shield.limits.max_results} in one call"
        )


def _searched(name: str, layout: Layout) -> Column:
    """The column that is searched: the one named, else the only vector that there is."""
    vectors = [column for column in layout.columns.values() if column.role in ("dense", "sparse", "open_vector")]
    if name:
        column = layout.columns.get(name)
        if column is None or column not in vectors:
            raise InvalidArgument(f"failed to get field schema by name: fieldName({name}) not found or no vector")
        return column
    if len(vectors) != 1:
        raise InvalidArgument("multiple anns_fields exist, please specify a anns_field in search_params")
    return vectors[0]


def _require_fitting(queries: Queries, column: Column) -> None:
    kind = TYPE_NAMES[column.data_type]
    if isinstance(queries, TextQueries):
        if column.role != "open_vector":
            raise InvalidArgument(
                f"field {column.name} cannot be searched by text: only a function over plain text makes vectors of it"
            )
    elif isinstance(queries, SparseQueries) != (column.data_type == kinds.SPARSE_VECTOR):
        raise InvalidArgument(f"vector type must be the same, field {column.name} is of type {kind}")
    elif isinstance(queries, DenseQueries) and queries.x.shape[1] != column.dims:
        # In bytes, as Milvus says it.
        width = 4 if column.data_type == kinds.FLOAT_VECTOR else 2
        raise InvalidArgument(
            f"vector dimension mismatch, expected vector size(byte) {column.dims * width}, "
            f"actual {queries.x.shape[1] * width}."
        )


def is_direct(plan: Plan, shield: Shield, *, planted: bool = False) -> bool:
    """Whether the database's own distances are the ones to answer with: nothing was added to what is searched.

    With `planted`, records may be planted in the collection: then its candidates are read, as the database's offsets
    and fusions count those records.

    Raises:
        FailedPrecondition: they are, but it would group by values that stand there in two forms.
    """
    guard = shield.vectors.get(plan.column.name)
    if planted and isinstance(guard, DenseShield):
        return False
    if guard is not None and guard.divided:
        return False  # the parts' distances are to be merged, also where each part's are exact
    direct = not isinstance(guard, DenseShield) or guard.exact_at_rest
    grouping = plan.parameters.grouping
    if direct and grouping is not None and shield.fields.mode((grouping.field,)) != "plain":
        if shield.tenancy is not None and (grouping.field,) != shield.tenancy.field:
            raise InvalidArgument(
                f"grouping by `{grouping.field}` in a search that the database answers: its values differ by tenant, "
                "as each tenant has keys of its own"
            )
        require_settled(shield, f"grouping by `{grouping.field}` in a search that the database answers")
    return direct


def protected_group(plan: Plan, shield: Shield) -> bytes:
    """The placeholder group of a direct search as it is at rest."""
    queries = plan.queries
    if isinstance(queries, DenseQueries):
        dense = shield.dense(plan.column.name)
        return write_dense(dense.query(queries.x, dense.parts[0]))
    if isinstance(queries, SparseQueries):
        guard = shield.vectors.get(plan.column.name)
        rows = queries.rows
        if isinstance(guard, SparseShield):
            rows = tuple((guard.query(indices, guard.parts[0]), values) for indices, values in rows)
        return write_sparse(rows)
    return b"" if queries is None else queries.group


async def run_plan(plan: Plan, outputs: Sequence[str], executor: Executor) -> Found:
    """Run a search that is not direct; `outputs` are stored columns that its answers carry.

    Raises:
        InvalidArgument: the metric is none of dense vectors, or a row to search by does not exist.
        UpstreamFailure: the database says no, or cannot be reached.
    """
    guard = executor.shield.vectors.get(plan.column.name)
    if isinstance(guard, SparseShield):
        return await _sparse_parts(plan, executor).run(guard, outputs)
    search = await _understood(plan, executor)
    try:
        return await executor.run(search, outputs)
    except UpstreamFailure as failure:
        if plan.parameters.metric or not is_mismatch(failure):
            raise
    # The index was made anew elsewhere.
    forget(executor)
    return await executor.run(await _understood(plan, executor), outputs)


def _sparse_parts(plan: Plan, executor: Executor) -> SparseParts:
    if not isinstance(plan.queries, SparseQueries):
        raise rotating(f"a search by rows over sparse vector `{plan.column.name}`")
    return SparseParts(executor, plan.column.name, plan.queries, plan.parameters, plan.expression)


async def _understood(plan: Plan, executor: Executor) -> Search:
    """The search, with its metric and its queries in clear."""
    metric, queries = await metric_of(plan.parameters.metric, plan.column, executor), plan.queries
    x = queries.x if isinstance(queries, DenseQueries) else await _vectors_of_rows(plan, executor)
    return Search(plan.column.name, dense_metric(metric), x, plan.parameters, plan.expression)


async def _vectors_of_rows(plan: Plan, executor: Executor) -> FloatArray:
    """The exact vectors of the rows that a search names by primary key, in its order."""
    layout, name = executor.layout, plan.column.name
    keys = list(primary_keys(plan.request.ids))
    if not keys:
        raise InvalidArgument("ids must not be empty")
    outputs = [layout.primary.name, name, *layout.needs_record(name)]
    answer = await ask(executor.session, _QUERY, by_keys(executor.source, layout, keys, outputs), m.QueryResults)
    place = row_of_key(answer, layout)
    if missing := [key for key in keys if key not in place]:
        raise InvalidArgument(f"{len(missing)} of the rows to search by do not exist")
    rows = reveal.found_rows(executor.shield, layout, answer.fields_data, len(place))
    exact, of_rows = reveal.open_dense(rows, name)
    held = {row: i for i, row in enumerate(of_rows)}
    if any(place[key] not in held for key in keys):
        raise InvalidArgument("a row to search by has no vector")
    return exact[[held[place[key]] for key in keys]]


def by_keys(source: Source, layout: Layout, keys: list[PrimaryKey], outputs: list[str]) -> m.QueryRequest:
    """The request for stored columns of the rows with these primary keys, read as `source` reads."""
    return m.QueryRequest(
        db_name=source.db_name,
        collection_name=source.collection_name,
        partition_names=source.partition_names,
        expr=pk_in(layout.primary.name, keys),
        output_fields=outputs,
        travel_timestamp=source.travel_timestamp,
        guarantee_timestamp=source.guarantee_timestamp,
        consistency_level=source.consistency_level,
        use_default_consistency=source.use_default_consistency,
        not_return_all_meta=source.not_return_all_meta,
    )


def row_of_key(answer: m.QueryResults, layout: Layout) -> dict[PrimaryKey, int]:
    """Which row of an answer each primary key has.

    Raises:
        Unreadable: the answer lacks the primary keys.
    """
    for data in answer.fields_data:
        if data.field_name == layout.primary.name:
            is_text = layout.primary.data_type == kinds.VARCHAR
            keys = data.scalars.string_data.data if is_text else data.scalars.long_data.data
            return {key: row for row, key in enumerate(keys)}
    if answer.fields_data:
        raise Unreadable
    return {}
