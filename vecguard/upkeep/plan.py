"""From what an operator asks for to a migration that can run: names, rules on both sides, what must be confirmed."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vecguard.config import FrontName, Settings
from vecguard.errors import ConfigError, Denied, FailedPrecondition, UpstreamFailure
from vecguard.policy.model import CollectionPolicy, Policy
from vecguard.shield import Shield
from vecguard.upkeep import journal as journals
from vecguard.upkeep.access import Database, literal, open_database
from vecguard.upkeep.journal import Journal
from vecguard.wiring import open_policy

if TYPE_CHECKING:  # fronts are loaded by the registry
    from vecguard.front.transfer import Transfer

_RANDOM_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator asks for. `to` is None for a migration in place; `state` is the file of the journal."""

    collection: str
    to: str | None
    state: Path
    confirmed: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Both sides, ready; `policy` is the entry that protects the target."""

    source: Transfer
    target: Transfer
    policy: CollectionPolicy
    journal: Journal


@contextlib.asynccontextmanager
async def planned(
    order: Order, settings: Settings, front: FrontName | None, target_settings: Settings | None
) -> AsyncIterator[Plan]:
    """The plan of a migration; `target_settings` name another database where it goes to one.

    Raises:
        ConfigError: the settings, the state file or the name cannot be used.
        Denied: the policy has no entry for the target.
        FailedPrecondition: protected records would come to lie in clear, and nobody said so in words; or the policy
            treats the collection's name and the new one's differently; or it is remembered elsewhere which records are
            the newest, so that older ones would be carried over as good.
        UpstreamFailure, Unreadable, Unavailable: see `Database.shield`.
    """
    rules = open_policy(target_settings or settings).current
    if target_settings is not None and order.to is None:
        raise ConfigError("a migration into another database needs --to NAME")
    async with contextlib.AsyncExitStack() as stack:
        source_side = await stack.enter_async_context(open_database(settings, front))
        target_side = source_side
        if target_settings is not None:
            target_side = await stack.enter_async_context(open_database(target_settings))
        journal = journals.load(order.state) or _begun(order, target_side.front.name)
        _require_same(order, journal)
        entry = _entry(rules, journal)
        shield = await _shield(source_side, journal)
        _require_confirmation(order, shield, entry)
        source_rules = _as_found(shield, {order.collection, journal.aside})
        source = source_side.front.transfer(
            source_side.pipeline(lambda: source_rules), source_side.upstream, order.collection
        )
        target = target_side.front.transfer(target_side.pipeline(lambda: rules), target_side.upstream, journal.target)
        yield Plan(source, target, entry, journal)


def _begun(order: Order, front: str) -> Journal:
    """A new journal, with names that nothing has yet."""
    if order.to is not None:
        return Journal(source=order.collection, target=order.to, in_place=False, aside="")
    sign, drawn = "_" if front == "milvus" else "-", secrets.token_hex(_RANDOM_BYTES)
    return Journal(
        source=order.collection,
        target=f"{order.collection}{sign}{drawn}",
        in_place=True,
        aside=f"{order.collection}{sign}before{sign}{drawn}",
    )


def _require_same(order: Order, journal: Journal) -> None:
    target = None if journal.in_place else journal.target
    if (journal.source, target) != (order.collection, order.to):
        raise ConfigError(
            f"state file {order.state} is of the migration of `{journal.source}` to `{journal.target}`: "
            "name another one with --state"
        )


def _entry(rules: Policy, journal: Journal) -> CollectionPolicy:
    entry = rules.collection(journal.target)
    if entry is None:
        raise Denied(f"the policy has no entry for the collection `{journal.target}`: add one")
    if journal.in_place and rules.collection(journal.source) is not entry:
        raise FailedPrecondition(
            f"the policy treats `{journal.source}` and the new collection `{journal.target}`, which will stand behind "
            f"that name, differently: let one entry match both (`{journal.source}*`)"
        )
    return entry


async def _shield(database: Database, journal: Journal) -> Shield | None:
    try:
        return await database.shield(journal.source, knowing=True)
    except UpstreamFailure:
        if journal.phase in ("taking over", "done"):
            return None  # it is gone, or has another name already
        raise


def _require_confirmation(order: Order, shield: Shield | None, entry: CollectionPolicy) -> None:
    phrase = f"store {order.collection} in clear"
    if shield is not None and not entry.protected and order.confirmed != phrase:
        raise FailedPrecondition(
            f"`{order.collection}` is protected, and {entry.name} of the policy says `protect: none` for where it "
            f'goes: its vectors and payload would lie in clear. If that is what you want, add --confirm "{phrase}"'
        )


def _as_found(shield: Shield | None, names: set[str]) -> Policy:
    """The rules under which the source can be read as it is, by any of these names and its own."""
    if shield is None:
        entries = [CollectionPolicy(match=literal(name), protect="none") for name in sorted(names) if name]
        return Policy(version=1, collections=tuple(entries))
    names = {*names, shield.manifest.collection}
    entries = [shield.policy.model_copy(update={"match": literal(name)}) for name in sorted(names) if name]
    return Policy(version=1, collections=tuple(entries))
