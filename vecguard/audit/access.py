"""What each role of a policy can obtain through the proxy's API: the risk that no protection at rest answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from vecguard.audit.metrics import Interval
from vecguard.audit.outcome import AccessRow
from vecguard.audit.reading import Reading
from vecguard.audit.textual import TOKEN_F1
from vecguard.policy.access import Role
from vecguard.policy.model import Policy

WITHOUT: Final = "(no credential)"
VECTORS: Final = "vectors asked for"
SCORES: Final = "exact scores"
DECIMALS: Final = 2
"""Of the rounded scores that `trilateration` measures."""
ROUNDED: Final = f"{DECIMALS} decimals"


def access_rows(policy: Policy, measured: Mapping[str, Interval]) -> Iterator[AccessRow]:
    """One row for callers without a credential, and one for each role that somebody can hold.

    `measured` is `by_view` of the policy's own protection, and empty where `trilateration` was not run.
    """
    held = [policy.access.role_order[name] for name in policy.access.anonymous]
    actions = tuple(policy.access.anonymous)
    exact = "exact" if "read" in actions else "none"
    obtained = _obtains(actions, exact, exact, limited=False)
    yield AccessRow(WITHOUT, actions, exact, exact, obtained, measured.get(VECTORS) if exact == "exact" else None)
    if policy.access.authenticates:
        yield from (_row(role, measured) for role in policy.access.role_order.values() if role not in held)


def by_view(readings: Sequence[Reading], dims: int) -> dict[str, Interval]:
    """Token F1 that trilateration reached by what it was shown: vectors, or scores of as many queries as dimensions."""
    found = {reading.variant: reading.interval for reading in readings if reading.metric == TOKEN_F1}
    names = {VECTORS: VECTORS, SCORES: scores_variant(dims, SCORES), ROUNDED: scores_variant(dims, ROUNDED)}
    return {view: found[name] for view, name in names.items() if name in found}


def scores_variant(queries: int, view: str) -> str:
    """What reports call the reconstruction from scores of so many queries."""
    return f"{queries} queries, {view}"


def _row(role: Role, measured: Mapping[str, Interval]) -> AccessRow:
    actions = tuple(dict.fromkeys(action for grant in role.grants for action in grant.actions))
    reads = "read" in actions
    vectors = role.return_vectors if reads else "none"
    scores: str = role.scores if reads else "none"
    view = VECTORS if vectors == "exact" else SCORES if scores == "exact" else ""
    if scores == "rounded":
        view = view or (ROUNDED if role.score_decimals == DECIMALS else "")
        scores = f"rounded to {role.score_decimals} decimals"
    obtained = _obtains(actions, vectors, scores, role.rate is not None)
    return AccessRow(role.name, actions, vectors, scores, obtained, measured.get(view))


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
