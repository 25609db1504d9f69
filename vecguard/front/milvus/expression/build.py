"""Expressions that the proxy itself makes, over names and values as they are at rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from vecguard.front.milvus.expression.columns import META
from vecguard.front.milvus.expression.literals import write_string
from vecguard.front.milvus.expression.parse import parse
from vecguard.front.milvus.expression.render import render, write_ref
from vecguard.front.milvus.expression.tree import And, Call, Compare, Literal, Literals, Member, Node, Ref, walk
from vecguard.front.milvus.expression.values import Value, constant
from vecguard.front.milvus.proto import s

_SAMPLE: Final = "random_sample"
_LEAST: Final = -(2**63)
_SECOND_LEAST: Final = _LEAST + 1


def pk_in(field: str, ids: Iterable[int | str]) -> str:
    """The rows with these primary keys; none where there are no ids.

    Raises:
        InvalidArgument: `field` is no name of a field.
    """
    name, listed, least = write_ref(field), *_ids(ids)
    return f"({name} in {listed} or {name} < {_SECOND_LEAST})" if least else f"{name} in {listed}"


def not_in(field: str, ids: Iterable[int | str]) -> str:
    """All rows but those with these primary keys.

    Raises:
        InvalidArgument: `field` is no name of a field.
    """
    name, listed, least = write_ref(field), *_ids(ids)
    return f"({name} not in {listed} and {name} >= {_SECOND_LEAST})" if least else f"{name} not in {listed}"


def conjunction(*texts: str) -> str:
    """The expression that holds where all of these hold; blank ones say nothing.

    Each is parsed, so that none can reach into another. A `random_sample` comes last, where Milvus wants it: it
    samples from the rows that the rest selects.

    Raises:
        InvalidArgument: one of them is no expression.
    """
    given = [text for text in texts if text.strip()]
    if len(given) <= 1:
        return render(parse(given[0])) if given else ""
    parts: list[Node] = []
    for text in given:
        tree = parse(text)
        parts += tree.operands if isinstance(tree, And) else (tree,)
    samples = [part for part in parts if isinstance(part, Call) and part.name == _SAMPLE]
    return render(And((*(part for part in parts if part not in samples), *samples)))


def identifiers(text: str) -> frozenset[str]:
    """Names of the fields and dynamic keys that an expression names, as their first key. Blank text names none.

    Raises:
        InvalidArgument: it is no expression.
    """
    if not text.strip():
        return frozenset()
    refs = [node for _, node in walk(parse(text)) if isinstance(node, Ref)]
    return frozenset(str(ref.steps[0]) if ref.root == META and ref.steps else ref.root for ref in refs)


def samples(text: str) -> bool:
    """Whether an expression draws rows at random.

    Raises:
        InvalidArgument: it is no expression.
    """
    nodes = walk(parse(text)) if text.strip() else ()
    return any(isinstance(node, Call) and node.name == _SAMPLE for _, node in nodes)


def named_ids(
    text: str, field: str, templates: Mapping[str, s.TemplateValue] | None = None
) -> tuple[int | str, ...] | None:
    """The primary keys that an expression of the form `field in [...]` or `field == x` names; None for another form.

    Raises:
        InvalidArgument: it is no expression, or a template value is missing.
    """
    if not text.strip():
        return None
    match parse(text):
        case Member(Ref(root, ()), values, False) if root == field:
            found = constant(values, templates or {})
        case Compare("==", Ref(root, ()), value) | Compare("==", value, Ref(root, ())) if root == field:
            found = [constant(value, templates or {})]  # type: ignore[list-item]
        case _:
            return None
    return _whole(found)


def keys_named(text: str, field: str, templates: Mapping[str, s.TemplateValue] | None = None) -> list[int | str]:
    """The primary keys that an expression compares with anywhere in it.

    Raises:
        InvalidArgument: it is no expression, or a template value is missing.
    """
    found: list[Value | None] = []
    for _, node in walk(parse(text)) if text.strip() else ():
        match node:
            case Member(Ref(root, ()), values, _) if root == field:
                found.append(constant(values, templates or {}))
            case Compare(_, Ref(root, ()), value) | Compare(_, value, Ref(root, ())) if root == field:
                found.append([constant(value, templates or {})])  # type: ignore[list-item]
            case _:
                pass
    return [key for values in found for key in _whole(values) or ()]


def _whole(values: Value | None) -> tuple[int | str, ...] | None:
    if not isinstance(values, list):
        return None
    ids = tuple(value for value in values if isinstance(value, int | str) and not isinstance(value, bool))
    return ids if len(ids) == len(values) else None


def _ids(ids: Iterable[int | str]) -> tuple[str, bool]:
    """The list of the ids, and whether the one integer is among them that Milvus 2.3 cannot read: -2^63."""
    given = list(ids)
    texts = [write_string(key) if isinstance(key, str) else str(key) for key in given if key != _LEAST]
    return f"[{', '.join(texts)}]", len(texts) < len(given)


def shape_of(text: str) -> str:
    """The structure of an expression: its nodes by depth and kind, and the places that it names, without constants.

    Raises:
        InvalidArgument: it is no expression.
    """
    found = [(depth, node) for depth, node in walk(parse(text)) if not isinstance(node, Literal | Literals)]
    return ",".join(f"{depth}{_shape(node)}" for depth, node in found)


def _shape(node: Node) -> str:
    """One node without what is below it."""
    if isinstance(node, Ref):
        return f"Ref {node.root}{''.join(f'[{step}]' for step in node.steps)}"
    if isinstance(node, Compare):
        return f"Compare {node.op}"
    return f"Call {node.name}" if isinstance(node, Call) else type(node).__name__
