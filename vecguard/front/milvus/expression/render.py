"""A tree as the text of an expression, with parentheses wherever servers might read it differently without."""

from __future__ import annotations

import re
from typing import Final

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression.literals import write_string
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
    Node,
    Not,
    Null,
    Or,
    Placeholder,
    Ref,
    Signed,
    Timestamp,
)

_ATOMS: Final = (Literal, Literals, Listed, Placeholder, Ref, Call)
# Milvus 2.3 takes all that follows `exists` for its operand, so that is not among them.
_CONDITIONS: Final = (Compare, Between, Member, Match, Null, *_ATOMS)
_NAME: Final = re.compile(r"\$meta|[A-Za-z_][A-Za-z0-9_]*")


def render(node: Node) -> str:
    """The expression's text.

    Raises:
        InvalidArgument: a name is none.
    """
    match node:
        case Or(operands):
            return " or ".join(_within(part, _CONDITIONS) for part in operands)
        case And(operands):
            return " and ".join(_within(part, _CONDITIONS) for part in operands)
        case Not(operand):
            return f"not {_within(operand, (Call,))}"
        case Compare(op, left, right):
            return f"{_operand(left)} {op} {_operand(right)}"
        case Between(left, first, middle, second, right):
            return f"{_operand(left)} {first} {_operand(middle)} {second} {_operand(right)}"
        case Member(operand, values, negated):
            return f"{_operand(operand)} {'not in' if negated else 'in'} {render(values)}"
        case Match(op, operand, pattern):
            return f"{_operand(operand)} {op} {_operand(pattern)}"
        case Null(operand, negated):
            return f"{render(operand)} is {'not null' if negated else 'null'}"
        case Exists(operand):
            return f"exists {render(operand)}"
        case _:
            return _value(node)


def _value(node: Node) -> str:
    match node:
        case Literal(value, text):
            return write_string(value) if isinstance(value, str) else text
        case Literals(items):
            return f"[{', '.join([write_string(v) if isinstance(v, str) else text for v, text in items])}]"
        case Listed(items):
            return f"[{', '.join(render(item) for item in items)}]"
        case Placeholder(name):
            return f"{{{name}}}"
        case Ref(root, steps):
            return write_ref(root, steps)
        case Signed(sign, operand):
            return f"{sign}{_within(operand, (Ref, Call, Placeholder))}"
        case Arithmetic(first, rest):
            return _operand(first) + "".join(f" {op} {_operand(part)}" for op, part in rest)
        case Call(name, arguments, options):
            parts = [*(render(part) for part in arguments), *(f"{key}={value}" for key, value in options)]
            return f"{name}({', '.join(parts)})"
        case Timestamp(kind, text):
            return f"{kind} {write_string(text)}"
        case _:
            raise TypeError(f"no expression: {type(node).__name__}")


def write_ref(root: str, steps: tuple[str | int, ...] = ()) -> str:
    """A field, or a place in one.

    Raises:
        InvalidArgument: `root` is no name of a field.
    """
    if not _NAME.fullmatch(root):
        raise InvalidArgument(f"invalid identifier: {root}")
    return root + "".join(f"[{write_string(step) if isinstance(step, str) else step}]" for step in steps)


def _operand(node: Node) -> str:
    # ISO and INTERVAL literals stand bare in both of Milvus' forms: `a + INTERVAL '..' > ISO '..'`.
    if isinstance(node, Arithmetic) and any(isinstance(part, Timestamp) for _, part in node.rest):
        return render(node)
    return _within(node, (*_ATOMS, Timestamp))


def _within(node: Node, bare: tuple[type, ...]) -> str:
    return render(node) if isinstance(node, bare) else f"({render(node)})"
