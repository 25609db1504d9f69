"""The client's filter expression as the one that selects the same rows at rest.

Conditions on plain fields stay as they are. Equality on a searchable field is asked of its tokens, with the same
operator in the same place, so that nulls and missing keys count for what they counted before: `a == 5` becomes
`a == "t"`, or `a == "t" or a == "u"` where several stored values equal 5. What a mode cannot answer is refused, and so
is what is not understood: nothing of the client's text is sent that did not become part of the tree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vecguard.errors import InvalidArgument
from vecguard.fields import Fields
from vecguard.front.milvus.expression import ranges
from vecguard.front.milvus.expression.columns import Columns, place_of
from vecguard.front.milvus.expression.functions import CONTAINS, check_call, element_type
from vecguard.front.milvus.expression.parse import cannot_parse, parse
from vecguard.front.milvus.expression.render import render
from vecguard.front.milvus.expression.scope import Scope, Unanswerable
from vecguard.front.milvus.expression.tree import (
    And,
    Arithmetic,
    Between,
    Call,
    Compare,
    Comparison,
    Exists,
    Literal,
    Literals,
    Match,
    Member,
    Node,
    Not,
    Null,
    Or,
    Placeholder,
    Ref,
    Signed,
    rebuilt,
)
from vecguard.front.milvus.expression.values import Value, constant
from vecguard.front.milvus.proto import s

_TRUE: Final = Literal(True, "true")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """An expression in its stored form, with the template values that its placeholders still need."""

    text: str
    templates: Mapping[str, s.TemplateValue] = field(default_factory=dict)


def rewrite(
    text: str,
    columns: Columns,
    fields: Fields,
    templates: Mapping[str, s.TemplateValue] | None = None,
    *,
    inline: bool = False,
) -> Rewritten:
    """Turn a client's expression into its stored form. Blank text stays empty: it selects everything.

    Template values of plain fields travel on, or are written into the text with `inline`, for a server that knows no
    templates (Milvus before 2.5, Milvus Lite). Template values that nothing needs any more are left out.

    Raises:
        InvalidArgument: the text is not of the language, names what is not there, or a field's mode cannot answer it.
    """
    if not text.strip():
        return Rewritten("")
    tree = parse(text)
    scope = Scope(columns, fields, templates or {}, inline)
    try:
        return Rewritten(render(_condition(tree, scope)), scope.kept)
    except Unanswerable:
        raise
    except InvalidArgument as error:
        raise cannot_parse(text, str(error)) from None


def _condition(node: Node, scope: Scope) -> Node:
    """A node that says yes or no about a row."""
    match node:
        case And(operands):
            inner = scope.narrowed(operands)
            rewritten = And(tuple(_condition(part, inner) for part in operands))
            scope.asked = inner.asked
            return rewritten
        case Or(operands):
            return Or(tuple(_condition(part, scope) for part in operands))
        case Not(operand):
            return _denied(operand, scope)
        case Compare() | Between() | Member() if (labelled := ranges.asked(node, scope)) is not None:
            return labelled
        case Compare(op, Ref() as ref, other) | Compare(op, other, Ref() as ref) if op in ("==", "!="):
            return _equality(node, op, ref, other, scope)
        case Member(Ref() as ref, values, negated):
            return _member(ref, values, negated, scope)
        case Call(name, (Ref() as ref, value), ()) if name in CONTAINS:
            return _contains(name, ref, value, scope)
        case Ref():
            return _equality(node, "==", node, _TRUE, scope)
        case Compare() | Between() | Member() | Match() | Null() | Exists() | Call() | Placeholder() | Literal(bool()):
            return _plain(node, _what(node), scope)
        case _:
            raise InvalidArgument("predicate is not a boolean expression")


def _denied(node: Node, scope: Scope) -> Node:
    """Not `node`; where it names a range column, with "not" moved down to the comparisons (see `ranges`)."""
    if not ranges.of_column(node, scope):
        return Not(_condition(node, scope))
    match node:
        case And(operands):
            return Or(tuple(_denied(part, scope) for part in operands))
        case Or(operands):
            return And(tuple(_denied(part, scope) for part in operands))
        case Not(operand):
            return _condition(operand, scope)
        case Compare() | Between() | Member() if (labelled := ranges.asked(node, scope, negated=True)) is not None:
            return labelled
        case _:
            return Not(_condition(node, scope))


def _equality(node: Node, op: Comparison, ref: Ref, other: Node, scope: Scope) -> Node:
    place = scope.place(ref)
    if scope.is_plain(place):
        return _plain(node, _what(node), scope)
    value = None if isinstance(other, Ref) else constant(other, scope.templates)
    if value is None or isinstance(value, list):
        raise scope.refusal(place, _what(node) if value is None else "a comparison with a list")
    scope.demand_searchable(place, "a comparison")
    tests = tuple(Compare(op, place.stored, token) for token in scope.tokens(place, [value], place.data_type))
    if not tests:
        raise InvalidArgument("a constant that nothing can equal")
    if len(tests) == 1:
        return tests[0]
    return Or(tests) if op == "==" else And(tests)


def _member(ref: Ref, values: Node, negated: bool, scope: Scope) -> Node:
    place = scope.place(ref)
    if scope.is_plain(place):
        return _plain(Member(ref, values, negated), "in", scope)
    scope.demand_searchable(place, "in")
    tokens = scope.tokens(place, _list(values, scope), place.data_type)
    return Member(place.stored, scope.listed(tokens, values), negated)


def _contains(name: str, ref: Ref, value: Node, scope: Scope) -> Node:
    place = scope.place(ref)
    if scope.is_plain(place):
        return _plain(Call(name, (ref, value)), name, scope)
    scope.demand_searchable(place, name)
    data_type = element_type(place)
    kind, quantity = name.partition("_")[0], CONTAINS[name]
    if quantity == "any":
        tokens = scope.tokens(place, _list(value, scope), data_type)
        return Call(name, (place.stored, scope.listed(tokens, value)))
    values = _list(value, scope) if quantity == "all" else [constant(value, scope.templates)]
    each = [scope.tokens(place, [item], data_type) for item in values if item is not None]
    if len(each) < len(values):
        raise InvalidArgument("contains operation are only supported explicitly specified element")
    if all(len(tokens) == 1 for tokens in each):
        single = tuple(tokens[0] for tokens in each)
        return Call(name, (place.stored, Literals(single) if quantity == "all" else single[0]))
    any_of = tuple(Call(f"{kind}_contains_any", (place.stored, Literals(tokens))) for tokens in each)
    return any_of[0] if len(any_of) == 1 else And(any_of)


def _list(values: Node, scope: Scope) -> list[Value]:
    found = constant(values, scope.templates)
    if not isinstance(found, list):
        raise InvalidArgument("the right-hand side of 'in' and of a contains operation must be a list")
    return found


def _plain(node: Node, what: str, scope: Scope) -> Node:
    """The node over stored fields, of which every one that it reads is plain."""
    match node:
        case Ref():
            place = scope.place(node)
            scope.demand_plain(place, what)
            return place.stored
        case Placeholder():
            return scope.placeholder(node)
        case Null(Ref() as ref, negated):
            return Null(place_of(ref, scope.columns).stored, negated)
        case Exists(Ref() as ref):
            return Exists(_key_of_json(ref, scope))
        case Call("array_length", (Ref() as ref,), ()):
            # Lists stay lists of as many elements at rest, whatever their mode.
            return Call("array_length", (scope.place(ref).stored,))
        case Call():
            check_call(node)
            return rebuilt(node, lambda part: _plain(part, node.name, scope))
        case And() | Or() | Not():
            return rebuilt(node, lambda part: _condition(part, scope))
        case _:
            return rebuilt(node, lambda part: _plain(part, what, scope))


def _key_of_json(ref: Ref, scope: Scope) -> Ref:
    place = scope.place(ref)
    if not place.json or not (place.column is None or ref.steps):
        raise InvalidArgument("exists operations are only supportted on json key")
    return place.stored


def _what(node: Node) -> str:
    """What a condition asks, as a refusal names it."""
    match node:
        case Compare(_, Ref(), Ref()):
            return "a comparison of two fields"
        case Compare(op, left, right):
            if any(isinstance(part, Arithmetic | Signed) for part in (left, right)):
                return "arithmetic"
            return "a comparison" if op in ("==", "!=") else "a range comparison"
        case Between():
            return "a range comparison"
        case Match("like"):
            return "like"
        case Match():
            return "a regular expression"
        case Member():
            return "in"
        case Call(name):
            return name
        case Arithmetic() | Signed():
            return "arithmetic"
        case _:
            return "a condition"
