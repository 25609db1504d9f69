"""Milvus' filter expressions: parsed, moved to what is stored, and written again.

`rewrite` turns a client's expression into its stored form; `conjunction`, `pk_in` and `not_in` make and join stored
ones; `identifiers`, `named_ids`, `keys_named` and `samples` say what an expression is about.
"""

from vecguard.front.milvus.expression.build import (
    conjunction,
    identifiers,
    keys_named,
    named_ids,
    not_in,
    pk_in,
    samples,
    shape_of,
)
from vecguard.front.milvus.expression.columns import Column, Columns
from vecguard.front.milvus.expression.rewrite import Rewritten, rewrite

__all__ = [
    "Column",
    "Columns",
    "Rewritten",
    "conjunction",
    "identifiers",
    "keys_named",
    "named_ids",
    "not_in",
    "pk_in",
    "rewrite",
    "samples",
    "shape_of",
]
