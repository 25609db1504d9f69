"""A worker never uses what it knows of a collection for longer than it may, and opens only what fits the policy."""

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from shields import record_of

from vecguard.catalog import Catalog, StoredManifest
from vecguard.errors import (
    Denied,
    FailedPrecondition,
    NotFound,
    Shredded,
    TenantShredded,
    Unavailable,
    Unreadable,
    UpstreamFailure,
)
from vecguard.generation import Generation
from vecguard.keys.key import Key
from vecguard.keys.tenants import FIRST_NUMBER, TenantKeys
from vecguard.keys.wrapping import LocalWrapping
from vecguard.manifest import Manifest, pack_core, pack_vector, tenant_place
from vecguard.model import Caller
from vecguard.policy.model import CollectionPolicy, PayloadRule, Policy, VectorRule
from vecguard.policy.transforms import RotationSpec
from vecguard.tenancy import Tenancy
from vecguard.tombstone import Tombstone, pack_tombstone

PROVIDER = LocalWrapping(Key(bytes(32)))
PROTECTED = Policy(version=1, collections=(CollectionPolicy(match="*"),))
CALLER = Caller(7.0, (("authorization", "key"),))


def made(collection, *records, payload=None, provider=PROVIDER):
    """The stored manifest of a new collection."""
    manifest, ring = Manifest.new(collection, payload or PayloadRule(), provider)
    texts = {record.name: pack_vector(record, manifest, ring) for record in records or (record_of(),)}
    return StoredManifest(pack_core(manifest, ring), texts)


@dataclass
class Backend:
    """What a vector database keeps of its collections, in memory."""

    manifests: dict[str, StoredManifest | None] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    reads: int = 0
    down: bool = False

    async def read(self, name, caller):
        assert caller.metadata == CALLER.metadata
        assert 0 < caller.timeout <= CALLER.timeout
        self.reads += 1
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("the database is away")
        try:
            return self.manifests[self.aliases.get(name, name)]
        except KeyError:
            raise NotFound(f"Collection `{name}` doesn't exist!") from None

    async def real_name(self, name, caller):
        assert caller == CALLER
        return self.aliases.get(name, name)


@dataclass
class Rules:
    """The policy in force."""

    current: Policy = PROTECTED


class Shop:
    """A catalog over a backend in memory."""

    def __init__(self, policy=PROTECTED, max_age=60.0, generation=None, **manifests):
        self.backend = Backend(dict(manifests))
        self.rules = Rules(policy)
        self.generation = generation or Generation(None, 1, 0)
        self.catalog = Catalog(
            self.backend.read,
            self.backend.real_name,
            PROVIDER,
            lambda: self.rules.current,
            self.generation,
            max_age,
        )

    def get(self, name="notes"):
        return asyncio.run(self.catalog.get(name, CALLER))

    def confirm(self, entry):
        return asyncio.run(self.catalog.confirm(entry, CALLER))


def policy_of(*collections):
    return Policy(version=1, collections=collections)


# -- freshness ---------------------------------------------------------------------------------------------------------


def test_an_entry_is_compiled_once_and_used_while_it_is_fresh():
    shop = Shop(notes=made("notes"))
    entry = shop.get()
    assert (entry.asked, entry.name, entry.shield.manifest.collection) == ("notes", "notes", "notes")
    assert set(entry.shield.vectors) == {""}
    assert entry.policy is PROTECTED.collections[0]
    assert shop.get() is entry
    assert shop.backend.reads == 1


def test_without_age_every_use_asks_but_compiles_only_what_changed():
    shop = Shop(max_age=0.0, notes=made("notes"))
    first, second = shop.get(), shop.get()
    assert shop.backend.reads == 2
    assert second.shield is first.shield
    shop.backend.manifests["notes"] = made("notes")
    third = shop.get()
    assert third.shield is not first.shield
    assert third.shield.manifest.uuid != first.shield.manifest.uuid


def test_an_old_entry_is_asked_for_again():
    shop = Shop(max_age=2.0, notes=made("notes"))
    first = shop.get()
    assert shop.get() is first
    time.sleep(2.05)
    assert shop.get().shield is first.shield
    assert shop.backend.reads == 2


