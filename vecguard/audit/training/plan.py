"""How long and how fast an inverter is trained."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field


class Plan(BaseModel):
    """Settings of one training run; the schedule ends by whichever of `steps` and `minutes` comes first.

    A run that `minutes` ends depends on the machine's speed: the order of the data and every draw are seeded, but
    another machine stops elsewhere in them. With `steps` alone it is the same everywhere up to rounding.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 7
    steps: int = Field(default=20_000, ge=1)
    minutes: float = Field(default=math.inf, gt=0)
    batch_tokens: int = Field(default=4096, ge=1)
    drawn_tokens: int = Field(default=512, ge=1, description="vocabulary drawn beside a batch's own tokens")
    table_rate: float = Field(default=2e-3, gt=0, description="AdamW, for tables, biases and conditioning")
    block_rate: float = Field(default=3e-3, gt=0, description="Muon, for the matrices of the blocks")
    warm_up: float = Field(default=0.02, gt=0, lt=1, description="share of the schedule")
    evidence_weight: float = Field(default=0.01, ge=0)
    jitter: float = Field(default=0.0, ge=0, description="E||noise||/||x|| of Gaussian noise on the embeddings")
    validate_every: int = Field(default=250, ge=1, description="steps")
    patience: int = Field(default=8, ge=1, description="validations without a better loss until it stops")

    def correcting(self) -> Plan:
        """The same for a corrector: it starts from a trained base, so half the rates, and learns no word evidence."""
        half = {"table_rate": self.table_rate / 2, "block_rate": self.block_rate / 2, "evidence_weight": 0.0}
        return self.model_copy(update=half)

    def progress(self, step: int, minutes: float) -> float:
        """Share of the schedule that is done, from 0 to 1."""
        return min(1.0, max(step / self.steps, minutes / self.minutes))

    def pace(self, progress: float) -> float:
        """Factor on the learning rates: linear up during the warm-up, then half a cosine down to 0."""
        if progress < self.warm_up:
            return max(progress / self.warm_up, 1e-2)
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warm_up) / (1 - self.warm_up)))
