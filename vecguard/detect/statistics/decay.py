"""Counts that fade: exponential decay with a half-life in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.observation import Observation

DAY_S: Final = 86_400.0


def kept(elapsed_s: float, half_life_s: float) -> float:
    """The share of a count that is left after `elapsed_s`; 1 where time did not go on."""
    return float(2.0 ** (-max(0.0, elapsed_s) / half_life_s))


def since(numbers: NDArray[np.generic], place: int, batch: Sequence[Observation], half_life_s: float = DAY_S) -> float:
    """The share of a count that is left at the end of `batch`, of when it was `numbers[place]`, which is moved there.

    1.0 for an empty batch and for the first; an earlier time than that of the batch before changes nothing.
    """
    latest = batch[0].time if len(batch) == 1 else max([one.time for one in batch], default=0.0)
    before = float(numbers[place])
    if latest <= before:
        return 1.0
    numbers[place] = latest
    return kept(latest - before, half_life_s) if before > 0 else 1.0