def test_a_bump_of_any_worker_makes_every_entry_stale(tmp_path):
    mine, other = (Generation(tmp_path / "generation", 2, worker) for worker in (0, 1))
    shop = Shop(generation=mine, notes=made("notes"))
    first = shop.get()
    shop.backend.manifests["notes"] = made("notes")
    assert shop.get() is first
    other.bump()
    assert shop.get().shield.manifest.uuid != first.shield.manifest.uuid


def test_forgetting_drops_entries_here_and_elsewhere(tmp_path):
    mine, other = (Generation(tmp_path / "generation", 2, worker) for worker in (0, 1))
    shop, neighbour = Shop(generation=mine, notes=made("notes")), Shop(generation=other, notes=made("notes"))
    shop.get(), neighbour.get()
    shop.catalog.forget()
    shop.get(), neighbour.get()
    assert (shop.backend.reads, neighbour.backend.reads) == (2, 2)


def test_a_collection_that_is_gone_is_not_served_from_memory():
    shop = Shop(max_age=0.0, notes=made("notes"))
    shop.get()
    del shop.backend.manifests["notes"]
    with pytest.raises(NotFound):
        shop.get()
    shop.backend.manifests["notes"] = made("notes")
    assert shop.get().shield is not None


def test_nothing_is_served_while_the_backend_is_away():
    shop = Shop(max_age=0.0, notes=made("notes"))
    shop.get()
    shop.backend.down = True
    with pytest.raises(Unavailable):
        shop.get()


def test_a_new_policy_is_in_force_at_once():
    shop = Shop(notes=made("notes"))
    first = shop.get()
    shop.rules.current = policy_of(CollectionPolicy(match="notes"))
    again = shop.get()
    assert again.policy is shop.rules.current.collections[0]
    assert again.shield is not first.shield
    shop.rules.current = policy_of(CollectionPolicy(match="other"))
    with pytest.raises(Denied):
        shop.get()


def test_calls_at_the_same_time_compile_once():
    shop = Shop(notes=made("notes"))

    async def many():
        return await asyncio.gather(*(shop.catalog.get("notes", CALLER) for _ in range(5)))

    entries = asyncio.run(many())
    assert len({id(entry.shield) for entry in entries}) == 1


# -- confirmation ------------------------------------------------------------------------------------------------------


def test_what_was_written_under_is_confirmed_or_not():
    shop = Shop(notes=made("notes"))
    entry = shop.get()
    assert shop.confirm(entry)
    shop.backend.manifests["notes"] = made("notes")
    assert not shop.confirm(entry)
    assert shop.confirm(shop.get())
    shop.backend.manifests["notes"] = None
    with pytest.raises(FailedPrecondition):
        shop.confirm(entry)
    del shop.backend.manifests["notes"]
    with pytest.raises(NotFound):
        shop.confirm(entry)


def test_what_a_rotating_job_says_is_known_from_each_look_and_since_when():
    told = made("notes")
    shop = Shop(notes=replace(told, moving="job.1.open"))
    first = shop.get()
    shop.backend.manifests["notes"] = replace(told, moving="job.2.closed")
    assert shop.get().stored.moving == "job.1.open", "an entry is used while it is fresh"
    second = asyncio.run(shop.catalog.look(first, CALLER))
    third = asyncio.run(shop.catalog.look(first, CALLER))
    assert second.stored.moving == third.stored.moving == "job.2.closed"
    assert first.moving_since < second.moving_since == third.moving_since <= third.checked
    assert shop.confirm(first), "it is no part of the manifest"
    assert third.shield is first.shield


def test_a_vector_that_was_added_meanwhile_is_noticed():
    records = record_of("a"), record_of("b")
    manifest, ring = Manifest.new("notes", PayloadRule(), PROVIDER)
    core, texts = pack_core(manifest, ring), {r.name: pack_vector(r, manifest, ring) for r in records}
    shop = Shop(notes=StoredManifest(core, {"a": texts["a"]}))
    entry = shop.get()
    shop.backend.manifests["notes"] = StoredManifest(core, texts)
    assert not shop.confirm(entry)
    assert set(shop.get().shield.vectors) == {"a", "b"}


