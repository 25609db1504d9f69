"""What each role of a policy can obtain through the proxy's API: the risk that no protection at rest answers."""

from __future__ import annotations

from collections.abc import Iterator

from vecguard.audit.outcome import AccessRow
from vecguard.policy.access import Role
from vecguard.policy.model import Policy

WITHOUT = "(no credential)"


def access_rows(policy: Policy) -> Iterator[AccessRow]:
    """One row for callers without a credential, and one for each role that somebody can hold."""
    held = [policy.access.role_order[name] for name in policy.access.anonymous]
    actions = tuple(policy.access.anonymous)
    exact = "exact" if "read" in actions else "none"
    yield AccessRow(WITHOUT, actions, exact, exact, _obtains(actions, exact, exact, limited=False))
    if policy.access.authenticates:
        yield from (_row(role) for role in policy.access.role_order.values() if role not in held)


def _row(role: Role) -> AccessRow:
    actions = tuple(dict.fromkeys(action for grant in role.grants for action in grant.actions))
    reads = "read" in actions
    vectors = role.return_vectors if reads else "none"
    scores: str = role.scores if reads else "none"
    if scores == "rounded":
        scores = f"rounded to {role.score_decimals} decimals"
    return AccessRow(role.name, actions, vectors, scores, _obtains(actions, vectors, scores, role.rate is not None))


def _obtains(actions: tuple[str, ...], vectors: str, scores: str, limited: bool) -> str:
    parts = []
    if vectors == "exact":
        parts.append("every exact vector by asking for it: inversion as on clear storage")
    elif scores.startswith(("exact", "rounded")):
        parts.append(
            "every vector from the scores of about as many queries as it has dimensions (see trilateration)"
            + ("; rounding does not stop it" if scores.startswith("rounded") else "")
        )
    elif "read" in actions:
        parts.append("the order of results: approximate vectors by many comparisons")
    if "write" in actions:
        parts.append("leaked pairs at will, together with somebody who sees the database: he writes known texts")
    if "admin" in actions:
        parts.append("snapshots of the protected data, and the right to delete it")
    if not parts:
        return "nothing"
    return "; ".join(parts) + ("; slowed by its rate" if limited else "")
