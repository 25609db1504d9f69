"""Rows where each tenant has keys of its own: whose each row is, and the rows of a tenant at rest.

A row says in a column whose it is, or its writer does by an attribute; the number of the key that the row was written
under lies in the hidden column `_vgk`. Rows are written whole, so that all of a row is under its tenant's key.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from vecguard.catalog import Entry
from vecguard.errors import InvalidArgument
from vecguard.fields import client_keys
from vecguard.front.milvus.columns import scalars
from vecguard.front.milvus.expression import not_in, pk_in
from vecguard.front.milvus.layout import TENANT_FIELD, TENANT_TYPES, Layout
from vecguard.front.milvus.place import from_key
from vecguard.front.milvus.proto import c, m, rpc
from vecguard.front.milvus.rows import by_name
from vecguard.front.milvus.translation import call
from vecguard.model import Value
from vecguard.new_tenants import tenant_keys
from vecguard.policy.tenants import TenantRule
from vecguard.session import Session
from vecguard.shield import Shield
from vecguard.tenancy import Tenancy
from vecguard.upstream import Upstream

Write: TypeAlias = m.InsertRequest | m.UpsertRequest

_NO_KEY: Final = -1
"""What no row has for its key."""


def require_tenants(rule: TenantRule, layout: Layout, entry: str) -> None:
    """Refuse a rule by a field that does not say of every row whose it is.

    Raises:
        InvalidArgument: it is no column, or that can be null, be left out, or lie in a JSON value.
    """
    if rule.field is None:
        return
    (name, *rest) = client_keys(rule.field)
    column = layout.columns.get(name)
    if rest or column is None or column.role != "scalar" or column.data_type not in TENANT_TYPES:
        raise InvalidArgument(
            f"{entry}.tenant_keys needs a column `{rule.field}` of type VARCHAR, BOOL or INT8 to INT64: "
            "invalid parameter"
        )
    if column.nullable or column.default is not None:
        raise InvalidArgument(
            f"field {name} says whose a row is, so it can neither be null nor have a default: invalid parameter"
        )


async def shields_of(request: Write, entry: Entry, layout: Layout, session: Session) -> list[Shield] | None:
    """What each row of a write is protected with; None where all rows are under the collection's own keys.

    Raises:
        InvalidArgument: a row, or its writer, does not say whose it is.
        TenantShredded: its tenant's keys were destroyed.
    """
    shield = entry.shield
    if shield is None or shield.tenancy is None:
        return None
    field = shield.tenancy.field
    if field is None:
        values: Sequence[Any] = [_callers(entry, shield.tenancy, session)] * request.num_rows
    else:
        values = _values(request, layout, field[0])
    under = {value: shield.under(await tenant_keys(session, entry, value)) for value in dict.fromkeys(values)}
    return [under[value] for value in values]


def _callers(entry: Entry, tenancy: Tenancy, session: Session) -> Value:
    if entry.asked not in session.tenants:
        raise InvalidArgument(
            "whose these rows are is for the caller to say: only callers with the attribute "
            f"`{tenancy.rule.attribute}` can write here: invalid parameter"
        )
    return session.tenants[entry.asked]


def _values(request: Write, layout: Layout, name: str) -> Sequence[Any]:
    column, data = layout.columns.get(name), by_name(layout, request.fields_data).get(name)
    if column is None or data is None or data.type != column.data_type:
        raise InvalidArgument(f"every row needs field {name}, which says whose it is: invalid parameter")
    values = scalars(data, column.data_type, request.num_rows)
    if len(values.rows) != request.num_rows:
        raise InvalidArgument(f"field {name} says whose a row is, so it cannot be null: invalid parameter")
    return [bool(one) if isinstance(one, bool) else one for one in values.elements]


def of_keys(numbers: Iterable[int]) -> str:
    """The expression at rest for rows under these keys; for none of them where there are no keys."""
    return pk_in(TENANT_FIELD, sorted(numbers) or [_NO_KEY])


def without_keys(numbers: Iterable[int]) -> str:
    """The expression at rest for rows under none of these keys."""
    return not_in(TENANT_FIELD, sorted(numbers))


async def delete_of(upstream: Upstream, name: str, shield: Shield, numbers: Sequence[int]) -> int:
    """Delete the rows that were written under these keys; see `vecguard.front.base.DeleteOf`.

    The collection has to be loaded.
    """
    place, wanted = from_key(name), of_keys(numbers)
    request = m.QueryRequest(
        db_name=place.database,
        collection_name=place.name,
        expr=wanted,
        output_fields=["count(*)"],
        consistency_level=c.ConsistencyLevel.Strong,
    )
    answer = await call(upstream, rpc("Query"), request, m.QueryResults, shield)
    found = next((int(number) for data in answer.fields_data for number in data.scalars.long_data.data), 0)
    if found:
        ask = m.DeleteRequest(db_name=place.database, collection_name=place.name, expr=wanted)
        await call(upstream, rpc("Delete"), ask, m.MutationResult, shield)
    return found