def confirm_all(shop, *writes):
    """Confirm several writes at once; `writes` are what happens, in this order, before each confirmation begins."""

    async def one(entry, before):
        await before()
        return await shop.catalog.confirm(entry, CALLER)

    async def run():
        return await asyncio.gather(*(one(*write) for write in writes), return_exceptions=True)

    return asyncio.run(run())


async def at_once():
    """Nothing happens."""


def after_turns(number, act=lambda: None):
    async def wait():
        for _ in range(number):
            await asyncio.sleep(0)
        act()

    return wait


def test_writes_that_end_during_a_confirmation_share_the_next_one():
    shop = Shop(notes=made("notes"))
    entry = shop.get()
    reads = shop.backend.reads
    assert confirm_all(shop, *[(entry, at_once)] * 20) == [True] * 20
    assert shop.backend.reads == reads + 2
    # Nothing is left behind, and the next one asks anew.
    assert shop.confirm(entry)
    assert shop.backend.reads == reads + 3


def test_a_confirmation_never_rests_on_a_look_that_began_before_it():
    """The collection is made anew while the first write is being confirmed: the second write must be told so."""
    shop = Shop(notes=made("notes"))
    entry = shop.get()

    class Slow(Backend):
        async def read(self, name, caller):
            found = await super().read(name, caller)
            for _ in range(10):
                await asyncio.sleep(0)
            return found

    slow = Slow(shop.backend.manifests)
    shop.catalog._read = slow.read
    anew = after_turns(4, lambda: slow.manifests.update(notes=made("notes")))
    assert confirm_all(shop, (entry, at_once), (entry, anew), (entry, after_turns(6))) == [True, False, False]


def test_a_shared_look_that_fails_is_not_the_end_for_those_that_have_time_left():
    shop = Shop(notes=made("notes"))
    entry = shop.get()

    class Failing(Backend):
        async def read(self, name, caller):
            found = await super().read(name, caller)
            if self.reads == 2:  # the one that is shared
                raise Unavailable("gone for a moment")
            return found

    failing = Failing(shop.backend.manifests)
    shop.catalog._read = failing.read
    assert confirm_all(shop, *[(entry, at_once)] * 3) == [True] * 3
    assert failing.reads == 4


def test_who_waits_for_a_shared_look_waits_no_longer_than_its_own_deadline():
    shop = Shop(notes=made("notes"))
    entry = shop.get()

    async def stuck(name, caller):
        await asyncio.sleep(5)
        raise AssertionError("nobody waits so long")

    shop.catalog._read = stuck

    async def run():
        first = asyncio.create_task(shop.catalog.confirm(entry, CALLER))
        await asyncio.sleep(0)
        with pytest.raises(UpstreamFailure) as failed:
            await shop.catalog.confirm(entry, Caller(0.01, CALLER.metadata))
        first.cancel()
        return failed.value.status

    assert asyncio.run(run()) == "DEADLINE_EXCEEDED"


def test_confirming_renews_what_is_known():
    shop = Shop(notes=made("notes"))
    shop.confirm(shop.get())
    reads = shop.backend.reads
    shop.get()
    assert shop.backend.reads == reads


# -- what may be opened ------------------------------------------------------------------------------------------------


def test_a_collection_without_an_entry_in_the_policy_is_denied():
    rules = policy_of(CollectionPolicy(match="other"))
    for stored in (made("notes"), None):
        with pytest.raises(Denied, match="no entry of the policy covers collection `notes`"):
            Shop(rules, notes=stored).get()


def test_a_collection_without_a_manifest_passes_only_where_the_policy_says_so():
    clear = policy_of(CollectionPolicy(match="notes", protect="none"), CollectionPolicy(match="*"))
    entry = Shop(clear, notes=None).get()
    assert (entry.shield, entry.stored, entry.policy, entry.name) == (None, None, clear.collections[0], "notes")
    with pytest.raises(FailedPrecondition, match=r"was not made through this proxy, yet collections\[1\] protects it"):
        Shop(clear, other=None).get("other")


