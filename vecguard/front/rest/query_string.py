"""The query parameters of an endpoint: those that Qdrant's OpenAPI document names for it, and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl

from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.rest.refusals import validation

_DESERIALIZE: Final = "Deserialize error in query parameters: "
_LARGEST: Final = 2**63 - 1
_ORDERINGS: Final = {
    "weak": q.WriteOrderingType.Weak,
    "medium": q.WriteOrderingType.Medium,
    "strong": q.WriteOrderingType.Strong,
}
_CONSISTENCIES: Final = {
    "majority": q.ReadConsistencyType.Majority,
    "quorum": q.ReadConsistencyType.Quorum,
    "all": q.ReadConsistencyType.All,
}


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(f"provided string was not `true` or `false`: {text}")
    return text == "true"


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > _LARGEST:
        raise ValueError(f"invalid digit found in string: {text}")
    return int(text)


def _timeout(text: str) -> int:
    seconds = _number(text)
    if seconds < 1:
        raise validation("query parameters", "timeout: value 0 invalid, must be 1 or larger")
    return seconds


def _ordering(text: str) -> q.WriteOrdering:
    if text not in _ORDERINGS:
        raise ValueError(f"unknown variant `{text}`, expected one of `weak`, `medium`, `strong`")
    return q.WriteOrdering(type=_ORDERINGS[text])


def _consistency(text: str) -> q.ReadConsistency:
    if text in _CONSISTENCIES:
        return q.ReadConsistency(type=_CONSISTENCIES[text])
    factor = _number(text)
    if factor < 1:
        raise ValueError("read consistency factor can't be zero")
    return q.ReadConsistency(factor=factor)


_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "wait": _flag,
    "force": _flag,
    "anonymize": _flag,
    "per_collection": _flag,
    "details_level": _number,
    "completed_limit": _number,
    "timeout": _timeout,
    "ordering": _ordering,
    "consistency": _consistency,
    "priority": str,
    "checksum": str,
    "with": str,
}


def read(query: bytes, allowed: Sequence[str]) -> dict[str, Any]:
    """The parameters by name, of the types that the gRPC messages have.

    Raises:
        InvalidArgument: a parameter is not one of `allowed`, is there twice, or cannot be read.
        Refusal: a value is out of its range.
    """
    if not query:
        return {}
    given: dict[str, Any] = {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        raise InvalidArgument(f"{_DESERIALIZE}not a query string") from None
    for name, text in pairs:
        if name not in allowed:
            expected = ", ".join(f"`{one}`" for one in allowed) or "none"
            raise InvalidArgument(f"{_DESERIALIZE}unknown field `{name}`, expected {expected}")
        if name in given:
            raise InvalidArgument(f"{_DESERIALIZE}duplicate field `{name}`")
        try:
            given[name] = _READERS[name](text)
        except ValueError as fault:
            raise InvalidArgument(f"{_DESERIALIZE}{fault}") from None
    return given
