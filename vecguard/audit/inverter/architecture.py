"""The shape of a generative inverter, shared by its training in torch and its use in numpy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Of the RMS norms.
EPSILON = 1e-6


class Architecture(BaseModel):
    """Sizes of the network of vecguard/audit/training/network.py."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dims: int = Field(ge=1)
    vocabulary: int = Field(ge=1)
    width: int = Field(default=256, ge=1)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    feed: int = Field(default=1024, ge=1)
    prefix: int = Field(default=4, ge=1)
    condition: int = Field(default=512, ge=1)
    length: int = Field(default=64, ge=2)
    corrects: bool = False

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Architecture:
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self
