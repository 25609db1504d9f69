"""Published detectors, held to what their papers say of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_world import offline, small_world

from benchmarks.detection.baselines import Chen, Prada, RateLimit
from benchmarks.detection.target import Want
from vecguard.detect.observation import SKETCH_DIMS, Observation

WORLD = small_world()


def _queries(rows: np.ndarray) -> list[Observation]:
    """Observations of so many queries, one a second."""
    target = offline(WORLD)
    target.search(WORLD.questions.vectors[0], Want(limit=5))
    model = target.seen[0]
    return [replace(model, queries=row[np.newaxis].astype(np.float32), time=float(at)) for at, row in enumerate(rows)]


def test_chen_tells_steps_around_a_point_from_unlike_questions() -> None:
    random = np.random.default_rng(1)
    unlike = random.standard_normal((200, SKETCH_DIMS)) / np.sqrt(SKETCH_DIMS)
    steps = unlike[0] + 0.02 * random.standard_normal((200, SKETCH_DIMS))
    told = {}
    for name, rows in (("unlike", unlike), ("steps", steps)):
        see = Chen().fresh()
        told[name] = max(see([one]) for one in _queries(rows))
    assert told["steps"] > 1.8
    assert told["unlike"] < 1.2


def test_chen_says_nothing_before_it_has_its_neighbours() -> None:
    see = Chen().fresh()
    assert [see([one]) for one in _queries(np.ones((Chen.NEIGHBOURS, SKETCH_DIMS)))] == [0.0] * Chen.NEIGHBOURS


def test_prada_finds_distances_of_two_kinds_unlike_a_normal_distribution() -> None:
    random = np.random.default_rng(2)
    natural = random.standard_normal((600, SKETCH_DIMS)) / np.sqrt(SKETCH_DIMS)
    synthetic = natural.copy()
    synthetic[1::2] = synthetic[::2] + 0.01 * random.standard_normal((300, SKETCH_DIMS))
    told = {}
    for name, rows in (("natural", natural), ("synthetic", synthetic)):
        see = Prada().fresh()
        told[name] = [see([one]) for one in _queries(rows)][-1]
    assert told["synthetic"] > 0.2
    assert told["natural"] < 0.1


def test_prada_waits_for_a_hundred_distances() -> None:
    random = np.random.default_rng(3)
    see = Prada().fresh()
    assert not any(see([one]) for one in _queries(random.standard_normal((Prada.LEAST, SKETCH_DIMS))))


def test_the_rate_is_that_of_the_last_hour() -> None:
    see = RateLimit().fresh()
    calls = _queries(np.ones((3, SKETCH_DIMS)))
    assert see([calls[0]]) == 5.0
    assert see([replace(calls[1], time=1_800.0)]) == 10.0
    assert see([replace(calls[2], time=3_700.0)]) == pytest.approx(10.0)
    assert see([replace(calls[2], time=9_000.0)]) == 5.0
