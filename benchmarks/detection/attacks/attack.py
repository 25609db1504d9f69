"""What every attack has in its hands, and what it writes down about its own success.

An attacker knows the embedding model, holds public text with its embeddings, and reads what the API answers. It does
not know the collection: `truth` is there for measuring alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from benchmarks.detection.target import Answer, Target, Vectors

Embed = Callable[[list[str]], Vectors]
Goal = Literal["records", "vector", "members", "pairs"]


@dataclass(frozen=True)
class Public:
    """Text that anybody may hold, with its embeddings (n, d), unit rows."""

    texts: tuple[str, ...]
    vectors: Vectors


@dataclass
class Attacker:
    """One attack on its way. `budget`: calls that it makes at most."""

    target: Target
    embed: Embed
    public: Public
    random: np.random.Generator
    budget: int
    truth: Vectors
    """The stored vectors, by id: for `progress` only, and for the candidates that `membership` was given."""
    candidates: Public | None = None
    """Texts of which `membership` wants to know whether they are stored."""
    seen: set[int] = field(default_factory=set)
    """Ids of records that came."""
    progress: list[tuple[int, float]] = field(default_factory=list)
    """(calls so far, what the attack is after): cosine of the vector recovered, members told, pairs held."""

    @property
    def left(self) -> int:
        """Calls left."""
        return self.budget - self.target.calls

    def fresh(self, answer: Answer) -> list[int]:
        """Take an answer's records; the positions of those that were not seen before."""
        new = [at for at, number in enumerate(answer.ids.tolist()) if number not in self.seen]
        self.seen.update(answer.ids.tolist())
        return new

    def note(self, value: float) -> None:
        """Write down how far it is."""
        self.progress.append((self.target.calls, value))


@dataclass(frozen=True)
class Attack:
    """An attack's name in reports, what it is after, how many calls are recorded of it, and how it goes."""

    name: str
    goal: Goal
    calls: int
    run: Callable[[Attacker], None]


def unit(rows: Vectors) -> Vectors:
    """Rows, or one row, at length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)
