"""Honest principal-days, made in memory by the thousand, and what judges say of each at its worst moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np

from benchmarks.detection.benign.user import DAY_S, Family, User, popularity
from benchmarks.detection.judges import Judge, Watched
from benchmarks.detection.offline import OfflineTarget, Stored
from benchmarks.detection.world import World
from vecguard.detect.observation import Observation
from vecguard.detect.sketch import Sketcher

DAYS_EACH = 4
"""Days in a row that one principal is watched: what is remembered of it goes on."""
FIRST_DAY = 1_800_000_000.0 - 1_800_000_000.0 % DAY_S
GATHER = 4
"""Calls that are analysed together, at most, and only those within `GATHER_S` of each other: fewer than in the server,
which gathers for 0.1 s (`vecguard.detect.beside`) and takes up to 64 at once."""
GATHER_S = 0.02


@dataclass
class Day:
    """One principal-day: its family, calls, each judge's worst statistic, and of each detector its highest level."""

    family: str
    calls: int
    worst: dict[str, float]
    levels: dict[str, float] = field(default_factory=dict)


class Honest:
    """Honest traffic on one world. The same seed gives the same traffic."""

    def __init__(self, world: World, sketcher: Sketcher, seed: int) -> None:
        foreseen = [world.questions.vectors, world.rewrites.reshape(-1, world.dims), world.documents.vectors]
        self._world, self._sketcher, self._seed = world, sketcher, seed
        self._stored = Stored(world.documents, foreseen)
        self._popular = popularity(len(world.questions.texts), np.random.default_rng(seed))

    def principal(self, family: Family, number: int) -> Iterator[list[Observation]]:
        """The observations of one principal, day by day."""
        random = np.random.default_rng([self._seed, number, *family.name.encode()])
        name = f"{family.name} {number}"
        records = len(self._world.documents.texts)
        for day in range(DAYS_EACH):
            target = OfflineTarget(self._stored, self._sketcher, name)
            target.now = FIRST_DAY + day * DAY_S
            family.run(User(target, target, self._world, random, self._popular))
            yield [replace(one, records=records) for one in target.seen]


def gathered(seen: Sequence[Observation]) -> Iterator[list[Observation]]:
    """Observations as the analyst gets them: calls in quick succession together."""
    batch: list[Observation] = []
    for one in seen:
        if batch and (len(batch) >= GATHER or one.time - batch[0].time > GATHER_S):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def judge_family(honest: Honest, family: Family, first: int, days: int, judges: Sequence[Judge]) -> Iterator[Day]:
    """What judges say of about so many principal-days of a family, from the principal that begins at day `first`."""
    for number in range(first // DAYS_EACH, ceil((first + days) / DAYS_EACH)):
        seeing = {judge.name: judge.fresh() for judge in judges}
        for seen in honest.principal(family, number):
            day = Day(family.name, len(seen), dict.fromkeys(seeing, 0.0))
            for batch in gathered(seen):
                for name, see in seeing.items():
                    day.worst[name] = max(day.worst[name], see(batch))
                    if isinstance(see, Watched):
                        for detector, level in see.levels.items():
                            day.levels[detector] = max(day.levels.get(detector, 0.0), level)
            yield day
