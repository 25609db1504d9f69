"""Retention at rest: which stored rows are kept, and deleting those that are not.

A row's age is told by a column of whole numbers that the policy names, or, where it names none, by the hidden column
`_vgt`, which the proxy writes: seconds since 1970 when the row was last written whole. A collection has that from its
creation on, or never.
"""

from __future__ import annotations

from typing import Final

from vecguard.errors import FailedPrecondition
from vecguard.fields import client_keys
from vecguard.front.milvus.expression import conjunction
from vecguard.front.milvus.layout import INT64, WRITTEN_FIELD, Layout, layout_of
from vecguard.front.milvus.place import from_key
from vecguard.front.milvus.proto import c, m, rpc
from vecguard.front.milvus.translation import call
from vecguard.policy.retention import RetentionRule
from vecguard.shield import Shield
from vecguard.upstream import Upstream

_QUERY: Final = rpc("Query")
_THOUSAND: Final = 1000


def kept(rule: RetentionRule, layout: Layout, now: float) -> str:
    """The expression at rest for rows that are kept; `now` in seconds since 1970.

    Raises:
        FailedPrecondition: their age cannot be told.
    """
    return f"{_column(rule, layout)} >= {_cutoff(rule, now)}"


def _told_by_writing(rule: RetentionRule, layout: Layout) -> bool:
    """Whether a row's age counts from its writing.

    Raises:
        FailedPrecondition: it would, but nobody took that down.
    """
    if rule.field is not None:
        return False
    if not layout.written:
        raise FailedPrecondition(
            "the collection was made without a retention by the time of writing, so nobody knows when its rows were "
            "written: carry it over to a new one (`vecguard migrate`), or name a `field` that tells"
        )
    return True


def _column(rule: RetentionRule, layout: Layout) -> str:
    if _told_by_writing(rule, layout):
        return WRITTEN_FIELD
    if rule.field is None or rule.clock == "datetime":
        raise FailedPrecondition(
            "retention by a `field` in Milvus needs a column of type INT64, and `clock: seconds` or `milliseconds`"
        )
    (name, *rest) = client_keys(rule.field)
    column = layout.columns.get(name)
    if rest or column is None or column.role != "scalar" or column.data_type != INT64 or column.nullable:
        raise FailedPrecondition(f"retention needs a column `{rule.field}` of type INT64 that cannot be null")
    return name


def _cutoff(rule: RetentionRule, now: float) -> int:
    in_thousandths = rule.field is not None and rule.clock == "milliseconds"
    return int((now - rule.seconds) * (_THOUSAND if in_thousandths else 1))


async def sweep(
    upstream: Upstream, name: str, shield: Shield, rule: RetentionRule, now: float, *, dry_run: bool
) -> int:
    """Delete what is not kept any more; how many rows that are, or with `dry_run` would be.

    Raises:
        FailedPrecondition: see `kept`.
        UpstreamFailure: the database says no, or cannot be reached, or has not loaded the collection.
    """
    place = from_key(name)
    expired = f"{_column(rule, layout_of(shield))} < {_cutoff(rule, now)}"
    request = m.QueryRequest(
        db_name=place.database,
        collection_name=place.name,
        expr=conjunction(expired),
        output_fields=["count(*)"],
        consistency_level=c.ConsistencyLevel.Strong,
    )
    answer = await call(upstream, _QUERY, request, m.QueryResults, shield)
    found = next((int(number) for data in answer.fields_data for number in data.scalars.long_data.data), 0)
    if found and not dry_run:
        ask = m.DeleteRequest(db_name=place.database, collection_name=place.name, expr=expired)
        await call(upstream, rpc("Delete"), ask, m.MutationResult, shield)
    return found
