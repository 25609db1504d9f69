"""Bytes of one payload leaf: exact type and value, padded so that its length tells little."""

from __future__ import annotations

import struct
from typing import Final, TypeAlias

from vecguard.errors import InvalidArgument, Unreadable

Leaf: TypeAlias = bool | int | float | str

_HEAD: Final = struct.Struct(">BI")
_BOOL_LEAF: Final = struct.Struct(">BI?")
_INT64_LEAF: Final = struct.Struct(">BIq")
_DOUBLE_LEAF: Final = struct.Struct(">BId")
_BOOL: Final = 1
_INT64: Final = 2
_DOUBLE: Final = 3
_STRING: Final = 4
_MIN_PADDED: Final = 16


def encode_leaf(value: Leaf) -> bytes:
    """Tag byte, uint32 BE length of the body, body, zeros up to `padded_length`.

    Bodies: bool 0x00/0x01; int64 and IEEE 754 double big-endian (-0.0 and NaN are kept); UTF-8.

    Raises:
        InvalidArgument: an integer beyond 64 bits, text with lone surrogates, or another type.
    """
    if isinstance(value, str):
        try:
            body = value.encode()
        except UnicodeEncodeError:
            raise InvalidArgument("a string in a payload must be valid Unicode") from None
        content = _HEAD.pack(_STRING, len(body)) + body
    elif isinstance(value, bool):  # before int, which it is a subclass of
        content = _BOOL_LEAF.pack(_BOOL, 1, value)
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise InvalidArgument("an integer in a payload has 64 bits")
        content = _INT64_LEAF.pack(_INT64, 8, value)
    elif isinstance(value, float):
        content = _DOUBLE_LEAF.pack(_DOUBLE, 8, value)
    else:
        raise InvalidArgument("only booleans, integers, doubles and strings can be sealed")
    length = len(content)
    return content.ljust(_SHORT_PADDED[length] if length < _SHORT else _padme(length), b"\x00")


def decode_leaf(data: bytes) -> Leaf:
    """What `encode_leaf` took, of the same type.

    Raises:
        Unreadable: not exactly what `encode_leaf` writes for some value.
    """
    if len(data) < _HEAD.size:
        raise Unreadable
    tag, length = _HEAD.unpack_from(data)
    end = _HEAD.size + length
    if len(data) != (_SHORT_PADDED[end] if end < _SHORT else _padme(end)) or data.count(0, end) != len(data) - end:
        raise Unreadable
    return _untagged(tag, data[_HEAD.size : end])


def padded_length(length: int) -> int:
    """Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files", PoPETs 2019), at least 16 bytes.

    Lengths keep as many leading bits as their exponent has, so at most O(log log n) bits of the length leak and padding
    adds at most 12 %.
    """
    return _SHORT_PADDED[length] if length < _SHORT else _padme(length)


def _padme(length: int) -> int:
    exponent = length.bit_length() - 1
    free_bits = exponent - exponent.bit_length()
    mask = (1 << free_bits) - 1
    return (length + mask) & ~mask


# Nearly every leaf is this short, and its length is padded twice on each way.
_SHORT: Final = 1024
_SHORT_PADDED: Final = tuple(_MIN_PADDED if n <= _MIN_PADDED else _padme(n) for n in range(_SHORT))


def _untagged(tag: int, body: bytes) -> Leaf:
    if tag == _STRING:
        try:
            return body.decode()
        except UnicodeDecodeError:
            raise Unreadable from None
    if tag == _INT64 and len(body) == 8:
        return int.from_bytes(body, "big", signed=True)
    if tag == _DOUBLE and len(body) == 8:
        return float(struct.unpack(">d", body)[0])
    if tag == _BOOL and body in (b"\x00", b"\x01"):
        return body == b"\x01"
    raise Unreadable
