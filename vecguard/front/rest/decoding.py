"""From the bytes of a JSON body to a model of Qdrant's OpenAPI document, refusing what the model does not know.

The models are those of `qdrant_client.http.models`, which are generated from that document; validation is pydantic's
strict mode, so that a number in quotes is no number, as in Qdrant. The texts of errors follow serde's, which Qdrant
passes on ("Format error in JSON body: unknown field `x`").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from qdrant_client.http import models as m

from vecguard.errors import InvalidArgument
from vecguard.front.rest.first_fault import stopping_at_first_fault
from vecguard.front.rest.refusals import Refusal
from vecguard.ranking.datetime_text import microseconds

T = TypeVar("T")

FORMAT: Final = "Format error in JSON body: "
# A model takes microseconds for each object and remembers each fault: a body of millions of either is refused.
MOST_FIELDS: Final = 500_000
# Fields whose text may be a time: only bodies with one of them, or with escapes, are looked through for it.
_TIMED: Final = (b'"range"', b'"start_from"', b"\\u")

# pydantic takes these for numbers.
_NO_JSON: Final = (b"NaN", b"Infinity")


class Body(Generic[T]):
    """How one endpoint's body is read."""

    def __init__(self, model: Any) -> None:
        """`model` is a type of `qdrant_client.http.models`, or one like them."""
        self.model = model
        self._validator = stopping_at_first_fault(model)

    def read(self, raw: bytes) -> T:
        """The body as the model has it.

        Raises:
            InvalidArgument: it is not JSON, or not what the model says; says where and why.
            Refusal: it has too many objects and fields to be read by a model.
        """
        if raw.count(b"{") + raw.count(b":") > MOST_FIELDS:
            raise Refusal(413, f"JSON body has too many objects and fields: {MOST_FIELDS} are read in one request")
        try:
            value: T = self._validator.validate_json(raw, strict=True)
        except ValidationError as fault:
            raise InvalidArgument(FORMAT + _why(fault, raw)) from None
        timed = any(word in raw for word in _TIMED)
        if timed or any(word in raw for word in _NO_JSON):
            tree = _strictly(raw)
            if timed:
                _check_times(value, tree)
        return value


def _strictly(raw: bytes) -> object:
    """The body by orjson, which keeps to RFC 8259, as Qdrant does.

    Raises:
        InvalidArgument: it is no JSON: NaN or an infinity, or a number that is one as a double.
    """
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as wrong:
        raise InvalidArgument(FORMAT + wrong.msg) from None


def _why(fault: ValidationError, raw: bytes) -> str:
    """One sentence for the complaint that says most: the one deepest in the body."""
    found = fault.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return found[0]["msg"].removeprefix("Invalid JSON: ")
    try:
        tree = orjson.loads(raw)
    except orjson.JSONDecodeError as wrong:  # what the two parsers differ on
        return wrong.msg
    complaints = [_complaint(error, tree) for error in found]
    depth = max(len(one.path) for one in complaints)
    worst = next(one for one in complaints if len(one.path) == depth)
    place = worst.path[:-1]
    unknown = _unknown([one for one in complaints if one.path[:-1] == place and one.path])
    if unknown is not None:
        return f"unknown field `{unknown}`{_at(place)}"
    if worst.fork is not None and worst.fork >= depth - 1:
        return f"data did not match any variant of untagged enum{_at(worst.path[: worst.fork])}"
    if worst.kind == "missing":
        return f"missing field `{worst.path[-1]}`{_at(place)}"
    return f"invalid value{_at(worst.path)}: {worst.text[:1].lower()}{worst.text[1:]}"


def _unknown(complaints: list[_Complaint]) -> str | int | None:
    """The field of one object that none of the variants knows that were tried for it, if there is such a field."""
    variants: dict[tuple[str | int, ...], set[str | int]] = {}
    for one in complaints:
        if one.kind in ("extra_forbidden", "missing"):
            extra = variants.setdefault(one.variant, set())
            if one.kind == "extra_forbidden":
                extra.add(one.path[-1])
    everywhere = set.intersection(*variants.values()) if variants else set()
    return next((one.path[-1] for one in complaints if one.path[-1] in everywhere), None)


@dataclass(frozen=True, slots=True)
class _Complaint:
    """One of pydantic's errors: its place in the body, the variant it is of, how deep the last choice of one was."""

    kind: str
    text: str
    path: tuple[str | int, ...]
    variant: tuple[str | int, ...]
    fork: int | None


def _complaint(error: ErrorDetails, tree: object) -> _Complaint:
    """An error without the names of the variants that were tried, which pydantic puts among the places."""
    path: list[str | int] = []
    fork: int | None = None
    last = len(error["loc"]) - 1
    for position, part in enumerate(error["loc"]):
        inside, step = _step(tree, part)
        if inside:
            path.append(part)
            tree = step
        elif position == last and error["type"] == "missing":
            path.append(part)
        else:
            fork = len(path)
    return _Complaint(error["type"], error["msg"], tuple(path), error["loc"][:-1], fork)


def _step(tree: object, part: str | int) -> tuple[bool, object]:
    if isinstance(tree, dict) and part in tree:
        return True, tree[part]
    if isinstance(tree, list) and isinstance(part, int) and part < len(tree):
        return True, tree[part]
    return False, None


def _at(path: Sequence[str | int]) -> str:
    return f" at `{'.'.join(str(part) for part in path)}`" if path else ""


def _check_times(value: object, raw: object) -> None:
    """Refuse texts that pydantic takes for a time and Qdrant does not (`"5"`).

    Raises:
        InvalidArgument: one is found.
    """
    if isinstance(value, list) and isinstance(raw, list):
        for one, given in zip(value, raw, strict=True):
            _check_times(one, given)
    elif isinstance(value, list | tuple):
        for one in value:
            _check_times(one, raw)
    elif isinstance(value, BaseModel) and isinstance(raw, dict):
        for name, info in type(value).model_fields.items():
            key = info.alias or name
            if key not in raw:
                continue
            if isinstance(raw[key], str) and (isinstance(value, m.DatetimeRange) or (name == "start_from")):
                _check_time(raw[key])
            elif isinstance(raw[key], dict | list):
                _check_times(getattr(value, name), raw[key])


def _check_time(text: str) -> None:
    try:
        microseconds(text)
    except InvalidArgument as fault:
        raise InvalidArgument(FORMAT + str(fault)) from None
