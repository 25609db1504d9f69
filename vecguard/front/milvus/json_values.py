"""JSON values (JSON columns and `$meta`) protected and opened leaf by leaf.

Objects and arrays keep their shape and keys, and null stays, so what a filter asks of the shape (`exists`,
`json_contains` on a searchable field, array length) works at rest. Numbers keep their type: 5 is an integer, 5.0 not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Container, Iterator
from typing import Final, NoReturn, TypeAlias

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import LABELS, UNREADABLE_NAME, Fields, Keys
from vecguard.front.milvus.layout import META, is_hidden
from vecguard.seal.envelope import TEXT_PREFIX
from vecguard.seal.labels import RangeLabels

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

# Deeper than any sensible value, and well below what would exhaust the stack of this walk.
_DEEPEST: Final = 200


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


# Made once: making one costs more than a small value's parsing.
_CLIENTS: Final = json.JSONDecoder(parse_constant=_refuse_constant)
_STORED: Final = json.JSONDecoder()
_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_ASCII: Final = json.JSONEncoder(separators=(",", ":"))


def parse(content: bytes, what: str) -> JsonValue:
    """A client's JSON value.

    Raises:
        InvalidArgument: it is none (NaN and infinities are none), in Milvus' words; `what` names the field.
    """
    try:
        value: JsonValue = _CLIENTS.decode(content.decode())
    except (ValueError, RecursionError):
        raise InvalidArgument(f"{what} is not valid JSON: invalid parameter") from None
    return value


def render(value: JsonValue) -> bytes:
    """The value as JSON text, UTF-8."""
    try:
        return _COMPACT.encode(value).encode()
    except UnicodeEncodeError:  # half of a surrogate pair in a key; JSON has an escape for it, UTF-8 has none
        return _ASCII.encode(value).encode()


def protect(
    value: JsonValue, keys: Keys, fields: Fields, bound: bytes, nonces: Iterator[bytes], level: int = 0
) -> JsonValue:
    """The value with every leaf as it is stored, and the labels of leaves that have any beside them in their object.

    Raises:
        InvalidArgument: nested too deeply, or a leaf cannot be encoded.
    """
    if level > _DEEPEST:
        raise InvalidArgument("a JSON value is nested too deeply: invalid parameter")
    if isinstance(value, dict):
        stored = {key: protect(item, (*keys, key), fields, bound, nonces, level + 1) for key, item in value.items()}
        return stored if fields.labels_at is None else stored | _labels(value, keys, fields)
    if isinstance(value, list):
        return [protect(item, keys, fields, bound, nonces, level + 1) for item in value]
    if value is None:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgument("a number in a JSON value is too large: invalid parameter")
    return fields.at(keys).protect(value, bound, nonces)


def _labels(value: dict[str, JsonValue], keys: Keys, fields: Fields) -> dict[str, JsonValue]:
    """What lies in an object beside its leaves."""
    found: dict[str, JsonValue] = {}
    for key, item in value.items():
        if key.startswith(LABELS):
            raise InvalidArgument(f"cannot set json key to: {key}: keys that begin with {LABELS} hold labels")
        labels = fields.labels_at((*keys, key)) if fields.labels_at is not None else None
        if isinstance(labels, RangeLabels) and isinstance(item, bool | int | float | str):
            found[LABELS + key] = list(labels.of(item))
    return found


def reveal(value: JsonValue, keys: Keys, fields: Fields, bound: bytes) -> JsonValue:
    """What `protect` took.

    Raises:
        Unreadable: a leaf does not authenticate.
    """
    if isinstance(value, dict):
        labelled = fields.labels_at is not None
        if fields.names is not None and any(key.startswith(UNREADABLE_NAME) for key in value):
            raise Unreadable
        return {
            key: reveal(item, (*keys, key), fields, bound)
            for key, item in value.items()
            if not (labelled and key.startswith(LABELS))
        }
    if isinstance(value, list):
        return [reveal(item, keys, fields, bound) for item in value]
    if value is None:
        return None
    return fields.at(keys).reveal(value, bound)


def protect_json(content: bytes, name: str, fields: Fields, bound: bytes, nonces: Iterator[bytes]) -> bytes:
    """A JSON column's value as it is stored.

    Raises:
        InvalidArgument: no JSON, or see `protect`.
    """
    return render(protect(parse(content, f"field {name}"), (name,), fields, bound, nonces))


def reveal_json(content: bytes, name: str, fields: Fields, bound: bytes) -> bytes:
    """A JSON column's value as the client wrote it.

    Milvus Lite answers a value that is one text without its quotation marks.

    Raises:
        Unreadable: it does not authenticate.
    """
    value = _stored_text(content) if content.startswith(TEXT_PREFIX.encode()) else _stored(content)
    return render(reveal(value, (name,), fields, bound))


def protect_dynamic(
    content: bytes, declared: Container[str], fields: Fields, bound: bytes, nonces: Iterator[bytes]
) -> bytes:
    """A row's dynamic fields as they are stored.

    Raises:
        InvalidArgument: no JSON object; a key of ours, or the name of a `declared` field, whose value some servers
            would replace by it; or see `protect`.
    """
    value = parse(content, "dynamic field")
    if not isinstance(value, dict):
        raise InvalidArgument("the dynamic field should be a JSON object: invalid parameter")
    for key in value:
        if is_hidden(key) or key == META:
            raise InvalidArgument(f"cannot set json key to: {key}: invalid parameter")
        if key in declared:
            raise InvalidArgument(f"dynamic field {key} has the name of a field of the schema: invalid parameter")
    return render(protect(value, (), fields, bound, nonces))


def reveal_dynamic(content: bytes, fields: Fields, bound: bytes, keys: Container[str] | None = None) -> bytes:
    """A row's dynamic fields as the client wrote them; only `keys` where they are given.

    Raises:
        Unreadable: they do not authenticate.
    """
    value = _stored(content)
    if not isinstance(value, dict):
        raise Unreadable
    wanted = value if keys is None else {key: item for key, item in value.items() if key in keys}
    return render(reveal(wanted, (), fields, bound))


def _stored(content: bytes) -> JsonValue:
    try:
        value: JsonValue = _STORED.decode(content.decode())
    except (ValueError, RecursionError):
        raise Unreadable from None
    return value


def _stored_text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Unreadable from None
