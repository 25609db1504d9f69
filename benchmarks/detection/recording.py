"""An attack as it was recorded: every call's observation, and what the attacker had by then."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.detection.attacks.attack import Goal
from vecguard.detect.observation import Observation

RECOVERED = 0.9
"""The cosine from which on a vector counts as recovered."""


@dataclass(frozen=True, eq=False)
class Recording:
    """The calls of one attack by one account that nobody stopped, and its progress (calls, value), ascending."""

    name: str
    goal: Goal
    seen: tuple[Observation, ...]
    progress: tuple[tuple[int, float], ...]
    records: int
    """How many the collection has."""

    def reached(self, calls: int) -> float:
        """What the attack was after, after so many calls; 0.0 before it first knew."""
        return max((value for at, value in self.progress if at <= calls), default=0.0)

    def calls_to(self, value: float) -> int | None:
        """After how many calls it had this much; None: never."""
        return next((at for at, reached in self.progress if reached >= value), None)


@dataclass(frozen=True)
class Gone:
    """Shares of a collection that have left: records with their payload, and vectors."""

    records: float
    vectors: float


class Leaving:
    """Counts distinct records and vectors that leave."""

    def __init__(self, records: int) -> None:
        self._of = records
        self._records: set[int] = set()
        self._vectors: set[int] = set()

    def add(self, seen: Observation) -> None:
        """One call's answer."""
        if "payload" in seen.left:
            self._records.update(seen.ids.tolist())
        if "vectors" in seen.left:
            self._vectors.update(seen.vector_ids.tolist())

    @property
    def gone(self) -> Gone:
        """How much by now."""
        return Gone(len(self._records) / self._of, len(self._vectors) / self._of)


def gone(seen: Iterable[Observation], records: int) -> Gone:
    """What has left in some calls."""
    leaving = Leaving(records)
    for one in seen:
        leaving.add(one)
    return leaving.gone
