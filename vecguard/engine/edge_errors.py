"""What Qdrant Edge raises, as the error that a Qdrant server would answer.

Edge's Python binding raises bare `Exception` with the text of Qdrant's `OperationError`; the server wraps these texts
as "Wrong input: ..." (INVALID_ARGUMENT), "Not found: ..." (NOT_FOUND) or "Service internal error: ..." (INTERNAL),
see `lib/storage/src/content_manager/errors.rs` in qdrant/qdrant.
"""

from __future__ import annotations

import re

from vecguard.errors import InvalidArgument, NotFound, VecGuardError


class EngineFailure(VecGuardError):
    """The storage engine failed in a way that no request should cause."""


_POINT_NOT_FOUND = re.compile(r"^No point with id (?P<id>\S+?)( found)?$")
# The texts of `OperationError` (`lib/segment/src/common/operation_error.rs`) that the server answers as bad input.
_BAD_INPUT = (
    "Vector dimension error",
    "Not existing vector name error",
    "Payload type does not match",
    "Unable to infer type",
    "Validation failed",
    "No range index for `order_by`",
    "No appropriate index for faceting",
    "Expected ",
    "The expression ",
    "invalid JSON path",
)
_REWORDED = {
    "Wrong usage of sparse vectors": "Conversion between sparse and regular vectors failed",
    "Wrong usage of multi vectors": "Conversion between multi and regular vectors failed",
}


def as_engine_error(failure: BaseException) -> VecGuardError:
    """Translate an exception of Edge. Errors of our own tree pass through unchanged.

    Args:
        failure: what an Edge call raised; a Rust panic arrives as a `BaseException`.
    """
    if isinstance(failure, VecGuardError):
        return failure
    text = str(failure)
    if missing := _POINT_NOT_FOUND.match(text):
        return NotFound(f"Not found: No point with id {missing['id']} found")
    text = _REWORDED.get(text, text)
    if isinstance(failure, Exception) and (text.startswith(_BAD_INPUT) or text in _REWORDED.values()):
        return InvalidArgument(f"Wrong input: {text}")
    return EngineFailure(f"Service internal error: {text}")
