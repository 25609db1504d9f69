"""Candidate texts for each target embedding, with the cosine of their own embedding to it: the best are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vecguard.errors import InvalidArgument

Floats = npt.NDArray[np.float32]
Embed = Callable[[Sequence[str]], Floats]


@dataclass(frozen=True)
class Candidate:
    """A text, its unit embedding float32 (dims,), and the cosine of that to the target."""

    text: str
    embedding: Floats
    cosine: float


class Candidates:
    """The `size` best candidates of each target so far; every text is embedded once a target at most."""

    def __init__(self, targets: Floats, embed: Embed, size: int) -> None:
        """`targets` are float32 (n, dims); `embed` gives unit embeddings float32 (m, dims) of m texts."""
        norms = np.linalg.norm(targets, axis=1, keepdims=True)
        self.targets = targets / np.maximum(norms, np.float32(1e-12))
        self._embed = embed
        self._size = size
        self._best: list[list[Candidate]] = [[] for _ in targets]
        self._seen: list[set[str]] = [set() for _ in targets]

    def add(self, rows: Sequence[int], texts: Sequence[str]) -> None:
        """Embeds the texts that are new to their target's row, and keeps each target's best.

        Raises:
            InvalidArgument: the embedder answers another shape than the targets have.
        """
        fresh: list[tuple[int, str]] = []
        for row, text in zip(rows, texts, strict=True):
            if text and text not in self._seen[row]:
                self._seen[row].add(text)
                fresh.append((row, text))
        distinct = sorted({text for _, text in fresh})
        if not distinct:
            return
        embedded = self._embed(distinct)
        if embedded.shape != (len(distinct), self.targets.shape[1]):
            raise InvalidArgument(
                f"the embedder gave {embedded.shape} for {len(distinct)} texts; "
                f"the targets have {self.targets.shape[1]} dims"
            )
        place = {text: index for index, text in enumerate(distinct)}
        for row, text in fresh:
            vector = embedded[place[text]]
            self._best[row].append(Candidate(text, vector, float(vector @ self.targets[row])))
        for row in {row for row, _ in fresh}:
            self._best[row].sort(key=lambda candidate: -candidate.cosine)
            del self._best[row][self._size :]

    def best(self, row: int, count: int) -> list[Candidate]:
        """The best candidates of one target, best first: fewer than `count` where there are no more."""
        return self._best[row][:count]

    def texts(self) -> list[str]:
        """The best text of each target; '' where none was added."""
        return [found[0].text if found else "" for found in self._best]

    def cosines(self) -> Floats:
        """The best cosine of each target, float32 (n,); -1 where none was added."""
        return np.array([found[0].cosine if found else -1.0 for found in self._best], dtype=np.float32)
