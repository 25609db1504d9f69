"""The collections that a worker knows: each one's manifest, compiled shield and policy entry, never served stale.

What is known is trusted for `max_age` seconds at most, and not at all after any worker of the host made, dropped or
changed a collection (`Generation`). A call that turns out to have used a stale entry is told so by `StaleEntry` (a
record names another manifest) or by `confirm` (after a write), and is run again on the fresh one.

The keys of an entry are leased from the key provider (`vecguard.keys.lease`). In the second half of the lease it is
renewed beside the calls. An entry whose lease is over is dropped, with all that was compiled from its keys.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final

from vecguard.entry import Entry, StoredManifest
from vecguard.errors import FailedPrecondition, Shredded, Unavailable, Unreadable, UpstreamFailure, VecGuardError
from vecguard.fit import policy_of, require_fit
from vecguard.fresh.guard import Guard
from vecguard.fresh.memory import Memory
from vecguard.generation import Generation
from vecguard.keys.lease import LeasingProvider
from vecguard.keys.provider import KeyProvider
from vecguard.keys.ring import KeyRing
from vecguard.manifest import Manifest, open_core, open_tenants, open_vector
from vecguard.model import Caller
from vecguard.policy.model import CollectionPolicy, Policy
from vecguard.seal.declaration import open_declaration
from vecguard.shield import Shield

__all__ = ("MAX_AGE_S", "Catalog", "Entry", "StaleEntry", "StoredManifest")

MAX_AGE_S: Final = 2.0
RENEWAL_PAUSE_S: Final = 2.0
_MOMENT_S: Final = 0.1


class StaleEntry(Exception):
    """A record carries another manifest than the entry in use: made anew meanwhile, or foreign."""


ReadManifest = Callable[[str, Caller], Awaitable[StoredManifest | None]]
WriteTenantKeys = Callable[[str, Mapping[str, str], Caller], Awaitable[None]]
RealName = Callable[[str, Caller], Awaitable[str]]
# A name that clients use, and the metadata with which the backend is asked about it.
Place = tuple[str, tuple[tuple[str, str], ...]]


class Catalog:
    """Entries by the name that clients use: a collection's own, or an alias."""

    def __init__(
        self,
        read: ReadManifest,
        real_name: RealName,
        provider: KeyProvider,
        policy: Callable[[], Policy],
        generation: Generation,
        max_age: float = MAX_AGE_S,
        write_tenant_keys: WriteTenantKeys | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Take what is asked of the backend and of the process.

        `read` fetches a stored manifest; `real_name` says which collection a name means (itself, or what the alias
        stands for); `policy` gives the rules in force. `provider` is asked through a lease, of the usual length where
        it is not a `LeasingProvider` already. `write_tenant_keys` puts texts of tenants' keys beside a manifest, where
        the front can. `memory` remembers what is newest, where the settings say in what, and the front can tell.
        """
        self._memory = memory
        self._read = read
        self._real_name = real_name
        self.provider = provider if isinstance(provider, LeasingProvider) else LeasingProvider(provider)
        self._policy = policy
        self._generation = generation
        self._max_age = max_age
        self._write_tenant_keys = write_tenant_keys
        self.making = asyncio.Lock()
        """Held while a tenant's key is made, so that one worker makes one."""
        self._entries: dict[str, Entry] = {}
        self._compiling = asyncio.Lock()
        self._renewing: asyncio.Task[None] | None = None
        self._looking: dict[Place, asyncio.Future[None]] = {}
        self._following: dict[Place, asyncio.Task[Entry]] = {}

    async def get(self, name: str, caller: Caller) -> Entry:
        """The entry of a collection or alias, fresh enough to use.

        Raises:
            NotFound (from the backend): there is no such collection.
            Denied: no entry of the policy covers it.
            FailedPrecondition: the collection does not fit the policy; says how.
            Unreadable: its manifest does not authenticate.
            Unavailable: the key provider is away, and the lease of the collection's keys is over.
        """
        return self.known(name) or await self._load(name, caller)

    def known(self, name: str) -> Entry | None:
        """The entry of a collection or alias where it is known, and fresh enough to use: as `get`, without waiting."""
        known = self._entries.get(name)
        if known is None or not self._usable(known):
            return None
        if known.keys is not None and known.keys.aging and self._renewing is None:
            self._renewing = asyncio.create_task(self._renew_beside(known))
        return known

    async def add_tenant_key(self, entry: Entry, place: str, text: str, caller: Caller) -> Entry:
        """Put the text of a new tenant's key beside a manifest, and read it back; see `vecguard.new_tenants`.

        Raises:
            FailedPrecondition: the front cannot.
            UpstreamFailure: the database says no, or cannot be reached.
        """
        if self._write_tenant_keys is None:
            raise FailedPrecondition(f"collection `{entry.name}` has no keys of tenants")
        await self._write_tenant_keys(entry.name, {place: text}, caller)
        self.forget()
        return await self._load(entry.asked, caller)

    def guard(self, manifest: Manifest, policy: CollectionPolicy) -> Guard | None:
        """What remembers which records of a collection are the newest; None where its policy does not ask.

        Raises:
            FailedPrecondition: it asks, and there is none.
        """
        if not policy.detects_rollback:
            return None
        if self._memory is None:
            raise FailedPrecondition(
                f"{policy.name}.integrity has `rollback: detect`, which needs `state` or `rollback_memory` in "
                "the settings, to remember what is newest in"
            )
        return Guard(self._memory, manifest.uuid.bytes, manifest.collection)

    def known_name(self, name: str) -> str | None:
        """Which collection a name means, as far as it is known without asking the backend."""
        known = self._entries.get(name)
        return None if known is None else known.name

    async def confirm(self, entry: Entry, caller: Caller, *, exactly: bool = True) -> bool:
        """Whether the backend still has what `entry` says: run after a write, before it is acknowledged.

        See `Entry.still` and `look`.
        """
        return entry.still(await self.look(entry, caller), exactly=exactly)

    def outlived(self, entry: Entry) -> bool:
        """Whether a call ran for so long that others may act on a newer manifest by now, and it would not see it.

        A rotation waits for longer than `max_age` before anybody writes under a new key (`upkeep.rotate.SETTLE_S`).
        """
        return entry.shield is not None and time.monotonic() - entry.checked >= self._max_age

    async def look(self, entry: Entry, caller: Caller) -> Entry:
        """The same collection as the backend has it now: it is asked from now on, so the answer is younger than a
        write that ended before. Writes that end while another one's answer is awaited share the next look at the
        backend, which begins after all of them.

        Raises:
            As `get`.
        """
        place = (entry.asked, caller.metadata)
        if place not in self._looking:
            return await self._look(place, caller)
        following = self._following.get(place)
        if following is None:
            following = self._following[place] = asyncio.create_task(self._look_next(place, caller))
            following.add_done_callback(lambda look: look.cancelled() or look.exception())  # whoever waits gets it
        asked = time.monotonic()
        try:
            return await asyncio.wait_for(asyncio.shield(following), caller.timeout)
        except TimeoutError:
            raise UpstreamFailure("DEADLINE_EXCEEDED", "Deadline Exceeded") from None
        except VecGuardError:
            # It ran on another write's time: what went wrong there need not go wrong here.
            left = None if caller.timeout is None else max(caller.timeout - (time.monotonic() - asked), 0.0)
            return await self._load(entry.asked, replace(caller, timeout=left))

    async def _look(self, place: Place, caller: Caller) -> Entry:
        """Ask the backend now, and let others know that it is being asked."""
        ended = self._looking[place] = asyncio.get_running_loop().create_future()
        try:
            return await self._load(place[0], caller)
        finally:
            ended.set_result(None)
            if self._looking.get(place) is ended:
                del self._looking[place]

    async def _look_next(self, place: Place, caller: Caller) -> Entry:
        """Ask the backend when the look that is under way has ended; until then, others may join."""
        under_way = self._looking.get(place)
        if under_way is not None:
            await under_way
        del self._following[place]
        return await self._look(place, caller)

    async def real_name(self, name: str, caller: Caller) -> str:
        """The collection that `name` stands for as an alias, else `name` itself, as the database says now.

        Raises:
            UpstreamFailure: it cannot say.
        """
        return await self._real_name(name, caller)

    def forget(self) -> None:
        """Trust no entry any more, here and in every worker of the host, before the backend was asked anew."""
        self._generation.bump()

    async def vet(self, name: str, stored: StoredManifest | None) -> None:
        """Let a collection be made as `name` from a copy with this manifest, if it could be opened then.

        Raises:
            Denied: no entry of the policy covers it.
            FailedPrecondition: the copy is of another collection, or does not fit the policy; says how.
            Unreadable: the manifest does not authenticate.
            Unavailable: the key provider is away.
        """
        policy = policy_of(self._policy(), name)
        if stored is None:
            if policy.protected:
                raise FailedPrecondition(
                    f"the copy was not made through this proxy, yet {policy.name} protects collection `{name}`"
                )
            return
        manifest, ring = await asyncio.to_thread(open_core, stored.core, self.provider)
        try:
            if manifest.collection != name:
                raise FailedPrecondition(
                    f"the copy is not of collection `{name}`: a protected collection keeps its name for good"
                )
            vectors = {key: open_vector(key, text, manifest, ring) for key, text in stored.vectors.items()}
            require_fit(name, policy, manifest, vectors)
            guard = self.guard(manifest, policy)
            if guard is not None:  # the copy is older than what is remembered: an operator has to take it as it is
                await guard.forget()
        finally:
            ring.close()

    def _usable(self, entry: Entry) -> bool:
        return (
            time.monotonic() - entry.checked < self._max_age
            and (entry.keys is None or entry.keys.good)
            and entry.rules is self._policy()
            and entry.generation == self._generation.current()
        )

    async def _load(self, name: str, caller: Caller) -> Entry:
        generation, rules, checked = self._generation.current(), self._policy(), time.monotonic()
        try:
            stored = await self._read(name, caller)
            newer = self._entries.get(name)
            if newer is not None and newer.checked > checked and newer.rules is rules and _has_all(newer, stored):
                return newer  # it was read later than this, beside which keys of tenants came
            entry = self._again(name, stored, rules) or await self._compiled(name, stored, rules, caller)
        except BaseException as failure:
            if isinstance(failure, Shredded):
                self.provider.forget(failure.identity)
                for shield in self._shields(failure.identity):
                    shield.ring.close()
            self._entries.pop(name, None)
            raise
        since = newer.moving_since if newer is not None and _move_alike(newer.stored, stored) else time.monotonic()
        entry = replace(entry, stored=stored, moving_since=since, generation=generation, checked=checked)
        self._entries[name] = entry
        return entry

    def _shields(self, identity: bytes) -> list[Shield]:
        """Those of one collection, by its uuid's bytes: under its own name, and each alias that is known."""
        shields = [entry.shield for entry in self._entries.values()]
        return [each for each in shields if each is not None and each.manifest.uuid.bytes == identity]

    def _again(self, name: str, stored: StoredManifest | None, rules: Policy) -> Entry | None:
        """What is known of the collection, if it still is what the backend has, and its keys are good."""
        known = self._entries.get(name)
        if known is None or known.stored != stored or known.rules is not rules:
            return None
        if known.shield is None and not self._leads_there(known):
            return None
        return known if known.keys is None or known.keys.good else None

    def _leads_there(self, clear: Entry) -> bool:
        """Whether the name still means the same collection, of which no manifest says so."""
        fresh = time.monotonic() - clear.resolved < self._max_age
        return fresh and clear.generation == self._generation.current()

    async def _grown(self, name: str, stored: StoredManifest | None, rules: Policy) -> Entry | None:
        """What is known of the collection, if all that is new are keys of tenants, which it learns."""
        known = self._entries.get(name)
        if known is None or known.stored is None or known.shield is None or stored is None or known.rules is not rules:
            return None
        if not stored.has_all_of(known.stored) or (known.keys is not None and not known.keys.good):
            return None
        shield = known.shield
        await asyncio.to_thread(open_tenants, stored.tenants, shield.manifest, shield.ring, shield.ring.tenants)
        entry = self._entries[name] = replace(known, stored=stored)
        return entry

    async def _compiled(self, name: str, stored: StoredManifest | None, rules: Policy, caller: Caller) -> Entry:
        """A new entry. Calls that need the same one wait for the first of them, since compiling is slow."""
        async with self._compiling:
            known = self._again(name, stored, rules) or await self._grown(name, stored, rules)
            if known is not None:
                return known
            keys = None if stored is None else self.provider.recording()
            shield = None if stored is None or keys is None else await self._compile(name, stored, rules, caller, keys)
            if shield is not None:
                entry = Entry(name, shield.policy, shield, stored, rules, generation=-1, checked=-math.inf, keys=keys)
            else:
                entry = await self._clear(name, rules, caller)
            self._entries[name] = entry
            self._drop_later()
            return entry

    def _drop_later(self) -> None:
        """Look for leases that are over when one that begins now is, whether or not there are calls then."""
        asyncio.get_running_loop().call_later(self.provider.lease + _MOMENT_S, self._drop_ended)

    def _drop_ended(self) -> None:
        ended = [name for name, entry in self._entries.items() if entry.keys is not None and not entry.keys.good]
        for name in ended:
            del self._entries[name]
        self.provider.drop_ended()

    async def _renewed(self, entry: Entry) -> Entry:
        """The entry under a new lease. What was compiled with the keys stays: they are the same.

        Raises:
            Unreadable: the key provider does not unwrap them any more.
            Unavailable: it is away.
        """
        if entry.shield is None:
            return entry
        keys = self.provider.recording()
        ring = await asyncio.to_thread(entry.shield.manifest.unlock, keys)
        ring.close()
        known = self._entries.get(entry.asked)
        if known is not None and known.shield is entry.shield:
            self._entries[entry.asked] = replace(known, keys=keys)
            self._drop_later()
        return replace(entry, keys=keys)

    async def _renew_beside(self, entry: Entry) -> None:
        """Renew a lease that has time left, while calls go on under it; if that fails, the next call tries again."""
        try:
            renewed = await self._renewed(entry)
            if renewed.keys is not None and renewed.keys.aging:  # it is away: the old lease was given once more
                await asyncio.sleep(RENEWAL_PAUSE_S)
        except (Unavailable, Unreadable):
            await asyncio.sleep(RENEWAL_PAUSE_S)
        finally:
            self._renewing = None

    async def _clear(self, name: str, rules: Policy, caller: Caller) -> Entry:
        """A collection without a manifest: `protect: none`, for an alias and the name behind it, whose entry holds.

        Raises:
            Denied, FailedPrecondition: see `get`.
            UpstreamFailure: the database cannot be reached.
        """
        resolved = time.monotonic()
        called = await self._real_name(name, caller)
        for policy in (policy_of(rules, name), policy_of(rules, called)):
            if policy.protected:
                raise FailedPrecondition(
                    f"collection `{name}` was not made through this proxy, yet {policy.name} protects it: "
                    "carry it over with `vecguard migrate`, or say `protect: none` for it"
                )
        return Entry(
            *(name, policy_of(rules, called), None, None, rules),
            generation=-1,
            checked=-math.inf,
            called=called,
            resolved=resolved,
        )

    async def _compile(
        self, name: str, stored: StoredManifest, rules: Policy, caller: Caller, keys: KeyProvider
    ) -> Shield:
        manifest, ring = await asyncio.to_thread(open_core, stored.core, keys)
        if manifest.tenants is not None or stored.tenants:
            tenants = await asyncio.to_thread(open_tenants, stored.tenants, manifest, ring)
            ring = ring.with_tenants(tenants)
            for known in self._shields(manifest.uuid.bytes):
                if known.ring.tenants is not None:
                    known.ring.tenants.destroy(tenants.destroyed)
        if manifest.collection != name and await self._real_name(name, caller) != manifest.collection:
            raise Unreadable  # authentic, but of another collection: somebody put it here behind our back
        shield = await asyncio.to_thread(_shield, name, stored, manifest, ring, rules)
        shield.fresh = self.guard(manifest, shield.policy)
        if shield.fresh is None and policy_of(rules, name).detects_rollback:
            raise FailedPrecondition(
                f"`{name}` has `rollback: detect`, and `{manifest.collection}`, which it means, not"
            )
        return shield


def _has_all(entry: Entry, stored: StoredManifest | None) -> bool:
    return entry.stored is not None and stored is not None and entry.stored.has_all_of(stored)


def _move_alike(one: StoredManifest | None, other: StoredManifest | None) -> bool:
    return one is not None and other is not None and one.moving == other.moving


def _shield(name: str, stored: StoredManifest, manifest: Manifest, ring: KeyRing, rules: Policy) -> Shield:
    vectors = {key: open_vector(key, text, manifest, ring) for key, text in stored.vectors.items()}
    policy = policy_of(rules, manifest.collection)
    require_fit(name, policy, manifest, vectors)
    if name != manifest.collection:
        # Whoever can set an alias must not lead its users to a collection under weaker rules than the alias has.
        require_fit(name, policy_of(rules, name), manifest, vectors)
    declared = None if stored.declared is None else open_declaration(stored.declared, ring, manifest.uuid.bytes)
    return Shield(manifest, ring, vectors, policy, declared)
