"""What every honest user of the lab has in its hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.target import Target
from benchmarks.detection.world import World

DAY_S = 86_400.0


class Clock(Protocol):
    """The time of day, seconds since midnight; live, nobody waits for it."""

    now: float


@dataclass
class User:
    """One principal on one day. What it asks first, and what is popular, is the world's; the day is its own."""

    target: Target
    clock: Clock
    world: World
    random: np.random.Generator
    popular: NDArray[np.float64]
    """Odds of each question, Zipf's law with exponent 1 over a random order that all users share."""

    def wait(self, mean_s: float) -> None:
        """Some time passes: exponentially distributed, as between independent arrivals."""
        self.clock.now += float(self.random.exponential(mean_s))

    def question(self) -> int:
        """A question, by popularity."""
        return int(self.random.choice(len(self.popular), p=self.popular))

    def topic(self, count: int) -> list[int]:
        """Questions of one conversation: each is one of those most like the one before it."""
        asked = [self.question()]
        while len(asked) < count:
            asked.append(int(self.random.choice(self.world.near[asked[-1]][:10])))
        return asked


@dataclass(frozen=True)
class Family:
    """Honest traffic of one kind: its name, how many principal-days are made of it, and how one goes."""

    name: str
    days: int
    run: Callable[[User], None]


def popularity(questions: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Zipf's law with exponent 1 over a random order of questions."""
    odds = 1.0 / (1.0 + random.permutation(questions))
    return np.asarray(odds / odds.sum())
