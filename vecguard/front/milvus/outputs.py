"""Output fields of reads: what to ask the database for, so that what the client asked for can be opened."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from vecguard.errors import InvalidArgument
from vecguard.fields import Fields
from vecguard.front.milvus.layout import META, Layout, is_hidden
from vecguard.policy.paths import render

_STARS: Final = frozenset({"*", "%"})
# Aggregations as Milvus writes them; `count` needs no value, the others compute with values.
_AGGREGATE: Final = re.compile(r"\s*(count|sum|avg|min|max)\s*\(\s*([^()\s]+)\s*\)\s*", re.IGNORECASE)


def stored_outputs(layout: Layout, names: Iterable[str]) -> list[str]:
    """Output fields to ask for: the client's, and the hidden ones that it takes to open them.

    Raises:
        InvalidArgument: a hidden field is asked for, in Milvus' words.
    """
    asked = [name.strip() for name in names]  # as Milvus reads them
    extra: list[str] = []
    for name in asked:
        if is_hidden(_root(name)):
            raise InvalidArgument(f"field {name} not exist: invalid parameter")
        extra.extend(layout.hidden if name in _STARS else layout.needs_record(name))
    return list(dict.fromkeys([*asked, *extra]))


def _root(name: str) -> str:
    """The first key of an output field, which may be written `$meta["k"]`, and may have spaces around it."""
    bare = name.strip()
    if bare.startswith("$meta[") and len(bare) > len("$meta['"):
        return bare[len("$meta['") :]
    return bare


def dynamic_keys(layout: Layout, names: Iterable[str]) -> frozenset[str] | None:
    """The dynamic fields among output fields; None where all of them may be meant."""
    others = [name.strip() for name in names if name.strip() not in layout.columns]
    everything = any(name in _STARS or name == META or not name.isidentifier() for name in others)
    return None if everything or not others else frozenset(others)


def client_outputs(names: Iterable[str]) -> list[str]:
    """The output fields of an answer without the hidden ones."""
    return [name for name in names if not is_hidden(name)]


def aggregate_of(name: str) -> tuple[str, str] | None:
    """Function and field of an aggregation among output fields (`count(*)`, `sum(price)`); None for other names."""
    found = _AGGREGATE.fullmatch(name)
    return None if found is None else (found[1].lower(), found[2])


def require_aggregates(names: Sequence[str], layout: Layout, fields: Fields) -> list[str]:
    """The aggregations among output fields, if the database can compute them on what is stored.

    Raises:
        InvalidArgument: one needs values of a field that is not plain; names field, mode and policy entry.
    """
    found = []
    for name in names:
        aggregate = aggregate_of(name)
        if aggregate is None:
            continue
        function, field = aggregate
        if is_hidden(field):
            raise InvalidArgument(f"field {field} not exist: invalid parameter")
        if function != "count":
            require_plain(field, layout, fields, f"the aggregation {function}")
        found.append(name)
    return found


def require_plain(field: str, layout: Layout, fields: Fields, what: str, *, equality: bool = False) -> None:
    """Go on only where the database can do `what` with a field; with `equality`, a searchable one will do.

    Raises:
        InvalidArgument: it cannot; names field, mode and policy entry.
    """
    column = layout.columns.get(field)
    if column is not None and column.role in ("primary", "open_vector"):
        return
    if column is not None and column.role in ("json", "dense", "sparse"):
        raise InvalidArgument(f"{what} cannot be answered on field `{field}`: it is protected as a whole")
    fields.require(render((field,)), (), ("plain", "searchable") if equality else ("plain",), what)
