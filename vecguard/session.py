"""One attempt at one call: who calls, under which rules, with how much time; and the only way to the database."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from google.protobuf.message import Message

from vecguard.catalog import Catalog, Entry
from vecguard.errors import LimitExceeded
from vecguard.model import Action, Caller, Grant, Principal
from vecguard.policy.decide import decide, may, may_see_database, require_any
from vecguard.policy.model import Policy
from vecguard.upstream import Answer, Exchange, Stream, Upstream

_MIB: Final = 1024 * 1024


class Session:
    """One attempt at one call: who calls, under which rules, with how much time; and the way to the database."""

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
    ) -> None:
        """`deadline` in monotonic seconds; `size` of the client's message in bytes; `metadata`: see `Caller`.

        `operation` is the RPC's full name, `package.Service/Method`.
        """
        self.principal = principal
        self.catalog = catalog
        self.opened: list[Entry] = []
        self.written: list[Entry] = []
        self.collections: set[str] = set()
        self.candidates = 0  # records read for re-ranking
        self.uncertified = 0  # searches that reached the cap on candidates before their certificate settled
        self._rules = rules
        self._upstream = upstream
        self._deadline = deadline
        self._size = size
        self._operation = operation
        self.metadata = metadata

    @property
    def caller(self) -> Caller:
        """Whom the database is asked for, with the time that is left now."""
        left = None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)
        return Caller(left, self.metadata)

    @property
    def reranking(self) -> dict[str, int]:
        """What re-ranking read, for the trail; empty where nothing was re-ranked."""
        return {"candidates": self.candidates, "uncertified": self.uncertified} if self.candidates else {}

    @property
    def rules(self) -> Policy:
        """The policy in force."""
        return self._rules

    def require(self, action: Action) -> None:
        """Go on only if the principal may do this kind of call somewhere; asked before anything is looked up.

        Raises:
            Denied: it may not.
        """
        require_any(self._rules, self.principal, action, self._operation)

    def grant(self, action: Action, collection: str | None) -> Grant:
        """The policy's yes to `action` on a collection, by name (one that may not exist yet), or on none.

        Raises:
            Denied: the policy says no.
        """
        if collection is not None:
            self.collections.add(collection)
        return decide(self._rules, self.principal, action, collection, self._operation)

    async def grant_named(self, action: Action, name: str) -> None:
        """`grant` for a call that goes on as it is: for the name, and for the collection that it is an alias of.

        Raises:
            Denied: the policy says no to one of them.
            UpstreamFailure: the database cannot say what the name means.
        """
        self.grant(action, name)
        if self._rules.tells_names_apart(self.principal):
            real = await self.catalog.real_name(name, self.caller)
            if real != name:
                self.grant(action, real)

    def may_see(self, *names: str) -> bool:
        """Whether lists may show collections (or aliases) of all these names to the principal."""
        return all(may(self._rules, self.principal, "read", name, self._operation) for name in names)

    def may_see_database(self, name: str) -> bool:
        """Whether lists may show a database of this name to the principal."""
        return may_see_database(self._rules, self.principal, name, self._operation)

    async def open(self, name: str, action: Action) -> Entry:
        """The collection or alias `name`, if the policy lets the principal do `action` on it.

        Raises:
            Denied, FailedPrecondition, Unreadable: see `Catalog.get`.
            LimitExceeded: the message is larger than the policy allows for this collection.
            UpstreamFailure: the database does not know it, or cannot be reached.
        """
        granted = self.grant(action, name)
        entry = await self.catalog.get(name, self.caller)
        if entry.name != name:  # an alias: what it stands for must be granted, too
            granted = self.grant(action, entry.name)
        limits = granted.limits
        if self._size > limits.max_message_mib * _MIB:
            raise LimitExceeded(f"a message of {self._size} bytes: the policy allows {limits.max_message_mib} MiB")
        if entry.shield is not None and limits != entry.shield.limits:
            entry = replace(entry, shield=entry.shield.within(limits))
        self.opened.append(entry)
        if action != "read":
            self.written.append(entry)
        return entry

    async def call(self, rpc: str, message: Message, answer: type[Answer]) -> Answer:
        """Send a message, already protected, to the database."""
        return await self._upstream.call(rpc, message, answer, self.caller)

    def stream(self, rpc: str, ask: bytes) -> Stream:
        """Ask for an answer in many messages, which clients may see as they are."""
        return self._upstream.stream(rpc, ask, self.caller)

    def exchange(self, rpc: str) -> Exchange:
        """Begin a call in many messages, of which none may carry what a client means to be protected."""
        return self._upstream.exchange(rpc, self.caller)