def test_a_protected_collection_is_not_served_under_a_policy_of_none():
    clear = policy_of(CollectionPolicy(match="*", protect="none"))
    with pytest.raises(FailedPrecondition, match=r"is protected, yet collections\[0\] says `protect: none`"):
        Shop(clear, notes=made("notes")).get()


def test_a_policy_that_no_longer_fits_is_refused_with_the_difference():
    rotation_only = VectorRule(transforms=(RotationSpec(),))
    for policy, said in (
        (CollectionPolicy(match="*", vectors=(rotation_only,)), "transforms of vector `` are"),
        (CollectionPolicy(match="*", vectors=(VectorRule(recover="sealed"),)), "recover of vector `` is derived"),
        (CollectionPolicy(match="*", payload=PayloadRule(default="plain")), "payload is {default: sealed"),
        (CollectionPolicy(match="*", vectors=(VectorRule(match="other"),)), "no rule in"),
    ):
        with pytest.raises(FailedPrecondition, match=said):
            Shop(policy_of(policy), notes=made("notes")).get()


def test_re_ranking_and_limits_may_change_under_an_existing_collection():
    changed = CollectionPolicy(match="*", vectors=(VectorRule(rerank="off"),))
    assert Shop(policy_of(changed), notes=made("notes")).get().shield.dense("").rerank is None


def test_a_damaged_or_foreign_manifest_is_unreadable_and_not_remembered():
    stranger = LocalWrapping(Key(bytes(range(32))))
    good = made("notes")
    for bad in (
        made("notes", provider=stranger),
        StoredManifest("", good.vectors),
        StoredManifest(good.core[:-1] + "!", good.vectors),
        StoredManifest(good.core, {"": good.vectors[""] + "A"}),
        StoredManifest(good.core, {"other": good.vectors[""]}),
        StoredManifest(good.core, made("notes").vectors),
    ):
        shop = Shop(notes=bad)
        for _ in range(2):
            with pytest.raises(Unreadable):
                shop.get()
        shop.backend.manifests["notes"] = good
        assert shop.get().shield is not None


def test_a_manifest_that_was_carried_to_another_collection_is_unreadable():
    with pytest.raises(Unreadable):
        Shop(notes=made("other")).get()


# -- aliases -----------------------------------------------------------------------------------------------------------


def test_an_alias_opens_the_collection_it_stands_for():
    shop = Shop(notes=made("notes"))
    shop.backend.aliases["latest"] = "notes"
    entry = shop.get("latest")
    assert (entry.asked, entry.name) == ("latest", "notes")
    assert shop.confirm(entry)
    shop.backend.manifests["newer"] = made("newer")
    shop.backend.aliases["latest"] = "newer"
    assert not shop.confirm(entry)
    assert shop.get("latest").name == "newer"


def test_an_alias_leads_nowhere_that_its_own_rules_do_not_allow():
    strict = CollectionPolicy(match="strict*", payload=PayloadRule(default="sealed"))
    loose = CollectionPolicy(match="loose*", payload=PayloadRule(default="plain"))
    clear = CollectionPolicy(match="clear*", protect="none")
    shop = Shop(
        policy_of(strict, loose, clear),
        loose=made("loose", payload=PayloadRule(default="plain")),
        strict=made("strict"),
        clear=None,
    )
    shop.backend.aliases |= {"strict-alias": "loose", "clear-alias": "strict", "strict-clear": "clear", "none": "clear"}
    with pytest.raises(FailedPrecondition, match="does not fit"):
        shop.get("strict-alias")
    with pytest.raises(FailedPrecondition, match="says `protect: none`"):
        shop.get("clear-alias")
    with pytest.raises(FailedPrecondition, match="was not made through this proxy"):
        shop.get("strict-clear")
    with pytest.raises(Denied):
        shop.get("none")
    shop.backend.aliases |= {"strict-good": "strict", "clear-good": "clear"}
    assert shop.get("strict-good").name == "strict"
    assert shop.get("clear-good").shield is None


