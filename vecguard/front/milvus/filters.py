"""The bridge from a collection's layout to the rewriting of filter expressions."""

from __future__ import annotations

from collections.abc import Mapping

from vecguard.front.milvus.expression import Column, Columns, Rewritten
from vecguard.front.milvus.expression import rewrite as rewrite_expression
from vecguard.front.milvus.layout import Layout
from vecguard.front.milvus.proto import s
from vecguard.shield import Shield


def columns_of(layout: Layout) -> Columns:
    """What an expression may name."""
    by_name = {
        name: Column(name, name, column.data_type, column.element_type, primary_key=column.role == "primary")
        for name, column in layout.columns.items()
    }
    return Columns(by_name, layout.dynamic)


def rewrite(expression: str, templates: Mapping[str, s.TemplateValue], layout: Layout, shield: Shield) -> Rewritten:
    """A client's expression as it is at rest. Template values go into its text, as not every server knows them.

    Raises:
        InvalidArgument: it is not understood, or a field's mode cannot answer it.
    """
    return rewrite_expression(expression, columns_of(layout), shield.fields, templates, inline=True)
