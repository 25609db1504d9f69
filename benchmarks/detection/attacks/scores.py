"""Attacks on one record's vector through the scores that it gets: trilateration and hill climbing."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.attacks.attack import Attacker, unit
from benchmarks.detection.target import Vectors, Want

_EVERY: Final = 16
"""Calls between two looks at how far it is."""


def trilaterate_pinned(attacker: Attacker) -> None:
    """Queries pinned to the record by `has_id`: each score is one linear equation in its vector.

    The first queries are the principal axes of public embeddings, since there they tell most; then random ones.
    """
    number, _ = _victim(attacker)
    mean, covariance = _prior(attacker.public.vectors)
    axes = np.linalg.eigh(covariance)[1][:, ::-1].T
    estimate = _Estimate(mean, covariance)
    for at in range(attacker.budget - attacker.target.calls):
        row = axes[at] if at < len(axes) else attacker.random.standard_normal(len(mean))
        query = unit(np.asarray(row, dtype=np.float32))
        answer = attacker.target.search(query, Want(limit=1, payload=False, only=(number,)))
        estimate.add(query, float(answer.scores[0]))
        _look(attacker, estimate, number, at)


def trilaterate_near(attacker: Attacker, spread: float = 0.8) -> None:
    """Without a pin: queries scattered about one that finds the record; those that still find it count."""
    number, start = _victim(attacker)
    estimate = _Estimate(*_prior(attacker.public.vectors))
    at = 0
    while attacker.left > 0:
        noise = attacker.random.standard_normal(len(start)) / np.sqrt(len(start))
        query = unit(np.asarray(start + spread * noise, dtype=np.float32))
        answer = attacker.target.search(query, Want(limit=50, payload=False))
        hit = np.flatnonzero(answer.ids == number)
        if len(hit):
            estimate.add(query, float(answer.scores[hit[0]]))
            _look(attacker, estimate, number, at)
            at += 1


def climb(attacker: Attacker) -> None:
    """A (1+1) evolution strategy on the record's score: a random step is kept where the score rises; steps grow by
    successes and shrink by failures (the one-fifth rule, Rechenberg 1973)."""
    number, best = _victim(attacker)
    scored, step = -1.0, 0.5
    for at in range(attacker.left):
        trial = attacker.random.standard_normal(len(best)) / np.sqrt(len(best))
        query = best if at == 0 else unit(np.asarray(best + step * trial, dtype=np.float32))
        answer = attacker.target.search(query, Want(limit=10, payload=False))
        hit = np.flatnonzero(answer.ids == number)
        score = float(answer.scores[hit[0]]) if len(hit) else -1.0
        if score > scored:
            best, scored, step = query, score, step * 1.5
        else:
            step *= 1.5**-0.25
        if at % _EVERY == 0:
            attacker.note(float(best @ attacker.truth[number]))
    attacker.note(float(best @ attacker.truth[number]))


class _Estimate:
    """The best linear estimate of a vector from scores: its mean under a Gaussian prior, given q.x = s for all asked.

    x = m + C Q' (Q C Q' + e I)^-1 (s - Q m), with m and C of public embeddings.
    """

    def __init__(self, mean: NDArray[np.float64], covariance: NDArray[np.float64]) -> None:
        self._mean, self._covariance = mean, covariance
        self._queries: list[Vectors] = []
        self._scores: list[float] = []

    def add(self, query: Vectors, score: float) -> None:
        """One more equation."""
        self._queries.append(query)
        self._scores.append(score)

    def vector(self) -> Vectors:
        """The estimate, of length 1."""
        # More equations than unknowns add nothing to what exact scores tell.
        queries = np.stack(self._queries[-1_024:]).astype(np.float64)
        scores = np.array(self._scores[-1_024:])
        across = self._covariance @ queries.T
        inner = queries @ across + 1e-9 * np.eye(len(queries))
        return unit(np.asarray(self._mean + across @ np.linalg.solve(inner, scores - queries @ self._mean), np.float32))


def _prior(rows: Vectors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of public embeddings, the latter never quite singular."""
    covariance = np.cov(rows, rowvar=False)
    return rows.mean(axis=0).astype(np.float64), covariance + 1e-5 * np.eye(len(covariance))


def _look(attacker: Attacker, estimate: _Estimate, number: int, at: int) -> None:
    if at % _EVERY == _EVERY - 1:
        attacker.note(float(estimate.vector() @ attacker.truth[number]))


def _victim(attacker: Attacker) -> tuple[int, Vectors]:
    """A record, and the public vector that found it first."""
    start = attacker.public.vectors[int(attacker.random.integers(len(attacker.public.vectors)))]
    return int(attacker.target.search(start, Want(limit=1, payload=False)).ids[0]), start
