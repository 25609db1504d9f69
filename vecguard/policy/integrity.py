"""What is done about records that others changed: `integrity: fail`, or `{damaged: drop, rollback: detect}`."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from vecguard.policy.entry import PolicyEntry

Outcome = Literal["fail", "drop"]
UNRECOVERABLE: Final = (
    "a vector that nobody can recover (`recover: none`) cannot be told from an older one: not with `rollback: detect`"
)


class IntegrityRule(PolicyEntry):
    """What a call does that meets a record which others changed, and whether an older record is one."""

    damaged: Outcome = Field(
        default="fail",
        description="What a call does that meets such a record: `fail` (DATA_LOSS), or `drop` it from the answer. The "
        "trail tells of it either way.",
    )
    rollback: Literal["ignore", "detect"] = Field(
        default="ignore",
        description="detect: a record, or a part of one, that is not the newest is such a record, and so is one that "
        "was deleted. What is newest is remembered outside the database, which needs `state` or `rollback_memory` in "
        "the settings; docs/operations.md, Rollback.",
    )


def _shape(value: Any) -> str:
    return "short" if isinstance(value, str) else "rule"


Integrity = Annotated[Annotated[IntegrityRule, Tag("rule")] | Annotated[Outcome, Tag("short")], Discriminator(_shape)]


def integrity_of(given: IntegrityRule | Outcome) -> IntegrityRule:
    """The rule that an entry of the policy stands for."""
    return given if isinstance(given, IntegrityRule) else IntegrityRule(damaged=given)
