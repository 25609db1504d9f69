"""The policy's own thresholds for `vecguard audit gate`: how much may leak, and how well search must work."""

from __future__ import annotations

from pydantic import Field

from vecguard.policy.entry import PolicyEntry


class AuditThresholds(PolicyEntry):
    """What `vecguard audit gate` holds this policy to; a running server does not look at it."""

    max_token_f1: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Most token F1 that any attack may recover, without key and with up to `max_pairs` leaked pairs.",
    )
    min_recall: float | None = Field(
        default=None, ge=0, le=1, description="Least recall@10 against exact search, re-ranking included."
    )
    max_pairs_recovery: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Largest share of records that up to `max_pairs` leaked pairs may re-identify (R@1).",
    )
    max_pairs: int = Field(
        default=100, ge=1, le=10_000, description="Leaked pairs that the thresholds above reckon with."
    )
