"""A slow inverter is asked for few records, and for none twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from audit.scenes import DIMS, Floats, notes_scene
from vecguard.audit.attacks import ATTACKS, unsupervised
from vecguard.audit.defence import parse_defence
from vecguard.audit.linear import unit
from vecguard.audit.scene import Sampled
from vecguard.audit.target import Target


class Counting:
    """Names each row by how many rows it had seen before."""

    name = "counting"

    def __init__(self) -> None:
        self.seen = 0

    def invert(self, embeddings: Floats, /) -> list[str]:
        self.seen += len(embeddings)
        return [f"text {self.seen - len(embeddings) + row}" for row in range(len(embeddings))]


def rows(count: int, seed: int = 0) -> Floats:
    return unit(np.random.default_rng(seed).standard_normal((count, 32)).astype(np.float32))


def test_only_the_first_records_are_inverted() -> None:
    counting = Counting()
    assert Sampled(counting, 3).invert(rows(9)) == ["text 0", "text 1", "text 2"]
    assert counting.seen == 3


def test_what_was_inverted_before_is_remembered_up_to_roundings_and_scale() -> None:
    counting = Counting()
    slow = Sampled(counting, 5)
    first = slow.invert(rows(5))
    nearly = 3.0 * rows(5)[::-1] + 1e-4 * rows(5, seed=1)
    assert slow.invert(nearly.astype(np.float32)) == first[::-1]
    assert counting.seen == 5


def test_another_vector_is_another_text() -> None:
    counting = Counting()
    slow = Sampled(counting, 5)
    first = slow.invert(rows(5))
    noised = unit(rows(5) + 0.05 * rows(5, seed=1))
    mixed = np.concatenate([rows(5)[:2], noised[2:]])
    assert slow.invert(mixed) == [*first[:2], "text 5", "text 6", "text 7"]
    assert counting.seen == 8


def slowly(defence: str, attack: str, sparing: bool) -> bool:
    """Whether a slow inverter's text is among what the attack reports."""
    scene = replace(notes_scene(), sparing=sparing, train=lambda texts, rows: [Counting(), Sampled(Slow(), 5)])
    target = Target(scene, parse_defence(defence).deploy(scene.dims, seed=1))
    return Slow.name in {reading.variant for reading in ATTACKS.load(attack)().run(scene, target)}


class Slow(Counting):
    """Another name."""

    name = "slow"


def test_a_sparing_run_keeps_slow_inverters_for_vectors_that_may_lie_along_the_axes() -> None:
    assert slowly("clear", "inversion", sparing=True)
    assert slowly("rotation", "inversion", sparing=False)
    assert not slowly("rotation", "inversion", sparing=True)


def test_a_sparing_run_keeps_slow_inverters_for_alignments_that_find_records(monkeypatch: pytest.MonkeyPatch) -> None:
    found = np.eye(DIMS, dtype=np.float32)
    for share, spared in ((1.0, False), (0.05, True)):

        def partly(own: Floats, stored: Floats, random: object, share: float = share) -> Callable[[Floats], Floats]:
            return lambda rows: np.where(np.arange(len(rows))[:, None] < share * len(rows), rows, rows[::-1]) @ found

        monkeypatch.setattr(unsupervised, "align", partly)
        assert slowly("clear", "unsupervised", sparing=True) is not spared
        assert slowly("clear", "unsupervised", sparing=False)
