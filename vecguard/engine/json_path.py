"""Values at a payload key path: `a.b`, `a[0].b`, `a[].b`, `"with.dots".b` (qdrant's `JsonPath`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"]*)"|(?P<name>[A-Za-z0-9_-]+)|\[(?P<index>[0-9]*)\])')
_WILDCARD_SUFFIX = "[]"


def values_at(payload: Any, path: str) -> list[Any]:
    """Every value that a path reaches; a `[]` step spreads an array, and nothing else does.

    Args:
        payload: JSON as Python.
        path: a path that Qdrant has accepted; a malformed one reaches nothing.
    """
    reached = [payload]
    for step in _steps(path):
        reached = [found for value in reached for found in _descend(value, step)]
    return reached


def without_wildcard_suffix(path: str) -> str:
    """The path of the array itself, where the path ends in `[]`."""
    return path.removesuffix(_WILDCARD_SUFFIX)


def _steps(path: str) -> list[str | int | None]:
    """Keys, indexes, and None for a wildcard."""
    steps: list[str | int | None] = []
    position = 0
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            raise ValueError(f"malformed key path {path!r}")
        position = match.end()
        if (index := match["index"]) is not None:
            steps.append(int(index) if index else None)
        else:
            steps.append(match["name"] if match["quoted"] is None else match["quoted"])
    return steps


def _descend(value: Any, step: str | int | None) -> Iterator[Any]:
    if isinstance(step, str):
        if isinstance(value, dict) and step in value:
            yield value[step]
    elif isinstance(value, list):
        if step is None:
            yield from value
        elif step < len(value):
            yield value[step]
