"""Telling keyed cells apart: which stored vectors share a key, with leaked pairs and without. Pure numpy.

The attacker knows the mechanism: records are dealt to C cells at random, each with a rotation of its own, and noise.
Two records of one cell keep their similarity, records of two cells have none left. In numbers, for unit stored vectors
of clear similarity s under noise of ratio r over d dimensions, y_i·y_j is about N(a s, 1/d) with a = 1 / (1 + r²) in
one cell, and N(0, 1/d) in two: a log-likelihood ratio of d (a s y_i·y_j - a² s² / 2) nats (Neyman & Pearson 1933). One
pair of records says little, each record's ratios with thousands of others decide.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.linear import LinearMap, ridge, unit

Floats = NDArray[np.float32]
Labels = NDArray[np.intp]

# Pairs whose ratios with each other are computed; all others are told by the maps that these give.
_COMPARED: Final = 3_000
_MOVES: Final = 30
_ROUNDS: Final = 8
_STARTS: Final = 6
_LLOYD: Final = 30
_FEWEST_PAIRS: Final = 2
_COMPONENTS: Final = 16


@dataclass(frozen=True)
class CellMaps:
    """What was learnt of each cell that any pairs were found for: `forward` from clear to stored vectors, `back` from
    stored to clear ones; and the cell of each pair (m,)."""

    forward: tuple[LinearMap, ...]
    back: tuple[LinearMap, ...]
    labels: Labels

    def likeness(self, stored: Floats, candidates: Floats) -> Floats:
        """(n, k): how well each candidate (k, d) explains each stored vector (n, d'), under the cell that does best."""
        scores = np.full((len(stored), len(candidates)), -np.inf, np.float32)
        for cell in self.forward:
            np.maximum(scores, unit(stored) @ unit(cell.apply(candidates)).T, out=scores)
        return scores

    def guesses(self, stored: Floats, own: Floats) -> Floats:
        """Clear estimates (n, d): those of the cell whose estimate comes closest to any of the attacker's own texts."""
        best = np.full(len(stored), -np.inf, np.float32)
        found = np.zeros((len(stored), own.shape[1]), np.float32)
        for cell in self.back:
            estimate = cell.apply(stored)
            closeness = (unit(estimate) @ own.T).max(axis=1)
            better = closeness > best
            best[better], found[better] = closeness[better], estimate[better]
        return found


def cell_maps(stored: Floats, clear: Floats, count: int, noise_ratio: float, random: np.random.Generator) -> CellMaps:
    """Learn the maps of `count` cells from pairs (m, d') and (m, d) of unknown cells.

    Cells of a part of the pairs are told by their ratios with each other; then maps and cells are improved in turn over
    all pairs, as in hard expectation maximisation for mixtures of regressions (De Veaux 1989).
    """
    if count == 1:
        labels: Labels = np.zeros(len(stored), np.intp)
    else:
        some = random.permutation(len(stored))[:_COMPARED]
        begun = _dealt(same_cell_ratios(stored[some], clear[some], noise_ratio), count, random)
        labels = _improved(stored, clear, some, begun, count)
    cells = [rows for rows in (np.flatnonzero(labels == cell) for cell in range(count)) if len(rows) >= _FEWEST_PAIRS]
    return CellMaps(
        tuple(ridge(clear[rows], stored[rows]) for rows in cells),
        tuple(ridge(stored[rows], clear[rows]) for rows in cells),
        labels,
    )


def same_cell_ratios(stored: Floats, clear: Floats, noise_ratio: float) -> Floats:
    """Log-likelihood ratios (m, m) in nats of two pairs being of one cell against of two; 0 of a pair with itself."""
    expected = np.float32(1.0 / (1.0 + noise_ratio**2)) * (unit(clear) @ unit(clear).T)
    ratios = np.asarray(stored.shape[1] * expected * (unit(stored) @ unit(stored).T - expected / 2), np.float32)
    np.fill_diagonal(ratios, 0.0)
    return ratios


def cells_without_pairs(stored: Floats, count: int, random: np.random.Generator) -> Labels:
    """Cells (n,) of stored vectors (n, d') by their cloud alone.

    Embeddings have a mean that is far from zero, and every cell turns it another way: stored vectors lie around `count`
    directions. These span the leading right singular vectors, in which spherical k-means (Dhillon & Modha 2001) finds a
    beginning. Each cell's leading directions then tell better: hard expectation maximisation for a mixture of
    probabilistic principal components (Tipping & Bishop 1999). The likeliest of several starts is taken.
    """
    _, _, axes = np.linalg.svd(stored.T @ stored)
    rows = unit(stored @ axes[:count].T)
    best, chosen = -np.inf, np.zeros(len(rows), np.intp)
    for _ in range(_STARTS):
        labels, fit = _by_components(stored, _spherical(rows, _spread(rows, count, random))[0], count)
        if fit > best:
            best, chosen = fit, labels
    return chosen


def _by_components(rows: Floats, labels: Labels, count: int) -> tuple[Labels, float]:
    """Labels improved until they stay, and their log-likelihood in nats."""
    likelihoods = np.zeros((len(rows), count))
    for _ in range(_MOVES):
        for cell in range(count):
            members = rows[labels == cell]
            likelihoods[:, cell] = _log_likelihoods(rows, members) if len(members) > 2 * _COMPONENTS else -np.inf
        found = likelihoods.argmax(axis=1)
        if (found == labels).all():
            break
        labels = found
    return labels, float(likelihoods.max(axis=1).sum())


def _log_likelihoods(rows: Floats, members: Floats) -> NDArray[np.float64]:
    """Of rows (n, d) under the members' second moment: its leading directions, and one variance for all others."""
    dims = rows.shape[1]
    values, vectors = np.linalg.eigh((members.T @ members / len(members)).astype(np.float64))
    leading, directions = values[-_COMPONENTS:], vectors[:, -_COMPONENTS:]
    rest = float(values[:-_COMPONENTS].mean())
    along = (rows @ directions) ** 2
    squared = np.vecdot(rows, rows) / rest - along @ (1.0 / rest - 1.0 / leading)
    return np.asarray(-(squared + np.log(leading).sum() + (dims - _COMPONENTS) * math.log(rest)) / 2)


def _dealt(ratios: Floats, count: int, random: np.random.Generator) -> Labels:
    """Labels (m,) that make the sum of ratios within cells large: spectral beginnings, then single moves."""
    from scipy.sparse.linalg import eigsh

    values, vectors = eigsh(ratios.astype(np.float64), k=min(count, len(ratios) - 1), which="LA")
    rows = unit((vectors * np.sqrt(np.maximum(values, 0.0))).astype(np.float32))
    best, chosen = -np.inf, np.zeros(len(ratios), np.intp)
    for _ in range(_STARTS):
        labels, _ = _spherical(rows, _spread(rows, count, random))
        for _ in range(_MOVES):
            votes = ratios @ np.eye(count, dtype=np.float32)[labels]
            moved = votes.argmax(axis=1)
            if (moved == labels).all():
                break
            labels = moved
        total = float(np.take_along_axis(votes, labels[:, np.newaxis], axis=1).sum())
        if total > best:
            best, chosen = total, labels
    return chosen


def _improved(stored: Floats, clear: Floats, some: Labels, begun: Labels, count: int) -> Labels:
    """Cells of all pairs: each goes where its stored vector is foretold best, and maps are fitted again."""
    rows, labels = some, begun
    for _ in range(_ROUNDS):
        scores = np.full((len(stored), count), -np.inf, np.float32)
        for cell in range(count):
            mine = rows[labels == cell]
            if len(mine) >= _FEWEST_PAIRS:
                foretold = unit(ridge(clear[mine], stored[mine]).apply(clear))
                scores[:, cell] = np.vecdot(foretold, unit(stored))
        found = scores.argmax(axis=1)
        if len(rows) == len(stored) and (found == labels).all():
            break
        rows, labels = np.arange(len(stored)), found
    return labels


def _spread(rows: Floats, count: int, random: np.random.Generator) -> Floats:
    """Beginnings of k-means far from each other (k-means++, Arthur & Vassilvitskii 2007)."""
    chosen = [int(random.integers(len(rows)))]
    nearest = 1.0 - rows @ rows[chosen[0]]
    for _ in range(count - 1):
        weights = np.maximum(nearest, 0.0).astype(np.float64)
        total = weights.sum()
        draw = random.choice(len(rows), p=weights / total) if total > 0 else random.integers(len(rows))
        chosen.append(int(draw))
        nearest = np.minimum(nearest, 1.0 - rows @ rows[chosen[-1]])
    return rows[chosen]


def _spherical(rows: Floats, centres: Floats) -> tuple[Labels, float]:
    """Labels (n,) by spherical k-means from these centres, and the sum of cosines to them."""
    labels: Labels = np.full(len(rows), -1, np.intp)
    for _ in range(_LLOYD):
        cosines = rows @ centres.T
        found = cosines.argmax(axis=1)
        if (found == labels).all():
            break
        labels = found
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, rows)
        held = np.bincount(labels, minlength=len(centres)) > 0
        centres = np.where(held[:, np.newaxis], unit(sums), centres)
    return labels, float(cosines.max(axis=1).sum())
