"""Several key-encryption keys at once: what lets the KEK be changed while proxies serve."""

from __future__ import annotations

from collections.abc import Sequence

from vecguard.errors import Unreadable
from vecguard.keys.hidden import Unpicklable
from vecguard.keys.key import Key
from vecguard.keys.provider import KeyProvider


class SeveralProviders(Unpicklable):
    """A `KeyProvider` that wraps with the first of several, and unwraps with whichever wrapped the data key."""

    def __init__(self, current: KeyProvider, former: Sequence[KeyProvider]) -> None:
        self._current = current
        self._former = tuple(former)

    @property
    def key_id(self) -> str:
        """That of the provider that wraps."""
        return self._current.key_id

    def wrap(self, data_key: Key, context: bytes) -> bytes:
        """As the current provider does. Raises Unavailable."""
        return self._current.wrap(data_key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> Key:
        """By the first of them that opens it; a former one is only asked for what the current one does not open.

        Raises:
            Unreadable: none does.
            Unavailable: one that was to be asked is away.
        """
        for provider in (self._current, *self._former):
            try:
                return provider.unwrap(wrapped, context)
            except Unreadable:
                continue
        raise Unreadable
