"""The one place that says yes. Pure: policy, principal and question in, a grant or a refusal out."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from vecguard.errors import Denied
from vecguard.model import Action, Allowance, Condition, Grant, Principal
from vecguard.policy.access import AttributeOf, Role, RoleGrant, literal_values
from vecguard.policy.limits import Limits
from vecguard.policy.model import CollectionPolicy, Policy

_NO_COLLECTION: Final = Limits()


def decide(policy: Policy, principal: Principal, action: Action, collection: str | None, operation: str = "") -> Grant:
    """Grant an action on a collection, or on none: `operation` is the RPC's full name, `package.Service/Method`.

    What is not allowed in so many words is refused: no action implies another, and a collection that no entry of the
    policy matches is refused to everybody. On no collection, reading (listing, health) needs a grant to read anything,
    and everything else one on every collection. Raises `errors.Denied`.
    """
    question = (principal, action, collection, operation)
    granted = policy.answers.grants.get(question)
    return policy.answers.grants.keep(question, _grant(policy, *question)) if granted is None else granted


def _grant(policy: Policy, principal: Principal, action: Action, collection: str | None, operation: str) -> Grant:
    found = next(_covering(policy, principal, action, collection, operation), None)
    if found is None:
        raise Denied(_refusal(policy, principal, action, collection, operation))
    role, grant = found
    if collection is None:
        rows = () if action == "read" else _rows(principal, role, grant)
        return Grant(principal, None, _NO_COLLECTION.within(role.limits), role, grant, rows)
    entry = _entry(policy, collection)
    return Grant(principal, entry, entry.limits.within(role.limits), role, grant, _rows(principal, role, grant))


def admit(policy: Policy, principal: Principal, action: Action, operation: str = "") -> tuple[Allowance, ...]:
    """Go on only if the principal may do this somewhere: the first question of a call. What rates it is held to then.

    Raises `errors.Denied`.
    """
    question = (principal, action, operation)
    held = policy.answers.admissions.get(question)
    if held is not None:
        return held
    if not any(grant.may_cover(action, operation) for role in _held(policy, principal) for grant in role.grants):
        raise Denied(_refusal(policy, principal, action, None, operation))
    return policy.answers.admissions.keep(question, allowances(policy, principal))


def may(policy: Policy, principal: Principal, action: Action, collection: str, operation: str = "") -> bool:
    """Whether `decide` would grant it: for lists that show only what the principal may see."""
    try:
        decide(policy, principal, action, collection, operation)
    except Denied:
        return False
    return True


def may_see_database(policy: Policy, principal: Principal, database: str, operation: str = "") -> bool:
    """Whether the principal may read any collection of a Milvus database other than the default one."""
    globs = (
        glob
        for role in _held(policy, principal)
        for grant in role.grants
        if grant.may_cover("read", operation)
        for glob in grant.collections
    )
    return any(fnmatchcase(database, glob.partition("/")[0]) for glob in globs)


def allowances(policy: Policy, principal: Principal) -> tuple[Allowance, ...]:
    """The rates that a principal is held to: those of each of its roles."""
    return tuple(Allowance(role.name, role.rate) for role in _held(policy, principal) if role.rate is not None)


def _held(policy: Policy, principal: Principal) -> Iterator[Role]:
    """The principal's roles, in the order in which they are asked."""
    names = policy.access.anonymous if principal.is_anonymous else principal.roles
    return (role for name, role in policy.access.role_order.items() if name in names)


def _covering(
    policy: Policy, principal: Principal, action: Action, collection: str | None, operation: str
) -> Iterator[tuple[Role, RoleGrant]]:
    for role in _held(policy, principal):
        for grant in role.grants:
            if grant.covers(action, collection, operation):
                yield role, grant


def _refusal(policy: Policy, principal: Principal, action: Action, collection: str | None, operation: str) -> str:
    """What is refused, as widely as it is: the action, on this collection, or this call of it."""
    who = "a caller without a credential" if principal.is_anonymous else f"`{principal.name}`"
    grants = [grant for role in _held(policy, principal) for grant in role.grants if action in grant.actions]
    if not grants:
        return f"{who} may not {action}"
    if not any(grant.may_cover(action, operation) for grant in grants):
        return f"{who} may not call {operation.rpartition('/')[2]}"
    if collection is None:
        return f"{who} may not {action} on the whole server"
    return f"{who} may not {action} collection `{collection}` this way"


def _rows(principal: Principal, role: Role, grant: RoleGrant) -> tuple[Condition, ...]:
    """The role's row filter with the principal's own values. Raises `errors.Denied` where it lacks an attribute."""
    if grant.rows == "all":
        return ()
    return tuple(_condition(principal, role, field) for field in role.row_filter)


def _condition(principal: Principal, role: Role, field: str) -> Condition:
    value = role.row_filter[field]
    if not isinstance(value, AttributeOf):
        return Condition(field, literal_values(value))
    held = principal.attributes.get(value.attribute, ())
    if not held:
        raise Denied(f"`{principal.name}` has no attribute `{value.attribute}`, which role `{role.name}` filters by")
    return Condition(field, held)


def _entry(policy: Policy, collection: str) -> CollectionPolicy:
    entry = policy.collection(collection)
    if entry is None:
        raise Denied(f"the policy has no entry for the collection `{collection}`")
    return entry
