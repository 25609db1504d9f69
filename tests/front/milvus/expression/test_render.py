"""Trees are written so that they are read back as they were, by us and by Milvus Lite."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from milvus_lite.search.filter import parse_expr

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression.parse import parse
from vecguard.front.milvus.expression.render import render, write_ref
from vecguard.front.milvus.expression.tree import (
    And,
    Arithmetic,
    Between,
    Call,
    Compare,
    Exists,
    Listed,
    Literal,
    Literals,
    Match,
    Member,
    Not,
    Null,
    Or,
    Placeholder,
    Ref,
    Timestamp,
    children,
    rebuilt,
    walk,
)

from .strategies import expressions

NAMES = st.sampled_from(["a", "b_1", "_c", "order", "inn", "nothing"])
KEYS = st.text(min_size=1, max_size=5).filter(lambda key: "][" not in key)
REFS = st.builds(Ref, NAMES, st.lists(KEYS | st.integers(0, 99), max_size=3).map(tuple))
META = st.builds(lambda key, more: Ref("$meta", (key, *more)), KEYS, st.lists(KEYS, max_size=2))
STRINGS = st.text(max_size=8).map(Literal)
NUMBERS = st.sampled_from(
    [Literal(1, "1"), Literal(-2, "-2"), Literal(16, "0x10"), Literal(1.5, "1.5"), Literal(-1e3, "-1e3")]
)
BOOLEANS = st.sampled_from([Literal(True, "true"), Literal(False, "FALSE")])
CONSTANTS = STRINGS | NUMBERS | BOOLEANS
PLACEHOLDERS = st.builds(Placeholder, NAMES)
LISTS = st.builds(Literals, st.lists(CONSTANTS, max_size=3).map(tuple)) | st.builds(
    lambda constants, place: Listed((*constants, place)), st.lists(CONSTANTS, max_size=2), PLACEHOLDERS
)
OPERANDS = st.recursive(
    REFS | META | CONSTANTS | PLACEHOLDERS,
    lambda inner: st.builds(
        lambda first, op, rest: Arithmetic(first, tuple((op, part) for part in rest)),
        inner,
        st.sampled_from(["+", "-", "*", "/", "%", "&", "|", "^"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)
COMPARISONS = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
CONDITIONS = (
    st.builds(Compare, COMPARISONS, OPERANDS, OPERANDS)
    | st.builds(Between, OPERANDS, st.sampled_from(["<", "<="]), OPERANDS, st.sampled_from(["<", "<="]), OPERANDS)
    | st.builds(Member, OPERANDS, LISTS | PLACEHOLDERS, st.booleans())
    | st.builds(Match, st.sampled_from(["like", "=~", "!~"]), OPERANDS, STRINGS)
    | st.builds(Null, REFS | META, st.booleans())
    | st.builds(Exists, REFS | META)
    | st.builds(lambda ref, value: Call("json_contains", (ref, value)), REFS, CONSTANTS | LISTS)
    | st.builds(lambda ref, value: Call("text_match", (ref, value), (("minimum_should_match", 2),)), REFS, STRINGS)
    | st.builds(
        lambda ref, text: Compare(">", Arithmetic(ref, (("+", Timestamp("INTERVAL", "P1D")),)), Timestamp("ISO", text)),
        REFS,
        st.text(max_size=5),
    )
    | REFS
)


def several(kind, inner):
    """A node of two or more operands of which none is of the same kind, as parsing makes them."""
    return st.lists(inner.filter(lambda node: not isinstance(node, kind)), min_size=2, max_size=3).map(
        lambda parts: kind(tuple(parts))
    )


TREES = st.recursive(
    CONDITIONS, lambda inner: several(And, inner) | several(Or, inner) | st.builds(Not, inner), max_leaves=5
)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_what_is_written_is_read_back(tree):
    assert parse(render(tree)) == tree


@settings(max_examples=60, deadline=None)
@given(expressions("mixed"))
def test_lite_reads_what_is_written_as_it_reads_what_the_client_wrote(text):
    def shape(node):
        """A tree of Lite without its positions."""
        if isinstance(node, tuple):
            return tuple(map(shape, node))
        fields = getattr(node, "__dataclass_fields__", None)
        if fields is None:
            return node
        return (type(node).__name__, *(shape(getattr(node, name)) for name in fields if name != "pos"))

    def flat(node):
        """The same, with conjunctions in conjunctions (and so on) merged, as writing does."""
        if not isinstance(node, tuple):
            return node
        inner = tuple(map(flat, node))
        if inner and inner[0] in ("And", "Or"):
            return (inner[0], tuple(p for part in inner[1] for p in (part[1] if part[0] == inner[0] else (part,))))
        return inner

    assert flat(shape(parse_expr(render(parse(text))))) == flat(shape(parse_expr(text)))


@given(st.text())
def test_lite_reads_every_text_as_it_was(value):
    node = parse_expr(render(Compare("==", Ref("a", (value or "k",)), Literal(value))))
    assert node.right.value == value
    assert node.left.path == (value or "k",)


@settings(max_examples=30, deadline=None)
@given(TREES)
def test_a_tree_is_its_children(tree):
    assert rebuilt(tree, lambda node: node) == tree
    nodes = list(walk(tree))
    assert nodes[0] == (1, tree)
    assert len(nodes) == 1 + sum(len(list(walk(child))) for child in children(tree))


@pytest.mark.parametrize("root", ["", "a b", "$other", "$meta2", "a.b", "é", "1a", 'a["b"]'])
def test_what_is_no_name_is_not_written(root):
    with pytest.raises(InvalidArgument, match="invalid identifier"):
        write_ref(root)
