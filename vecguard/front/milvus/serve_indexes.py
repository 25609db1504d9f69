"""Serving Milvus' index RPCs: on what is stored an index is made only where it can answer something."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeVar

from vecguard.errors import InvalidArgument
from vecguard.fields import Keys
from vecguard.front.milvus.layout import META, VARCHAR, Column, Layout, is_hidden, layout_of
from vecguard.front.milvus.place import place_of
from vecguard.front.milvus.planted import planted_there
from vecguard.front.milvus.proto import c, m, rpc
from vecguard.front.milvus.status import ask
from vecguard.pipeline import Session
from vecguard.policy.paths import render
from vecguard.shield import Shield

Described = TypeVar("Described", m.DescribeIndexResponse, m.GetIndexStatisticsResponse)

_INDEX_TYPE: Final = "index_type"
# What Milvus lets clients alter of an index (`indexparamcheck.IsConfigableIndexParam`), and its newer `warmup`.
_SETTINGS: Final = ("mmap.enabled", "indexoffsetcache.enabled", "warmup")
# Milvus' index for numbers, and the one for texts that takes its place where numbers are stored as tokens. Neither can
# be made on a column of the other type, so that the way back is certain.
_NUMBERS: Final = "STL_SORT"
_TEXTS: Final = "Trie"
_STEP: Final = re.compile(r"""\[\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|(\d+))\s*\]""")


async def create_index(request: m.CreateIndexRequest, session: Session) -> c.Status:
    """`CreateIndex`."""
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "write", of_all=True)
    if entry.shield is not None:
        _prepare(request, layout_of(entry.shield), entry.shield)
    try:
        return await ask(session, rpc("CreateIndex"), request, c.Status)
    finally:
        session.catalog.forget()  # searches remember the metrics of indexes as long as an entry is trusted


async def alter_index(request: m.AlterIndexRequest, session: Session) -> c.Status:
    """`AlterIndex`: settings by which an index is loaded.

    Raises:
        InvalidArgument: another one on a protected collection, which might hold a path or a value in clear.
    """
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "write", of_all=True)
    if entry.shield is not None:
        for key in (*(pair.key for pair in request.extra_params), *request.delete_keys):
            if key not in _SETTINGS:
                raise InvalidArgument(
                    f"{key} cannot be altered on an index of a protected collection, only {', '.join(_SETTINGS)}: "
                    "invalid parameter"
                )
    try:
        return await ask(session, rpc("AlterIndex"), request, c.Status)
    finally:
        session.catalog.forget()


def _prepare(request: m.CreateIndexRequest, layout: Layout, shield: Shield) -> None:
    """Turn the request into that for the stored column, in place.

    Raises:
        InvalidArgument: no index on what is stored could answer anything, or it is not understood.
    """
    name = request.field_name
    if is_hidden(name):
        raise InvalidArgument(f"cannot create index on non-exist field: {name}: invalid parameter")
    column = layout.columns.get(name)
    if column is None or column.role == "json":
        _require_path_index(request, name, column, shield)
    elif column.protected and column.role in ("scalar", "array"):
        shield.fields.require(render((name,)), (), ("plain", "searchable"), "an index")
        _require_equality_index(request)
        if column.role == "scalar" and column.data_type != VARCHAR:
            _swap(request.extra_params, _NUMBERS, _TEXTS)


def _require_equality_index(request: m.CreateIndexRequest) -> None:
    kind = next((pair.value for pair in request.extra_params if pair.key == _INDEX_TYPE), "")
    if kind.upper() == "NGRAM":
        raise InvalidArgument(
            f"an index of type {kind} on field {request.field_name} needs its text: give it mode plain"
        )


def _require_path_index(request: m.CreateIndexRequest, name: str, column: Column | None, shield: Shield) -> None:
    """An index on a path within JSON, whose leaf has a mode of its own; searchable leaves are texts at rest."""
    params = {pair.key: pair.value for pair in request.extra_params}
    keys = _path_keys(params.get("json_path", ""), name, column)
    mode = shield.fields.require(render(keys), (), ("plain", "searchable"), "an index") if keys else "plain"
    if mode == "searchable" and params.get("json_cast_type", "").strip().lower() != "varchar":
        raise InvalidArgument(
            f"an index on {params.get('json_path') or name}, whose mode is searchable, needs json_cast_type varchar"
        )


def _path_keys(path: str, name: str, column: Column | None) -> Keys:
    """The keys of an index's JSON path, which begins with its column (`meta["a"]["b"]`, a dynamic key alone)."""
    root, rest = re.match(r"[^\[]*", path), ""
    head = (root[0].strip() if root else "") or name
    rest = path[len(root[0]) :] if root and path else ""
    steps: list[str] = []
    at = 0
    while found := _STEP.match(rest, at):
        steps.extend(key for key in (found[1], found[2]) if key is not None)
        at = found.end()
    if rest[at:].strip() or any("\\" in key for key in steps):
        raise InvalidArgument(f"json_path {path} is not understood: invalid parameter")
    keys = (*(() if head == META else (head,)), *steps)
    if any(is_hidden(key) for key in keys[:1]):
        raise InvalidArgument(f"cannot create index on non-exist field: {keys[0]}: invalid parameter")
    if column is not None and head != column.name:
        raise InvalidArgument(f"json_path {path} does not begin with field {column.name}: invalid parameter")
    return keys


def _swap(pairs: object, old: str, new: str) -> None:
    for pair in pairs:  # type: ignore[attr-defined]  # a repeated field of pairs
        if pair.key == _INDEX_TYPE and pair.value.lower() == old.lower():
            pair.value = new


async def describe_index(request: m.DescribeIndexRequest, session: Session) -> m.DescribeIndexResponse:
    """`DescribeIndex`."""
    return await _described("DescribeIndex", request, m.DescribeIndexResponse, session)


async def index_statistics(request: m.GetIndexStatisticsRequest, session: Session) -> m.GetIndexStatisticsResponse:
    """`GetIndexStatistics`."""
    return await _described("GetIndexStatistics", request, m.GetIndexStatisticsResponse, session)


async def _described(
    method: str, request: m.DescribeIndexRequest | m.GetIndexStatisticsRequest, reply: type[Described], session: Session
) -> Described:
    place = place_of(request.db_name, request.collection_name, session.metadata)
    entry = await session.open(place.key, "read", of_all=True)
    answer = await ask(session, rpc(method), request, reply)
    if entry.shield is not None:
        _show(answer.index_descriptions, layout_of(entry.shield))
        hidden = await planted_there(place, entry, session)
        for description in answer.index_descriptions if hidden else ():
            description.indexed_rows = max(description.indexed_rows - hidden, 0)
            description.total_rows = max(description.total_rows - hidden, 0)
    return answer


def _show(descriptions: Iterable[m.IndexDescription], layout: Layout) -> None:
    """Turn descriptions of indexes into those that the client asked for, in place."""
    for description in descriptions:
        column = layout.columns.get(description.field_name)
        if column is not None and column.protected and column.role == "scalar" and column.data_type != VARCHAR:
            _swap(description.params, _TEXTS, _NUMBERS)
