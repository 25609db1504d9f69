"""Serving Query, by which Milvus' clients also get rows by key, count them and iterate over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from vecguard.errors import InvalidArgument, LimitExceeded, Unreadable
from vecguard.front.milvus import filters
from vecguard.front.milvus.columns import row_count
from vecguard.front.milvus.layout import Layout, is_hidden, layout_of
from vecguard.front.milvus.outputs import (
    aggregate_of,
    client_outputs,
    dynamic_keys,
    require_aggregates,
    require_plain,
    stored_outputs,
)
from vecguard.front.milvus.place import place_of
from vecguard.front.milvus.proto import c, m, rpc, s
from vecguard.front.milvus.reveal import client_columns, found_rows
from vecguard.front.milvus.status import ask
from vecguard.front.milvus.stored_keys import is_cursor
from vecguard.pipeline import Session
from vecguard.shield import Shield

_QUERY: Final = rpc("Query")
# Query parameters that say how to read, and hold nothing of a row but its primary key.
_PASSED: Final = frozenset(
    {
        *("limit", "offset", "ignore_growing", "reduce_stop_for_best", "iterator", "collection_id", "cluster_id"),
        *("timezone", "time_fields", "query_iter_last_pk", "query_iter_last_element_offset", "partition_names"),
    }
)
_GROUP_BY: Final = "group_by_fields"
_ORDER_BY: Final = "order_by_fields"


async def query(request: m.QueryRequest, session: Session) -> m.QueryResults:
    """`Query`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "read")
    if entry.shield is None:
        return await session.call(_QUERY, request, m.QueryResults)
    shield, layout = entry.shield, layout_of(entry.shield)
    require_no_namespace(request)
    request.db_name = place.database
    _check_parameters(request.query_params, layout, shield)
    aggregates = require_aggregates(request.output_fields, layout, shield.fields)
    if shield.ids is not None:
        _require_no_aggregate_of_keys(aggregates, layout)
    _rewrite(request, layout, shield)
    if aggregates or _counts_rows(request.query_params):
        session.hidden.leave_out_declared(place.key, entry)
    if aggregates:
        return await _aggregated(request, aggregates, layout, shield, session)
    keys = dynamic_keys(layout, request.output_fields)
    if request.output_fields:
        request.output_fields[:] = stored_outputs(layout, request.output_fields)
    answer = await ask(session, _QUERY, request, m.QueryResults)
    return opened(answer, layout, shield, keys)


def require_no_namespace(request: m.QueryRequest | m.InsertRequest | m.UpsertRequest | m.DeleteRequest) -> None:
    """Refuse namespaces, which protected collections do not have.

    Raises:
        InvalidArgument: the request names one.
    """
    if getattr(request, "namespace", ""):
        raise InvalidArgument("namespace: a protected collection has none: invalid parameter")


def _require_no_aggregate_of_keys(aggregates: Sequence[str], layout: Layout) -> None:
    for name in aggregates:
        aggregate = aggregate_of(name)
        if aggregate is not None and aggregate[0] != "count" and aggregate[1] == layout.primary.name:
            raise InvalidArgument(f"{name} cannot be answered: primary keys are encrypted")


def _rewrite(request: m.QueryRequest, layout: Layout, shield: Shield) -> None:
    cursor = is_cursor(request)
    rewritten = filters.rewrite(request.expr, request.expr_template_values, layout, shield, cursor=cursor)
    request.expr = rewritten.text
    set_templates(request, rewritten.templates)


def set_templates(
    request: m.QueryRequest | m.DeleteRequest | m.SearchRequest, values: Mapping[str, s.TemplateValue]
) -> None:
    """Put the template values that a rewritten expression still needs into a request."""
    kept = {name: value.SerializeToString() for name, value in values.items()}
    request.expr_template_values.clear()
    for name, content in kept.items():
        request.expr_template_values[name].ParseFromString(content)


