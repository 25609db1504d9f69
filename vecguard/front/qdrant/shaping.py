"""Answers in the form that the caller's role may have: without vectors, with rounded scores, or with their order alone.

What would tell a score in another way than by the score is refused: a threshold between the steps of rounding, which
could be moved until a point falls out, and formulas, which can make any score large enough to see through the rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import Message
from qdrant_client import grpc as q

from vecguard.errors import Denied
from vecguard.model import Shape

_THRESHOLD: Final = "score_threshold"
_CLOSE: Final = 1e-6


def shaped(ask: Message, answer: Message, shape: Shape) -> None:
    """Give an answer the form `shape`, in place. `ask` is the client's request.

    Raises:
        Denied: the request asks for what that form does not have.
    """
    for part in _parts(ask):
        if shape.vectors == "deny" and isinstance(part, q.WithVectorsSelector) and _wants(part):
            raise Denied("vectors are not given to this caller: ask without with_vectors")
        if shape.scores != "exact":
            _require_coarse(part, shape)
    for part in _parts(answer):
        if shape.vectors == "deny" and isinstance(part, q.ScoredPoint | q.RetrievedPoint):
            part.ClearField("vectors")
        if shape.scores != "exact":
            _coarsen(part, shape)


def _parts(message: Message) -> Iterator[Any]:
    """A message and all that it holds, payloads left out."""
    waiting = [message]
    while waiting:
        part = waiting.pop()
        yield part
        for field, value in part.ListFields():
            if field.message_type is None or field.message_type.GetOptions().map_entry:
                continue
            waiting.extend(value if field.is_repeated else [value])


def _wants(selector: q.WithVectorsSelector) -> bool:
    kind = selector.WhichOneof("selector_options")
    return bool(selector.include.names) if kind == "include" else kind == "enable" and selector.enable


def _require_coarse(part: Any, shape: Shape) -> None:
    if isinstance(part, q.Formula):
        raise Denied("formulas are not answered to this caller, whose scores are not exact")
    if _THRESHOLD not in part.DESCRIPTOR.fields_by_name or not part.HasField(_THRESHOLD):
        return
    threshold = float(part.score_threshold)
    if shape.scores == "hidden" or abs(round(threshold, shape.decimals) - threshold) > _CLOSE:
        steps = "none at all" if shape.scores == "hidden" else f"one with at most {shape.decimals} decimals"
        raise Denied(f"this score_threshold is not answered to this caller, whose scores are not exact: give {steps}")


def _coarsen(part: Any, shape: Shape) -> None:
    if isinstance(part, q.ScoredPoint | q.SearchMatrixPair):
        part.score = _coarse(part.score, shape)
    elif isinstance(part, q.SearchMatrixOffsets):
        part.scores[:] = [_coarse(score, shape) for score in part.scores]


def _coarse(score: float, shape: Shape) -> float:
    return 0.0 if shape.scores == "hidden" else round(score, shape.decimals)
