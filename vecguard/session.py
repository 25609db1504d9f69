"""One attempt at one call: who calls, under which rules, with how much time; and the only way to the database."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, Self

from google.protobuf.message import Message

from vecguard.catalog import Catalog, Entry
from vecguard.errors import Denied, LimitExceeded, RolledBack, UpstreamFailure
from vecguard.hidden import Hidden, PlantedId, PlantedMet, PlantedNamed
from vecguard.model import EXACT, Action, Allowance, Asked, Caller, Condition, Grant, Principal, Restraint, Value
from vecguard.policy.decide import admit, decide, may, may_see_database
from vecguard.policy.limits import Limits
from vecguard.policy.model import CollectionPolicy, Policy
from vecguard.policy.retention import RetentionRule
from vecguard.shield import Shield
from vecguard.tenancy import Tenancy
from vecguard.upstream import Answer, Exchange, Stream, Upstream
from vecguard.ways import Admit, Damaged, Restrict, Send, Translation

__all__ = ("Admit", "Damaged", "Restrict", "Session", "Translation")

_MIB: Final = 1024 * 1024
_ANY_CALLER: Final = Caller()


class Session:
    """One attempt at one call: who calls, under which rules, with how much time; and the way to the database."""

    _translation: Translation | None = None
    asked: Callable[[], Asked] | None = None
    """How much the client's message asks for, where that can be told."""
    excluded: dict[str, list[str]]
    """Records left out as they do not open."""
    rolled_back: dict[str, list[str]]
    """Records met that are not the newest."""
    most: int | None = None
    """Records that the answer may have: of a collection in clear, where no limit was asked for."""

    def __init__(
        self,
        principal: Principal,
        rules: Policy,
        catalog: Catalog,
        upstream: Upstream,
        *,
        deadline: float | None,
        size: int,
        metadata: tuple[tuple[str, str], ...] = (),
        operation: str = "",
        restrict: Restrict | None = None,
        whole: bool = False,
        admit: Admit | None = None,
    ) -> None:
        """`deadline` in monotonic seconds; `size` of the client's message in bytes; `metadata`: see `Caller`.

        `operation` is the RPC's full name, `package.Service/Method`; `restrict` is the front's way of sending messages
        under conditions; `whole`: also records that are too old to be kept. `admit` is asked once a collection.
        """
        self.principal, self.catalog = principal, catalog
        self.opened, self.written, self._stamps = list[Entry](), list[Entry](), set[str]()
        self.collections: set[str] = set()
        # Records read for re-ranking; searches that reached the cap on these before their certificate settled.
        self.candidates = self.uncertified = 0
        self._rules, self._upstream = rules, upstream
        self._deadline, self._size, self.operation = deadline, size, operation
        self.mandatory: dict[str, tuple[Condition, ...]] = {}
        """Conditions that every record must satisfy which this call sees or touches, by collection as it is called."""
        self.entries: dict[str, Entry] = {}
        self.read: list[tuple[Message, Message]] = []  # requests of this attempt, and their answers
        self.excluded, self.rolled_back = dict[str, list[str]](), dict[str, list[str]]()  # ids, by collection as called
        self.hidden = Hidden()
        self.canaries = self.hidden.canaries
        self.tenants: dict[str, Value] = {}  # whose the caller is, by collection as called, where it says so itself
        self.leaves_out = False  # whether records whose tenant's keys were destroyed are left out of answers
        self.shape = EXACT  # the form of this call's answer: the strictest of the roles that granted a part of it
        self.retains = False  # whether records of a collection in this call have an end
        self.vetted: set[str] = set()  # collections whose rows in this call's write were found to satisfy them
        self.restraints: dict[str, Restraint] = {}  # what detection holds back, by the collection's own name
        self._restrict, self._whole, self._admit, self.metadata = restrict, whole, admit, metadata
        self._unhurried = Caller(None, metadata) if metadata else _ANY_CALLER

    @property
    def caller(self) -> Caller:
        """Whom the database is asked for, with the time that is left now."""
        if self._deadline is None:
            return self._unhurried
        return Caller(max(self._deadline - time.monotonic(), 0.0), self.metadata)

    @property
    def reranking(self) -> dict[str, int]:
        """What re-ranking read, for the trail; empty where nothing was re-ranked."""
        return {"candidates": self.candidates, "uncertified": self.uncertified} if self.candidates else {}

    @property
    def rules(self) -> Policy:
        """The policy in force."""
        return self._rules

    def require(self, action: Action) -> Sequence[Allowance]:
        """Go on only if the principal may do this kind of call somewhere; asked before anything is looked up.

        Returns:
            The rates that it is held to.

        Raises:
            Denied: it may not.
        """
        return admit(self._rules, self.principal, action, self.operation)

    def grant(self, action: Action, collection: str | None) -> Grant:
        """The policy's yes to `action` on a collection, by name (one that may not exist yet), or on none.

        Raises:
            Denied: the policy says no; or the call changes or administers the whole server, and the principal has some
                rows of it only.
        """
        if collection is not None:
            self.collections.add(collection)
        granted = decide(self._rules, self.principal, action, collection, self.operation)
        if collection is None and action != "read" and (granted.rows or self._is_a_tenant()):
            raise self._beyond_rows(filtered=bool(granted.rows))
        if granted.role.shape is not EXACT:
            self.shape = self.shape.and_also(granted.role.shape)
        if collection is not None and granted.rows:
            self._demand(collection, granted.rows)
        if collection is not None and granted.collection_policy is not None:
            self._hold_to_tenant(collection, granted.collection_policy)
        return granted

    def _hold_to_tenant(self, collection: str, policy: CollectionPolicy) -> None:
        """Note whose the caller is where it says so itself, also for a call that never opens the collection."""
        rule = policy.tenant_keys
        said = () if rule is None or rule.attribute is None else self.principal.attributes.get(rule.attribute, ())
        if said and not self._whole:
            self.tenants[collection] = said[0]  # of several, `open` refuses the caller

    def _is_a_tenant(self) -> bool:
        """Whether the caller says itself whose it is, in any collection that asks for that."""
        rules = (policy.tenant_keys for policy in self._rules.collections)
        attributes = {rule.attribute for rule in rules if rule is not None and rule.attribute is not None}
        return not self._whole and any(self.principal.attributes.get(name) for name in attributes)

    def _demand(self, collection: str, rows: tuple[Condition, ...]) -> None:
        """Hold this call to conditions on a collection, beside those that hold already."""
        held = self.mandatory.get(collection, ())
        more = tuple(condition for condition in rows if condition not in held)
        if more:
            self.mandatory[collection] = held + more

    async def grant_named(self, action: Action, name: str) -> None:
        """`grant` for a call that goes on as it is: for the name, and for the collection that it is an alias of.

        What is administered is heeded by detection, too: a snapshot is all records at once.

        Raises:
            Denied: the policy says no to one of them.
            Suspended: see `heed`.
            UpstreamFailure: the database cannot say what the name means.
        """
        self.grant(action, name)
        heeded = action == "admin" and self._admit is not None
        if heeded or self._rules.tells_names_apart(self.principal):
            real = await self.catalog.real_name(name, self.caller)
            if real != name:
                self.grant(action, real)
            if heeded:
                await self.heed(real)

    async def heed(self, collection: str) -> None:
        """Go by detection's word on the principal in a collection, by its own name, that this call does not open.

        Raises:
            Suspended: its calls are refused for now.
        """
        policy = self._rules.collection(collection)
        if self._admit is None or policy is None:
            return
        clear = Entry(collection, policy, None, None, self._rules, generation=-1, checked=-math.inf, called=collection)
        self.restraints[collection] = await self._admit(self.principal, clear)

    def may_see(self, *names: str) -> bool:
        """Whether lists may show collections (or aliases) of all these names to the principal."""
        return all(may(self._rules, self.principal, "read", name, self.operation) for name in names)

    def may_see_database(self, name: str) -> bool:
        """Whether lists may show a database of this name to the principal."""
        return may_see_database(self._rules, self.principal, name, self.operation)

    async def open(self, name: str, action: Action, *, of_all: bool = False) -> Entry:
        """The collection or alias `name`, if the policy lets the principal do `action` on it.

        `of_all`: the call neither shows nor writes single records, so that who is no tenant may make it, too.

        Raises:
            Denied, FailedPrecondition, Unreadable: see `Catalog.get`.
            LimitExceeded: the message is larger than the policy allows for this collection.
            Suspended: detection has the principal's calls refused for now.
            UpstreamFailure: the database does not know it, or cannot be reached.
        """
        granted = self.grant(action, name)
        entry = self.catalog.known(name) or await self.catalog.get(name, self.caller)
        if entry.name != name:  # an alias: what it stands for must be granted, too
            granted = self.grant(action, entry.name)
            self._demand(name, granted.rows)
        limits = await self._restrained(entry, granted.limits)
        if self._size > limits.max_message_mib * _MIB:
            raise LimitExceeded(f"a message of {self._size} bytes: the policy allows {limits.max_message_mib} MiB")
        if entry.shield is not None and (limits is not entry.shield.limits or self.shape is not EXACT):
            entry = replace(entry, shield=entry.shield.within(limits, opens=self.shape.vectors == "exact"))
        if entry.shield is not None and entry.shield.tenancy is not None:
            entry = replace(entry, shield=self._of_tenant(name, entry.shield, entry.shield.tenancy, of_all=of_all))
        if entry.shield is None and not self.opened and self.asked is not None:
            self._require_within(limits, self.asked())
        self.entries[name] = entry
        self.retains = self.retains or self.retention(entry) is not None
        self.opened.append(entry)
        if action != "read":
            self.written.append(entry)
        return entry

    def _require_within(self, limits: Limits, asked: Asked) -> None:
        """Refuse what is asked of a collection in clear beyond its limits; one that is protected is held to them where
        its request is read.

        Raises:
            LimitExceeded: it is beyond them.
        """
        bounds = ((asked.limit or 0, limits.max_limit, "results"), (asked.batch, limits.max_batch, "records written"))
        for amount, most, what in (*bounds, (asked.results, limits.max_results, "results of all queries")):
            if amount > most:
                raise LimitExceeded(f"{amount} {what} asked for: the policy allows {most} in one call")
        if asked.limit is None:
            self.most = limits.max_limit

    async def _restrained(self, entry: Entry, limits: Limits) -> Limits:
        """`limits`, and this call's shape, as strict as detection wants them for this principal now."""
        if self._admit is None:
            return limits
        if entry.name not in self.restraints:
            self.restraints[entry.name] = await self._admit(self.principal, entry)
        restraint = self.restraints[entry.name]
        if restraint.shape is not EXACT:
            self.shape = self.shape.and_also(restraint.shape)
        if restraint.max_limit is None or restraint.max_limit >= limits.max_limit:
            return limits
        return limits.model_copy(update={"max_limit": restraint.max_limit})

    def _of_tenant(self, name: str, shield: Shield, tenancy: Tenancy, *, of_all: bool) -> Shield:
        """A shield as far as the caller's conditions, or itself, say whose records the call is about.

        Raises:
            Denied: the policy wants an attribute of the caller that says whose it is, and it has none, or several.
            TenantShredded: that tenant's keys were destroyed.
        """
        attribute = tenancy.rule.attribute
        said = () if attribute is None else self.principal.attributes.get(attribute, ())
        if attribute is not None and not self._whole and (said or not of_all):
            if len(said) != 1:
                raise Denied(
                    f"collection `{name}` has keys for each tenant: `{self.principal.name}` needs the attribute "
                    f"`{attribute}`, with one value"
                )
            self.tenants[name] = said[0]
            shield = shield.of_keys(tenancy.of(said[0]))
        for condition in self.mandatory.get(name, ()):
            shield = shield.narrowed(condition.field, condition.values)
        return shield

    def retention(self, entry: Entry) -> RetentionRule | None:
        """How long records of a collection are kept, as far as this call is concerned; None: for good."""
        return None if self._whole else entry.policy.kept

    def planted(self, message: Message, answer: Message | None = None) -> list[PlantedId]:
        """The ids of planted records within a message about an opened collection, or within the answer to it."""
        shield, within = self.shield_of(message), message if answer is None else answer
        return [] if self._translation is None or shield is None else self._translation.planted(within, shield)

    async def call(self, rpc: str, message: Message, answer: type[Answer], *, planted: bool = False) -> Answer:
        """Send a message, already protected, to the database; where there are mandatory conditions, under these.

        Row filters are such conditions, and so are a collection's retention, and whose a caller's records are.

        Raises:
            Denied: the call sees or touches more than the records that satisfy them.
            PlantedNamed: it writes a planted record.
            PlantedMet: the answer holds planted records; not with `planted`, where the caller leaves them out itself.
            UpstreamFailure: the database says no, or cannot be reached.
        """
        if self.written and (named := self.planted(message)):
            raise PlantedNamed(self._called(message), len(named))
        left_out = self.excluded or self.hidden.left_out
        held = self.mandatory or self.retains or left_out or self.tenants or self.leaves_out
        if held and self._restrict is None:
            raise self.beyond_rows()
        if held and self._restrict is not None:
            found = await self._restrict(self, rpc, message, answer)
        else:
            found = await self.send(rpc, message, answer)
        if not planted and (ids := self.planted(message, found)):
            raise PlantedMet(self._called(message), ids)
        return found

    def _called(self, message: Message) -> str:
        """The collection that a message names, as it is called."""
        name = None if self._translation is None else self._translation.collection_of(message, self.metadata)
        return name or ""

    async def send(self, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        """Send a message as it is, but translated: for a front's `restrict`, which has put the conditions into it."""
        shield = self.shield_of(message)
        if self._translation is None or shield is None:
            found = await self._upstream.call(rpc, message, answer, self.caller)
        else:
            send = partial(self._translated, shield=shield, translation=self._translation)
            if shield.fresh is None:
                found = await send(rpc, message, answer)
            else:
                found = await self._watched(send, rpc, message, answer, shield)
        self.read.append((message, found))
        return found

    async def unjudged(self, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        """Send a message about a protected collection as it is, but translated, whether or not the answer is newest.

        Nothing of it is for the client. Raises UpstreamFailure.
        """
        shield, translation = self.shield_of(message), self._translation
        assert shield is not None and translation is not None  # noqa: S101, PT018 - the caller looked
        return await self._translated(rpc, message, answer, shield=shield, translation=translation)

    async def _watched(self, send: Send, rpc: str, message: Message, answer: type[Answer], shield: Shield) -> Answer:
        assert self._translation is not None  # noqa: S101 - the caller looked
        try:
            return await self._translation.watched(send, rpc, message, answer, shield)
        except RolledBack as found:
            known = self.rolled_back.setdefault(self._called(message), [])
            known += [one for one in found.ids if one not in known]
            raise

    async def _translated(
        self, rpc: str, message: Message, answer: type[Answer], *, shield: Shield, translation: Translation
    ) -> Answer:
        try:
            found = await self._sent(rpc, translation.stored(message, shield), answer)
        except UpstreamFailure as failure:
            told = translation.shown_text(str(failure), shield)
            raise UpstreamFailure(failure.status, told, failure.trailing) from None
        translation.show(found, shield)
        return found

    async def _sent(self, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        if not any(entry.stored is not None and entry.stored.stamp for entry in self.written):
            return await self._upstream.call(rpc, message, answer, self.caller)
        found, stamp = await self._upstream.stamped(rpc, message, answer, self.caller)
        self._stamps.add(stamp)
        return found

    def vouched(self, entry: Entry) -> bool:
        """Whether the answers to all that was sent since the collection was opened to be written say by their stamps
        (`vecguard.stamp`) that it still was what `entry` says, so that it need not be looked at again."""
        return entry.stored is not None and self._stamps == {entry.stored.stamp or None}

    def begin(self) -> None:
        """Another attempt, with nothing opened yet."""
        self.opened.clear()
        self.written.clear()
        self.read.clear()
        self._stamps.clear()

    def translated(self, translation: Translation) -> Self:
        """This session, which from now on has its messages about protected collections translated."""
        self._translation = translation
        return self

    def shield_of(self, message: Message) -> Shield | None:
        """The protection of the opened collection that a message names, where messages are translated."""
        name = self._called(message)
        for entry in self.opened:
            if name in (entry.asked, entry.name):
                return entry.shield
        return None

    def beyond_rows(self) -> Denied:
        """The refusal of a call that concerns a whole collection, of which the principal has some rows only."""
        return self._beyond_rows(filtered=bool(self.mandatory))

    def _beyond_rows(self, *, filtered: bool) -> Denied:
        remedy = "a grant with `rows: all`" if filtered else "a caller that is no tenant of the collection"
        return Denied(
            f"{self.operation.rpartition('/')[2]} concerns rows that `{self.principal.name}` may not touch: "
            f"it needs {remedy}"
        )

    def stream(self, rpc: str, ask: bytes) -> Stream:
        """Ask for an answer in many messages, which clients may see as they are.

        Raises:
            Denied: there are mandatory conditions, which no stream can be held to.
        """
        if self.mandatory or self.tenants:
            raise self.beyond_rows()
        return self._upstream.stream(rpc, ask, self.caller)

    def exchange(self, rpc: str) -> Exchange:
        """Begin a call in many messages, of which none may carry what a client means to be protected.

        Raises:
            Denied: there are mandatory conditions, which no stream can be held to.
        """
        if self.mandatory or self.tenants:
            raise self.beyond_rows()
        return self._upstream.exchange(rpc, self.caller)
