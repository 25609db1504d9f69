"""The bridge from a collection's layout to the rewriting of filter expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from vecguard.front.milvus import layout as declared
from vecguard.front.milvus.expression import Column, Columns, Rewritten, conjunction
from vecguard.front.milvus.expression import rewrite as rewrite_expression
from vecguard.front.milvus.layout import Layout, record_field
from vecguard.front.milvus.proto import s
from vecguard.front.milvus.stored_keys import require_equality
from vecguard.shield import Shield
from vecguard.stages import timed


def columns_of(layout: Layout) -> Columns:
    """What an expression may name."""
    by_name = {
        name: Column(name, name, column.data_type, column.element_type, primary_key=column.role == "primary")
        for name, column in layout.columns.items()
    }
    return Columns(by_name, layout.dynamic)


@timed("protect")
def rewrite(
    expression: str,
    templates: Mapping[str, s.TemplateValue],
    layout: Layout,
    shield: Shield,
    *,
    cursor: bool = False,
) -> Rewritten:
    """A client's expression as it is at rest. Template values go into its text, as not every server knows them.

    `cursor`: it is one of an iterator, which may ask for what comes after one primary key.

    Raises:
        InvalidArgument: it is not understood, or a field's mode cannot answer it.
    """
    rewritten = rewrite_expression(expression, columns_of(layout), shield.fields, templates, inline=True)
    if shield.ids is not None:
        require_equality(rewritten.text, layout.primary, cursor=cursor)
    return rewritten


def with_a_vector(expression: Rewritten, searched: declared.Column) -> Rewritten:
    """The stored expression for rows that have a vector: Milvus Lite searches nulls, too, as if they were zeros.

    The record of a vector is null where the vector is.
    """
    if not searched.nullable or searched.role not in ("dense", "sparse"):
        return expression
    there = f"{record_field(searched.name)} is not null"
    return replace(expression, text=conjunction(expression.text, there))
