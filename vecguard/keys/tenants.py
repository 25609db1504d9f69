"""The data keys of one collection's tenants, by number. A number stands where a sealed thing names its key epoch.

Numbers of tenants' keys are 2^31 and above, those of the collection's own epochs below. A tenant may have several keys,
as when two workers met it for the first time at once: none of them is lost, and all of them read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Final

from vecguard.errors import TenantShredded, Unreadable
from vecguard.keys.key import Key

FIRST_NUMBER: Final = 2**31
LAST_NUMBER: Final = 2**32 - 1
# Field paths come from clients, so what is cached per path must be bounded.
_CACHED_SUBKEYS: Final = 16_384


class TenantKeys:
    """What is known of tenants' keys. More may become known; what is destroyed later makes another object.

    Tenants are named by their ids: 12 keyed bytes, see `vecguard.seal.tenant`.
    """

    def __init__(self) -> None:
        self._keys: dict[int, Key] = {}
        self._epochs: dict[int, int] = {}
        self._numbers: dict[bytes, tuple[int, ...]] = {}
        self._destroyed: dict[int, bytes] = {}
        self._gone: set[bytes] = set()
        # Not over a method, see `KeyRing`.
        self._subkey = lru_cache(maxsize=_CACHED_SUBKEYS)(partial(_derive, self._keys, self._destroyed))

    def learn(self, number: int, epoch: int, tenant: bytes, key: Key | None) -> None:
        """Take a key of a tenant, which records of the collection's `epoch` are sealed with; None: it was destroyed."""
        self._epochs[number] = epoch
        if key is None:
            self._destroyed[number] = tenant
            self._gone.add(tenant)
            return
        self._keys[number] = key
        # While keys are rotated a tenant has some of either epoch: what is new is under the newest.
        numbers = {*self._numbers.get(tenant, ()), number}
        self._numbers[tenant] = tuple(sorted(numbers, key=lambda one: (-self._epochs[one], one)))

    def destroy(self, numbers: Iterable[int]) -> None:
        """Zero keys that were destroyed since: whoever still holds this object is told so."""
        for number in numbers:
            key = self._keys.pop(number, None)
            if key is not None:
                self._subkey.cache_clear()
                key.close()
                tenant = next(tenant for tenant, held in self._numbers.items() if number in held)
                self._numbers[tenant] = tuple(one for one in self._numbers[tenant] if one != number)
                self.learn(number, self._epochs[number], tenant, None)

    def of(self, tenant: bytes) -> tuple[int, ...]:
        """Numbers of a tenant's keys, the one that is sealed with first; none for one that has no records yet.

        Raises:
            TenantShredded: its keys were destroyed.
        """
        if tenant in self._gone:
            raise TenantShredded
        return self._numbers.get(tenant, ())

    def all_of(self, tenant: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers of a tenant's keys that there are, and of those that were destroyed."""
        gone = tuple(sorted(number for number, whose in self._destroyed.items() if whose == tenant))
        return self._numbers.get(tenant, ()), gone

    def siblings(self, number: int) -> tuple[int, ...]:
        """Numbers of all keys of the tenant that this one is a key of, the one that is sealed with first.

        Raises:
            Unreadable: there is no such key.
            TenantShredded: it was destroyed.
        """
        return self._numbers[self.tenant(number)]

    def tenant(self, number: int) -> bytes:
        """Whose key this is: a tenant's id. Raises Unreadable, TenantShredded."""
        _require(self._keys, self._destroyed, number)
        return next(tenant for tenant, numbers in self._numbers.items() if number in numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """All keys that there are."""
        return tuple(self._keys)

    @property
    def destroyed(self) -> tuple[int, ...]:
        """The keys that were destroyed."""
        return tuple(self._destroyed)

    @property
    def count(self) -> int:
        """How many keys there are, with those that were destroyed."""
        return len(self._epochs)

    def known(self, number: int) -> bool:
        """Whether there is, or was, a key of this number."""
        return number in self._epochs

    def epoch(self, number: int) -> int:
        """The epoch of the collection's own keys that goes with a tenant's.

        Raises:
            Unreadable: there is no such key.
            TenantShredded: it was destroyed.
        """
        _require(self._keys, self._destroyed, number)
        return self._epochs[number]

    def subkey(self, number: int, purpose: str, *context: str) -> Key:
        """HKDF subkey of a tenant's key; see `Key.derive_bytes`. Cached, so don't close it.

        Raises:
            Unreadable: there is no such key.
            TenantShredded: it was destroyed.
        """
        return self._subkey(number, purpose, *context)

    def close(self) -> None:
        """Zero the keys."""
        self._subkey.cache_clear()
        for key in self._keys.values():
            key.close()

    def __repr__(self) -> str:
        return f"TenantKeys({len(self._keys)} keys, {len(self._destroyed)} destroyed)"


def _derive(keys: Mapping[int, Key], destroyed: Mapping[int, bytes], number: int, purpose: str, *context: str) -> Key:
    _require(keys, destroyed, number)
    return keys[number].derive(purpose, *context)


def _require(keys: Mapping[int, Key], destroyed: Mapping[int, bytes], number: int) -> None:
    if number in destroyed:
        raise TenantShredded
    if number not in keys:
        raise Unreadable
