"""The keys of a tenant that is written for: those that it has, or a new one.

A new key is relied on after it was read back beside the manifest, as every replica reads it. Two workers that meet a
tenant at once make two keys: both stay, and both read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vecguard.catalog import Entry, StaleEntry
from vecguard.errors import FailedPrecondition
from vecguard.manifest import tenant_place
from vecguard.seal.leaf import Leaf
from vecguard.seal.tenant import new_number
from vecguard.session import Session
from vecguard.tenancy import Tenancy

MOST_TENANT_KEYS: Final = 4096
"""Keys of tenants in one collection, destroyed ones included: all of them are read with its manifest."""


async def tenant_keys(session: Session, entry: Entry, value: Leaf) -> tuple[int, ...]:
    """Numbers of a tenant's keys, the one to seal with first; a new key where it has none yet.

    The call is confirmed against the manifest with the new key, so that one that is destroyed meanwhile is noticed.

    Raises:
        TenantShredded: its keys were destroyed.
        StaleEntry: the collection's manifest is another one meanwhile.
        FailedPrecondition: there are as many tenants' keys as a collection may have, or there can be none.
        UpstreamFailure: the database says no, or cannot be reached.
    """
    tenancy = _tenancy_of(entry)
    found = tenancy.of(value)
    return found if tenancy.are_current(found) else await _made(session, entry, tenancy, tenancy.id_of(value))


async def current_keys(session: Session, entry: Entry, number: int) -> tuple[int, ...]:
    """Numbers of all keys of the tenant that `number` is a key of, the one to seal with first; a new key where keys are
    being rotated and it has none yet that goes with the current ones. Raises as `tenant_keys`.
    """
    tenancy = _tenancy_of(entry)
    found = tenancy.keys.siblings(number)
    return found if tenancy.are_current(found) else await _made(session, entry, tenancy, tenancy.keys.tenant(number))


def _tenancy_of(entry: Entry) -> Tenancy:
    tenancy = None if entry.shield is None else entry.shield.tenancy
    if tenancy is None:
        raise FailedPrecondition(f"the tenants of collection `{entry.name}` have no keys of their own")
    return tenancy


async def _made(session: Session, entry: Entry, tenancy: Tenancy, tenant: bytes) -> tuple[int, ...]:
    async with session.catalog.making:
        found = tenancy.keys.of(tenant)
        if not tenancy.are_current(found):
            number = free_number(entry.name, tenancy.keys.known, tenancy.keys.count)
            place, text = tenant_place(number), tenancy.new_key(number, tenant)
            session.written.append(await session.catalog.add_tenant_key(entry, place, text, session.caller))
            found = tenancy.keys.of(tenant)
    if not tenancy.are_current(found):  # the entry learned nothing of it, so it is not the one that is known now
        raise StaleEntry
    return found


def free_number(name: str, known: Callable[[int], bool], count: int) -> int:
    """A number for a new tenant's key, beside `count` that are `known`.

    Raises:
        FailedPrecondition: there are as many as a collection may have.
    """
    if count >= MOST_TENANT_KEYS:
        raise FailedPrecondition(
            f"collection `{name}` has {count} keys of tenants, as many as it may have: put new tenants into "
            "another collection"
        )
    number = new_number()
    while known(number):
        number = new_number()
    return number