def _check_parameters(pairs: Iterable[c.KeyValuePair], layout: Layout, shield: Shield) -> None:
    """Refuse what is not understood, what the database cannot do with what it stores, and what is too much at once.

    Raises:
        InvalidArgument, LimitExceeded: see above.
    """
    asked = 0
    for pair in pairs:
        if pair.key in ("limit", "offset"):
            asked += _count(pair)
        elif pair.key == _GROUP_BY:
            for name in _names(pair.value):
                require_plain(name, layout, shield.fields, "group by", equality=True)
        elif pair.key == _ORDER_BY:
            for name in _names(pair.value):
                _require_order(name.partition(":")[0].strip(), layout, shield)
        elif pair.key not in _PASSED:
            raise InvalidArgument(f"query parameter {pair.key} is not known to VecGuard: invalid parameter")
    if asked > shield.limits.max_limit:
        raise LimitExceeded(f"{asked} results asked for: the policy allows {shield.limits.max_limit} in one call")


def _counts_rows(pairs: Iterable[c.KeyValuePair]) -> bool:
    """Whether an answer depends on rows that it does not show: it begins after some, or tells of groups of them."""
    return any(pair.key == _GROUP_BY or (pair.key == "offset" and _count(pair)) for pair in pairs)


def _require_order(name: str, layout: Layout, shield: Shield) -> None:
    if shield.ids is not None and name == layout.primary.name:
        raise InvalidArgument(f"order by cannot be answered on field `{name}`: primary keys are encrypted")
    require_plain(name, layout, shield.fields, "order by")


def _count(pair: c.KeyValuePair) -> int:
    """A number of rows, in every form that servers read: Go's strconv.ParseInt with base 0 takes `0x10` and `+5`.

    Raises:
        InvalidArgument: it is none.
    """
    try:
        return int(pair.value, 0)
    except ValueError:
        raise InvalidArgument(f"{pair.key} [{pair.value}] is invalid: invalid parameter") from None


def _require_few(rows: int, shield: Shield) -> int:
    """The number of rows, if the policy allows as many: a query without a limit asks for all that match.

    Raises:
        LimitExceeded: there are more.
    """
    if rows > shield.limits.max_limit:
        raise LimitExceeded(
            f"{rows} rows match: the policy allows {shield.limits.max_limit} in one call; give a limit, or iterate"
        )
    return rows


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


async def _aggregated(
    request: m.QueryRequest, aggregates: Sequence[str], layout: Layout, shield: Shield, session: Session
) -> m.QueryResults:
    """Counts and the like, which the database computes: of their columns nothing was encrypted."""
    others = [name for name in request.output_fields if name not in aggregates]
    if any(is_hidden(name) for name in others):
        raise InvalidArgument("field not exist: invalid parameter")
    answer = await ask(session, _QUERY, request, m.QueryResults)
    wanted = {aggregate_of(name) for name in aggregates}
    computed = [data for data in answer.fields_data if aggregate_of(data.field_name) in wanted]
    rest = [data for data in answer.fields_data if aggregate_of(data.field_name) is None]
    rows = _require_few(max((row_count(data) for data in answer.fields_data), default=0), shield)
    clear = client_columns(found_rows(shield, layout, rest, rows), rest)
    order = {data.field_name: data for data in (*computed, *clear)}
    shown = [order[data.field_name] for data in answer.fields_data if data.field_name in order]
    del answer.fields_data[:]
    answer.fields_data.extend(shown)
    return answer


def _rows(answer: m.QueryResults) -> int:
    """How many rows an answer has, of which every column must have as many."""
    try:
        counts = {row_count(data) for data in answer.fields_data}
    except InvalidArgument:
        raise Unreadable from None
    if len(counts) > 1:
        raise Unreadable
    return counts.pop() if counts else 0


def opened(
    answer: m.QueryResults, layout: Layout, shield: Shield, keys: frozenset[str] | None = None
) -> m.QueryResults:
    """An answer's rows as the client wrote them, in place; of the dynamic fields only `keys` where they are given.

    Raises:
        Unreadable, StaleEntry, InvalidArgument: see `reveal.client_columns`.
        LimitExceeded: more rows than the policy allows.
    """
    rows = _require_few(_rows(answer), shield)
    found = found_rows(shield, layout, answer.fields_data, rows)
    clear = client_columns(found, answer.fields_data, keys)
    del answer.fields_data[:]
    answer.fields_data.extend(clear)
    answer.output_fields[:] = client_outputs(answer.output_fields)
    return answer
