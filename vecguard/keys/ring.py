"""The data keys of one collection by epoch, and the subkeys that everything else works with."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Final

from vecguard.errors import ConfigError, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.provider import KeyProvider

MAX_EPOCH: Final = 2**32 - 1
# Field paths come from clients, so what is cached per path must be bounded.
_CACHED_SUBKEYS: Final = 4096


class KeyRing:
    """Immutable: a key rotation makes a new ring, so one call sees one current epoch throughout."""

    def __init__(self, keys: Mapping[int, Key], current: int) -> None:
        """`keys` maps live epochs (1..2^32-1) to data keys; `current` is the one that new data is written with.

        Raises:
            ConfigError: `current` is not among them, or an epoch is out of range.
        """
        if current not in keys:
            raise ConfigError(f"key epoch {current} has no data key")
        if not all(1 <= epoch <= MAX_EPOCH for epoch in keys):
            raise ConfigError(f"key epochs are 1 to {MAX_EPOCH}")
        self._keys = dict(keys)
        self._current = current
        # Not over a method: the ring would be part of a cycle, and its keys would outlive it until that is collected.
        self._subkey = lru_cache(maxsize=_CACHED_SUBKEYS)(partial(_derive, self._keys))

    @property
    def current(self) -> int:
        """The epoch that new data is sealed under."""
        return self._current

    @property
    def epochs(self) -> tuple[int, ...]:
        """The live epochs, the current one first, then newest to oldest."""
        return tuple(sorted(self._keys, key=lambda epoch: (epoch != self._current, -epoch)))

    def with_epochs(self, current: int, more: Mapping[int, Key] | None = None, *, only: int | None = None) -> KeyRing:
        """Another ring over copies of the keys: with `more` of them, or with that of the epoch `only` alone.

        Raises:
            ConfigError: see the class.
        """
        keys = {epoch: Key(key.expose()) for epoch, key in {**self._keys, **(more or {})}.items()}
        return KeyRing({epoch: key for epoch, key in keys.items() if only in (None, epoch)}, current)

    def wrapped(self, epoch: int, provider: KeyProvider, context: bytes) -> bytes:
        """The data key of an epoch, wrapped by `provider`.

        Raises:
            Unreadable: the epoch is not live.
            Unavailable: the provider is out of reach.
        """
        key = self._keys.get(epoch)
        if key is None:
            raise Unreadable
        return provider.wrap(key, context)

    def same_keys(self, other: KeyRing) -> bool:
        """Whether another ring holds the same keys for the same epochs; compared in constant time."""
        return self._keys.keys() == other._keys.keys() and all(
            key == other._keys[epoch] for epoch, key in self._keys.items()
        )

    def subkey(self, epoch: int, purpose: str, *context: str) -> Key:
        """HKDF subkey of the epoch's data key; see `Key.derive_bytes`. Cached, so don't close it.

        Raises:
            Unreadable: the epoch is not live: what it sealed cannot be opened any more.
        """
        return self._subkey(epoch, purpose, *context)

    def close(self) -> None:
        """Zero the data keys. Subkeys already handed out live until they are dropped."""
        self._subkey.cache_clear()
        for key in self._keys.values():
            key.close()

    def __repr__(self) -> str:
        return f"KeyRing(epochs={self.epochs}, current={self._current})"


def _derive(keys: Mapping[int, Key], epoch: int, purpose: str, *context: str) -> Key:
    key = keys.get(epoch)
    if key is None:
        raise Unreadable
    return key.derive(purpose, *context)
