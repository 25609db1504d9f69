"""What is known of one collection: its manifest as the backend keeps it, and its compiled protection."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from vecguard.keys.lease import Recording
from vecguard.policy.model import CollectionPolicy, Policy
from vecguard.shield import Shield


@dataclass(frozen=True, slots=True)
class StoredManifest:
    """A collection's manifest as the backend keeps it: texts of the core and of each vector's record.

    `declared` is the text of the collection's declaration as the client made it, where a front keeps that; `tenants`
    are the texts of tenants' keys by their place (`manifest.tenant_place`), which are written one by one. `moving` is
    what a job that rotates keys says of itself, where a front has it: it is beside the manifest, and no part of it.
    `vacant` are places from which keys were taken that stay there empty, where the backend cannot take them away.
    `newest`: it is remembered elsewhere which of the collection's records are the newest. `stamp` is that of the
    configuration that held it, where the database gives one (see `vecguard.stamp`).
    """

    core: str
    vectors: Mapping[str, str] = field(default_factory=dict)
    declared: str | None = None
    tenants: Mapping[str, str] = field(default_factory=dict)
    moving: str = field(default="", compare=False)
    vacant: frozenset[str] = field(default=frozenset(), compare=False)
    newest: bool = field(default=False, compare=False)
    stamp: str = field(default="", compare=False)

    def has_all_of(self, other: StoredManifest) -> bool:
        """Whether this is the same but for tenants' keys that came since."""
        same = (self.core, self.vectors, self.declared) == (other.core, other.vectors, other.declared)
        return same and all(self.tenants.get(place) == text for place, text in other.tenants.items())


@dataclass(frozen=True, slots=True)
class Entry:
    """One collection as it was at `checked` (monotonic seconds). `shield` is None where the policy protects nothing.

    `keys` knows how long the shield's keys are good. Without a shield, `called` is the collection's own name, as the
    database said at `resolved` (monotonic seconds); with one, the manifest says it. Since `moving_since` (monotonic
    seconds) the manifest is known with the same `moving`.
    """

    asked: str
    policy: CollectionPolicy
    shield: Shield | None
    stored: StoredManifest | None
    rules: Policy
    generation: int
    checked: float
    keys: Recording | None = None
    called: str = ""
    resolved: float = -math.inf
    moving_since: float = math.inf

    def still(self, found: Entry, *, exactly: bool = False) -> bool:
        """Whether another look found the same. Unless `exactly`, keys of tenants may have come since: what was written
        under others still opens. But while keys are rotated, records are moved to them, which a write may then miss."""
        if self.shield is not None and self.shield.rotating:
            exactly = True
        if exactly or self.stored is None or found.stored is None:
            return found.stored == self.stored
        return found.stored.has_all_of(self.stored)

    @property
    def name(self) -> str:
        """The collection's own name (an alias may have been asked for)."""
        return self.shield.manifest.collection if self.shield is not None else self.called
