"""Which rows lie under other than the current keys, told by the heads of what is sealed in them, and whose they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from vecguard.errors import InvalidArgument, TenantShredded, Unreadable
from vecguard.fields import LABELS, Fields, Keys
from vecguard.front.milvus import columns as wire
from vecguard.front.milvus.columns import row_count
from vecguard.front.milvus.layout import INT64, JSON, TENANT_FIELD, VARCHAR, WRITTEN_FIELD, Layout, is_hidden
from vecguard.front.milvus.proto import s
from vecguard.seal.envelope import epoch_of, from_text
from vecguard.seal.record import decode
from vecguard.shield import Shield


def is_stale(shield: Shield, layout: Layout, row: Sequence[s.FieldData]) -> bool:
    """Whether any part of a row lies under older keys; True also where that cannot be told, as it does not open."""
    try:
        return not all(shield.ring.is_current(one) for data in row for one in _named(shield.fields, layout, data))
    except (Unreadable, InvalidArgument, TenantShredded, ValueError):
        return True


def tenants_keys(shield: Shield, layout: Layout, row: Sequence[s.FieldData]) -> tuple[int, ...] | None:
    """Numbers of all keys of a row's tenant, the one that is sealed with first; None where tenants have none.

    Raises:
        Unreadable: the row does not say whose it is, or a part of it is another tenant's.
        TenantShredded: the tenant's keys were destroyed.
    """
    if shield.tenancy is None:
        return None
    said = [number for data in row if data.field_name == TENANT_FIELD for number in _numbers(data)]
    numbers = shield.tenancy.keys.siblings(said[0] if said else 0)
    under = (one for data in row for one in _named(shield.fields, layout, data))
    if any(shield.ring.is_tenants(one) and one not in numbers for one in under):
        raise Unreadable
    return numbers


def _numbers(data: s.FieldData) -> Sequence[int]:
    return wire.scalars(data, INT64, row_count(data)).elements


def _named(fields: Fields, layout: Layout, data: s.FieldData) -> Iterator[int]:
    """The epoch, or number of a tenant's key, that each sealed thing in a column of one row names."""
    name = data.field_name
    column = layout.columns.get(name)
    if name.startswith(LABELS) or name == WRITTEN_FIELD:
        return  # written together with the values that they are of; the time is not sealed
    if name == TENANT_FIELD:
        yield from _numbers(data)
    elif is_hidden(name):
        for text in wire.scalars(data, VARCHAR, row_count(data)).elements:
            yield from (epoch_of(entry) for entry in decode(text).entries.values())
    elif data.is_dynamic or (column is not None and column.role == "json"):
        for content in wire.scalars(data, JSON, row_count(data)).elements:
            yield from _json_named(json.loads(content), () if data.is_dynamic else (name,), fields)
    elif column is None or not column.protected or column.role in ("dense", "sparse"):
        return
    elif column.role == "array":
        for texts in wire.arrays(data, VARCHAR, row_count(data)).elements:
            yield from (epoch_of(from_text(text)) for text in texts)
    else:
        yield from (epoch_of(from_text(text)) for text in wire.scalars(data, VARCHAR, row_count(data)).elements)


def _json_named(content: Any, keys: Keys, fields: Fields) -> Iterator[int]:
    if isinstance(content, dict):
        for key, inner in content.items():
            if key.startswith(LABELS) and fields.labels_at is not None:
                continue
            yield from _json_named(inner, (*keys, key), fields)
    elif isinstance(content, list):
        for inner in content:
            yield from _json_named(inner, keys, fields)
    elif isinstance(content, str) and fields.mode(keys) != "plain":
        yield epoch_of(from_text(content))
