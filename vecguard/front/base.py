"""What a front is: one wire protocol's table of RPCs, how it fails, and where it keeps a collection's manifest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vecguard.catalog import StoredManifest
from vecguard.detect.watch import EVERYTHING, Observe, Shown
from vecguard.fresh.guard import Adoption
from vecguard.front.rotation import Reprotect, RequireRotatable, always_rotatable
from vecguard.front.transfer import Transfer
from vecguard.model import Caller
from vecguard.pipeline import (
    AnyRoute,
    AskedOf,
    Damaged,
    Failed,
    Pipeline,
    Records,
    Restrict,
    Shaped,
    by_status,
    no_records,
)
from vecguard.policy.retention import RetentionRule
from vecguard.shield import Shield
from vecguard.upstream import Upstream

DESTROYED: Final = "keys of its tenant destroyed"
FOREIGN: Final = "of another tenant than it says"
"""Faults of whole records, where tenants have keys of their own."""
OLDER: Final = "not the newest"
"""The fault of a record that was put back, where it is remembered what is newest."""


@dataclass(frozen=True, slots=True)
class Inspected:
    """One stored record that was looked at.

    `key` is its id as an operator would write it; `faults` name the parts of it that do not open; `content` is all of
    what is stored of it, in one form, whatever order a database answers it in.
    """

    key: str
    faults: tuple[str, ...]
    content: bytes


Inspect = Callable[[Upstream, str, Shield], AsyncIterator[list[Inspected]]]
Names = Callable[[Upstream, Caller], Awaitable[list[str]]]


WriteTenantKeys = Callable[[Upstream, str, Mapping[str, str], Caller], Awaitable[None]]
"""`(upstream, collection, texts by place, caller)`: put texts of tenants' keys beside a manifest; all others stay."""


class DeleteOf(Protocol):
    """Deletes the records of a collection that were written under some tenant's keys."""

    async def __call__(self, upstream: Upstream, name: str, shield: Shield, numbers: Sequence[int]) -> int:
        """How many these were.

        Raises:
            UpstreamFailure: the database says no, or cannot be reached.
            Unavailable: what remembers which records are the newest is away.
        """


class Sweep(Protocol):
    """Deletes the records of a collection that are too old to be kept; `now` in seconds since 1970."""

    async def __call__(
        self, upstream: Upstream, name: str, shield: Shield, rule: RetentionRule, now: float, *, dry_run: bool
    ) -> int:
        """How many these are, or with `dry_run` would be.

        Raises:
            FailedPrecondition: their age cannot be told.
            UpstreamFailure: the database says no, or cannot be reached.
        """


class Plant(Protocol):
    """Plants the records that are missing of the first `count` of a collection."""

    async def __call__(self, upstream: Upstream, name: str, shield: Shield, count: int) -> int:
        """How many these were.

        Raises:
            FailedPrecondition: nothing can be planted that is like the collection's records; says why.
            UpstreamFailure: the database says no, or cannot be reached.
            Unreadable: records of the collection do not open.
        """


@dataclass(frozen=True, slots=True)
class Planting:
    """What is done about planted records: `found` are those that are there, and the parts of each that do not open;
    `remove` takes them away, and says how many these were."""

    plant: Plant
    found: Callable[[Upstream, str, Shield], Awaitable[list[tuple[str, tuple[str, ...]]]]]
    remove: Callable[[Upstream, str, Shield], Awaitable[int]]


Count = Callable[[Upstream, str], Awaitable[int]]
Adopt = Callable[[Upstream, str, Shield, Adoption], AsyncIterator[int]]
"""`(upstream, collection, shield, adoption)`: take all records that are there as the newest, some at a time; how many.
"""


@dataclass(frozen=True, slots=True)
class Front:
    """One wire protocol. `names` are those of all collections of its database.

    `inspect` looks at every stored record of a collection, some at a time, in the order of their ids; `count` says how
    many there are; `transfer` carries a collection, by name, through a pipeline; `sweep` deletes what is too old;
    `reprotect` brings its records to the current keys, where `require_rotatable` lets it; `write_manifest` puts a
    manifest in the place of the one that it has. `failed` makes the reply that tells of an error where the protocol has
    them in its replies; `passed_metadata` are the keys of a client's metadata that go on to the database, which may
    know the client by them; `records` counts the records that a request and its reply carry, `shown` those that a reply
    shows at most; `restrict` sends messages under conditions on records; `shaped` gives answers the form that a role
    may have; `damaged` finds the records that do not open; `asked` says how much a request asks for.
    `write_tenant_keys` and `delete_of` are there where tenants may have keys of their own, `planting` where records can
    be planted, `adopt` where it can be remembered which records are the newest: it takes all that are there as such.
    """

    name: str
    routes: Mapping[str, AnyRoute]
    read_manifest: Callable[[Upstream, str, Caller], Awaitable[StoredManifest | None]]
    real_name: Callable[[Upstream, str, Caller], Awaitable[str]]
    write_manifest: Callable[[Upstream, str, StoredManifest, Caller], Awaitable[None]]
    inspect: Inspect
    count: Count
    transfer: Callable[[Pipeline, Upstream, str], Transfer]
    names: Names
    sweep: Sweep
    reprotect: Reprotect
    observe: Observe
    failed: Failed = by_status
    passed_metadata: frozenset[str] = frozenset()
    records: Records = no_records
    shown: Shown = lambda reply: EVERYTHING
    restrict: Restrict | None = None
    damaged: Damaged | None = None
    shaped: Shaped | None = None
    asked: AskedOf | None = None
    require_rotatable: RequireRotatable = always_rotatable
    write_tenant_keys: WriteTenantKeys | None = None
    delete_of: DeleteOf | None = None
    planting: Planting | None = None
    adopt: Adopt | None = None
