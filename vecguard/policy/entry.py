"""The base of every part of the policy file."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

# A YAML list arrives as a Python list; everything else is taken as written, without conversion.
ListOf: Final = Field(strict=False)


class PolicyEntry(BaseModel):
    """A part of the policy file: cannot be changed, has no unknown keys, converts no types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
