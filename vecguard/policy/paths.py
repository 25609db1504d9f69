"""Payload paths as Qdrant writes them: `a.b`, `tags[]`, `items[0].name`, `meta."file.name"`.

Grammar (Qdrant's JSON path, `segment::json_path`): keys joined by dots; a bare key is letters, digits, `_` and `-`;
any other key stands in double quotes and holds neither quote nor backslash; `[]` and `[n]` follow a key.
List markers do not matter to a policy (one rule covers every element of a list), so a parsed path is its keys only.
"""

from __future__ import annotations

import re

from vecguard.errors import InvalidArgument

_BARE = r"[\w-]+"
_QUOTED = r'"[^"\\]*"'
_STEP = re.compile(rf"(?:{_BARE}|{_QUOTED})(?:\[[0-9]*\])*")
_KEY = re.compile(rf"({_BARE})|({_QUOTED})")
_BARE_KEY = re.compile(_BARE)


def parse(path: str) -> tuple[str, ...]:
    """Split a payload path into its keys, without list markers.

    Raises `errors.InvalidArgument` when it is not a path.
    """
    keys: list[str] = []
    at = 0
    while step := _STEP.match(path, at):
        key = _KEY.match(path, at)
        assert key is not None  # noqa: S101 - every step starts with a key
        keys.append(key[1] if key[1] is not None else key[2][1:-1])
        at = step.end()
        if at == len(path):
            return tuple(keys)
        if path[at] != ".":
            break
        at += 1
    raise InvalidArgument(
        f"`{path}` is not a payload path: put keys with other signs than letters, digits, _ and - "
        'in double quotes, as in meta."file.name"'
    )


def render(keys: tuple[str, ...]) -> str:
    """Write keys as a payload path, quoting only where needed; the inverse of `parse` for keys that a path can name."""
    return ".".join(key if _BARE_KEY.fullmatch(key) else f'"{key}"' for key in keys)
