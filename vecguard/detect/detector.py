"""What a detector is: a pure function over a principal's small state and its latest observations.

A detector's state is a flat dict of arrays, so that it can be kept in process or in a shared store; `most_bytes` bounds
it whatever is observed. Detectors do not know a policy, a front or a clock: time is the observations'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vecguard.detect.observation import Observation

State: TypeAlias = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a detector says of a principal now.

    `level` is its statistic over its calibrated threshold: 1.0 is where benign traffic gets once in the budget of false
    positives. `reason` says in words an operator can act on what was seen, with its figures.
    """

    detector: str
    level: float
    reason: str


class Detector(Protocol):
    """One way of telling extraction from honest use, for one principal on one collection."""

    name: str
    most_bytes: int

    def fresh(self) -> State:
        """The state of a principal that was not seen before."""

    def update(self, state: State, batch: Sequence[Observation]) -> Evidence:
        """Take observations, oldest first, into `state` (in place), and say what it tells now."""
