"""Cells are told apart by whoever has enough pairs of them, and by the cloud's mean without any; not where noise hides
it."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import best, notes_scene, target_of

from vecguard.audit.attacks.linkage import R_AT_1, Linkage
from vecguard.audit.attacks.mixture import Mixture
from vecguard.audit.linear import unit
from vecguard.audit.mixture import cell_maps, cells_without_pairs, same_cell_ratios

DIMS, CELLS, COUNT = 48, 4, 600


def cloud(mean: float = 0.0, seed: int = 0) -> np.ndarray:
    """Unit vectors that vary more in some directions, around a mean."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((COUNT, DIMS)) * np.arange(1, DIMS + 1) ** -0.5
    x[:, 0] += mean
    return unit(x.astype(np.float32))


def dealt(x: np.ndarray, ratio: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Stored vectors and true cells: a rotation a cell, and noise."""
    random = np.random.default_rng(seed)
    cells = random.integers(CELLS, size=len(x))
    turns = np.stack([np.linalg.qr(random.standard_normal((DIMS, DIMS)))[0] for _ in range(CELLS)])
    stored = np.einsum("nij,nj->ni", turns[cells], x)
    stored += ratio * random.standard_normal(stored.shape) / np.sqrt(DIMS)
    return unit(stored.astype(np.float32)), cells


def purity(found: np.ndarray, true: np.ndarray) -> float:
    """The share of records that are with the commonest true cell of their found one."""
    return sum(np.bincount(true[found == cell]).max() for cell in set(found.tolist())) / len(true)


def test_the_ratios_are_those_of_the_two_normal_laws() -> None:
    x = cloud()
    stored, cells = dealt(x, 0.5)
    ratios = same_cell_ratios(stored, x, 0.5)
    s, g = float(x[3] @ x[8]), float(stored[3] @ stored[8])
    kept = 1 / 1.25
    by_hand = (-((g - kept * s) ** 2) + g**2) * DIMS / 2
    assert ratios[3, 8] == pytest.approx(by_hand, rel=1e-3)
    same = cells[:, None] == cells[None, :]
    np.fill_diagonal(same, val=False)
    assert ratios[same].mean() > 0.1 > 0 > ratios[~same].mean()
    assert not np.diag(ratios).any()


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_pairs_tell_cells_apart_and_give_their_maps(ratio: float) -> None:
    x = cloud()
    stored, cells = dealt(x, ratio)
    maps = cell_maps(stored[:400], x[:400], CELLS, ratio, np.random.default_rng(0))
    assert purity(maps.labels, cells[:400]) > 0.95
    found = maps.likeness(stored[400:], x[400:]).argmax(axis=1)
    assert np.mean(found == np.arange(200)) > 0.9
    guesses = unit(maps.guesses(stored[400:], cloud(seed=7)))
    assert np.mean(np.vecdot(guesses, x[400:])) > (0.9 if ratio == 0 else 0.6)


def test_too_few_pairs_and_strong_noise_do_not() -> None:
    x = cloud()
    stored, cells = dealt(x, 4.0)
    maps = cell_maps(stored[:100], x[:100], CELLS, 4.0, np.random.default_rng(0))
    assert purity(maps.labels, cells[:100]) < 0.6
    assert np.mean(maps.likeness(stored[400:], x[400:]).argmax(axis=1) == np.arange(200)) < 0.2


def test_a_cloud_with_a_mean_gives_its_cells_away_without_pairs() -> None:
    stored, cells = dealt(cloud(mean=2.5), 0.5)
    assert purity(cells_without_pairs(stored, CELLS, np.random.default_rng(0)), cells) > 0.95
    shapeless = unit(np.random.default_rng(0).standard_normal((COUNT, DIMS)).astype(np.float32))
    stored, cells = dealt(shapeless, 0.5)
    assert purity(cells_without_pairs(stored, CELLS, np.random.default_rng(0)), cells) < 0.4


def test_it_beats_one_map_where_there_are_cells_and_is_one_map_where_there_are_none() -> None:
    scene = notes_scene()
    apart = target_of("cells:count=4+rotation+gaussian:ratio=0.5")
    mixed, single = (best(list(attack.run(scene, apart)), R_AT_1) for attack in (Mixture(), Linkage()))
    assert mixed > single + 0.2
    whole = target_of("rotation")
    assert best(list(Mixture().run(scene, whole)), R_AT_1, 100) == pytest.approx(1.0, abs=0.05)
