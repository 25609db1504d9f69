"""The data keys of one collection by epoch, and the subkeys that everything else works with.

Where each tenant has keys of its own (`vecguard.keys.tenants`), a number of one stands where an epoch would: what is
sealed names it in the same place. What all tenants share, as the rotation of vectors, is of the collection's epochs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Final

from vecguard.errors import ConfigError, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.provider import KeyProvider
from vecguard.keys.tenants import FIRST_NUMBER, TenantKeys

MAX_EPOCH: Final = FIRST_NUMBER - 1
# The epoch that nothing lies under: where each tenant has keys of its own, what is of no tenant is sealed with none.
_NOBODYS: Final = 0
# Field paths come from clients, so what is cached per path must be bounded.
_CACHED_SUBKEYS: Final = 4096


class KeyRing:
    """Immutable: a key rotation makes a new ring, so one call sees one current epoch throughout."""

    def __init__(self, keys: Mapping[int, Key], current: int) -> None:
        """`keys` maps live epochs (1..2^31-1) to data keys; `current` is the one that new data is written with.

        Raises:
            ConfigError: `current` is not among them, or an epoch is out of range.
        """
        if current not in keys:
            raise ConfigError(f"key epoch {current} has no data key")
        if not all(1 <= epoch <= MAX_EPOCH for epoch in keys):
            raise ConfigError(f"key epochs are 1 to {MAX_EPOCH}")
        self._keys = dict(keys)
        self._current = current
        self.tenants: TenantKeys | None = None
        """The keys that records are sealed with, where each tenant has its own."""
        self._sealing = current
        self._asked: tuple[int, ...] | None = None
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

    @property
    def sealing(self) -> int:
        """What new data of records is sealed under: the current epoch, or the number of a tenant's key."""
        return self._sealing

    @property
    def asked(self) -> tuple[int, ...]:
        """What stored values may be sealed under that a filter asks for, the one that is sealed with first."""
        return self.epochs if self._asked is None else self._asked

    def with_tenants(self, tenants: TenantKeys) -> KeyRing:
        """The same keys, for a collection whose tenants have keys of their own."""
        ring = copy.copy(self)
        ring.tenants, ring._sealing = tenants, _NOBODYS
        return ring

    def under(self, numbers: Sequence[int]) -> KeyRing:
        """The same keys, new data sealed under the first of these numbers of tenants' keys, filters asking for all."""
        ring = copy.copy(self)
        ring._sealing, ring._asked = (*numbers, _NOBODYS)[0], tuple(numbers)
        return ring

    def own(self) -> KeyRing:
        """The same keys, for what is of no tenant: under the collection's own epochs."""
        ring = copy.copy(self)
        ring._sealing, ring._asked = self._current, None
        return ring

    def epoch_of(self, sealed_under: int) -> int:
        """The collection's own epoch that goes with what a sealed thing names.

        Raises:
            Unreadable: there is no such tenant's key.
            TenantShredded: it was destroyed.
        """
        if sealed_under < FIRST_NUMBER or self.tenants is None:
            return sealed_under
        return self.tenants.epoch(sealed_under)

    def is_current(self, sealed_under: int) -> bool:
        """Whether what a sealed thing names is the current epoch, or a tenant's key that goes with it.

        Raises:
            Unreadable, TenantShredded: see `epoch_of`.
        """
        return self.epoch_of(sealed_under) == self._current

    def is_tenants(self, sealed_under: int) -> bool:
        """Whether a sealed thing names a tenant's key."""
        return self.tenants is not None and sealed_under >= FIRST_NUMBER

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
            TenantShredded: it is the number of a tenant's key, which was destroyed.
        """
        if epoch >= FIRST_NUMBER and self.tenants is not None:
            return self.tenants.subkey(epoch, purpose, *context)
        return self._subkey(epoch, purpose, *context)

    def close(self) -> None:
        """Zero the data keys. Subkeys already handed out live until they are dropped."""
        self._subkey.cache_clear()
        if self.tenants is not None:
            self.tenants.close()
        for key in self._keys.values():
            key.close()

    def __repr__(self) -> str:
        return f"KeyRing(epochs={self.epochs}, current={self._current})"


def _derive(keys: Mapping[int, Key], epoch: int, purpose: str, *context: str) -> Key:
    key = keys.get(epoch)
    if key is None:
        raise Unreadable
    return key.derive(purpose, *context)
