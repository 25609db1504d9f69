"""Sweeps over the space of embeddings: no words, vectors made to lie where the attacker has not been."""

from __future__ import annotations

from typing import Final

import numpy as np

from benchmarks.detection.attacks.attack import Attacker, unit
from benchmarks.detection.target import Vectors, Want

_WANT: Final = Want(limit=10)


def dgea(attacker: Attacker, drawn: int = 256, steps: int = 6, rate: float = 0.2) -> None:
    """Dynamic greedy embedding attack (Cohen, Bitton and Nassi, arXiv:2409.08045): vectors drawn from a Gaussian fitted
    to public embeddings; the one most unlike all passages read so far is moved further away by gradient steps, and
    asked. (A chatbot needs a suffix whose embedding comes near it; a vector store takes the vector.)"""
    mean, spread = attacker.public.vectors.mean(axis=0), attacker.public.vectors.std(axis=0)
    read: list[Vectors] = []
    while attacker.left > 0:
        rows = unit(mean + spread * attacker.random.standard_normal((drawn, len(mean))))
        query = rows[0]
        if read:
            known = np.concatenate(read)
            query = rows[int(np.max(rows @ known.T, axis=1).argmin())]
            for _ in range(steps):
                closeness = np.exp(20 * (known @ query))
                pull = (closeness[:, None] * known).sum(axis=0) / closeness.sum()
                query = unit(query - rate * pull)
        answer = attacker.target.search(query, _WANT)
        if new := attacker.fresh(answer):
            read.append(attacker.embed([answer.texts[at] for at in new]))


def kmeans_sweep(attacker: Attacker, sizes: tuple[int, ...] = (64, 256, 1024)) -> None:
    """Centres of k-means over public embeddings, ever finer (Lloyd's algorithm, eight rounds)."""
    for size in sizes:
        for centre in _kmeans(attacker.public.vectors, size, attacker.random):
            if attacker.left <= 0:
                return
            attacker.fresh(attacker.target.search(centre, _WANT))


def _kmeans(rows: Vectors, size: int, random: np.random.Generator) -> Vectors:
    centres = rows[random.permutation(len(rows))[:size]]
    for _ in range(8):
        nearest = (rows @ centres.T).argmax(axis=1)
        sums = np.zeros_like(centres)
        np.add.at(sums, nearest, rows)
        filled = np.linalg.norm(sums, axis=1) > 1e-6
        centres = np.where(filled[:, None], unit(np.where(filled[:, None], sums, 1.0)), centres)
    return np.asarray(centres, dtype=np.float32)


def farthest_point(attacker: Attacker) -> None:
    """Public embeddings in the order of a farthest-point traversal (Gonzalez 1985): each as far as can be from all
    before it."""
    rows = attacker.public.vectors
    at = int(attacker.random.integers(len(rows)))
    nearest = np.full(len(rows), -2.0, dtype=np.float32)
    for _ in range(min(attacker.budget, len(rows))):
        attacker.fresh(attacker.target.search(rows[at], _WANT))
        nearest = np.maximum(nearest, rows @ rows[at])
        at = int(nearest.argmin())
