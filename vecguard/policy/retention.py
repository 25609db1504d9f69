"""How long records are kept: `retention: 90d`, or `{after: 90d, field: created_at}` in a collection's policy entry."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from vecguard.policy.entry import PolicyEntry

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FORM: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])")
_LONGEST: Final = timedelta(days=36_500)


def _period(text: str) -> str:
    found = _FORM.fullmatch(text)
    if found is None or timedelta(**{_UNITS[found[2]]: int(found[1])}) > _LONGEST:
        say = "is no period: write a whole number and one of s, m, h, d, w (`90d`), at most 36500d"
        raise PydanticCustomError("period", "{text}", {"text": say})
    return text


Period = Annotated[str, AfterValidator(_period)]


def period_seconds(text: str) -> int:
    """How long a period of that form is, in seconds."""
    found = _FORM.fullmatch(text)
    assert found is not None  # noqa: S101 - validated
    return int(timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds())


class RetentionRule(PolicyEntry):
    """How long records are kept, and what their age is told by."""

    after: Period = Field(
        description="How old a record may get: a whole number and s, m, h, d or w. Older ones vanish from every answer "
        "at once, and are deleted by a sweep (docs/operations.md)."
    )
    field: str | None = Field(
        default=None,
        description="A `plain` field that says when the record began; records without it, and all where it is left "
        "out, count from when they were last written whole through VecGuard (Milvus: in collections that were made "
        "under such a rule).",
    )
    clock: Literal["datetime", "seconds", "milliseconds"] = Field(
        default="datetime",
        description="What the field holds: RFC 3339 texts (not in Milvus), or whole numbers since 1970 in UTC.",
    )

    @property
    def seconds(self) -> int:
        """How old a record may get, in seconds."""
        return period_seconds(self.after)


def _shape(value: Any) -> str:
    return "short" if isinstance(value, str) else "rule"


Retention = Annotated[Annotated[RetentionRule, Tag("rule")] | Annotated[Period, Tag("short")], Discriminator(_shape)]


def rule_of(given: RetentionRule | str | None) -> RetentionRule | None:
    """The rule that an entry of the policy stands for."""
    return RetentionRule(after=given) if isinstance(given, str) else given
