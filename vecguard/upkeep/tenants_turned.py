"""Keys of tenants while a collection's data key is rotated.

Each tenant gets one that goes with the new epoch, and those that go with the old one are taken away with it. What says
that a key was destroyed stays for good.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from vecguard.catalog import StoredManifest
from vecguard.errors import FailedPrecondition
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, tenant_place
from vecguard.new_tenants import MOST_TENANT_KEYS, free_number
from vecguard.seal.tenant import TenantKey, open_tenant_key, pack_destroyed, pack_key


def require_room(manifest: Manifest, texts: Mapping[str, str], ring: KeyRing) -> None:
    """Refuse a rotation under which there would be too many keys for a time.

    Raises:
        FailedPrecondition: there would be.
    """
    more = len(_without_current(_opened(manifest, texts, ring), ring.current + 1))
    if len(texts) + more > MOST_TENANT_KEYS:
        raise FailedPrecondition(
            f"collection `{manifest.collection}` has {len(texts)} keys of tenants, to which a rotation would add "
            f"{more}, and may have {MOST_TENANT_KEYS}: `vecguard migrate` carries the records into a collection with "
            "new keys"
        )


def next_keys(manifest: Manifest, stored: StoredManifest, ring: KeyRing) -> dict[str, str]:
    """Texts, by place, of new keys for all tenants that have none of the ring's current epoch.

    Vacant places are taken first, so that they do not add up from rotation to rotation: nothing lies under the keys
    that were there.
    """
    texts, made, vacant = stored.tenants, dict[str, str](), sorted(stored.vacant)
    for tenant in _without_current(_opened(manifest, texts, ring), ring.current):
        number = int(vacant.pop(), 16) if vacant else _free_number(manifest, {*texts, *made})
        made[tenant_place(number)] = pack_key(number, tenant, Key.random(), ring, manifest.uuid.bytes)
    return made


def _free_number(manifest: Manifest, taken: Container[str]) -> int:
    return free_number(manifest.collection, lambda one: tenant_place(one) in taken, 0)


def retired(manifest: Manifest, texts: Mapping[str, str], ring: KeyRing) -> dict[str, str]:
    """What becomes of the texts that do not go with the ring's current epoch: nothing is left of keys (an empty text);
    what says that one was destroyed is sealed anew."""
    changed = dict[str, str]()
    for held in _opened(manifest, texts, ring):
        if held.epoch != ring.current:
            gone = held.destroyed
            text = "" if gone is None else pack_destroyed(held.number, held.tenant, gone, ring, manifest.uuid.bytes)
            changed[tenant_place(held.number)] = text
    return changed


def _opened(manifest: Manifest, texts: Mapping[str, str], ring: KeyRing) -> list[TenantKey]:
    return [open_tenant_key(int(place, 16), text, ring, manifest.uuid.bytes) for place, text in texts.items()]


def _without_current(held: Sequence[TenantKey], current: int) -> list[bytes]:
    """The tenants that need a key of an epoch: those that have others, of which none was destroyed."""
    gone = {one.tenant for one in held if one.key is None}
    have = {one.tenant for one in held if one.epoch == current}
    return list(dict.fromkeys(one.tenant for one in held if one.tenant not in gone | have))
