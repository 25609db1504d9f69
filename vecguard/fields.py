"""One collection's payload fields: which mode each has, and sealing or opening its leaves.

A field is named by its keys, list markers left out. Its sealing path is the JSON Pointer of those keys (RFC 6901),
which is unambiguous for any key text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.policy.model import FieldMode, PayloadRule
from vecguard.policy.paths import parse, render
from vecguard.seal.fields import FieldSealer

Leaf: TypeAlias = bool | int | float | str
Keys: TypeAlias = tuple[str, ...]


# Keys come from clients' payloads, so what is remembered of them is bounded.
@lru_cache(maxsize=8192)
def pointer(keys: Keys) -> str:
    """JSON Pointer (RFC 6901, section 3) of a field's keys."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in keys)


def client_keys(path: str) -> Keys:
    """The keys of a path that a client sent.

    Raises:
        InvalidArgument: it is no path, in Qdrant's words.
    """
    try:
        return parse(path)
    except InvalidArgument:
        raise InvalidArgument(f"Invalid json path: '{path}'") from None


class Fields:
    """Modes and sealer of one collection's payload."""

    def __init__(self, rule: PayloadRule, sealer: FieldSealer, named: Callable[[str], str]) -> None:
        self._rule = rule
        self._sealer = sealer
        self._named = named

    def mode(self, keys: Keys) -> FieldMode:
        """Mode of the field with these keys."""
        return self._rule.mode_of(keys)

    def protect(self, keys: Keys, value: Leaf, point_id: bytes | None) -> Leaf:
        """The leaf as it is stored. `point_id` is None where a write does not name its points."""
        mode = self._rule.mode_of(keys)
        if mode == "plain":
            return value
        path = pointer(keys)
        if mode == "searchable":
            return self._sealer.token(path, value)
        return self._sealer.seal(path, value, point_id)

    def reveal(self, keys: Keys, stored: Leaf, point_id: bytes) -> Leaf:
        """The leaf as the client wrote it.

        Raises:
            Unreadable: it does not authenticate, or was never sealed although its mode says so.
        """
        mode = self._rule.mode_of(keys)
        if mode == "plain":
            return stored
        if not isinstance(stored, str):
            raise Unreadable
        path = pointer(keys)
        if mode == "searchable":
            return self._sealer.open_token(path, stored)
        return self._sealer.open(path, stored, point_id)

    def tokens(self, keys: Keys, value: Leaf) -> list[str]:
        """What equals `value` at rest in a searchable field: one token per live key epoch."""
        return self._sealer.tokens_for_filter(pointer(keys), value)

    def require(self, path: str, prefix: Keys, allowed: tuple[FieldMode, ...], what: str) -> FieldMode:
        """The mode of the field at `prefix` + `path`, if it is one that can answer `what`.

        Raises:
            InvalidArgument: the path is malformed, or the mode cannot answer; names field, mode and policy entry.
        """
        keys = (*prefix, *client_keys(path))
        mode = self._rule.mode_of(keys)
        if mode in allowed:
            return mode
        text = render(keys)
        raise InvalidArgument(
            f"{what} cannot be answered on field `{text}`: its mode is {mode} ({self._named(text)}); "
            f"it needs mode {' or '.join(allowed)}"
        )
