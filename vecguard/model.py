"""What every layer may hold in its hand: who calls, and what the policy grants them. Standard library only.

The layers below and above exchange these values; none of them knows a wire protocol or a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:  # names for the type checker only: at run time this module imports nothing of ours
    from vecguard.policy.access import Rate, Role, RoleGrant
    from vecguard.policy.detection import Rung
    from vecguard.policy.limits import Limits
    from vecguard.policy.model import CollectionPolicy

Action = Literal["read", "write", "admin"]
PrincipalKind = Literal["anonymous", "api-key", "password", "jwt", "certificate"]
Value: TypeAlias = str | int | bool
"""A value that a principal's attribute, or a condition on a payload field, may have."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a call.

    `name` is what the audit trail and the detectors file the call under; `kind` says which sort of credential vouches
    for it; `roles` are names of the policy's roles, or the actions that stand for built-in ones. No role implies
    another: an administrator who also reads holds both. `attributes` are what row filters compare with.
    """

    name: str
    roles: frozenset[str] = frozenset()
    kind: PrincipalKind = "api-key"
    attributes: Mapping[str, tuple[Value, ...]] = field(default_factory=dict, hash=False)

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody vouched for this caller; the policy's `access.anonymous` then says what it may do."""
        return self.kind == "anonymous"


# The angle brackets, and the kind, keep an account that happens to be called "anonymous" apart from this one.
ANONYMOUS: Final = Principal("<anonymous>", kind="anonymous")


@dataclass(frozen=True, slots=True)
class Peer:
    """What the transport knows of a caller beside the metadata of its call.

    `certificate` is the client's, in DER, where TLS verified one against the client CA; `repeated` names the metadata
    keys that came more than once.
    """

    certificate: bytes | None = None
    repeated: frozenset[str] = frozenset()


UNKNOWN_PEER: Final = Peer()


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf the database is asked: seconds left (None: no deadline), and what of the client's metadata it is
    to see (credentials of its own, say)."""

    timeout: float | None = None
    metadata: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition that every record which a call sees or touches must satisfy: `field` equals one of `values`.

    `field` is a payload path (a column or dynamic field in Milvus).
    """

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """In which form a principal's answers are given: vectors as they were, as they are stored, or not at all; scores
    exact, rounded to `decimals`, or hidden, so that only the order is left."""

    vectors: Literal["exact", "protected", "deny"] = "exact"
    scores: Literal["exact", "rounded", "hidden"] = "exact"
    decimals: int = 6

    def and_also(self, other: Shape) -> Shape:
        """The stricter of each."""
        vectors = max(self.vectors, other.vectors, key=("exact", "protected", "deny").index)
        scores = max(self.scores, other.scores, key=("exact", "rounded", "hidden").index)
        return Shape(vectors, scores, min(self.decimals, other.decimals))


EXACT: Final = Shape()


@dataclass(frozen=True, slots=True)
class Asked:
    """How much a request asks for: `limit` results of a query (None: all that there are), `results` of all its queries,
    and `batch` records to write."""

    limit: int | None
    results: int
    batch: int = 0


@dataclass(frozen=True, slots=True)
class Restraint:
    """How detection has a principal's calls on a collection answered now: `rung` of the ladder, None below it.

    `shape` and `max_limit` hold beside those of the role; where the policy only observes they hold back nothing, and
    `enforced` is False.
    """

    rung: Rung | None = None
    enforced: bool = False
    shape: Shape = EXACT
    max_limit: int | None = None


UNRESTRAINED: Final = Restraint()


@dataclass(frozen=True, slots=True)
class Grant:
    """The policy's yes to one call: made only by `vecguard.policy.decide`, and by nothing else.

    `collection_policy` is None for calls that name no collection (listing, health). `role` and `by` are what said
    yes; `rows` are the conditions that all records of the call must satisfy, none where every record is granted.
    """

    principal: Principal
    collection_policy: CollectionPolicy | None
    limits: Limits
    role: Role
    by: RoleGrant
    rows: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Allowance:
    """A rate that a principal is held to, and the name of the role that sets it."""

    role: str
    rate: Rate
