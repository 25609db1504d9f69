"""Literals of Milvus' filter expressions: what a written one means, and how a value is written.

Source: Plan.g4 and `convertEscapeSingle` of github.com/milvus-io/milvus, internal/parser/planparserv2: a string's
escapes are those of a Go string literal (go.dev/ref/spec, "Rune literals"), with `\\'` beside `\\"`; numbers are those
of Go's `strconv.ParseInt(text, 0, 64)` and `ParseFloat`.
"""

from __future__ import annotations

import math
import re
from typing import Final

from vecguard.errors import InvalidArgument

_ESCAPE: Final = re.compile(
    r"""\\(?:([abfnrtv\\'"])|([0-7]{3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.?))""", re.DOTALL
)
_KEY_ESCAPE: Final = re.compile(r"""\\(?:([nrt\\'"])|((?!))|((?!))|u([0-9a-fA-F]{4})|((?!))|(.?))""", re.DOTALL)
_SINGLE: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "'": "'",
    '"': '"',
}
# The escapes that every server reads alike; everything else stands for itself.
_WRITTEN: Final = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_HEX_FLOAT: Final = re.compile(r"0[xX].*[pP]")


def _unescaped(match: re.Match[str]) -> str:
    single, octal, byte, short, long, unknown = match.groups()
    if unknown is not None:
        raise InvalidArgument("invalid syntax")
    if single is not None:
        return _SINGLE[single]
    code = int(octal, 8) if octal else int(byte or short or long, 16)
    # A byte above ASCII would make text that is no UTF-8; half of a surrogate pair is no character.
    if (code > 0x7F and (octal or byte)) or 0xD800 <= code <= 0xDFFF or code > 0x10FFFF:
        raise InvalidArgument("invalid syntax")
    return chr(code)


def read_string(text: str) -> str:
    """The value of a string literal, quotes included.

    Raises:
        InvalidArgument: it holds an escape that Go does not know, or one that makes no character.
    """
    body = text[1:-1]
    return _ESCAPE.sub(_unescaped, body) if "\\" in body else body


def read_raw_string(text: str) -> str:
    """The value of `r"..."`: all between the quotes, backslashes included."""
    return text[2:-1]


def read_key(text: str) -> str:
    r"""A key of a JSON path, quotes included. It may be escaped as far as JSON's escapes are also Milvus Lite's.

    Milvus compares the text between the quotes with the key as the row's JSON text spells it, once `\uXXXX` is read.

    Raises:
        InvalidArgument: it is empty, holds another escape, or `][`, where Milvus splits the path.
    """
    body = text[1:-1]
    key = _KEY_ESCAPE.sub(_unescaped, body) if "\\" in body else body
    if not key or "][" in key:
        raise InvalidArgument("invalid identifier: a JSON key is not empty and has no `][` in it")
    return key


def write_string(value: str) -> str:
    """A string literal of this value, or a key of a JSON path, in double quotes."""
    return f'"{value.translate(_WRITTEN)}"'


def read_integer(text: str) -> int:
    """A decimal, octal (`017`), hexadecimal or binary literal without a sign.

    Raises:
        InvalidArgument: it does not fit 64 bits. 2^63 does, as -2^63 is written with it.
    """
    lower = text.lower()
    if lower.startswith(("0x", "0b")):
        value = int(lower, 0)
    else:
        value = int(text, 8 if len(text) > 1 and text[0] == "0" else 10) if len(text) < 64 else 2**64
    if value > 2**63:
        raise InvalidArgument("value out of range")
    return value


def read_floating(text: str) -> float:
    """A decimal or hexadecimal floating literal without a sign.

    Raises:
        InvalidArgument: it is too large for a double.
    """
    try:
        value = float.fromhex(text) if _HEX_FLOAT.match(text) else float(text)
    except OverflowError:
        value = math.inf
    if math.isinf(value):
        raise InvalidArgument("value out of range")
    return value
