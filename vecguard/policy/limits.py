"""Bounds on one call, which clients are refused beyond."""

from __future__ import annotations

from pydantic import Field

from vecguard.policy.access import RoleLimits
from vecguard.policy.entry import PolicyEntry


class Limits(PolicyEntry):
    """What one call may ask for."""

    max_limit: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Results of one query, scroll page or id list; offset included."
    )
    max_results: int = Field(
        default=100_000,
        ge=1,
        le=100_000_000,
        description="Results of one call that asks several queries, or for groups: the sum over all of them.",
    )
    max_batch: int = Field(default=10_000, ge=1, le=1_000_000, description="Points in one write.")
    max_message_mib: int = Field(default=64, ge=1, le=1024, description="Size of one request, in MiB.")

    def within(self, role: RoleLimits) -> Limits:
        """These bounds and a role's: the lower of each."""
        if not role.model_fields_set:
            return self
        lower = {name: value for name, value in role if value is not None and value < getattr(self, name)}
        return self.model_copy(update=lower) if lower else self
