"""Rows chosen from the columns of several answers: what a search keeps of the candidates that it read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from vecguard.errors import Unreadable
from vecguard.front.milvus.proto import s


class RowPlace(NamedTuple):
    """A row of an answer: the answer's number among those that were read, and the row's in it."""

    page: int
    row: int


# Bytes of one component, times 8.
_BITS: Final = {"binary_vector": 1, "int8_vector": 8, "float16_vector": 16, "bfloat16_vector": 16}


def chosen_rows(columns: Sequence[s.FieldData], places: Sequence[RowPlace]) -> s.FieldData:
    """One column with the rows at `places`, from the same column of each page.

    Nulls of scalar columns have an element, nulls of vector columns may have none (see `columns.py`).

    Raises:
        Unreadable: a page's column lacks a row, or is of a kind that no search answers with.
    """
    first = columns[0]
    taken = s.FieldData(
        type=first.type, field_name=first.field_name, field_id=first.field_id, is_dynamic=first.is_dynamic
    )
    marks = [list(column.valid_data) for column in columns]
    if any(marks):
        taken.valid_data.extend([not marks[page] or marks[page][row] for page, row in places])
    try:
        if any(column.HasField("vectors") for column in columns):
            _take_vectors(columns, marks, places, taken.vectors)
        else:
            _take_scalars(columns, places, taken.scalars)
    except IndexError:
        raise Unreadable from None
    return taken


def _take_scalars(columns: Sequence[s.FieldData], places: Sequence[RowPlace], taken: s.ScalarField) -> None:
    kind = next((found for column in columns if (found := column.scalars.WhichOneof("data"))), None)
    if kind is None:
        if places:
            raise Unreadable
        return
    getattr(taken, kind).SetInParent()
    if kind == "array_data":
        taken.array_data.element_type = columns[0].scalars.array_data.element_type
    held = [getattr(column.scalars, kind).data for column in columns]
    getattr(taken, kind).data.extend([held[page][row] for page, row in places])


def _take_vectors(
    columns: Sequence[s.FieldData], marks: Sequence[Sequence[bool]], places: Sequence[RowPlace], taken: s.VectorField
) -> None:
    vectors = [column.vectors for column in columns]
    kind = next((found for held in vectors if (found := held.WhichOneof("data"))), None)
    if kind is None:
        if places:
            raise Unreadable
        return
    taken.dim = max(held.dim for held in vectors)
    cut, count = _cutter(kind, vectors)
    compact = [_compact_rows(mark, count(page)) for page, mark in enumerate(marks)]
    wanted = [
        (page, row if (rows := compact[page]) is None else rows[row])
        for page, row in places
        if not marks[page] or marks[page][row]
    ]
    parts = [cut(page, row) for page, row in wanted]
    if kind == "sparse_float_vector":
        taken.sparse_float_vector.contents.extend(parts)
        taken.sparse_float_vector.dim = taken.dim
    elif kind == "float_vector":
        taken.float_vector.data.extend([number for part in parts for number in part])
    else:
        setattr(taken, kind, b"".join(parts))


def _compact_rows(marks: Sequence[bool], count: int) -> list[int] | None:
    """Which element is each row's where nulls have none; None where every row has its own."""
    if not marks or count == len(marks):
        return None
    return [before - 1 for before in accumulate(marks)]


def _cutter(kind: str, vectors: Sequence[s.VectorField]) -> tuple[Callable[[int, int], Any], Callable[[int], int]]:
    """How to cut one vector out of a page, and to count a page's vectors."""
    if kind == "sparse_float_vector":
        contents = [held.sparse_float_vector.contents for held in vectors]
        return lambda page, row: contents[page][row], lambda page: len(contents[page])
    if kind == "float_vector":
        data, width = [held.float_vector.data for held in vectors], max(held.dim for held in vectors)
    elif kind in _BITS:
        data = [getattr(held, kind) for held in vectors]
        width = max(held.dim for held in vectors) * _BITS[kind] // 8
    else:
        raise Unreadable

    def cut(page: int, row: int) -> Any:
        part = data[page][row * width : (row + 1) * width]
        if len(part) != width:
            raise Unreadable
        return part

    return cut, lambda page: len(data[page]) // max(width, 1)
