"""Retention at rest: which stored points are kept, and deleting those that are not.

A point's write time is the whole number `_vgt` beside its payload, seconds since 1970. It is there where the policy had
a retention when the point was written whole; a point without it, and without the policy's field, has no known age and
is kept.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from qdrant_client import grpc as q

from vecguard.front.qdrant.scope import WRITTEN, stored_path
from vecguard.front.qdrant.translation import call
from vecguard.model import Caller
from vecguard.policy.retention import RetentionRule
from vecguard.shield import Shield
from vecguard.upstream import Upstream

_CALLER: Final = Caller()
_THOUSAND: Final = 1000


def kept(rule: RetentionRule, now: float) -> q.Filter:
    """The stored filter for points that are kept; `now` in seconds since 1970."""
    return q.Filter(must_not=[q.Condition(filter=expired(rule, now))])


def expired(rule: RetentionRule, now: float) -> q.Filter:
    """The stored filter for points that are not kept any more."""
    cutoff = now - rule.seconds
    written = q.Condition(field=q.FieldCondition(key=WRITTEN, range=q.Range(lt=cutoff)))
    if rule.field is None:
        return q.Filter(must=[written])
    key = stored_path(rule.field)
    told = q.FieldCondition(key=key)
    if rule.clock == "datetime":
        moment = Timestamp()
        moment.FromDatetime(datetime.fromtimestamp(cutoff, UTC))
        told.datetime_range.lt.CopyFrom(moment)
    else:
        told.range.lt = cutoff * (_THOUSAND if rule.clock == "milliseconds" else 1)
    untold = q.Filter(must=[q.Condition(is_empty=q.IsEmptyCondition(key=key)), written])
    return q.Filter(should=[q.Condition(field=told), q.Condition(filter=untold)])


async def sweep(
    upstream: Upstream, name: str, shield: Shield, rule: RetentionRule, now: float, *, dry_run: bool
) -> int:
    """Delete what is not kept any more; how many points that are, or with `dry_run` would be.

    Raises:
        UpstreamFailure: the database says no, or cannot be reached.
    """
    gone = expired(rule, now)
    count = q.CountPoints(collection_name=name, filter=gone, exact=True)
    found = (await call(upstream, "/qdrant.Points/Count", count, q.CountResponse, shield)).result.count
    if not dry_run:
        await _index(upstream, name)
    if found and not dry_run:
        ask = q.DeletePoints(collection_name=name, points=q.PointsSelector(filter=gone), wait=True)
        await call(upstream, "/qdrant.Points/Delete", ask, q.PointsOperationResponse, shield)
    return found


async def _index(upstream: Upstream, name: str) -> None:
    """Make what every read asks for quick to find; making it again does nothing."""
    ask = q.CreateFieldIndexCollection(
        collection_name=name, field_name=WRITTEN, field_type=q.FieldType.FieldTypeInteger, wait=True
    )
    await upstream.call("/qdrant.Points/CreateFieldIndex", ask, q.PointsOperationResponse, _CALLER)
