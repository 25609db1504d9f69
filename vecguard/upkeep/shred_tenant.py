"""Crypto-shred of one tenant: the texts of its keys overwritten, and its records deleted.

What stands in the place of a key says that it was destroyed, and is authenticated: records under it are refused by that
name, and nothing is written for the tenant any more. All tenants' vectors are turned by one rotation, which goes on
living. What is left of a record in a backup, its noised vector, therefore still says something of it to whoever has the
KEK (docs/adr/tenant-keys.md says what), so the records go, too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Final

from vecguard.catalog import MAX_AGE_S, StoredManifest
from vecguard.errors import FailedPrecondition, Refused
from vecguard.journal.chain import SHREDDED
from vecguard.journal.writer import Place
from vecguard.manifest import tenant_place
from vecguard.seal.leaf import Leaf
from vecguard.shield import Shield
from vecguard.tenancy import Tenancy
from vecguard.upkeep.access import CALLER, Database
from vecguard.upkeep.shred import BEGUN, Tell, digest

SETTLE_S: Final = MAX_AGE_S + 1.0
"""How long after the first destruction a replica may still write under the keys that it knew."""
# Keys that others make of the tenant meanwhile are destroyed in turn; more rounds than these say that something is off.
_MOST_ROUNDS: Final = 10


@dataclass(frozen=True, slots=True)
class TenantShred:
    """The proof: whose keys were destroyed, and when, and how many records were deleted with them.

    `before` and `after` are the SHA-256, in hex, of the texts of its keys as they were found and of what was put, and
    found again, in their place, by place. `key_id` names the KEK that the collection's own key is wrapped with.
    """

    collection: str
    uuid: str
    tenant: str
    key_id: str
    time: str
    before: dict[str, str]
    after: dict[str, str]
    records: int


@dataclass(frozen=True, slots=True)
class _State:
    """The tenant's keys as they stand: texts by place, those that are there and those that were destroyed."""

    shield: Shield
    live: Mapping[str, str]
    gone: Mapping[str, str]


async def shred_tenant(
    database: Database, name: str, value: Leaf, tell: Tell, settle_s: float = SETTLE_S
) -> tuple[TenantShred, Place | None]:
    """Destroy a tenant's keys in a collection and delete its records. The proof, and where the journal has it.

    A shred that was cut off is taken up where it was. `settle_s` in seconds, see `SETTLE_S`.

    Raises:
        Refused: the front does not know tenants' keys.
        FailedPrecondition: the collection's tenants have no keys of their own, or this one none; or somebody wrote over
            what was put in their place; or it is remembered elsewhere which records are the newest.
        ConfigError: the trail cannot be written. Nothing was done if that was so before.
        UpstreamFailure, Unreadable, Unavailable: see `Database.shield`.
    """
    front = database.front
    if front.write_tenant_keys is None or front.delete_of is None:
        raise Refused(f"tenants of {front.name} collections have no keys of their own")
    real = await front.real_name(database.upstream, name, CALLER)
    state = await _state(database, real, value)
    if not state.live and not state.gone:
        raise FailedPrecondition(f"tenant `{value}` has no keys in collection `{name}`: there is nothing to destroy")
    await front.count(database.upstream, real)  # a database that cannot read its records could not delete them either
    proof = _begun(real, value, state, database.provider.key_id)
    tell(BEGUN, **asdict(proof))
    for _ in range(_MOST_ROUNDS):
        before = proof.before | {place: digest(text) for place, text in state.live.items()}
        state = await _destroyed(database, real, value, state)
        await asyncio.sleep(settle_s)
        found = await front.delete_of(database.upstream, real, state.shield, [int(place, 16) for place in state.gone])
        after = {place: digest(text) for place, text in state.gone.items()}
        proof = replace(proof, before=before, after=after, records=proof.records + found)
        state = await _state(database, real, value)
        if not state.live and not found:
            return proof, tell(SHREDDED, **asdict(proof))
    raise FailedPrecondition(f"collection `{name}` still gets records of `{value}`: is a replica out of date?")


def _begun(name: str, value: Leaf, state: _State, key_id: str) -> TenantShred:
    """The proof as far as it can be given before anything is destroyed."""
    return TenantShred(
        collection=name,
        uuid=str(state.shield.manifest.uuid),
        tenant=str(value),
        key_id=key_id,
        time=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        before={place: digest(text) for place, text in state.live.items()},
        after={},
        records=0,
    )


async def _state(database: Database, name: str, value: Leaf) -> _State:
    stored = await database.front.read_manifest(database.upstream, name, CALLER)
    shield = await database.shield(name, knowing=True)
    if stored is None or shield is None or shield.tenancy is None:
        raise FailedPrecondition(f"the tenants of collection `{name}` have no keys of their own")
    return _sorted_out(shield, shield.tenancy, stored, value)


def _sorted_out(shield: Shield, tenancy: Tenancy, stored: StoredManifest, value: Leaf) -> _State:
    numbers, gone = tenancy.all_of(value)
    texts = stored.tenants
    return _State(
        shield,
        {place: texts[place] for number in numbers if (place := tenant_place(number)) in texts},
        {place: texts[place] for number in gone if (place := tenant_place(number)) in texts},
    )


async def _destroyed(database: Database, name: str, value: Leaf, state: _State) -> _State:
    """Overwrite the tenant's keys, and read back that they are."""
    tenancy, write = state.shield.tenancy, database.front.write_tenant_keys
    assert tenancy is not None and write is not None  # noqa: S101, PT018 - asked before
    now = int(time.time())
    texts = {place: tenancy.destroyed(int(place, 16), value, now) for place in state.live}
    if not texts:
        return state
    await write(database.upstream, name, texts, CALLER)
    found = await database.front.read_manifest(database.upstream, name, CALLER)
    if found is None or any(found.tenants.get(place) != text for place, text in texts.items()):
        raise FailedPrecondition(
            f"collection `{name}` was changed by somebody else meanwhile: keys of `{value}` may still be there"
        )
    return replace(state, live={}, gone={**state.gone, **texts})
