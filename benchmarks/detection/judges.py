"""What tells extraction from honest use, under one interface: the product's detectors, and what they are compared with.

A judge reads one principal's observations in batches and says a statistic after each: the higher, the worse. What is an
alarm is decided by a threshold on it, for all judges by the same budget of false positives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from vecguard.detect.analyst import registered, weigh
from vecguard.detect.detector import Detector
from vecguard.detect.largest import observed_too_large
from vecguard.detect.observation import Observation
from vecguard.detect.store import Profile
from vecguard.policy.detection import DetectionRule

See = Callable[[Sequence[Observation]], float]


class Judge(Protocol):
    """A way of telling. `name` stands in reports."""

    name: str

    def fresh(self) -> See:
        """What reads a principal that was not seen before."""


class VecGuard:
    """The product's own: the analyst's `weigh` over the registered detectors, as the server runs it. Says the risk."""

    name = "VecGuard"

    def __init__(self, rule: DetectionRule, detectors: Mapping[str, Detector] | None = None) -> None:
        self._rule = rule
        self._detectors = registered() if detectors is None else detectors

    def refuses(self, one: Observation) -> bool:
        """Where the answer is too much of its collection."""
        return observed_too_large(self._rule, one)

    def fresh(self) -> See:
        """A new profile."""
        return Watched(self._rule, self._detectors)


class Watched:
    """One principal's profile, under the rule that the policy has."""

    def __init__(self, rule: DetectionRule, detectors: Mapping[str, Detector]) -> None:
        self.profile = Profile()
        self._rule, self._detectors = rule, detectors

    def __call__(self, batch: Sequence[Observation]) -> float:
        """Take a batch; the risk after it."""
        weigh(self.profile, batch, self._detectors, self._rule)
        return self.profile.risk

    @property
    def levels(self) -> dict[str, float]:
        """The latest level of each detector."""
        return {name: found.level for name, found in self.profile.evidence.items()}
