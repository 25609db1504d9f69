"""Text of a filter expression to its tree.

What is not understood is refused in Milvus' words; the expression that those words repeat goes back to its own sender.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, VisitError

from vecguard.errors import InvalidArgument
from vecguard.front.milvus.expression.grammar import LITERAL, STRING, TEXT
from vecguard.front.milvus.expression.literals import (
    read_floating,
    read_integer,
    read_key,
    read_raw_string,
    read_string,
)
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
    walk,
)

# Deeper trees than people or frameworks write; rendering and rewriting recurse, a few frames a level.
_DEEPEST: Final = 64
# Tokens and constants cost microseconds each on the event loop; a list of constants is one token, however long.
_MOST_TOKENS: Final = 10_000
_LONGEST: Final = 4 * 2**20
_MOST_CONSTANTS: Final = 250_000
_LONGEST_SHOWN: Final = 1000
_REMEMBERED: Final = 256
_LONGEST_REMEMBERED: Final = 4096

_CONSTANT: Final = re.compile(LITERAL)
_STEP: Final = re.compile(rf"\[(?:({STRING})|([0-9]+))\]")
_RESERVED: Final = frozenset(
    word
    for lower in (
        *("and", "or", "not", "in", "like", "exists", "text_match", "phrase_match", "random_sample", "match_all"),
        *("match_any", "match_least", "match_most", "match_exact", "element_filter", "json_contains"),
        *("json_contains_all", "json_contains_any", "array_contains", "array_contains_all", "array_contains_any"),
        *("array_length", "st_equals", "st_touches", "st_overlaps", "st_crosses", "st_contains", "st_intersects"),
        *("st_within", "st_dwithin", "st_isvalid"),
    )
    for word in (lower, lower.upper())
)


def cannot_parse(text: str, why: str) -> InvalidArgument:
    """The refusal of an expression, in Milvus' words; of a long one they repeat the beginning."""
    shown = text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."
    return InvalidArgument(f"failed to create query plan: cannot parse expression: {shown}, error: {why}")


def _constant(text: str) -> Literal:
    """One constant of a list."""
    if text.isdigit() and text[0] != "0" and len(text) < 19:
        return Literal(int(text), text)
    sign, digits = (text[0], text[1:]) if text[0] in "+-" else ("", text)
    if text[0] in "\"'":
        return Literal(read_string(text))
    if text[0] in "tTfF":
        return Literal(text[0] in "tT", text)
    value = _number(digits)
    return Literal(-value if sign == "-" else value, text)


def _number(text: str) -> int | float:
    lower = text.lower()
    hexadecimal = lower.startswith("0x")
    if ("p" in lower) if hexadecimal else ("." in text or "e" in lower):
        return read_floating(text)
    return read_integer(text)


def _flattened(kind: type[And] | type[Or], operands: tuple[Node, ...]) -> tuple[Node, ...]:
    return tuple(part for node in operands for part in (node.operands if isinstance(node, kind) else (node,)))


class _Option(NamedTuple):
    """`name=integer` behind a function's arguments."""

    name: str
    value: int


