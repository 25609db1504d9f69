"""Where each tenant of a collection has keys of its own: what is written under whose, and what a filter has to ask for.

Vectors are turned by one rotation for all tenants, so that a search is one query whoever asks; what undoes their noise,
and all that is sealed, is a tenant's own. docs/adr/tenant-keys.md says what that is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, Self

from vecguard.errors import InvalidArgument, TenantShredded
from vecguard.fields import Fields, Keys, Leaf, Names
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.keys.tenants import TenantKeys
from vecguard.manifest import Manifest
from vecguard.policy.model import PayloadRule
from vecguard.policy.paths import parse, render
from vecguard.policy.tenants import TenantRule
from vecguard.seal.dyadic import Interval
from vecguard.seal.fields import FieldSealer
from vecguard.seal.tenant import pack_destroyed, pack_key, tenant_id

MOST_ASKED: Final = 64
"""Tenants' keys that one condition may have to name, where it does not say whose records it is about."""
_REMEMBERED: Final = 256


class Tenancy:
    """Whose keys are whose in one collection."""

    def __init__(self, rule: TenantRule, keys: TenantKeys, ring: KeyRing, id_key: Key, collection_uuid: bytes) -> None:
        self.rule = rule
        self.keys = keys
        self._ring, self._id_key = ring, id_key
        self._identity = collection_uuid

    @classmethod
    def of_collection(cls, manifest: Manifest, ring: KeyRing) -> Self | None:
        """That of a collection; None where all its records are under its own keys."""
        rule = manifest.tenants
        if rule is None or ring.tenants is None:
            return None
        return cls(rule, ring.tenants, ring, manifest.tenant_id_key(ring), manifest.uuid.bytes)

    @property
    def field(self) -> Keys | None:
        """The payload field that says whose a record is; None where the caller says it."""
        return None if self.rule.field is None else parse(self.rule.field)

    def id_of(self, value: Leaf) -> bytes:
        """What a tenant is known by. Raises InvalidArgument: the value cannot be encoded."""
        return tenant_id(self._id_key, value)

    def are_current(self, numbers: tuple[int, ...]) -> bool:
        """Whether there is a key among a tenant's that goes with the current key epoch, which then is the first."""
        return bool(numbers) and self.keys.epoch(numbers[0]) == self._ring.current

    def of(self, value: Leaf) -> tuple[int, ...]:
        """Numbers of a tenant's keys, the one that is sealed with first; none where it has no records yet.

        Raises:
            TenantShredded: its keys were destroyed.
            InvalidArgument: the value cannot be encoded.
        """
        return self.keys.of(self.id_of(value))

    def all_of(self, value: Leaf) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Numbers of a tenant's keys that there are, and of those that were destroyed."""
        return self.keys.all_of(self.id_of(value))

    def destroyed(self, number: int, value: Leaf, time: int) -> str:
        """Text that stands in the place of a tenant's key that is destroyed, at `time` in seconds since 1970."""
        return pack_destroyed(number, self.id_of(value), time, self._ring, self._identity)

    def new_key(self, number: int, tenant: bytes) -> str:
        """Text of a new random key of a tenant, by its id, to be kept with the manifest."""
        return pack_key(number, tenant, Key.random(), self._ring, self._identity)


class TenantFields(Fields):
    """Fields of all tenants' records: for reading, and for filters. What is written is written under `of_keys`."""

    def __init__(
        self,
        rule: PayloadRule,
        ring: KeyRing,
        identity: bytes,
        named: Callable[[str], str],
        tenancy: Tenancy,
        names: Names | None = None,
    ) -> None:
        self._tenancy = tenancy
        self._ring, self._identity = ring, identity
        self._own = FieldSealer(ring.own(), identity)
        super().__init__(rule, FieldSealer(ring, identity), named, names, (tenancy.field or (), self._own))
        self.narrows_by = tenancy.field
        self.of_keys: Callable[[tuple[int, ...]], Fields] = lru_cache(maxsize=_REMEMBERED)(self._of_keys)

    def _of_keys(self, numbers: tuple[int, ...]) -> Fields:
        """Fields of records under these keys, written under the first of them."""
        sealer = FieldSealer(self._ring.under(numbers), self._identity)
        return Fields(self._rule, sealer, self._named, self.names, (self._tenancy.field or (), self._own))

    def narrowed(self, keys: Keys, values: Iterable[Leaf]) -> Fields:
        """See `Fields.narrowed`. Tenants whose keys were destroyed have no records that could be found."""
        if keys != self._tenancy.field:
            return self
        found: list[int] = []
        for value in values:
            try:
                found += self._tenancy.of(value)
            except TenantShredded:
                continue
        return self.of_keys(tuple(found))

    def tokens(self, keys: Keys, value: Leaf) -> list[str]:
        """See `Fields.tokens`. Raises InvalidArgument where there are too many tenants."""
        if self._is_shared(keys):
            return super().tokens(keys, value)
        return self._all(keys).tokens(keys, value)

    def equal_labels(self, keys: Keys, value: Leaf) -> list[str]:
        """See `Fields.equal_labels`. Raises InvalidArgument where there are too many tenants."""
        return self._all(keys).equal_labels(keys, value)

    def labels_within(self, keys: Keys, interval: Interval) -> list[str]:
        """See `Fields.labels_within`. Raises InvalidArgument where there are too many tenants."""
        return self._all(keys).labels_within(keys, interval)

    def word_labels(self, keys: Keys, text: str) -> list[list[str]]:
        """See `Fields.word_labels`. Raises InvalidArgument where there are too many tenants."""
        return self._all(keys).word_labels(keys, text)

    def _is_shared(self, keys: Keys) -> bool:
        return self._sealer_of(keys) is self._own

    def _all(self, keys: Keys) -> Fields:
        """The fields of all tenants' records."""
        numbers = self._tenancy.keys.numbers
        if len(numbers) > MOST_ASKED:
            rule = self._tenancy.rule
            remedy = f"add a condition on `{rule.field}`" if rule.field is not None else "ask as one tenant"
            raise InvalidArgument(
                f"a filter on `{render(keys)}` over all tenants would have to name the keys of {len(numbers)} of them, "
                f"and may name {MOST_ASKED}: {remedy}"
            )
        return self.of_keys(numbers)
