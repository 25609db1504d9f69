"""Alignment without pairs: the shape of the stolen cloud is matched to that of the attacker's own texts.

After mini-vec2vec (Dar 2025, arXiv:2510.02348), whose steps are: clusters of either side are matched by how they lie to
each other (a quadratic assignment), which gives every record coordinates relative to matched clusters; nearest
neighbours in those give pseudo-pairs and a first orthogonal map; then the map is refined by neighbours under itself.
Of several starts the one is kept that brings the clouds closest. Nothing secret goes in: a rotation keeps the cloud's
shape, and noise only blurs it. Keyed cells are told apart by the cloud first (`vecguard.audit.mixture`), and matched
one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from vecguard.audit.attacks.denoise import wiener
from vecguard.audit.attacks.linkage import R_AT_1
from vecguard.audit.linear import LinearMap, procrustes, unit
from vecguard.audit.metrics import bootstrap, identified
from vecguard.audit.mixture import cells_without_pairs
from vecguard.audit.reading import Adversary, Reading
from vecguard.audit.scene import Scene
from vecguard.audit.target import Target
from vecguard.audit.textual import cosine_reading, text_readings

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]

CLUSTERS: Final = 20
STARTS: Final = 3
RUNS: Final = 8
RESTARTS: Final = 8
NEIGHBOURS: Final = 50
FEWEST_NEIGHBOURS: Final = 20
ROUNDS: Final = 40
SAMPLE: Final = 2_000
WORTH_TEXTS: Final = 0.1
"""R@1 below which no text is sought by slow inverters, where they are spared."""
_LLOYD: Final = 20
_FEWEST_RECORDS: Final = 200


class Unsupervised:
    """Adversary A undoes the rotation by the shape of the cloud alone."""

    name: ClassVar[str] = "unsupervised"
    title: ClassVar[str] = "Alignment without pairs"
    adversary: ClassVar[Adversary] = "A"
    metric: ClassVar[str] = R_AT_1
    needed: ClassVar[float] = 0.9
    knows: ClassVar[str] = "all stored vectors, and own texts of the same domain, none of which is stored"

    def run(self, scene: Scene, target: Target) -> Iterator[Reading]:
        """R@1 among the victims, cosine, and the texts inverted through the map."""
        if min(len(target.everything), len(scene.own)) < _FEWEST_RECORDS:
            return
        own, candidates = (
            unit(target.deployment.public(rows)) for rows in (scene.own.embeddings, scene.victims.embeddings)
        )
        raw, guesses = _guessed(scene, target, own)
        found = bootstrap(identified(raw, candidates), scene.seed)
        yield Reading("clusters, then neighbours", R_AT_1, found)
        yield cosine_reading("clusters, then neighbours", guesses, candidates, scene.seed)
        if own.shape[1] == scene.dims:  # inverters read whole embeddings only
            spared = scene.sparing and found.value < WORTH_TEXTS
            inverters = scene.quick_inverters if spared else scene.inverters
            yield from text_readings(inverters, guesses, scene.victims.texts, scene.seed)

    def floor(self, scene: Scene, target: Target) -> float:
        """One in as many candidates as there are."""
        return 1.0 / len(scene.victims)


def _guessed(scene: Scene, target: Target, own: Floats) -> tuple[Floats, Floats]:
    """Clear estimates of the victims, as stored and shrunk: cell by cell, where there are cells.

    `own` (m, d) are the attacker's embeddings, after what is no secret of the defence.
    """
    random, count = scene.random(f"unsupervised {target.name}"), target.deployment.cells
    labels = cells_without_pairs(target.everything, count, random) if count > 1 else np.zeros(len(target.everything))
    raw, guesses = (np.zeros((len(target.victims), own.shape[1]), np.float32) for _ in range(2))
    for cell in range(count):
        members = target.everything[labels == cell]
        mine = np.flatnonzero(labels[: len(target.victims)] == cell)
        if len(mine) and len(members) >= _FEWEST_RECORDS:
            found = align(own, members, random)
            shrink = wiener(members, target.deployment.noise_ratio)
            raw[mine], guesses[mine] = found(target.victims[mine]), found(shrink(target.victims[mine]))
    return raw, guesses


class CentredMap:
    """`(y - stored mean) W + own mean`: clear vectors (n, d) float32 for stored ones (n, d')."""

    def __init__(self, stored_mean: Floats, own_mean: Floats, linear: LinearMap) -> None:
        self._stored_mean, self._own_mean, self._linear = stored_mean, own_mean, linear

    def __call__(self, stored: Floats) -> Floats:
        """Estimates of the clear vectors."""
        return self._linear.apply(stored - self._stored_mean) + self._own_mean


def align(own: Floats, stored: Floats, random: np.random.Generator) -> CentredMap:
    """A map from stored vectors (n, d') to the space of own ones (m, d), from the two clouds' shapes alone."""
    own_mean, stored_mean = own.mean(axis=0), stored.mean(axis=0)
    a, b = unit(own - own_mean), unit(stored - stored_mean)
    tried = [_refined(a, b, _first_map(a, b, random), random) for _ in range(STARTS)]
    return CentredMap(stored_mean, own_mean, max(tried, key=lambda found: _closeness(a, b, found)))


def _refined(a: Floats, b: Floats, found: LinearMap, random: np.random.Generator) -> LinearMap:
    """The map after rounds of neighbours under itself."""
    for step in range(ROUNDS):
        size = max(FEWEST_NEIGHBOURS, int(NEIGHBOURS * 0.9**step))
        sample = random.permutation(len(a))[:SAMPLE]
        near = _neighbours(a[sample], unit(found.apply(b)), size)
        found = procrustes(_means(near, b), a[sample])
    return found


def _closeness(a: Floats, b: Floats, found: LinearMap) -> float:
    """Mean cosine of own texts to their nearest stored ones under a map: the better the map, the closer they lie."""
    cosines = a[:SAMPLE] @ unit(found.apply(b)).T
    return float(np.partition(cosines, -FEWEST_NEIGHBOURS, axis=1)[:, -FEWEST_NEIGHBOURS:].mean())


def _first_map(a: Floats, b: Floats, random: np.random.Generator) -> LinearMap:
    """Pseudo-pairs by coordinates relative to matched clusters, over several clusterings."""
    own_side, stored_side = [], []
    for _ in range(RUNS):
        own_centres, stored_centres = _matched(_centres(a, random), _centres(b, random), random)
        own_side.append(a @ own_centres.T)
        stored_side.append(b @ stored_centres.T)
    relative_a, relative_b = (_standardised(np.concatenate(side, axis=1)) for side in (own_side, stored_side))
    sample = random.permutation(len(a))[:SAMPLE]
    near = _neighbours(relative_a[sample], relative_b, NEIGHBOURS)
    return procrustes(_means(near, b), a[sample])


def _matched(own: Floats, stored: Floats, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Both sides' cluster centres in matching order: the assignment that makes their cosines among each other agree.

    By FAQ (Vogelstein et al. 2015) from random starts, each improved by exchanging pairs.
    """
    from scipy.optimize import quadratic_assignment

    left, right = own @ own.T, stored @ stored.T
    best, order = -np.inf, np.arange(len(own))
    for _ in range(RESTARTS):
        start = {"maximize": True, "rng": random, "P0": "randomized"}
        rough = quadratic_assignment(left, right, method="faq", options=start)
        guess = np.stack([np.arange(len(own)), rough.col_ind], axis=1)
        fine = quadratic_assignment(
            left, right, method="2opt", options={"maximize": True, "rng": random, "partial_guess": guess}
        )
        if fine.fun > best:
            best, order = fine.fun, fine.col_ind
    return own, stored[order]


def _centres(rows: Floats, random: np.random.Generator) -> Floats:
    """Unit centres (CLUSTERS, d) by spherical k-means (Dhillon & Modha 2001)."""
    centres = rows[random.choice(len(rows), CLUSTERS, replace=False)]
    for _ in range(_LLOYD):
        nearest = np.argmax(rows @ centres.T, axis=1)
        sums = np.eye(CLUSTERS, dtype=np.float32)[:, nearest] @ rows
        empty = np.bincount(nearest, minlength=CLUSTERS) == 0
        sums[empty] = rows[random.choice(len(rows), int(empty.sum()))]
        centres = unit(sums)
    return centres


def _neighbours(queries: Floats, rows: Floats, count: int) -> Rows:
    """Rows (n, count) of the largest cosines, in no order."""
    count = min(count, len(rows) - 1)
    return np.argpartition(-(queries @ rows.T), count, axis=1)[:, :count]


def _means(near: Rows, rows: Floats) -> Floats:
    """Means (n, d) of the rows that each line of `near` (n, k) names; as a sparse product, since k copies are dear."""
    from scipy.sparse import csr_matrix

    count, each = near.shape
    ends = np.arange(0, count * each + 1, each)
    shares = csr_matrix((np.full(near.size, 1 / each, np.float32), near.ravel(), ends), (count, len(rows)))
    return np.asarray(shares @ rows, np.float32)


def _standardised(relative: Floats) -> Floats:
    return unit(relative - relative.mean(axis=1, keepdims=True))