@v_args(inline=True)
class _Builder(Transformer[Token, Node]):
    """One node for each rule of the grammar, made while parsing."""

    def start(self, node: Node) -> Node:
        return node

    def disjunction(self, *operands: Node) -> Node:
        return Or(_flattened(Or, operands))

    def conjunction(self, *operands: Node) -> Node:
        return And(_flattened(And, operands))

    def not_(self, operand: Node) -> Node:
        return Not(operand)

    def compare(self, left: Node, op: Any, right: Node) -> Node:
        return Compare(op.value, left, right)

    def between(self, left: Node, first: Any, middle: Node, second: Any, right: Node) -> Node:
        if {first.value[0], second.value[0]} not in ({"<"}, {">"}):
            raise InvalidArgument("a chain of comparisons is a range: both of < and <=, or both of > and >=")
        return Between(left, first.value, middle, second.value, right)

    def member(self, operand: Node, values: Node) -> Node:
        return Member(operand, _collection(values), negated=False)

    def not_member(self, operand: Node, values: Node) -> Node:
        return Member(operand, _collection(values), negated=True)

    def match_(self, operand: Node, op: Any, pattern: Node) -> Node:
        return Match(op.value.lower(), operand, pattern)

    def null(self, operand: Node) -> Node:
        return Null(_place(operand, "is null"), negated=False)

    def not_null(self, operand: Node) -> Node:
        return Null(_place(operand, "is not null"), negated=True)

    def exists(self, operand: Node) -> Node:
        return Exists(_place(operand, "exists"))

    def bits(self, first: Node, *rest: Any) -> Node:
        pairs = _pairs(rest)
        if len({op for op, _ in pairs}) > 1:
            raise InvalidArgument("different bit operators need parentheses between them")
        return Arithmetic(first, pairs)

    def sum(self, first: Node, *rest: Any) -> Node:
        return Arithmetic(first, _pairs(rest))

    def product(self, first: Node, *rest: Any) -> Node:
        return Arithmetic(first, _pairs(rest))

    def raised(self, base: Node, op: Any, exponent: Node) -> Node:
        return Arithmetic(base, ((op.value, exponent),))

    def signed(self, sign: Any, operand: Node) -> Node:
        if isinstance(operand, Literal) and type(operand.value) in (int, float) and operand.text[0] not in "+-":
            value = -operand.value if sign.value == "-" else operand.value  # type: ignore[operator]
            return Literal(value, sign.value + operand.text)
        return Signed(sign.value, operand)

    def string(self, token: Token) -> Node:
        return Literal(read_string(token.value))

    def raw_string(self, token: Token) -> Node:
        return Literal(read_raw_string(token.value))

    def floating(self, token: Token) -> Node:
        return Literal(read_floating(token.value), token.value)

    def integer(self, token: Token) -> Node:
        return Literal(read_integer(token.value), token.value)

    def boolean(self, token: Token) -> Node:
        return Literal(token.value[0] in "tT", token.value)

    def literals(self, token: Token) -> Node:
        texts = _CONSTANT.findall(token.value)
        if len(texts) > _MOST_CONSTANTS:
            raise InvalidArgument(f"a list has more than {_MOST_CONSTANTS} constants")
        return Literals(tuple(map(_constant, texts)))

    def listed(self, *items: Node) -> Node:
        return Listed(items)

    def placeholder(self, token: Token) -> Node:
        return Placeholder(token.value[1:-1].strip())

    def name(self, token: Token) -> Node:
        if token.value in _RESERVED:
            raise InvalidArgument(f"mismatched input '{token.value}'")
        return Ref(token.value)

    def path(self, token: Token) -> Node:
        root, bracket, rest = token.value.partition("[")
        if root in _RESERVED:
            raise InvalidArgument(f"mismatched input '{root}'")
        steps = _STEP.finditer(bracket + rest)
        return Ref(root, tuple(read_key(step[1]) if step[1] else int(step[2]) for step in steps))

    def timestamp(self, token: Token) -> Node:
        at = re.search("[\"']", token.value)
        assert at is not None  # noqa: S101 - the terminal ends with a string
        kind = "ISO" if token.value[:3].upper() == "ISO" else "INTERVAL"
        return Timestamp(kind, read_string(token.value[at.start() :]))  # type: ignore[arg-type]

    def option(self, name: Token, value: Token) -> _Option:
        return _Option(name.value, read_integer(value.value))

    def call(self, name: Token, *arguments: Any) -> Node:
        options = tuple((part.name, part.value) for part in arguments if isinstance(part, _Option))
        nodes = tuple(part for part in arguments if not isinstance(part, _Option))
        return Call(
            name.value if name.value not in (name.value.lower(), name.value.upper()) else name.value.lower(),
            nodes,
            options,
        )


def _pairs(rest: tuple[Any, ...]) -> tuple[tuple[str, Node], ...]:
    return tuple((rest[i].value, rest[i + 1]) for i in range(0, len(rest), 2))


def _collection(values: Node) -> Node:
    if not isinstance(values, Literals | Listed | Placeholder):
        raise InvalidArgument("the right-hand side of 'in' must be a list")
    return values


def _place(operand: Node, what: str) -> Node:
    if not isinstance(operand, Ref):
        raise InvalidArgument(f"{what} operations are only supported on single fields now")
    return operand


_LARK: Final = Lark(TEXT, parser="lalr", lexer="contextual", transformer=_Builder(), maybe_placeholders=False)


def _tree(text: str) -> Node:
    parser = _LARK.parse_interactive(text)
    for number, _ in enumerate(parser.iter_parse()):
        if number >= _MOST_TOKENS:
            raise InvalidArgument(f"it has more than {_MOST_TOKENS} tokens")
    node: Node = parser.feed_eof()  # type: ignore[no-untyped-call]
    if any(depth > _DEEPEST for depth, _ in walk(node)):
        raise InvalidArgument(f"it is nested deeper than {_DEEPEST}")
    return node


def _parse(text: str) -> Node:
    if len(text) > _LONGEST:
        raise InvalidArgument(f"failed to create query plan: the expression is longer than {_LONGEST} characters")
    try:
        return _tree(text)
    except UnexpectedInput as error:
        raise cannot_parse(text, f"line {error.line}:{error.column} mismatched input") from None
    except VisitError as error:
        if isinstance(error.orig_exc, InvalidArgument):
            raise cannot_parse(text, str(error.orig_exc)) from None
        raise
    except InvalidArgument as error:
        raise cannot_parse(text, str(error)) from None


_remembered: Final[Callable[[str], Node]] = lru_cache(maxsize=_REMEMBERED)(_parse)


def parse(text: str) -> Node:
    """The tree of an expression that is not empty.

    Raises:
        InvalidArgument: it is not of the documented language, or too large; in Milvus' words.
    """
    return _remembered(text) if len(text) <= _LONGEST_REMEMBERED else _parse(text)
