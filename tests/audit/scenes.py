"""A small scene without a neural embedder: synthetic notes, embedded by a seeded random vector a word."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.data import Sizes, texts_of_notes
from vecguard.audit.defence import parse_defence
from vecguard.audit.inverters import trainer
from vecguard.audit.linear import unit
from vecguard.audit.metrics import tokenise
from vecguard.audit.reading import Reading
from vecguard.audit.scene import Scene, embed_texts
from vecguard.audit.target import Target

Floats = NDArray[np.float32]

DIMS = 96
SIZES = Sizes(victims=80, crowd=320, own=600, foreign=0, personal=60, documents=0, questions=30)


class WordVectors:
    """The mean of one random vector a word, the same in every run: linear in the words, good enough for search."""

    def __init__(self, dims: int = DIMS) -> None:
        self._dims = dims

    def embed(self, texts: Sequence[str], progress: Callable[[int], None] | None = None, /) -> Floats:
        if progress is not None:
            progress(len(texts))
        return unit(np.stack([sum((self._vector(word) for word in tokenise(text)), self._zero()) for text in texts]))

    def _zero(self) -> Floats:
        return np.full(self._dims, 1e-6, np.float32)

    @cache  # noqa: B019 - lives as long as the tests
    def _vector(self, word: str) -> Floats:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
        return np.random.default_rng(seed).standard_normal(self._dims).astype(np.float32)


@cache
def notes_scene() -> Scene:
    """The scene that most tests share."""
    return embed_texts(texts_of_notes(SIZES, 0), WordVectors(), "words", 0, trainer(), lambda *_: None)


@cache
def target_of(defence: str) -> Target:
    """The shared scene's records under a defence."""
    scene = notes_scene()
    return Target(scene, parse_defence(defence).deploy(scene.dims, seed=1))


def best(readings: Sequence[Reading], metric: str, pairs: int | None = None) -> float:
    """The largest value of a metric, at one number of pairs where it is given."""
    return max(r.interval.value for r in readings if r.metric == metric and (pairs is None or r.pairs == pairs))
