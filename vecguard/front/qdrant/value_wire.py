"""Wire bytes of Qdrant's `Value` messages, for payloads that are written leaf by leaf.

Making a message for every value of a payload costs as much as sealing it. So protected payloads are put together as
bytes and parsed once, in C. Field numbers are those of qdrant's `json_with_int.proto`; the encoding is protobuf's
(https://protobuf.dev/programming-guides/encoding/).
"""

from __future__ import annotations

import struct as packing
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from vecguard.fields import Leaf

NOTHING: Final = b""
"""A value without a kind."""

NULL: Final = b"\x08\x00"

_DOUBLE: Final = b"\x11"  # double_value = 2, fixed64
_INTEGER: Final = b"\x18"  # integer_value = 3, varint
_STRING: Final = b"\x22"  # string_value = 4, length-delimited
_BOOLEANS: Final = (b"\x28\x00", b"\x28\x01")  # bool_value = 5
_STRUCT: Final = b"\x32"  # struct_value = 6
_LIST: Final = b"\x3a"  # list_value = 7
_FIRST: Final = b"\x0a"  # Struct.fields = 1, ListValue.values = 1, and a map entry's key
_SECOND: Final = b"\x12"  # a map entry's value
_TWO_TO_64: Final = 1 << 64
# Keys come from clients' payloads, so what is remembered of them is bounded.
_REMEMBERED: Final = 2048


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


class _Sizes(dict[int, bytes]):
    """Varints by number. Those that nearly every value and map needs are kept, others are made when asked for."""

    def __missing__(self, size: int) -> bytes:
        return _varint(size)


_SIZE: Final = _Sizes((size, _varint(size)) for size in range(4096))


@lru_cache(maxsize=_REMEMBERED)
def _key(key: str) -> bytes:
    """The beginning of a map entry, up to its value's length."""
    encoded = key.encode()
    return _FIRST + _SIZE[len(encoded)] + encoded + _SECOND


def leaf(value: Leaf) -> bytes:
    """A `Value` that is a text, boolean, integer (of 64 bits) or double."""
    if isinstance(value, str):
        text = value.encode()
        return _STRING + _SIZE[len(text)] + text
    if isinstance(value, bool):  # before int, which it is a subclass of
        return _BOOLEANS[value]
    if isinstance(value, int):
        return _INTEGER + _varint(value % _TWO_TO_64)
    return _DOUBLE + packing.pack("<d", value)


@lru_cache(maxsize=_REMEMBERED)
def _text_head(key: str, size: int) -> bytes:
    """All of `text_entry` but the text, which has `size` bytes. Sealed texts are padded, so they have few sizes."""
    value = _STRING + _SIZE[size]
    entry = _key(key) + _SIZE[len(value) + size] + value
    return _FIRST + _SIZE[len(entry) + size] + entry


def text_entry(key: str, text: str) -> bytes:
    """One entry of a `Struct` whose value is a text: `map_entry` of `leaf`, in one step."""
    encoded = text.encode()
    return _text_head(key, len(encoded)) + encoded


def map_entry(key: str, value: bytes) -> bytes:
    """One entry of a `Struct`, from the wire bytes of its value."""
    entry = _key(key) + _SIZE[len(value)] + value
    return _FIRST + _SIZE[len(entry)] + entry


def struct(entries: bytes) -> bytes:
    """A `Value` that is a map, from the wire bytes of its entries."""
    return _STRUCT + _SIZE[len(entries)] + entries


def array(values: Sequence[bytes]) -> bytes:
    """A `Value` that is a list, from the wire bytes of its items."""
    items = b"".join([_FIRST + _SIZE[len(value)] + value for value in values])
    return _LIST + _SIZE[len(items)] + items
