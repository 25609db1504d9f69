"""Retention at rest: which stored rows are kept, and deleting those that are not.

A row's age is told by a column of whole numbers that the policy names; there is no column of ours for it.
"""

from __future__ import annotations

from typing import Final

from vecguard.errors import FailedPrecondition
from vecguard.fields import client_keys
from vecguard.front.milvus.expression import conjunction
from vecguard.front.milvus.layout import INT64, Layout, layout_of
from vecguard.front.milvus.place import from_key
from vecguard.front.milvus.proto import c, m, rpc
from vecguard.front.milvus.status import checked
from vecguard.model import Caller
from vecguard.policy.retention import RetentionRule
from vecguard.shield import Shield
from vecguard.upstream import Upstream

_CALLER: Final = Caller()
_QUERY: Final = rpc("Query")
_THOUSAND: Final = 1000


def kept(rule: RetentionRule, layout: Layout, now: float) -> str:
    """The expression at rest for rows that are kept; `now` in seconds since 1970.

    Raises:
        FailedPrecondition: their age cannot be told.
    """
    return f"{_column(rule, layout)} >= {_cutoff(rule, now)}"


def _column(rule: RetentionRule, layout: Layout) -> str:
    if rule.field is None or rule.clock == "datetime":
        raise FailedPrecondition(
            "retention in Milvus needs a `field`, a column of type INT64, and `clock: seconds` or `milliseconds`; for "
            "times of writing there is Milvus' own property `collection.ttl.seconds`"
        )
    (name, *rest) = client_keys(rule.field)
    column = layout.columns.get(name)
    if rest or column is None or column.role != "scalar" or column.data_type != INT64 or column.nullable:
        raise FailedPrecondition(f"retention needs a column `{rule.field}` of type INT64 that cannot be null")
    return name


def _cutoff(rule: RetentionRule, now: float) -> int:
    return int((now - rule.seconds) * (_THOUSAND if rule.clock == "milliseconds" else 1))


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
    answer = checked(await upstream.call(_QUERY, request, m.QueryResults, _CALLER))
    found = next((int(number) for data in answer.fields_data for number in data.scalars.long_data.data), 0)
    if found and not dry_run:
        ask = m.DeleteRequest(db_name=place.database, collection_name=place.name, expr=expired)
        checked(await upstream.call(rpc("Delete"), ask, m.MutationResult, _CALLER))
    return found