def test_a_collection_in_clear_has_its_own_name_and_rules_whatever_it_is_called():
    known, open_ = CollectionPolicy(match="known", protect="none"), CollectionPolicy(match="*", protect="none")
    shop = Shop(policy_of(known, open_), known=None, other=None)
    shop.backend.aliases["latest"] = "known"
    entry = shop.get("latest")
    assert (entry.asked, entry.name, entry.policy.match) == ("latest", "known", "known")
    assert shop.get("other").name == "other"
    shop.backend.aliases["latest"] = "other"
    shop.catalog.forget()  # as after a change of aliases through a proxy of this host
    entry = shop.get("latest")
    assert (entry.name, entry.policy.match) == ("other", "*")


def test_an_alias_in_clear_that_was_changed_elsewhere_is_noticed_within_the_age():
    shop = Shop(policy_of(CollectionPolicy(match="*", protect="none")), max_age=0.3, a=None, b=None)
    shop.backend.aliases["latest"] = "a"
    first = shop.get("latest")
    shop.backend.aliases["latest"] = "b"
    assert shop.confirm(first)  # looking at the manifest makes no name younger
    time.sleep(0.35)
    assert shop.get("latest").name == "b"


def test_an_alias_of_clear_rules_does_not_open_a_collection_that_is_to_be_protected():
    clear = CollectionPolicy(match="open*", protect="none")
    shop = Shop(policy_of(clear, CollectionPolicy(match="*")), secret=None)
    shop.backend.aliases["open-door"] = "secret"
    with pytest.raises(FailedPrecondition, match="was not made through this proxy"):
        shop.get("open-door")


# -- keys that are destroyed -------------------------------------------------------------------------------------------


def test_a_shred_takes_the_keys_of_every_name_at_once():
    shop = Shop(notes=made("notes"), other=made("other"))
    shop.backend.aliases["pen"] = "notes"
    shields = [shop.get(name).shield for name in ("notes", "pen", "other")]
    assert len({id(shield.ring) for shield in shields}) == 3
    shop.catalog._max_age = 0.0
    told = shields[0].manifest
    gone = Tombstone(uuid=told.uuid, collection="notes", epochs=(1,), time=datetime.now(UTC))
    shop.backend.manifests["notes"] = StoredManifest(pack_tombstone(gone))
    with pytest.raises(Shredded):
        shop.get("pen")
    for shield in shields[:2]:
        with pytest.raises(Unavailable):
            shield.ring.subkey(told.current, "any")
    assert shields[2].ring.subkey(shields[2].manifest.current, "any") is not None
    with pytest.raises(Shredded):
        shop.get("notes")


def test_a_tenants_shred_takes_its_keys_of_every_name_at_once():
    keyed = Policy(version=1, collections=(CollectionPolicy(match="*", tenant_keys={"attribute": "org"}),))
    entry, provider = keyed.collections[0], PROVIDER
    manifest, ring = Manifest.new("notes", entry.payload, provider, tenants=entry.tenant_keys)
    tenancy = Tenancy.of_collection(manifest, ring.with_tenants(TenantKeys()))
    number = FIRST_NUMBER + 7
    place, stored = tenant_place(number), StoredManifest(pack_core(manifest, ring), {})
    stored = replace(stored, vectors={"": pack_vector(record_of(), manifest, ring)})
    shop = Shop(
        keyed, max_age=0.0, notes=replace(stored, tenants={place: tenancy.new_key(number, tenancy.id_of("ada"))})
    )
    shop.backend.aliases["pen"] = "notes"
    rings = [shop.get(name).shield.ring for name in ("notes", "pen")]
    assert rings[0] is not rings[1]
    for held in rings:
        assert held.subkey(number, "any") is not None
    shop.backend.manifests["notes"] = replace(stored, tenants={place: tenancy.destroyed(number, "ada", 1)})
    shop.get("pen")
    for held in rings:
        with pytest.raises(TenantShredded):
            held.subkey(number, "any")
