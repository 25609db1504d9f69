"""The tree of a Milvus filter expression: frozen values, made by `parse` and written by `render`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal as OneOf
from typing import NamedTuple, TypeAlias

Comparison: TypeAlias = OneOf["==", "!=", "<", "<=", ">", ">="]
Quantity: TypeAlias = OneOf["one", "all", "any"]


class Literal(NamedTuple):
    """A constant. `text` is how a number or boolean was written; strings are always written anew.

    A tuple, as lists of ids are made of thousands.
    """

    value: bool | int | float | str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Literals:
    """A list of constants."""

    items: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A list with something in it that is no constant: a placeholder, a list."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{name}`: a template value that travels beside the expression."""

    name: str


@dataclass(frozen=True, slots=True)
class Ref:
    """A field, or a place in one: `a`, `meta["a"][0]`, `$meta["k"]`."""

    root: str
    steps: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Signed:
    """`-x` or `+x`."""

    sign: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Operands joined from left to right by operators of one rank: `a + 1 - b`, `a * 2 % 3`, `2 ** 3`."""

    first: Node
    rest: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """left op right."""

    op: Comparison
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Between:
    """`1 < a <= 5`, `5 >= a > 1`."""

    left: Node
    first: Comparison
    middle: Node
    second: Comparison
    right: Node


@dataclass(frozen=True, slots=True)
class Member:
    """`a in [...]`, `a not in [...]`."""

    operand: Node
    values: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class Match:
    """`a like "x%"`, `a =~ "x"`, `a !~ "x"`."""

    op: OneOf["like", "=~", "!~"]
    operand: Node
    pattern: Node


@dataclass(frozen=True, slots=True)
class Null:
    """`a is null`, `a is not null`."""

    operand: Node
    negated: bool


@dataclass(frozen=True, slots=True)
class Exists:
    """`exists meta["a"]`."""

    operand: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A function of Milvus by its lower-case name; `options` are `name=integer`."""

    name: str
    arguments: tuple[Node, ...]
    options: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Timestamp:
    """`ISO '2025-01-01T00:00:00Z'`, and `INTERVAL 'P1D'`."""

    kind: OneOf["ISO", "INTERVAL"]
    text: str


@dataclass(frozen=True, slots=True)
class Not:
    """not operand."""

    operand: Node


@dataclass(frozen=True, slots=True)
class And:
    """The conjunction of two or more."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """The disjunction of two or more."""

    operands: tuple[Node, ...]


Node: TypeAlias = (
    Literal
    | Literals
    | Listed
    | Placeholder
    | Ref
    | Signed
    | Arithmetic
    | Compare
    | Between
    | Member
    | Match
    | Null
    | Exists
    | Call
    | Timestamp
    | Not
    | And
    | Or
)


def children(node: Node) -> tuple[Node, ...]:
    """What a node is made of."""
    match node:
        case Listed(items):
            return items
        case Signed(_, operand) | Null(operand, _) | Exists(operand) | Not(operand):
            return (operand,)
        case Arithmetic(first, rest):
            return (first, *(operand for _, operand in rest))
        case Compare(_, left, right):
            return (left, right)
        case Between(left, _, middle, _, right):
            return (left, middle, right)
        case Member(operand, values, _):
            return (operand, values)
        case Match(_, operand, pattern):
            return (operand, pattern)
        case Call(_, arguments, _):
            return arguments
        case And(operands) | Or(operands):
            return operands
        case Literal() | Literals() | Placeholder() | Ref() | Timestamp():
            return ()


def walk(node: Node) -> Iterator[tuple[int, Node]]:
    """Every node with its depth, the root's being 1. It does not recurse, so any depth can be measured."""
    open_nodes = [(1, node)]
    while open_nodes:
        depth, found = open_nodes.pop()
        yield depth, found
        open_nodes.extend((depth + 1, child) for child in children(found))


def rebuilt(node: Node, make: Callable[[Node], Node]) -> Node:
    """The same node over what `make` makes of its children."""
    match node:
        case Listed(items):
            return Listed(tuple(map(make, items)))
        case Signed(sign, operand):
            return Signed(sign, make(operand))
        case Arithmetic(first, rest):
            return Arithmetic(make(first), tuple((op, make(part)) for op, part in rest))
        case Compare(op, left, right):
            return Compare(op, make(left), make(right))
        case Between(left, first_op, middle, second_op, right):
            return Between(make(left), first_op, make(middle), second_op, make(right))
        case Member(operand, values, negated):
            return Member(make(operand), make(values), negated)
        case Match(op, operand, pattern):
            return Match(op, make(operand), make(pattern))
        case Null(operand, negated):
            return Null(make(operand), negated)
        case Exists(operand) | Not(operand):
            return type(node)(make(operand))
        case Call(name, arguments, options):
            return Call(name, tuple(map(make, arguments)), options)
        case And(operands) | Or(operands):
            return type(node)(tuple(map(make, operands)))
        case Literal() | Literals() | Placeholder() | Ref() | Timestamp():
            return node
