"""The grammar of Milvus' filter expressions, for Lark's LALR parser.

Source: milvus.io/docs ("Boolean Expression Rules", "Basic Operators", "JSON Operators", "ARRAY Operators", "Filter
Templating") and Plan.g4 of github.com/milvus-io/milvus, internal/parser/planparserv2. Precedence is that of Plan.g4,
but in two places where Plan.g4 leaves an expression no meaning: `not a == 1` is `not (a == 1)`, as the documentation
and Milvus Lite have it, and `a & 4 == 4` is `(a & 4) == 4`. Shifts, which Milvus parses and then refuses, and arrays of
structs are not in it.
"""

from __future__ import annotations

from typing import Final

GRAMMAR: Final = r"""
start: disjunction

?disjunction: conjunction (_OR conjunction)*
?conjunction: negation (_AND negation)*
?negation: _NOT negation        -> not_
    | comparison
?comparison: bits
    | bits COMPARE bits                 -> compare
    | bits COMPARE bits COMPARE bits    -> between
    | bits _IN bits                     -> member
    | bits _NOT _IN bits                -> not_member
    | bits MATCH bits                   -> match_
    | bits _IS _NULL                    -> null
    | bits _IS _NOT _NULL               -> not_null
?bits: sum (BITS sum)*
?sum: product (SUM product)*
?product: unary (PRODUCT unary)*
?unary: SUM unary               -> signed
    | power
?power: atom
    | atom POWER exponent       -> raised
?exponent: atom
    | SUM atom                  -> signed
?atom: STRING                   -> string
    | RAW_STRING                -> raw_string
    | FLOAT                     -> floating
    | INTEGER                   -> integer
    | BOOLEAN                   -> boolean
    | LITERALS                  -> literals
    | PLACEHOLDER               -> placeholder
    | NAME                      -> name
    | PATH                      -> path
    | TIMESTAMP                 -> timestamp
    | "[" disjunction ("," disjunction)* ","? "]"   -> listed
    | NAME "(" (disjunction ("," disjunction)*)? ("," option)* ","? ")"    -> call
    | _EXISTS atom              -> exists
    | "(" disjunction ")"
option: NAME "=" INTEGER

COMPARE: "==" | "!=" | "<=" | ">=" | "<" | ">"
MATCH: "=~" | "!~" | /(?:like|LIKE)(?![A-Za-z0-9_])/
BITS: /&(?!&)|\|(?!\|)|\^/
SUM: "+" | "-"
PRODUCT: /\*(?!\*)|[\/%%]/
POWER: "**"
_AND.2: /&&|(?:and|AND)(?![A-Za-z0-9_])/
_OR.2: /\|\||(?:or|OR)(?![A-Za-z0-9_])/
_NOT.2: /!(?![=~])|(?:not|NOT)(?![A-Za-z0-9_])/
_IN.2: /(?:in|IN)(?![A-Za-z0-9_])/
_IS.2: /(?:is|IS)(?![A-Za-z0-9_])/
_NULL.2: /(?:null|NULL)(?![A-Za-z0-9_])/
_EXISTS.2: /(?:exists|EXISTS)(?![A-Za-z0-9_])/
BOOLEAN.2: /(?:true|True|TRUE|false|False|FALSE)(?![A-Za-z0-9_])/
TIMESTAMP.4: /(?:iso|ISO|interval|INTERVAL)[ \t\r\n]*(?:%(string)s)/
RAW_STRING.4: /[rR](?:%(raw)s)/
PATH.3: /(?:\$meta|[A-Za-z_][A-Za-z0-9_]*)(?:\[(?:%(string)s|0|[1-9][0-9]*)\])+/
NAME.1: /[A-Za-z_][A-Za-z0-9_]*/
PLACEHOLDER: /\{[ \t\r\n]*[A-Za-z_][A-Za-z0-9_]*[ \t\r\n]*\}/
STRING: /%(string)s/
FLOAT.2: /%(floating)s/
INTEGER.1: /%(integer)s/
LITERALS.2: /\[\s*+(?:%(literal)s(?:\s*+,\s*+%(literal)s)*+\s*+(?:,\s*+)?)?\]/

%%ignore /[ \t\r\n]+/
"""

STRING: Final = r'"(?:[^"\\\r\n]|\\[^\r\n])*+"' + r"|'(?:[^'\\\r\n]|\\[^\r\n])*+'"
_FLOATING: Final = (
    r"(?:0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+"
    r"|(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)(?![A-Za-z0-9_.])"
)
_INTEGER: Final = r"(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[0-7]*|[1-9][0-9]*)(?![A-Za-z0-9_.])"
_BOOLEAN: Final = r"(?:true|True|TRUE|false|False|FALSE)(?![A-Za-z0-9_])"

LITERAL: Final = rf"(?:{STRING}|[+-]?(?:{_FLOATING}|{_INTEGER})|{_BOOLEAN})"
"""A constant of a list: what `LITERALS` is made of."""

TEXT: Final = GRAMMAR % {
    "string": STRING,
    "raw": STRING,
    "floating": _FLOATING,
    "integer": _INTEGER,
    "literal": LITERAL,
}
