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
_BAD_INPUT = (
    "Vector dimension error",
    "Not existing vector name error",
    "Vector inference error",
    "Wrong vector",
    "Conversion between",
    "Missed vector",
    "Multi vector",
    "Multivector",
    "Sparse vector",
    "Expected ",
    "Field ",
    "Index required",
    "No appropriate index",
    "Malformed",
    "Order by",
    "Validation",
    "Unsupported",
    "Could not",
)
_VALIDATION_PREFIX = re.compile(r"^(Validation failed|Validation error|Type inference error|Wrong input|Bad input): ")
_INTERNAL_PREFIX = re.compile(r"^(Service runtime error|Inconsistent storage|Out of memory|File system|Cancelled)")


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
    if isinstance(failure, Exception) and not _INTERNAL_PREFIX.match(text) and _is_bad_input(text):
        return InvalidArgument(f"Wrong input: {_VALIDATION_PREFIX.sub('', text)}")
    return EngineFailure(f"Service internal error: {text}")


def _is_bad_input(text: str) -> bool:
    return text.startswith(_BAD_INPUT) or _VALIDATION_PREFIX.match(text) is not None
