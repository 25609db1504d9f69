"""What every layer may hold in its hand: who calls, and what the policy grants them. Standard library only.

The layers below and above exchange these values; none of them knows a wire protocol or a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:  # names for the type checker only: at run time this module imports nothing of ours
    from vecguard.policy.model import CollectionPolicy, Limits

Action = Literal["read", "write", "admin"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a call.

    `name` is what the audit trail and the detectors file the call under; `roles` are the actions that the
    authenticator vouches for. No role implies another: an administrator who also reads holds both.
    """

    name: str
    roles: frozenset[Action] = frozenset()

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody vouched for this caller; the policy's `access.anonymous` then says what it may do."""
        return self is ANONYMOUS or self == ANONYMOUS


# The angle brackets keep an authenticated account that happens to be called "anonymous" apart from this one.
ANONYMOUS: Final = Principal("<anonymous>")


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf the database is asked: seconds left (None: no deadline), and what of the client's metadata it is
    to see (credentials of its own, say)."""

    timeout: float | None = None
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """The policy's yes to one call: made only by `vecguard.policy.decide`, and by nothing else.

    `collection_policy` is None for calls that name no collection (listing, health).
    """

    principal: Principal
    collection_policy: CollectionPolicy | None
    limits: Limits
