"""The stamp of a collection's configuration, which the embedded engine gives beside its answers to reads of that and to
writes of points.

It is drawn anew whenever the configuration is replaced, the collection is another one, or the engine starts again. So
who has read the configuration at some stamp knows, from a write that was answered with the same one, that it still held
when the write was applied, and need not read it again. Other databases give none.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

HEADER: Final = "vecguard-configuration"
"""Its key in an answer's trailing metadata."""

_BYTES: Final = 12


def fresh() -> str:
    """One that nothing else has."""
    return secrets.token_hex(_BYTES)


def stamp_in(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The stamp in an answer's trailing metadata; empty where there is none."""
    return next((value for key, value in metadata if key == HEADER and isinstance(value, str)), "")
