"""The one place that says yes. Pure: policy, principal and question in, a grant or a refusal out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from vecguard.errors import Denied
from vecguard.model import Action, Grant, Principal
from vecguard.policy.model import CollectionPolicy, Limits, Policy

_NO_COLLECTION: Final = Limits()


def decide(policy: Policy, principal: Principal, action: Action, collection: str | None) -> Grant:
    """Grant an action on a collection, or on none (listing, health).

    What is not allowed in so many words is refused: no action implies another, and a collection that no entry of the
    policy matches is refused to everybody. Raises `errors.Denied`.
    """
    if action not in _allowed(policy, principal):
        raise Denied(f"{_named(principal)} may not {action}")
    if collection is None:
        return Grant(principal, None, _NO_COLLECTION)
    entry = _entry(policy, collection)
    return Grant(principal, entry, entry.limits)


def _allowed(policy: Policy, principal: Principal) -> Collection[str]:
    return policy.access.anonymous if principal.is_anonymous else principal.roles


def _named(principal: Principal) -> str:
    return "a caller without a credential" if principal.is_anonymous else f"`{principal.name}`"


def _entry(policy: Policy, collection: str) -> CollectionPolicy:
    entry = policy.collection(collection)
    if entry is None:
        raise Denied(f"the policy has no entry for the collection `{collection}`")
    return entry
